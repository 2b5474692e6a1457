"""Fewer products for convolutions with windows of 3 x 3 and more: Winograd's algorithm F(2 x 2, 3 x 3), as a rewriting.

    y[n, k, p, q] = f(sum(r, s, c) x[n, c, p + r, q + s] * w[k, c, r, s])
      ->  v[t, n, i, j, c] = the tile of 4 x 4 inputs at (2 i, 2 j), from both sides times B
          m[t, n, i, j, k] = sum(c) v[t, n, i, j, c] * u[t, k, c]          16 products where there were 36
          y[n, k, 2 i + a, 2 j + b] = f(the tile of m, from both sides times A)

`u` is made of the weights when compiling. See Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016).
The factors of A and B are 0, 1 and -1, so that errors grow little; but an element that is not finite makes its whole tile so.
Where the number of rows or columns is odd, the last tiles hang over the edge: they compute their last results twice. Larger
windows are sums over pieces (winograd_match.py), which are added up before the results are transformed, as channels are.
A thread may take rows of tiles through all three, and then keeps their tiles and sums to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bough.base.names import fresh
from bough.graph_passes.winograd_match import OUT, TILE, WINDOW, Along, Convolution, matched
from bough.ir.dtypes import F32
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Load,
    Var,
    add,
    apply,
    loads,
    minimum,
    mul,
    select,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import Group, Run, Sequence, Step, expressions, map_bodies, map_statement

INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))
WEIGHT = np.array(((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2)), np.float64) / 2
Matrix = tuple[tuple[int, ...], ...]
Array = np.ndarray[Any, Any]


def winograd(sequence: Sequence) -> Sequence:
    """The sequence with its convolutions by the algorithm where they have enough channels, rows and columns."""
    temporaries, constants, types = dict(sequence.temporaries), dict(sequence.constants), dict(sequence.constant_types)

    named = partial(fresh, taken={*temporaries, *constants})

    def changed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        for s in steps:
            found = matched(s.kernel, constants) if isinstance(s, Run) else None
            if found is None or not isinstance(s, Run):
                out.append(map_bodies(s, changed))
                continue
            others, own = _alone(s.kernel, found.total, named)
            temporaries.update({o.name: o for k in others for o in k.outputs})
            out += changed(tuple(map(Run, others)))
            weight = named(f"{found.w.source}.winograd")
            constants[weight], types[weight] = weights(constants[found.w.source], found), F32
            tiles, sums = (named(f"{own.outputs[0].name}.{part}") for part in ("tiles", "sums"))
            for kernel in (kernels := rewritten(own, found, tiles, sums, weight)):
                temporaries.update({o.name: o for o in kernel.outputs if o.name in (tiles, sums)})
            out += _together(kernels, found, (sums, tiles))
        return tuple(out)

    steps = changed(sequence.steps)
    return replace(sequence, steps=steps, temporaries=temporaries, constants=constants, constant_types=types)


def _alone(kernel: Kernel, total: str, named: Callable[[str], str]) -> tuple[list[Kernel], Kernel]:
    """Kernels for all sums but one, as that of a shortcut's convolution, and the kernel that reads their results."""
    others: list[Kernel] = []
    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce) and s.name != total:
            axes = tuple(a for a in kernel.free if a.name in variables(s.value.body))
            at = tuple(Var(a.name) for a in axes)
            result = Operand(named(f"{kernel.outputs[0].name}.{s.name}"), s.dtype, tuple(a.extent for a in axes))
            own = (*axes, *(kernel.axis(name) for name in s.value.axes))
            others.append(_reading(kernel, own, (s, Store(result.name, at, Var(s.name, s.dtype))), result))
            s = Let(s.name, Load(result.name, at, s.dtype))
        body.append(s)
    if not others:
        return [], kernel
    sums = {a for s in body if isinstance(s, Let) and isinstance(s.value, Reduce) for a in s.value.axes}
    axes = tuple(a for a in kernel.axes if a in kernel.free or a.name in sums)
    return others, _reading(kernel, axes, tuple(body), *kernel.outputs, given=[o for k in others for o in k.outputs])


def _reading(
    kernel: Kernel, axes: tuple[Axis, ...], body: tuple[Statement, ...], *outputs: Operand, given: Iterable[Operand] = ()
) -> Kernel:
    """A part of a kernel, which has those of its inputs that it reads."""
    read = {load.source for s in body for e in expressions(s) for load in loads(e)}
    inputs = tuple(i for i in (*kernel.inputs, *given) if i.name in read)
    return replace(kernel, axes=axes, inputs=inputs, outputs=outputs, body=body)


