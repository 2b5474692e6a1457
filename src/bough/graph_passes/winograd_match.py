"""Which convolutions Winograd's algorithm serves, and how it cuts their windows: pieces of at most 3 elements, a stride apart.

A window of 5 elements at stride 1 is the pieces 0, 1, 2 and 3, 4; at stride 2 the pieces 0, 2, 4 and 1, 3. The piece of phase f
and part u has the elements f + stride * (3 u + v) for v = 0, 1, 2, those outside the window with zero weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from bough.ir.dtypes import F32
from bough.ir.expr import Apply, Const, Load, Var, substitute, variables
from bough.ir.kernel import Kernel, Let, Reduce
from bough.schedule.access import affine_in

OUT, WINDOW = 2, 3
"""Outputs of a tile, and elements of a piece of the window, along each dimension."""
TILE = OUT + WINDOW - 1
LEAST_CHANNELS = 16
"""Channels, harmonic mean of both sides, from which on what is saved for a window of 3 x 3 is more than what the transformations
cost."""
BALANCE, NEAR = 10, 1 << 20
"""Arithmetic operations in the time of reading a byte from far away: weights are 16/9 of what they were, and reading them may
take as long as the convolution does without the algorithm. Bytes of weights that are near anyway."""
KEPT, FAR = 1 << 20, 3
"""Bytes of a row of tiles that a thread may keep to itself, and how much more transformations cost where it cannot. Windows of
several pieces, whose tiles are several times the input, then gain nothing on more than one core."""
HEAVY = 4
"""How many times as large as all tiles and sums of an image weights may be that every thread reads for its rows of tiles, half as
many where it cannot keep a row. Heavier ones are read once: tiles, products and results are phases of their own. On four cores,
256 channels of 8 x 8 then take 95 us in place of 220."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Along:
    """A convolution along one dimension: `results` points of `axis`, whose windows are the `window` points of `inside`. The input
    is indexed by `first + stride * axis + inside`, its index number `place`."""

    axis: str
    inside: str
    results: int
    window: int
    stride: int
    first: int
    place: int

    @property
    def tiles(self) -> int:
        return ceil(self.results / OUT)

    @property
    def phases(self) -> int:
        return min(self.stride, self.window)

    @property
    def parts(self) -> int:
        return ceil(ceil(self.window / self.stride) / WINDOW)

    @property
    def last(self) -> int:
        """The index of the last element of the last window."""
        return self.first + (self.results - 1) * self.stride + self.window - 1


@dataclass(frozen=True, slots=True)
class Convolution:
    """What the algorithm needs of a kernel: its sum and factors, its rows and columns, its channels."""

    total: str
    x: Load
    w: Load
    spatial: tuple[Along, Along]
    inputs: str
    outputs: str
    heavy: bool
    """Whether weights are many times as large as all tiles and sums of an image."""


def matched(kernel: Kernel, constants: Mapping[str, Array]) -> Convolution | None:
    """The convolution that a kernel has a sum for, if the algorithm applies to it and pays. Other sums may stand beside it."""
    own = {s.name for s in kernel.body if isinstance(s, Let)}
    if kernel.ragged or kernel.apart or kernel.order is not None or any(variables(r.body) & own for _, r in kernel.reductions):
        return None
    return next((found for name, r in kernel.reductions if (found := _matched(kernel, name, r, constants)) is not None), None)


def _matched(kernel: Kernel, total: str, reduce: Reduce, constants: Mapping[str, Array]) -> Convolution | None:
    factors = reduce.body.args if isinstance(reduce.body, Apply) and reduce.body.function == "mul" else ()
    pair = [f for f in factors if isinstance(f, Load) and f.dtype == F32]
    if reduce.op != "sum" or len(pair) != 2 or sum(f.source in constants for f in pair) != 1:
        return None
    x, w = sorted(pair, key=lambda f: f.source in constants)
    found = _places(kernel, x, w)
    if found is None:
        return None
    spatial, inputs, outputs = found
    k, c = kernel.axis(outputs).extent, kernel.axis(inputs).extent
    if {*reduce.axes} != {*(a.inside for a in spatial), inputs} or not isinstance(k, int) or not isinstance(c, int):
        return None
    return Convolution(total, x, w, spatial, inputs, outputs, _heavy(spatial, k, c)) if _pays(spatial, k, c) else None


