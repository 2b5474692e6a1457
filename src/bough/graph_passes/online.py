"""Softmax over very many keys, met block by block, with sums that follow the largest score so far.

    scores[t, s] = sum(e) q[t, e] * k[s, e]          repeat turn in 0..keys / 512
    max[t] = max(s) scores[t, s]                       scores[t, s] of a block; best[t], and by what sums so far are too large
    powers[t, s] = exp(scores[t, s] - max[t])     ->   powers[t, s] = exp(scores[t, s] - max[t])
    sum[t] = sum(s) powers[t, s]                       sum[t] = sum[t] * factor[t] + sum(s) powers[t, s]
    y[t, v] = sum(s) powers[t, s] * w[s, v] / sum[t]   y.total[t, v] = y.total[t, v] * factor[t] + sum(s) powers[t, s] * w[s, v]

The turns are chains in their turn, so rows keep a block of scores to themselves, however many keys there are, and keys and values
of a block are in the cache for all rows. Infinite scores and NaN give what they give in one piece: `factor` is 0 as long as all
scores are -inf, and at the end sums get the factor from what they were shifted by to what the kernels shift by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bough.graph_passes.absorb import rebuilt
from bough.graph_passes.chains import Chain, change_chains
from bough.graph_passes.quotients import divide_sums
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
    Load,
    Var,
    add,
    apply,
    as_extent,
    ceildiv,
    loads,
    maximum,
    minimum,
    mul,
    select,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import Branch, Repeat, Run, Sequence, Step, expressions, kernels, map_loads, map_statement

LONGEST = 4096
"""Keys up to which rows of scores are kept whole: they fit the second-level cache, and nothing is rescaled."""
LIMITED = 511
"""The same where each row has the keys before it alone: in turns, the others are left out."""
BLOCK = 512
"""Keys of a turn at the most, or about so many where that divides them."""
LEAST_BLOCK, PARTS = 128, 16
"""Where keys are left out, turns are smaller: so many, as long as they are no less than this."""


def online(sequence: Sequence, longest: int = LONGEST, block: int = BLOCK, limited: int = LIMITED) -> Sequence:
    """The sequence with chains over more than `longest` keys in turns, and those over more than `limited` of which each row has
    those before it alone."""
    temporaries = dict(sequence.temporaries)

    def change(chain: Chain) -> list[Step]:
        whole, chain = chain, divide_sums(chain)
        plan = _plan(chain, min(longest, limited))
        if plan is None or (plan.limit is None and plan.count <= longest) or not plan.arrays.keys().isdisjoint(sequence.partly):
            return [Run(k) for k in whole.kernels]
        size = block if plan.limit is None else min(block, max(LEAST_BLOCK, plan.count // PARTS))
        return _Turns(chain, plan, temporaries).steps(size)

    steps = change_chains(sequence, change).steps
    used = {o.name for k in kernels(steps) for o in k.operands.values()}
    left = {n: o for n, o in temporaries.items() if n in used or n in sequence.results}
    return replace(sequence, steps=steps, temporaries=left)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Row `n` of `rows` along the axis `row` has no keys from `n + 1 + more` on: their scores are -inf."""

    row: str
    rows: int
    more: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is what in a chain: the number of keys, each kernel's axis of keys (None where it has none), the dimension of keys of
    the arrays that have one, and the places of the kernels of the maximum and of its exponentials."""

    count: int
    axes: tuple[str | None, ...]
    arrays: Mapping[str, int]
    largest: int
    powers: int
    limit: _Limit | None


def _plan(chain: Chain, longest: int) -> _Plan | None:
    """None where the chain is no softmax of so many keys around products."""
    found = [n for n, k in enumerate(chain.kernels) if _is_maximum(k, longest)]
    if len(found) != 1:
        return None
    (largest,) = found
    kernel = chain.kernels[largest]
    axes, arrays = _keys(chain, largest)
    shift, place = kernel.stores[0].target, kernel.stores[0].index
    count = kernel.axis(kernel.reduced[0]).extent
    ones = {a.name for a in kernel.free if a.extent == 1}
    if not isinstance(count, int) or shift not in chain.private or any(variables(i) - {*chain.rows, *ones} for i in place):
        return None
    reads = [n for n, k in enumerate(chain.kernels) if any(i.name == shift for i in k.inputs)]
    if len(reads) != 1 or not _is_power(chain.kernels[reads[0]], axes[reads[0]], kernel, shift):
        return None
    plan = _Plan(count, axes, arrays, largest, reads[0], _limit(chain, axes, largest))
    return plan if all(_fits(n, chain, plan) for n in range(len(axes))) else None


def _is_maximum(kernel: Kernel, longest: int) -> bool:
    if len(kernel.reductions) != 1 or len(kernel.stores) != 1:
        return False
    ((_, reduce),) = kernel.reductions
    extent = kernel.axis(reduce.axes[0]).extent
    many = len(reduce.axes) == 1 and isinstance(extent, int) and extent > longest
    return many and reduce.op == "max" and reduce.body.dtype.is_float


def _keys(chain: Chain, largest: int) -> tuple[tuple[str | None, ...], dict[str, int]]:
    """The axis of keys of each kernel and the dimension of keys of private arrays, as they follow from the maximum."""
    axes: list[str | None] = [None] * len(chain.kernels)
    axes[largest] = chain.kernels[largest].reduced[0]
    arrays: dict[str, int] = {}
    changed = True
    while changed:
        changed = False
        for n, k in enumerate(chain.kernels):
            for name, index in _places(k):
                if name not in chain.private:
                    continue
                here = next((d for d, i in enumerate(index) if axes[n] is not None and i == Var(axes[n] or "")), None)
                if here is not None and name not in arrays:
                    arrays[name], changed = here, True
                if axes[n] is None and name in arrays and isinstance(there := index[arrays[name]], Var):
                    axes[n], changed = there.name, True
    return tuple(axes), arrays


def _limit(chain: Chain, axes: tuple[str | None, ...], largest: int) -> _Limit | None:
    """What scores say of themselves: `select(key <= row + more, ..., -inf)`, in whatever words."""
    ((_, reduce),) = chain.kernels[largest].reductions
    for k, key in zip(chain.kernels[:largest], axes):
        if key is None or not isinstance(reduce.body, Load) or [s.target for s in k.stores] != [reduce.body.source]:
            continue
        allowed = _allowed(_value(k))
        if allowed is None or allowed.args[0] != Var(key):
            continue
        for a in k.free:
            more = _beyond(allowed.args[1], a.name)
            if more is not None and a.name in chain.rows and isinstance(a.extent, int):
                return _Limit(a.name, a.extent, more - (allowed.function == "lt"))
    return None


_OPPOSITE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}
_TURNED = {"gt": "lt", "ge": "le"}


def _allowed(e: Expr) -> Apply | None:
    """The comparison, by `lt` or `le`, without which an expression is -inf."""
    if not isinstance(e, Apply) or e.function != "select":
        return None
    test, yes, no = e.args
    lowest = Const(-math.inf, e.dtype)
    if not isinstance(test, Apply) or test.function not in _OPPOSITE or lowest not in (yes, no):
        return None
    function = test.function if no == lowest else _OPPOSITE[test.function]
    a, b = test.args
    return Apply(_TURNED[function], (b, a), test.dtype) if function in _TURNED else Apply(function, (a, b), test.dtype)


def _beyond(e: Expr, axis: str) -> int | None:
    """What is added to an axis."""
    match e:
        case Var(name):
            return 0 if name == axis else None
        case Apply("add", (Var(name), Const(value))):
            return int(value) if name == axis else None
    return None


def _places(kernel: Kernel) -> list[tuple[str, tuple[Expr, ...]]]:
    read = [(x.source, x.index) for s in kernel.body for e in expressions(s) for x in loads(e)]
    return [*read, *((s.target, s.index) for s in kernel.stores)]


def _is_power(kernel: Kernel, axis: str | None, maximum_of: Kernel, shift: str) -> bool:
    """Whether a kernel stores nothing but `exp(e - shift)` of the `e` that the maximum is taken of."""
    if axis is None or kernel.reductions or len(kernel.stores) != 1:
        return False
    ((_, reduce),) = maximum_of.reductions
    value = _value(kernel)
    if not isinstance(value, Apply) or value.function != "exp":
        return False
    (inner,) = value.args
    if not isinstance(inner, Apply) or inner.function != "sub" or not isinstance(inner.args[1], Load):
        return False
    taken = substitute(_at_one(reduce.body, maximum_of), {reduce.axes[0]: Var(axis)})
    return inner.args[1].source == shift and _at_one(inner.args[0], kernel) == taken


def _value(kernel: Kernel) -> Expr:
    """What the one store of a kernel stores, in terms of loads and reductions."""
    locals_: dict[str, Expr] = {}
    for s in kernel.body:
        if isinstance(s, Let) and not isinstance(s.value, Reduce):
            locals_[s.name] = substitute(s.value, locals_)
    return substitute(kernel.stores[0].value, locals_)


def _at_one(e: Expr, kernel: Kernel) -> Expr:
    """The expression with axes of one point at 0."""
    return substitute(e, {a.name: Const(0) for a in kernel.axes if a.extent == 1})


def _fits(n: int, chain: Chain, plan: _Plan) -> bool:
    """Whether a kernel can take its part in turns."""
    kernel, axis = chain.kernels[n], plan.axes[n]
    if axis is None or n == plan.largest:
        return True
    if kernel.axis(axis).extent != plan.count:
        return False
    if any(index[plan.arrays[name]] != Var(axis) for name, index in _places(kernel) if name in plan.arrays):
        return False
    late = _late(chain, plan)
    if axis not in kernel.reduced:
        return all(s.target in plan.arrays for s in kernel.stores) and (n == plan.powers or late.isdisjoint(kernel.operands))
    return all(_is_sum(r, axis, chain.kernels[plan.powers].stores[0].target, late) for _, r in kernel.reductions)


def _late(chain: Chain, plan: _Plan) -> set[str]:
    """What is known of a block only when its largest score is, and what is known of all keys only at the end."""
    late = {o.name for o in chain.kernels[plan.largest].outputs}
    for k in chain.kernels[plan.largest + 1 :]:
        if not late.isdisjoint(i.name for i in k.inputs):
            late |= {o.name for o in k.outputs}
    return late


def _is_sum(r: Reduce, axis: str, powers: str, late: set[str]) -> bool:
    """Whether the terms of a sum over keys are powers, times what does not depend on the maximum."""
    factors = r.body.args if isinstance(r.body, Apply) and r.body.function == "mul" else (r.body,)
    own = [f for f in factors if isinstance(f, Load) and f.source == powers]
    others = {x.source for f in factors if f not in own for x in loads(f)}
    return r.op == "sum" and r.axes == (axis,) and len(own) == 1 and late.isdisjoint(others)


@dataclass(frozen=True, slots=True)
class _Part:
    """So many rows from `start` on. Names of arrays of another size have the suffix."""

    start: Expr
    size: int
    suffix: str


class _Turns:
    """The steps of a chain in turns. `temporaries` takes the arrays that they need."""

    def __init__(self, chain: Chain, plan: _Plan, temporaries: dict[str, Operand]) -> None:
        self.chain, self.plan, self.temporaries = chain, plan, temporaries
        self.top = chain.kernels[plan.largest]
        self.store = self.top.stores[0]
        self.place = tuple(_at_one(i, self.top) for i in self.store.index)
        self.shift = self.top.operands[self.store.target]
        self.best, self.factor, self.last = (self.array(f"{self.shift.name}.{x}", self.shift) for x in ("best", "factor", "last"))
        self.totals: dict[int, dict[str, Operand]] = {}
        for n, k in enumerate(chain.kernels):
            if n != plan.largest and plan.axes[n] in k.reduced:
                shape, first = tuple(a.extent for a in k.free), k.outputs[0]
                like = {name: replace(first, dtype=r.body.dtype, shape=shape) for name, r in k.reductions}
                self.totals[n] = {name: self.array(f"{first.name}.{name}", o) for name, o in like.items()}
        states = (self.shift, self.best, self.factor, self.last, *(o for totals in self.totals.values() for o in totals.values()))
        self.own = {*plan.arrays, *(o.name for o in states)}

    def array(self, name: str, like: Operand) -> Operand:
        while name in self.temporaries:
            name += "_"
        self.temporaries[name] = replace(like, name=name)
        return self.temporaries[name]

    def suffix(self, wish: str) -> str:
        """What arrays of another size have behind their names."""
        while any(name + wish in self.temporaries for name in self.own):
            wish += "_"
        return wish

    def steps(self, block: int) -> list[Step]:
        out = self.parts(block)
        self.temporaries |= {o.name: o for k in kernels(tuple(out)) for o in k.outputs if o.name in self.own}
        return out

    def parts(self, block: int) -> list[Step]:
        """The steps, part of the rows by part where that saves some."""
        out: list[Step] = [*map(Run, self.before())]
        limit = self.plan.limit
        if limit is None or limit.rows < 2 * block:
            return [*out, *self.part(None, block)]
        size = _near_divisor(limit.rows, block)
        parts, rest = divmod(limit.rows, size)
        name = f"{self.best.name}.part"
        out.append(Repeat(name, parts, tuple(self.part(_Part(mul(Var(name), size), size, ""), block)), self.top.location))
        return [*out, *self.part(_Part(Const(parts * size), rest, self.suffix(".tail")), block)] if rest else out

    def part(self, part: _Part | None, block: int) -> list[Step]:
        """The steps of some of the rows, or of all of them."""

        def runs(kernels: list[Kernel]) -> tuple[Step, ...]:
            return tuple(Run(self.of_part(k, part)) for k in kernels)

        size = _near_divisor(self.plan.count, block)
        turns, rest = divmod(self.plan.count, size)
        turn = f"{self.best.name}.turn{part.suffix if part else ''}"
        body = runs(self.turn(mul(Var(turn), size), size, ""))
        after = runs(self.turn(Const(turns * size), rest, self.suffix(".rest"))) if rest else ()
        count: Extent = turns
        if part is not None and self.plan.limit is not None:
            needed = add(add(part.start, part.size), self.plan.limit.more)
            count = as_extent(maximum(minimum(ceildiv(needed, size), turns), Const(0)))
            after = (Branch(apply("gt", needed, Const(turns * size)), after),) if rest else ()
        first, last = runs([self.start(), *self.zeros()]), runs([self.end(), *self.results()])
        return [*first, Repeat(turn, count, body, self.top.location), *after, *last]

    def of_part(self, kernel: Kernel, part: _Part | None) -> Kernel:
        """The kernel over the rows of a part. Arrays of the turns have those rows alone."""
        if part is None or self.plan.limit is None:
            return kernel
        row = self.plan.limit.row
        dims = {n: d for n, index in _places(kernel) if n in self.own for d, i in enumerate(index) if i == Var(row)}
        return self.cut(kernel, row, part.start, part.size, dims, part.suffix)

    def before(self) -> list[Kernel]:
        late = _late(self.chain, self.plan)
        return [k for k, a in zip(self.chain.kernels, self.plan.axes) if a is None and late.isdisjoint(i.name for i in k.inputs)]

    def start(self) -> Kernel:
        lowest = Const(-math.inf, self.shift.dtype)
        return self.over_rows("start", (), (self.best,), (Store(self.best.name, self.place, lowest),))

    def over_rows(
        self, name: str, inputs: tuple[Operand, ...], outputs: tuple[Operand, ...], body: tuple[Statement, ...]
    ) -> Kernel:  # fmt: skip
        free = tuple(a for a in self.top.free if a.name in self.chain.rows)
        return Kernel(f"{self.top.name}.{name}", free, inputs, outputs, body, self.top.location, self.top.origins)

    def zeros(self) -> list[Kernel]:
        out: list[Kernel] = []
        for n, totals in self.totals.items():
            k = self.chain.kernels[n]
            index = tuple(Var(a.name) for a in k.free)
            body = tuple(Store(o.name, index, Const(0.0, o.dtype)) for o in totals.values())
            out.append(Kernel(f"{k.name}.start", k.free, (), tuple(totals.values()), body, k.location, k.origins))
        return out

    def turn(self, start: Expr, size: int, suffix: str) -> list[Kernel]:
        """The kernels of the keys from `start` on, so many of them."""
        out: list[Kernel] = []
        for n, k in enumerate(self.chain.kernels):
            if self.plan.axes[n] is None:
                continue
            if n == self.plan.largest:
                k = self.largest(k)
            elif n in self.totals:
                k = self.adding(k, self.totals[n])
            out.append(self.of_block(k, self.plan.axes[n] or "", start, size, suffix))
        return out

    def largest(self, kernel: Kernel) -> Kernel:
        """The largest score so far, what it makes of the shift, and the factor for what has been added up before."""
        ((name, reduce),) = kernel.reductions
        dtype = self.shift.dtype
        before = Load(self.best.name, self.place, dtype)
        now, to = Var(f"{name}.now", dtype), Var(f"{name}.to", dtype)
        body = (
            Let(name, reduce),
            Let(now.name, maximum(before, Var(name, dtype))),
            Let(to.name, _finite(now)),
            Store(self.factor.name, self.place, select(_lowest(before), Const(0.0, dtype), apply("exp", sub(before, to)))),
            Store(self.shift.name, self.place, to),
            Store(self.best.name, self.place, now),
        )
        operands = {o.name: o for o in (self.best, self.factor, self.shift)}
        return rebuilt(kernel, kernel.axes, body, {**kernel.operands, **operands})

    def adding(self, kernel: Kernel, totals: dict[str, Operand]) -> Kernel:
        """The sums of a block, added to those before it."""
        index = tuple(Var(a.name) for a in kernel.free)
        factor = Load(self.factor.name, self.place, self.factor.dtype)
        body: list[Statement] = [Let(name, r) for name, r in kernel.reductions]
        for name, o in totals.items():
            scaled = mul(Load(o.name, index, o.dtype), factor)
            body.append(Store(o.name, index, add(scaled, Var(name, o.dtype))))
        operands = {o.name: o for o in (self.factor, *totals.values())}
        return rebuilt(kernel, kernel.axes, tuple(body), {**kernel.operands, **operands})

    def of_block(self, kernel: Kernel, axis: str, start: Expr, size: int, suffix: str) -> Kernel:
        """The kernel over the keys of one block. Arrays with a dimension of keys have those of the block alone."""
        dims = {n: d for n, d in self.plan.arrays.items() if n in kernel.operands}
        return self.cut(kernel, axis, start, size, dims, suffix)

    def cut(self, kernel: Kernel, axis: str, start: Expr, size: int, dims: Mapping[str, int], suffix: str) -> Kernel:
        """The kernel over `size` points of an axis from `start` on. Some arrays have only these at a dimension."""
        there = {axis: add(start, Var(axis))}

        def read(x: Load) -> Expr:
            return Load(x.source + suffix, _with(x.index, dims[x.source], Var(axis)), x.dtype) if x.source in dims else x

        body: list[Statement] = []
        for s in kernel.body:
            s = map_statement(s, lambda e: map_loads(substitute(e, there), read))
            if isinstance(s, Store) and s.target in dims:
                s = Store(s.target + suffix, _with(s.index, dims[s.target], Var(axis)), s.value)
            body.append(s)

        def shaped(o: Operand) -> Operand:
            if o.name not in dims:
                return o
            d = dims[o.name]
            o = replace(o, name=o.name + suffix, shape=(*o.shape[:d], size, *o.shape[d + 1 :]))
            self.own.add(o.name)
            return o

        axes = tuple(Axis(a.name, size) if a.name == axis else a for a in kernel.axes)
        inputs, outputs = (tuple(map(shaped, group)) for group in (kernel.inputs, kernel.outputs))
        return replace(kernel, name=kernel.name + suffix, axes=axes, inputs=inputs, outputs=outputs, body=tuple(body))

    def end(self) -> Kernel:
        """The factor from what sums were shifted by to what they ought to be shifted by."""
        ((name, reduce),) = self.top.reductions
        best = Load(self.best.name, self.place, reduce.body.dtype)
        value = apply("exp", sub(_finite(best), substitute(_value(self.top), {name: best})))
        return self.over_rows("end", (self.best,), (self.last,), (Store(self.last.name, self.place, value),))

    def results(self) -> list[Kernel]:
        """What the kernels make of their sums, and those that only need that."""
        late, out = _late(self.chain, self.plan), list[Kernel]()
        last = Load(self.last.name, self.place, self.last.dtype)
        for n, k in enumerate(self.chain.kernels):
            if n in self.totals:
                index, totals = tuple(Var(a.name) for a in k.free), self.totals[n]
                sums = {name: Let(name, mul(Load(o.name, index, o.dtype), last)) for name, o in totals.items()}
                body = tuple(sums.get(s.name, s) if isinstance(s, Let) else s for s in k.body)
                operands = {o.name: o for o in (self.last, *totals.values())}
                out.append(rebuilt(k, k.free, body, {**k.operands, **operands}))
            elif self.plan.axes[n] is None and not late.isdisjoint(i.name for i in k.inputs):
                out.append(k)
        return out


def _with(index: tuple[Expr, ...], d: int, i: Expr) -> tuple[Expr, ...]:
    return (*index[:d], i, *index[d + 1 :])


def _lowest(e: Expr) -> Expr:
    return apply("eq", e, Const(-math.inf, e.dtype))


def _finite(e: Expr) -> Expr:
    """What sums are shifted by: the largest score, or 0 where all are -inf."""
    return select(_lowest(e), Const(0.0, e.dtype), e)


def _near_divisor(count: int, block: int) -> int:
    """A divisor of the count between half a block and two, or a block."""
    fitting = [n for n in range(block // 2, 2 * block + 1) if count % n == 0]
    return min(fitting, key=lambda n: abs(n - block), default=min(block, count))
