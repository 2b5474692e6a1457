"""The first few of many elements: kernels that compare few of them with each other.

    values, places = topk(x[i, n], k):  the k first in order, largest or smallest first; equal ones as they stood

Few are taken one after the other, the best of those that are left; some of not so many by counting for each how many come before
it. Of many, k are found in two steps. The first of each block of elements say which k blocks come first; all k elements are in
these, since each block outside has k firsts before its own. A million elements are read once, and some thousands of comparisons
follow. Each step may again be done in two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2

from bough.ir.dtypes import BOOL, I32, I64, DType
from bough.ir.expr import Const, Expr, Extent, Var, add, apply, as_expr, floordiv, minimum, mod, mul, select
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand, Reduction, Statement
from bough.ops.building import axes, cast, kernel, load, move, number, point, reduce, store

FEW, MANY = 16, 128
"""Up to how many wanted elements, and from how many elements on, they are taken one after the other."""
BLOCKS = 512
"""From how many elements on they are seen in blocks."""
LESS = 4
"""How many times fewer comparisons these must save."""
OUTSIDE = 1 << 30
"""Where what fills the last block stands: behind all elements."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Elements of an array along an axis. `places` says where they stood at first; None: in the order in which they are here."""

    values: Operand
    axis: int
    places: Operand | None = None

    @property
    def count(self) -> Extent:
        return self.values.shape[self.axis]

    @property
    def free(self) -> tuple[Axis, ...]:
        return axes("i", [*self.values.shape[: self.axis], *self.values.shape[self.axis + 1 :]])

    @property
    def read(self) -> tuple[Operand, ...]:
        return (self.values,) if self.places is None else (self.values, self.places)

    def value(self, at: Sequence[Expr], n: Expr) -> Expr:
        return load(self.values, *at[: self.axis], n, *at[self.axis :])

    def place(self, at: Sequence[Expr], n: Expr) -> Expr:
        return n if self.places is None else load(self.places, *at, n)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which candidates come first: kernels to find them, what these leave, and from it the number of the one of a rank."""

    kernels: tuple[Kernel, ...]
    read: tuple[Operand, ...]
    number: Callable[[Sequence[Expr], Expr], Expr]


def before(a: Expr, b: Expr, first: Expr | None, largest: bool) -> Expr:
    """Whether a precedes b, where `first` says whether it stood before b already; None: it did not. NaN is the largest."""
    strict = apply("gt" if largest else "lt", a, b)
    tie = apply("eq", a, b)
    if a.dtype.is_float:
        a_nan, b_nan = apply("isnan", a), apply("isnan", b)
        alone = apply("and", a_nan, apply("not", b_nan)) if largest else apply("and", b_nan, apply("not", a_nan))
        strict = apply("or", strict, alone)
        tie = apply("or", tie, apply("and", a_nan, b_nan))
    return strict if first is None else apply("or", strict, apply("and", tie, first))


def first_of(
    name: str, x: Operand, values: Operand, places: Operand, axis: int, wanted: Extent, largest: bool
) -> tuple[Kernel, ...]:
    """Kernels that write the wanted first elements of x along an axis, in order, and where they stood."""
    chosen = _choose(Candidates(x, axis), wanted, largest, (name, values.name))
    out = axes("o", values.shape)
    i = point(out)
    place = cast(chosen.number((*i[:axis], *i[axis + 1 :]), i[axis]), I64)
    body = [store(values, i, move(x, [*i[:axis], place, *i[axis + 1 :]])), store(places, i, place)]
    return (*chosen.kernels, kernel(name, out, (x, *chosen.read), (values, places), body))


def _choose(c: Candidates, wanted: Extent, largest: bool, names: tuple[str, str]) -> Chosen:
    """`names`: that of the kernels, and of what they leave."""
    count = c.count
    if isinstance(count, int) and isinstance(wanted, int) and wanted:
        size = 1 << max(1, round(log2(max(1.0, count / wanted)) / 2))
        if count >= BLOCKS and LESS * (ceil(count / size) ** 2 + (wanted * size) ** 2) < count**2:
            return _by_blocks(c, count, wanted, size, largest, names)
    many = not isinstance(count, int) or count >= MANY
    if largest and many and c.places is None and isinstance(wanted, int) and 0 < wanted <= FEW:
        return _one_by_one(c, wanted, names)
    return _by_rank(c, wanted, largest, names)


def _by_rank(c: Candidates, wanted: Extent, largest: bool, names: tuple[str, str]) -> Chosen:
    """Counts for each how many come before it."""
    kind = I32 if isinstance(c.count, int) else I64
    free, here, other = c.free, Axis("n", c.count), Axis("m", c.count)
    at, i, j = point(free), Var(here.name), Var(other.name)
    ranks = Operand(f"{names[1]}.rank", kind, tuple(a.extent for a in (*free, here)))
    first = apply("lt", c.place(at, j), c.place(at, i))
    earlier = before(c.value(at, j), c.value(at, i), first, largest)
    count, rank = reduce("rank", "sum", (other,), select(earlier, number(1, kind), number(0, kind)))
    counting = kernel(f"{names[0]}.rank", (*free, here, other), c.read, (ranks,), [count, store(ranks, (*at, i), rank)])
    order = Axis("r", wanted)
    found = Operand(f"{names[1]}.order", I64, tuple(a.extent for a in (*free, order)))
    hit = apply("eq", load(ranks, *at, j), cast(Var(order.name), kind))
    last, place = reduce("place", "max", (other,), select(hit, j, Const(0)))
    picking = kernel(f"{names[0]}.order", (*free, order, other), (ranks,), (found,), [last, store(found, (*at, Var("r")), place)])
    return Chosen((counting, picking), (found,), lambda at, rank: load(found, *at, rank))


def _one_by_one(c: Candidates, wanted: int, names: tuple[str, str]) -> Chosen:
    """The largest, then the largest of those behind it, and so on."""
    free, k = c.free, Axis("k0", c.count)
    at = point(free)
    here = c.value(at, Var(k.name))
    found: list[Operand] = []
    kernels: list[Kernel] = []
    for round_ in range(wanted):
        left: Expr = number(True, BOOL)
        if found:
            last = load(found[-1], *at)
            left = before(c.value(at, last), here, apply("lt", last, Var(k.name)), True)
        lowest = number(reduction_unit("max", here.dtype), here.dtype)
        most, best = reduce("best", "max", (k,), select(left, here, lowest))
        hit = apply("eq", here, best)
        if here.dtype.is_float:
            hit = apply("or", hit, apply("isnan", here))
        first, place = reduce("place", "min", (k,), select(apply("and", left, hit), Var(k.name), as_expr(c.count)))
        found.append(Operand(f"{names[1]}.place{round_}", I64, tuple(a.extent for a in free)))
        read = (c.values, *found[-2:-1])
        kernels.append(kernel(f"{names[0]}.round", (*free, k), read, found[-1:], [most, first, store(found[-1], at, place)]))

    def number_of(at: Sequence[Expr], rank: Expr) -> Expr:
        chosen = load(found[-1], *at)
        for n, operand in reversed(list(enumerate(found[:-1]))):
            chosen = select(apply("eq", rank, Const(n)), load(operand, *at), chosen)
        return chosen

    return Chosen(tuple(kernels), tuple(found), number_of)


def _by_blocks(c: Candidates, count: int, wanted: int, size: int, largest: bool, names: tuple[str, str]) -> Chosen:
    """The blocks whose first elements come first, then their elements."""
    op, under = names
    bests, kernels = _bests(c, count, size, largest, (f"{op}.bests", f"{under}.bests"))
    blocks = _choose(bests, wanted, largest, (f"{op}.bests", f"{under}.bests"))
    free, axis = c.free, Axis("n", wanted * size)
    at, n = point(free), Var(axis.name)
    place = add(mul(blocks.number(at, floordiv(n, size)), size), mod(n, size))
    inside, there = apply("lt", place, Const(count)), minimum(place, count - 1)
    value, stood = c.value(at, there), cast(c.place(at, there), I32)
    outside = cast(add(n, OUTSIDE), I32)
    some = Candidates(
        Operand(f"{under}.left", value.dtype, tuple(a.extent for a in (*free, axis))),
        len(free),
        Operand(f"{under}.left.places", I32, tuple(a.extent for a in (*free, axis))),
    )
    assert some.places
    body = [
        store(some.values, (*at, n), select(inside, value, last(value.dtype, largest))),
        store(some.places, (*at, n), select(inside, stood, outside)),
    ]
    taking = kernel(f"{op}.left", (*free, axis), (*c.read, *blocks.read), (some.values, some.places), body)
    chosen = _choose(some, wanted, largest, (f"{op}.left", f"{under}.left"))

    def number_of(at: Sequence[Expr], rank: Expr) -> Expr:
        n = chosen.number(at, rank)
        return add(mul(blocks.number(at, floordiv(n, size)), size), mod(n, size))

    return Chosen((kernels, *blocks.kernels, taking, *chosen.kernels), (*blocks.read, *chosen.read), number_of)


def _bests(c: Candidates, count: int, size: int, largest: bool, names: tuple[str, str]) -> tuple[Candidates, Kernel]:
    """The first element of each block."""
    free, block, inner = c.free, Axis("b", ceil(count / size)), Axis("s", size)
    at, b = point(free), Var(block.name)
    place = add(mul(b, size), Var(inner.name))
    there, inside = (place, number(True, BOOL)) if count % size == 0 else (
        minimum(place, count - 1), apply("lt", place, Const(count)),
    )  # fmt: skip
    value = c.value(at, there)
    kind: Reduction = "max" if largest else "min"
    unit = number(reduction_unit(kind, value.dtype), value.dtype)
    body: list[Statement] = []
    counts = inside
    if value.dtype.is_float and not largest:
        missing, nothing = reduce("nothing", "all", (inner,), apply("or", apply("not", inside), apply("isnan", value)))
        body.append(missing)
        counts = apply("and", inside, apply("not", apply("isnan", value)))
    least, best = reduce("best", kind, (inner,), select(counts, value, unit))
    body.append(least)
    hit = apply("eq", value, best)
    if value.dtype.is_float:
        hit = apply("or", hit, apply("isnan", value)) if largest else select(nothing, apply("isnan", value), hit)
        best = best if largest else select(nothing, number(float("nan"), value.dtype), best)
    shape = tuple(a.extent for a in (*free, block))
    bests = Operand(names[1], value.dtype, shape)
    body.append(store(bests, (*at, b), best))
    if c.places is None:
        return Candidates(bests, len(free)), kernel(names[0], (*free, block, inner), c.read, (bests,), body)
    places = Operand(f"{names[1]}.places", I32, shape)
    hit = apply("and", inside, hit)
    first, stood = reduce("place", "min", (inner,), select(hit, c.place(at, there), number(reduction_unit("min", I32), I32)))
    body += [first, store(places, (*at, b), stood)]
    return Candidates(bests, len(free), places), kernel(names[0], (*free, block, inner), c.read, (bests, places), body)


def last(dtype: DType, largest: bool) -> Expr:
    """What precedes nothing that stood before it."""
    if not largest and dtype.is_float:
        return number(float("nan"), dtype)
    return number(reduction_unit("max" if largest else "min", dtype), dtype)