def _heavy(spatial: tuple[Along, Along], k: int, c: int) -> bool:
    tiles, pieces = prod(a.tiles for a in spatial), _pieces(spatial)
    return k * c * pieces > (HEAVY if _kept(spatial, k, c) else HEAVY / 2) * tiles * (k + pieces * c)


def _kept(spatial: tuple[Along, Along], k: int, c: int) -> bool:
    """Whether a thread may keep a row of tiles and their sums to itself."""
    return spatial[1].tiles * TILE**2 * (k + _pieces(spatial) * c) * F32.bytes <= KEPT


def _pieces(spatial: tuple[Along, Along]) -> int:
    return prod(a.phases * a.parts for a in spatial)


def _pays(spatial: tuple[Along, Along], k: int, c: int) -> bool:
    """Whether the products that are saved are more than what the transformations cost. Tiles over the edge save less."""
    tiles, pieces = prod(a.tiles for a in spatial), _pieces(spatial)
    read, computed = TILE**2 * pieces * F32.bytes, 2 * prod(a.results * a.window for a in spatial)
    if read * k * c > NEAR and computed < BALANCE * read:
        return False
    kept = _kept(spatial, k, c)
    if pieces > 1 and not kept:
        return False
    saved = prod(a.results * a.window for a in spatial) - TILE**2 * tiles * pieces
    each = LEAST_CHANNELS * (WINDOW**2 * OUT**2 - TILE**2) / 2
    return saved > 0 and k * c * saved >= each * (1 if kept else FAR) * (k + pieces * c) * tiles


def _places(kernel: Kernel, x: Load, w: Load) -> tuple[tuple[Along, Along], str, str] | None:
    """Rows and columns, channels in, channels out, if the operands are indexed by them as they must be."""
    free, reduced = {a.name for a in kernel.free}, set(kernel.reduced)
    spatial: list[Along] = []
    inputs: list[str] = []
    for n, i in enumerate(x.index):
        names = variables(i)
        inside, outside = sorted(names & reduced), sorted(names & free)
        if not inside:
            continue
        if isinstance(i, Var):
            inputs.append(i.name)
            continue
        along = _along(kernel, x, n, outside[0], inside[0]) if len(inside) == len(outside) == 1 else None
        if along is None:
            return None
        spatial.append(along)
    outputs = [i.name for i in w.index if isinstance(i, Var) and i.name in free]
    if len(spatial) != 2 or len(inputs) != 1 or len(outputs) != 1:
        return None
    axes = [n for a in spatial for n in (a.axis, a.inside)]
    named = [n for i in x.index for n in variables(i)]
    plain = all(isinstance(i, (Var, Const)) for i in w.index)
    once = all(named.count(n) == 1 for n in (*axes, *inputs)) and outputs[0] not in named
    own = sorted(i.name for i in w.index if isinstance(i, Var)) == sorted((*(a.inside for a in spatial), *inputs, *outputs))
    return ((spatial[0], spatial[1]), inputs[0], outputs[0]) if plain and once and own else None


def _along(kernel: Kernel, x: Load, place: int, axis: str, inside: str) -> Along | None:
    """The dimension that an index runs over, if windows lie a stride apart."""
    factors = affine_in(x.index[place], {axis, inside}) or {}
    first = substitute(x.index[place], {axis: Const(0), inside: Const(0)})
    results, window = kernel.axis(axis).extent, kernel.axis(inside).extent
    if not isinstance(results, int) or not isinstance(window, int) or not isinstance(first, Const) or factors.get(inside) != 1:
        return None
    stride = factors.get(axis, 0)
    return Along(axis, inside, results, window, stride, int(first.value), place) if stride > 0 and results > 0 else None