def weights(w: Array, found: Convolution) -> Array:
    """The transformed weights: [tile, channels out, phases and parts of rows and of columns, channels in]."""
    rows, columns = found.spatial
    order = [found.outputs, found.inputs, rows.inside, columns.inside]
    dims = [next(d for d, i in enumerate(found.w.index) if i == Var(n)) for n in order]
    rest = tuple(slice(None) if isinstance(i, Var) else int(i.value) for i in found.w.index if isinstance(i, (Var, Const)))
    kept = [d for d, i in enumerate(found.w.index) if isinstance(i, Var)]
    plain = w[rest].transpose([kept.index(d) for d in dims]).astype(np.float64)
    taken = [_elements(a) for a in found.spatial]
    more = [(0, int(e.max()) + 1 - a.window) for e, a in zip(taken, found.spatial)]
    pieces = np.pad(plain, [(0, 0), (0, 0), *((0, max(0, n)) for _, n in more)])[:, :, taken[0]][..., taken[1]]
    u = np.einsum("ar,bs,kcfurgvs->abkfugvc", WEIGHT, WEIGHT, pieces)
    return np.ascontiguousarray(u.reshape(TILE * TILE, u.shape[2], *(n for n in u.shape[3:7] if n != 1), u.shape[7]), np.float32)


def _elements(along: Along) -> Array:
    """The elements of the window in each piece: [phase, part, element]."""
    phases, parts, elements = np.ogrid[: along.phases, : along.parts, :WINDOW]
    return np.asarray(phases + along.stride * (WINDOW * parts + elements))


def rewritten(kernel: Kernel, found: Convolution, tiles: str, sums: str, weight: str) -> tuple[Kernel, Kernel, Kernel]:
    """The three kernels in place of one."""
    name = _names(kernel)
    half = {a.axis: Axis(a.axis, a.tiles) for a in found.spatial}
    used = {n for i in found.x.index for n in variables(i)}
    outer = tuple(half.get(a.name, a) for a in kernel.free if a.name in used)
    inputs, outputs = kernel.axis(found.inputs), kernel.axis(found.outputs)
    tile = Axis(name("t"), TILE * TILE)
    pieces = [(Axis(name("phase"), a.phases), Axis(name("part"), a.parts)) for a in found.spatial]
    depth = (*(a for pair in pieces for a in pair if a.extent != 1), inputs)
    v = Operand(tiles, F32, (tile.extent, *(a.extent for a in (*outer, *depth))))
    u = Operand(weight, F32, (tile.extent, *(a.extent for a in (outputs, *depth))))
    m = Operand(sums, F32, (tile.extent, *(a.extent for a in (*outer, outputs))))
    at, deep = (tuple(Var(a.name) for a in axes) for axes in (outer, depth))
    product = Apply(
        "mul", (Load(tiles, (Var(tile.name), *at, *deep), F32),
                Load(weight, (Var(tile.name), Var(outputs.name), *deep), F32)), F32,
    )  # fmt: skip
    total = Let(found.total, Reduce("sum", tuple(a.name for a in depth), product))
    store = Store(sums, (Var(tile.name), *at, Var(outputs.name)), Var(found.total, F32))
    like = replace(kernel, name=f"{kernel.name}.products", axes=(tile, *outer, outputs, *depth), inputs=(v, u), outputs=(m,))
    return (
        _tiles(kernel, found, (*outer, *depth), pieces, v),
        replace(like, body=(total, store)),
        _results(kernel, found, tuple(half.get(a.name, a) for a in kernel.free), m, at),
    )


def _together(kernels: tuple[Kernel, ...], found: Convolution, private: tuple[str, ...]) -> list[Step]:
    """The kernels as a group over rows of tiles, if there are several, and each thread may read all weights for its own."""
    rows, columns = found.spatial
    inner = {columns.axis, *kernels[1].reduced}
    names = tuple(a.name for a in kernels[0].free if a.name not in inner and a.extent != 1)
    return [Group(kernels, names, private)] if rows.axis in names and not found.heavy else [Run(k) for k in kernels]


def _tiles(
    kernel: Kernel, found: Convolution, axes: tuple[Axis, ...], pieces: list[tuple[Axis, Axis]], v: Operand
) -> Kernel:
    def element(a: int, b: int) -> Expr:
        index = list(found.x.index)
        for along, n, (phase, part) in zip(found.spatial, (a, b), pieces):
            index[along.place] = _element(along, n, *(Const(0) if x.extent == 1 else Var(x.name) for x in (phase, part)))
        return Load(found.x.source, tuple(index), F32)

    body, values = _both_sides(INPUT, element, _names(kernel))
    at = tuple(Var(a.name) for a in axes)
    stores = [Store(v.name, (Const(t), *at), value) for t, value in enumerate(values)]
    inputs = (kernel.operands[found.x.source],)
    return replace(kernel, name=f"{kernel.name}.tiles", axes=axes, inputs=inputs, outputs=(v,), body=(*body, *stores))


