"""Sorting in runs that are merged in pairs: each element of a merged run finds by bisection how many of the first run precede it.

    A: 1 4 6 | B: 2 3 9  ->  1 2 3 4 6 9        the element at 3 has two of B and one of A before it, as no other split has

All elements of a level do so at once, in log2 of the length of a run steps. Ties come as they stood: an element of B precedes
one of A only where it has to. See Odeh, Green, Mwassi, Shmueli and Birk, "Merge path: parallel merging made simple" (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from bough.ir.dtypes import I32, I64
from bough.ir.expr import Const, Expr, Var, add, apply, floordiv, maximum, minimum, mul, select, sub
from bough.ir.kernel import Axis, Kernel, Operand, Statement
from bough.ops.building import axes, cast, kernel, let, load, number, point, reduce, store
from bough.ops.selection import Candidates, before, last

RUN = 64
"""Elements of the first runs, which are sorted by counting for each how many precede it."""


def by_merging(
    name: str, x: Operand, values: Operand, places: Operand, axis: int, count: int, largest: bool
) -> tuple[Kernel, ...]:
    """Kernels that write the first elements of `count` along an axis, in order, as many as there is room for, and where they
    stood."""
    c = Candidates(x, axis)
    total = RUN * ceil(count / RUN)
    kernels: list[Kernel] = []
    if total != count:
        filling, filled = _filled(c, count, total, largest, (name, values.name))
        kernels.append(filling)
        c = Candidates(filled, len(c.free))
    runs, found = _runs(c, largest, (name, values.name))
    kernels += runs
    length = RUN
    while length < total:
        merged, found = _merged(c.free, found, total, length, largest, (name, f"{values.name}.{2 * length}"))
        kernels.append(merged)
        length *= 2
    out = axes("o", values.shape)
    i = point(out)
    at = (*i[:axis], *i[axis + 1 :], i[axis])
    body = [store(values, i, load(found[0], *at)), store(places, i, cast(load(found[1], *at), I64))]
    return (*kernels, kernel(name, out, found, (values, places), body))


Pair = tuple[Operand, Operand]
"""Elements, and where they stood."""


def _pair(free: Sequence[Axis], like: Expr, total: int, under: str) -> Pair:
    shape = (*(a.extent for a in free), total)
    return Operand(f"{under}.sorted", like.dtype, shape), Operand(f"{under}.places", I32, shape)


def _filled(c: Candidates, count: int, total: int, largest: bool, names: tuple[str, str]) -> tuple[Kernel, Operand]:
    """The elements with such behind them as precede nothing, so that all runs are full."""
    axis = Axis("n", total)
    at, n = point(c.free), Var(axis.name)
    given = c.value(at, minimum(n, count - 1))
    filled = Operand(f"{names[1]}.filled", given.dtype, (*(a.extent for a in c.free), total))
    value = select(apply("lt", n, Const(count)), given, last(given.dtype, largest))
    return kernel(f"{names[0]}.filled", (*c.free, axis), c.read, (filled,), [store(filled, (*at, n), value)]), filled


def _runs(c: Candidates, largest: bool, names: tuple[str, str]) -> tuple[tuple[Kernel, Kernel], Pair]:
    """Sorted runs of a few elements."""
    total = c.count
    assert isinstance(total, int)
    free, run, here, other = c.free, Axis("b", total // RUN), Axis("n", RUN), Axis("m", RUN)
    at, b, i, j = point(free), Var(run.name), Var(here.name), Var(other.name)

    def value(n: Expr) -> Expr:
        return c.value(at, add(mul(b, RUN), n))

    ranks = Operand(f"{names[1]}.rank", I32, (*(a.extent for a in free), run.extent, RUN))
    earlier = before(value(j), value(i), apply("lt", j, i), largest)
    counted, rank = reduce("rank", "sum", (other,), select(earlier, number(1, I32), number(0, I32)))
    counting = kernel(f"{names[0]}.rank", (*free, run, here, other), c.read, (ranks,), [counted, store(ranks, (*at, b, i), rank)])
    hit = apply("eq", load(ranks, *at, b, j), cast(i, I32))
    most, place = reduce("place", "max", (other,), select(hit, j, Const(0)))
    found = _pair(free, value(i), total, f"{names[1]}.{RUN}")
    to = (*at, add(mul(b, RUN), i))
    stood = cast(add(mul(b, RUN), place), I32)
    body: list[Statement] = [most, store(found[0], to, value(place)), store(found[1], to, stood)]
    return (counting, kernel(f"{names[0]}.runs", (*free, run, here, other), (*c.read, ranks), found, body)), found


def _merged(
    free: Sequence[Axis], given: Pair, total: int, length: int, largest: bool, names: tuple[str, str]
) -> tuple[Kernel, Pair]:
    """Runs of twice the length. The last one may lack its second half, or a part of it."""
    axis = Axis("n", total)
    at, n = point(free), Var(axis.name)
    body: list[Statement] = []

    def named(name: str, value: Expr) -> Expr:
        statement, result = let(name, value)
        body.append(statement)
        return result

    def inside(place: Expr) -> Expr:
        return maximum(minimum(place, total - 1), 0)

    def element(place: Expr) -> Expr:
        return load(given[0], *at, inside(place))

    start = named("start", mul(floordiv(n, 2 * length), 2 * length))
    middle = named("middle", minimum(add(start, length), total))
    end = named("end", minimum(add(start, 2 * length), total))
    before_it = named("before_it", sub(n, start))
    low = named("low", maximum(sub(before_it, sub(end, middle)), 0))
    high = named("high", minimum(before_it, sub(middle, start)))
    for step in range(length.bit_length()):
        half = named(f"half{step}", floordiv(add(low, high), 2))
        a = named(f"a{step}", element(add(start, half)))
        b = named(f"b{step}", element(sub(add(middle, sub(before_it, half)), 1)))
        more = named(f"more{step}", apply("and", apply("lt", low, high), apply("not", before(b, a, None, largest))))
        less = apply("and", apply("lt", low, high), apply("not", more))
        low, high = named(f"low{step}", select(more, add(half, 1), low)), named(f"high{step}", select(less, half, high))
    a, b = named("a", add(start, low)), named("b", add(middle, sub(before_it, low)))
    of_a, of_b = named("of_a", element(a)), named("of_b", element(b))
    follows = apply("and", apply("lt", b, end), before(of_b, of_a, None, largest))
    taken = named("taken", select(apply("or", apply("ge", a, middle), follows), b, a))
    to = _pair(free, element(n), total, names[1])
    body += [store(to[0], (*at, n), element(taken)), store(to[1], (*at, n), load(given[1], *at, inside(taken)))]
    return kernel(f"{names[0]}.merge", (*free, axis), given, to, body), to
