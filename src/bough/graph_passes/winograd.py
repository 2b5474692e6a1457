"""Fewer products for convolutions with windows of 3 x 3: Winograd's algorithm F(2 x 2, 3 x 3), as a rewriting of the kernel.

    y[n, k, p, q] = f(sum(r, s, c) x[n, c, p + r, q + s] * w[k, c, r, s])
      ->  v[t, n, i, j, c] = the tile of 4 x 4 inputs at (2 i, 2 j), from both sides times B
          m[t, n, i, j, k] = sum(c) v[t, n, i, j, c] * u[t, k, c]          16 products where there were 36
          y[n, k, 2 i + a, 2 j + b] = f(the tile of m, from both sides times A)

`u` is made of the weights when compiling. See Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016).
The factors of A and B are 0, 1 and -1, so that errors grow little; but an element that is not finite makes its whole tile so.
Where the number of rows or columns is odd, the last tiles hang over the edge: they compute their last results twice.
A thread may take rows of tiles through all three, and then keeps their tiles and sums to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

import numpy as np

from bough.ir.dtypes import F32
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
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

OUT, WINDOW = 2, 3
"""Outputs of a tile, and elements of the window, along each dimension."""
TILE = OUT + WINDOW - 1
LEAST_CHANNELS = 16
"""Channels, harmonic mean of both sides, from which on what is saved is more than what the transformations cost."""
LEAST_TILES = 24
NEAR = 1 << 20
"""Tiles of an image from which on products take longer than reading their weights, 16/9 of what they were, from far away; bytes
of weights that are near anyway."""
INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))
WEIGHT = np.array(((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2)), np.float64) / 2
Matrix = tuple[tuple[int, ...], ...]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Convolution:
    """What the algorithm needs of a kernel: its sum, the axes of rows and columns, inside the window too, and the channels."""

    total: str
    x: Load
    w: Load
    spatial: tuple[str, str]
    window: tuple[str, str]
    inputs: str
    outputs: str


def winograd(sequence: Sequence) -> Sequence:
    """The sequence with its convolutions by the algorithm where they have enough channels, rows and columns."""
    temporaries, constants, types = dict(sequence.temporaries), dict(sequence.constants), dict(sequence.constant_types)

    def fresh(name: str) -> str:
        while name in temporaries or name in constants:
            name += "_"
        return name

    def changed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        for s in steps:
            found = matched(s.kernel, constants) if isinstance(s, Run) else None
            if found is None or not isinstance(s, Run):
                out.append(map_bodies(s, changed))
                continue
            weight = fresh(f"{found.w.source}.winograd")
            constants[weight], types[weight] = weights(constants[found.w.source], found), F32
            tiles, sums = (fresh(f"{s.kernel.outputs[0].name}.{part}") for part in ("tiles", "sums"))
            for kernel in (kernels := rewritten(s.kernel, found, tiles, sums, weight)):
                temporaries.update({o.name: o for o in kernel.outputs if o.name in (tiles, sums)})
            out += _together(kernels, found, (sums, tiles))
        return tuple(out)

    steps = changed(sequence.steps)
    return replace(sequence, steps=steps, temporaries=temporaries, constants=constants, constant_types=types)


def matched(kernel: Kernel, constants: Mapping[str, Array]) -> _Convolution | None:
    """The convolution that a kernel is, if the algorithm applies to it and pays."""
    if len(kernel.reductions) != 1 or kernel.ragged or kernel.apart or kernel.order is not None:
        return None
    ((total, reduce),) = kernel.reductions
    factors = reduce.body.args if isinstance(reduce.body, Apply) and reduce.body.function == "mul" else ()
    pair = [f for f in factors if isinstance(f, Load) and f.dtype == F32]
    if reduce.op != "sum" or len(pair) != 2 or sum(f.source in constants for f in pair) != 1:
        return None
    x, w = sorted(pair, key=lambda f: f.source in constants)
    found = _places(kernel, x, w)
    if found is None:
        return None
    spatial, window, inputs, outputs = found
    extents = {a.name: a.extent for a in kernel.axes}
    k, c, *picture = (extents[a] for a in (outputs, inputs, *spatial))
    if any(extents[r] != WINDOW for r in window) or {*reduce.axes} != {*window, inputs}:
        return None
    sizes = [e for e in picture if isinstance(e, int)]
    if len(sizes) < len(picture) or not isinstance(k, int) or not isinstance(c, int) or not _pays(sizes, k, c):
        return None
    return _Convolution(total, x, w, spatial, window, inputs, outputs)


def _pays(picture: list[int], k: int, c: int) -> bool:
    """Whether the products that are saved are more than what the transformations cost. Tiles over the edge save less."""
    tiles = prod(ceil(e / OUT) for e in picture)
    if tiles < LEAST_TILES and TILE**2 * k * c * F32.bytes > NEAR:
        return False
    saved = WINDOW**2 * prod(picture) - TILE**2 * tiles
    most = (WINDOW**2 * OUT**2 - TILE**2) * tiles
    return saved > 0 and 2 * k * c * saved >= LEAST_CHANNELS * (k + c) * most


def _places(kernel: Kernel, x: Load, w: Load) -> tuple[tuple[str, str], tuple[str, str], str, str] | None:
    """Rows and columns, those of the window, channels in, channels out, if the operands are indexed by them as they must be."""
    free, reduced = {a.name for a in kernel.free}, set(kernel.reduced)
    windows: list[tuple[str, str]] = []
    inputs: list[str] = []
    for i in x.index:
        names = variables(i)
        inside, outside = sorted(names & reduced), sorted(names & free)
        if not inside:
            continue
        if len(inside) == len(outside) == 1 and i in (
            add(Var(outside[0]), Var(inside[0])),
            add(Var(inside[0]), Var(outside[0])),
        ):
            windows.append((outside[0], inside[0]))
        elif isinstance(i, Var):
            inputs.append(i.name)
        else:
            return None
    outputs = [i.name for i in w.index if isinstance(i, Var) and i.name in free]
    if len(windows) != 2 or len(inputs) != 1 or len(outputs) != 1:
        return None
    (p, r), (q, s) = windows
    named = [n for i in x.index for n in variables(i)]
    plain = all(isinstance(i, (Var, Const)) for i in w.index)
    once = all(named.count(n) == 1 for n in (p, q, r, s, *inputs)) and outputs[0] not in named
    own = sorted(i.name for i in w.index if isinstance(i, Var)) == sorted((r, s, *inputs, *outputs))
    return ((p, q), (r, s), inputs[0], outputs[0]) if plain and once and own else None


def weights(w: Array, found: _Convolution) -> Array:
    """The transformed weights: [tile, channels out, channels in]."""
    order = [found.outputs, found.inputs, *found.window]
    dims = [next(d for d, i in enumerate(found.w.index) if i == Var(n)) for n in order]
    rest = tuple(slice(None) if isinstance(i, Var) else int(i.value) for i in found.w.index if isinstance(i, (Var, Const)))
    kept = [d for d, i in enumerate(found.w.index) if isinstance(i, Var)]
    plain = w[rest].transpose([kept.index(d) for d in dims]).astype(np.float64)
    u = np.einsum("ar,bs,kcrs->abkc", WEIGHT, WEIGHT, plain)
    return np.ascontiguousarray(u.reshape(TILE * TILE, *u.shape[2:]).astype(np.float32))


def rewritten(kernel: Kernel, found: _Convolution, tiles: str, sums: str, weight: str) -> tuple[Kernel, Kernel, Kernel]:
    """The three kernels in place of one."""
    extents = {a.name: a.extent for a in kernel.axes}
    half = {a: Axis(a, ceil(e / OUT)) for a in found.spatial if isinstance(e := extents[a], int)}
    used = {n for i in found.x.index for n in variables(i)}
    outer = tuple(half.get(a.name, a) for a in kernel.free if a.name in used)
    inputs, outputs = kernel.axis(found.inputs), kernel.axis(found.outputs)
    tile = Axis("t", TILE * TILE)
    while tile.name in extents or tile.name in {n for s in kernel.body for e in expressions(s) for n in variables(e)}:
        tile = replace(tile, name=f"{tile.name}_")
    v = Operand(tiles, F32, (tile.extent, *(a.extent for a in outer), inputs.extent))
    u = Operand(weight, F32, (tile.extent, outputs.extent, inputs.extent))
    m = Operand(sums, F32, (tile.extent, *(a.extent for a in outer), outputs.extent))
    at = tuple(Var(a.name) for a in outer)
    product = Apply(
        "mul", (Load(tiles, (Var(tile.name), *at, Var(inputs.name)), F32),
                Load(weight, (Var(tile.name), Var(outputs.name), Var(inputs.name)), F32)), F32,
    )  # fmt: skip
    total = Let(found.total, Reduce("sum", (inputs.name,), product))
    store = Store(sums, (Var(tile.name), *at, Var(outputs.name)), Var(found.total, F32))
    like = replace(kernel, name=f"{kernel.name}.products", axes=(tile, *outer, outputs, inputs), inputs=(v, u), outputs=(m,))
    return (
        _tiles(kernel, found, (*outer, inputs), v),
        replace(like, body=(total, store)),
        _results(kernel, found, tuple(half.get(a.name, a) for a in kernel.free), m, at),
    )


def _together(kernels: tuple[Kernel, ...], found: _Convolution, private: tuple[str, ...]) -> list[Step]:
    """The kernels as a group over rows of tiles, if there are several."""
    inner = (found.spatial[1], found.inputs)
    rows = tuple(a.name for a in kernels[0].free if a.name not in inner and a.extent != 1)
    return [Group(kernels, rows, private)] if found.spatial[0] in rows else [Run(k) for k in kernels]


def _tiles(kernel: Kernel, found: _Convolution, axes: tuple[Axis, ...], v: Operand) -> Kernel:
    def element(a: int, b: int) -> Expr:
        place = _place(kernel, found, (a, b), WINDOW - 1) | dict.fromkeys(found.window, Const(0))
        return substitute(found.x, place)

    body, values = _both_sides(INPUT, element, _names(kernel))
    at = tuple(Var(a.name) for a in axes)
    stores = [Store(v.name, (Const(t), *at), value) for t, value in enumerate(values)]
    inputs = (kernel.operands[found.x.source],)
    return replace(kernel, name=f"{kernel.name}.tiles", axes=axes, inputs=inputs, outputs=(v,), body=(*body, *stores))


def _results(kernel: Kernel, found: _Convolution, axes: tuple[Axis, ...], m: Operand, at: tuple[Expr, ...]) -> Kernel:
    def element(a: int, b: int) -> Expr:
        return Load(m.name, (Const(a * TILE + b), *at, Var(found.outputs)), F32)

    name = _names(kernel)
    body, values = _both_sides(OUTPUT, element, name)
    for t in range(OUT * OUT):
        here = _place(kernel, found, divmod(t, OUT))
        for s in kernel.body:
            if isinstance(s, Let) and s.name == found.total:
                here[s.name] = _inside(kernel, found, divmod(t, OUT), values)
                continue
            s = map_statement(s, lambda e: substitute(e, here))  # noqa: B023
            if isinstance(s, Let):
                here[s.name] = Var(own := name(s.name), s.dtype)
                s = Let(own, s.value)
            body.append(s)
    read = {load.source for s in body for e in expressions(s) for load in loads(e)}
    inputs = (m, *(i for i in kernel.inputs if i.name in read))
    return replace(kernel, axes=axes, inputs=inputs, body=tuple(body))


def _place(kernel: Kernel, found: _Convolution, at: tuple[int, int], more: int = 0) -> dict[str, Expr]:
    """Where an element of a tile is. A tile over the edge, which is `more` elements behind the last result, has its last element
    twice; no result that is inside needs the second."""
    place: dict[str, Expr] = {}
    for axis, n in zip(found.spatial, at):
        extent = kernel.axis(axis).extent
        assert isinstance(extent, int)
        here, last = add(mul(Var(axis), OUT), n), extent - 1 + more
        over = (ceil(extent / OUT) - 1) * OUT + n > last
        place[axis] = minimum(here, last) if over else here
    return place


def _inside(kernel: Kernel, found: _Convolution, at: tuple[int, int], values: list[Expr]) -> Expr:
    """A result of a tile; the one before it where it is over the edge."""
    (p, rows), (q, columns) = ((Var(a), kernel.axis(a).extent) for a in found.spatial)

    def choose(axis: Expr, extent: Extent, n: int, value: Callable[[int], Expr]) -> Expr:
        if n == 0 or not isinstance(extent, int) or extent % OUT == 0:
            return value(n)
        return select(apply("lt", axis, Const(extent // OUT)), value(n), value(n - 1))

    return choose(p, rows, at[0], lambda a: choose(q, columns, at[1], lambda b: values[a * OUT + b]))


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