def _element(along: Along, n: int, phase: Expr, part: Expr) -> Expr:
    """Where the element `n` of a tile is in the input. Behind the last window there may be none, but then it counts only for
    results that are outside, or with a weight of zero: any other does."""
    start = add(add(mul(Var(along.axis), OUT), n), mul(part, WINDOW))
    index = add(add(mul(start, along.stride), phase), along.first)
    most = (along.tiles - 1) * OUT + n + (along.parts - 1) * WINDOW
    return minimum(index, along.last) if along.first + most * along.stride + along.phases - 1 > along.last else index


def _results(kernel: Kernel, found: Convolution, axes: tuple[Axis, ...], m: Operand, at: tuple[Expr, ...]) -> Kernel:
    def element(a: int, b: int) -> Expr:
        return Load(m.name, (Const(a * TILE + b), *at, Var(found.outputs)), F32)

    name = _names(kernel)
    body, values = _both_sides(OUTPUT, element, name)
    for t in range(OUT * OUT):
        here = _place(found, divmod(t, OUT))
        for s in kernel.body:
            if isinstance(s, Let) and s.name == found.total:
                here[s.name] = _inside(found, divmod(t, OUT), values)
                continue
            s = map_statement(s, lambda e: substitute(e, here))  # noqa: B023
            if isinstance(s, Let):
                here[s.name] = Var(own := name(s.name), s.dtype)
                s = Let(own, s.value)
            body.append(s)
    return _reading(kernel, axes, tuple(body), *kernel.outputs, given=[m])


def _place(found: Convolution, at: tuple[int, int]) -> dict[str, Expr]:
    """Where a result of a tile is. A tile over the edge has its last result twice."""
    place: dict[str, Expr] = {}
    for along, n in zip(found.spatial, at):
        here = add(mul(Var(along.axis), OUT), n)
        place[along.axis] = minimum(here, along.results - 1) if n and along.results % OUT else here
    return place


def _inside(found: Convolution, at: tuple[int, int], values: list[Expr]) -> Expr:
    """A result of a tile; the one before it where it is over the edge."""
    rows, columns = found.spatial

    def choose(along: Along, n: int, value: Callable[[int], Expr]) -> Expr:
        if n == 0 or along.results % OUT == 0:
            return value(n)
        return select(apply("lt", Var(along.axis), Const(along.results // OUT)), value(n), value(n - 1))

    return choose(rows, at[0], lambda a: choose(columns, at[1], lambda b: values[a * OUT + b]))


def _both_sides(
    factors: Matrix, element: Callable[[int, int], Expr], name: Callable[[str], str]
) -> tuple[list[Statement], list[Expr]]:
    """The statements that multiply a tile by a matrix from both sides, and the elements of the result, row by row."""
    body: list[Statement] = []

    def let(wish: str, value: Expr) -> Expr:
        body.append(Let(own := name(wish), value))
        return Var(own, F32)

    given = [[let("tile", element(a, b)) for b in range(TILE)] for a in range(TILE)]
    half = [[let("half", _combined(row, [given[a][b] for a in range(TILE)])) for b in range(TILE)] for row in factors]
    return body, [let("whole", _combined(column, row)) for row in half for column in factors]


def _combined(factors: tuple[int, ...], values: list[Expr]) -> Expr:
    """The sum of values times 1, 0 or -1, of which the first that counts has 1 or is behind one that has."""
    terms = sorted(((f, v) for f, v in zip(factors, values) if f), key=lambda term: -term[0])
    result = terms[0][1]
    for f, v in terms[1:]:
        result = Apply("add" if f > 0 else "sub", (result, v), F32)
    return result


def _names(kernel: Kernel) -> Callable[[str], str]:
    taken = {a.name for a in kernel.axes} | {n for s in kernel.body for e in expressions(s) for n in variables(e)}
    taken |= {s.name for s in kernel.body if isinstance(s, Let)} | set(kernel.operands)

    def fresh(wish: str) -> str:
        n = 0
        while f"{wish}_{n}" in taken:
            n += 1
        taken.add(f"{wish}_{n}")
        return f"{wish}_{n}"

    return fresh
