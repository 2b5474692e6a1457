"""Rewrite a kernel for a mapping: pack the operands into tiles, compute on tiles, then do what follows the reduction.

y[n, j] = b[j] + sum(k) x[n, k] * w[j, k]            on a unit acc[i, j] += a[i, k] * b[k, j] of 16x16x16
  ->  a[i', k', i, k] = x[16*i' + i, 16*k' + k]           0 beyond the end
      b[k', j', k, j] = w[16*j' + j, 16*k' + k]           0 beyond the end
      s[i', j', i, j] = sum(k', k) a[i', k', i, k] * b[k', j', k, j]
      y[n, j] = b[j] + s[n // 16, j // 16, n % 16, j % 16]
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bough.ir.dtypes import BOOL
from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
    Load,
    Var,
    add,
    as_expr,
    as_extent,
    ceildiv,
    floordiv,
    loads,
    mod,
    mul,
    select,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import expressions, map_loads
from bough.mapping.layout import divisible, fused_extent
from bough.mapping.mapping import Binding, Mapping, Part, lanes
from bough.mapping.normalize import Accumulation, accumulation, padding
from bough.rewrite.affine import affine


@dataclass(frozen=True, slots=True)
class TileOperand:
    """What a tile of an instruction's operand is read from: `source[index]`, extended along its dimensions `dims`.

    The index counts whole tiles: it names the loops around and `<axis>.tile`.
    """

    operand: str
    source: Operand
    index: tuple[Expr, ...]
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MappedPart:
    """One reduction: its tile operands, and where its tiles of results go."""

    reduction: str
    operands: tuple[TileOperand, ...]
    result: TileOperand


@dataclass(frozen=True, slots=True)
class MappedKernel:
    """The kernels that replace one: run `packs`, `tiled` and `unpack` in this order.

    `tiled` loops over `outer` and `tiles` (free ones first, then reduced ones) around a box that is the instruction's.
    """

    mapping: Mapping
    packs: tuple[Kernel, ...]
    tiled: Kernel
    unpack: Kernel
    free_loops: tuple[Axis, ...]
    reduced_loops: tuple[Axis, ...]
    parts: tuple[MappedPart, ...]


Packs = dict[tuple[tuple[Axis, ...], Expr], Kernel]
"""Kernels that copy, by the box they fill and the value they fill it with."""


def tile(axis: str) -> str:
    return f"{axis}.tile"


def lane(axis: str) -> str:
    return f"{axis}.lane"


def apply_mapping(kernel: Kernel, mapping: Mapping) -> MappedKernel:
    """The kernels that compute `kernel` with the reductions of `mapping` on its instruction."""
    pattern = accumulation(mapping.instruction)
    assert isinstance(pattern, Accumulation), "the mapping was found with this instruction"
    return _Application(kernel, mapping, pattern).run()


class _Application:
    def __init__(self, kernel: Kernel, mapping: Mapping, pattern: Accumulation) -> None:
        self.kernel, self.mapping, self.pattern = kernel, mapping, pattern
        self.fused = dict(mapping.axes)
        self.reductions = dict(kernel.reductions)
        first = self.reductions[mapping.parts[0].reduction]
        own = (*(a.name for a in kernel.free), *first.axes)
        self.loops = tuple(a for a in kernel.axes if a.name in own and a.name not in mapping.mapped)
        self.lanes = {t: lanes(mapping.instruction, t) for t in self.fused}
        self.tiles = {t: Axis(tile(t), as_extent(ceildiv(as_expr(self.extent(t)), n))) for t, n in self.lanes.items()}
        self.reduced = first.axes

    def extent(self, t: str) -> Extent:
        return fused_extent(self.kernel, self.fused[t])

    def run(self) -> MappedKernel:
        packs: Packs = {}
        parts = tuple(self.part(p, packs) for p in self.mapping.parts)
        reduced_tiles = [self.tiles[t] for t in self.fused if t in self.pattern.update.reduced]
        free = (*(a for a in self.loops if a.name not in self.reduced), *(self.tiles[t] for t in self.pattern.index))
        reduced = (*(a for a in self.loops if a.name in self.reduced), *reduced_tiles)
        return MappedKernel(
            self.mapping, tuple(packs.values()), self.tiled(parts, free, reduced), self.unpack(parts), free, reduced, parts
        )

    def part(self, part: Part, packs: Packs) -> MappedPart:
        operands = tuple(self.in_place(b) or self.pack(part, b, packs) for b in part.bindings)
        outer = tuple(a for a in self.loops if a.name not in self.reduced)
        index = self.pattern.index
        shape = (*(a.extent for a in outer), *(self.tiles[t].extent for t in index), *(self.lanes[t] for t in index))
        dtype = self.pattern.update.body.dtype
        result = Operand(f"{self.kernel.name}.{part.reduction}", dtype, shape)
        start: list[Expr] = [*(Var(a.name) for a in outer), *(Var(tile(t)) for t in index), *(Const(0) for _ in index)]
        dims = tuple(range(len(shape) - len(index), len(shape)))
        return MappedPart(part.reduction, operands, TileOperand(self.pattern.accumulator, result, tuple(start), dims))

    def in_place(self, binding: Binding) -> TileOperand | None:
        """The operand read where it is, when tiles of it are slices of the array."""
        if binding.packed or not isinstance(binding.value, Load):
            return None
        load, dims = binding.value, []
        for t in self.pattern.axes_of(self.mapping.instruction, binding.operand):
            found = [d for d, i in enumerate(load.index) if len(self.fused[t]) == 1 and self.fused[t][0] in variables(i)]
            if len(found) != 1 or found[0] in dims:
                return None
            walk = affine(load.index[found[0]], {self.fused[t][0]})
            if walk is None or walk[0].get(self.fused[t][0]) != 1:
                return None
            dims.append(found[0])
        if dims != sorted(dims):
            return None
        whole = {self.fused[t][0]: mul(Var(tile(t)), n) for t, n in self.lanes.items() if self.fused[t]}
        index = tuple(substitute(i, whole) for i in load.index)
        return TileOperand(binding.operand, self.kernel.operands[load.source], index, tuple(dims))

    def pack(self, part: Part, binding: Binding, packs: Packs) -> TileOperand:
        """A copy in tiles. Parts that pack the same value the same way share it."""
        dims = self.pattern.axes_of(self.mapping.instruction, binding.operand)
        outer = [a for a in self.loops if a.name in binding.axes]
        axes = (*outer, *(self.tiles[t] for t in dims), *(Axis(lane(t), self.lanes[t]) for t in dims))
        value = substitute(binding.value, self.axis_values(dims))
        inside = self.inside(dims)
        if inside is not None:
            value = select(inside, value, Const(self.filler(dims), value.dtype))
        packed = packs.get((axes, value))
        if packed is None:
            name = f"{self.kernel.name}.{part.reduction}.{binding.operand}"
            inputs = tuple(o for o in self.kernel.inputs if o.name in _sources(value))
            operand = Operand(name, value.dtype, tuple(a.extent for a in axes))
            store = Store(name, tuple(Var(a.name) for a in axes), value)
            packed = replace(self.kernel, name=f"pack.{name}", axes=axes, inputs=inputs, outputs=(operand,), body=(store,))
            packs[axes, value] = packed
        start: list[Expr] = [*(Var(a.name) for a in outer), *(Var(tile(t)) for t in dims), *(Const(0) for _ in dims)]
        return TileOperand(binding.operand, packed.outputs[0], tuple(start), tuple(range(len(axes) - len(dims), len(axes))))

    def axis_values(self, dims: tuple[str, ...]) -> dict[str, Expr]:
        """The program's axes from the instruction's tiles and lanes."""
        values: dict[str, Expr] = {}
        for t in dims:
            rest: Expr = add(mul(Var(tile(t)), self.lanes[t]), Var(lane(t)))
            for a in reversed(self.fused[t][1:]):
                extent = as_expr(self.kernel.axis(a).extent)
                values[a], rest = mod(rest, extent), floordiv(rest, extent)
            if self.fused[t]:
                values[self.fused[t][0]] = rest
        return values

    def inside(self, dims: tuple[str, ...]) -> Expr | None:
        """Whether a lane is none of padding; None where there is no padding."""
        condition: Expr | None = None
        for t in dims:
            if not divisible(self.kernel, self.mapping.instruction, t, self.fused[t]):
                here = add(mul(Var(tile(t)), self.lanes[t]), Var(lane(t)))
                test = Apply("lt", (here, as_expr(self.extent(t))), BOOL)
                condition = test if condition is None else Apply("and", (condition, test), BOOL)
        return condition

    def filler(self, dims: tuple[str, ...]) -> float | int:
        axes = {s: self.pattern.axes_of(self.mapping.instruction, s) for s in self.pattern.sources}
        for t in dims:
            if t in self.pattern.update.reduced:
                value = padding(self.pattern.update, axes, t)
                if value is not None:
                    return value
        return 0

    def tiled(self, parts: tuple[MappedPart, ...], free: tuple[Axis, ...], reduced: tuple[Axis, ...]) -> Kernel:
        """The tiles' kernel; its inner box is the instruction's."""
        update = self.pattern.update
        inner = {t: Var(lane(t)) for t in self.fused}
        body: list[Statement] = []
        inputs: dict[str, Operand] = {}
        for part in parts:
            reads = {o.operand: o for o in part.operands}
            inputs |= {o.source.name: o.source for o in part.operands}
            inputs |= {n: self.kernel.operands[n] for o in part.operands for i in o.index for n in _sources(i)}

            def read(load: Load, reads: dict[str, TileOperand] = reads) -> Expr:
                o = reads[load.source]
                index = list(o.index)
                for d, t in zip(o.dims, self.pattern.axes_of(self.mapping.instruction, load.source)):
                    index[d] = add(index[d], inner[t])
                return Load(o.source.name, tuple(index), load.dtype)

            over = (*(a.name for a in reduced), *(lane(t) for t in update.reduced))
            body.append(Let(part.reduction, Reduce(update.op, over, map_loads(update.body, read))))
            outer = part.result.index[: len(part.result.index) - len(self.pattern.index)]
            at = (*outer, *(inner[t] for t in self.pattern.index))
            body.append(Store(part.result.source.name, at, Var(part.reduction, part.result.source.dtype)))
        axes = (*free, *(Axis(lane(t), self.lanes[t]) for t in self.pattern.index), *reduced)
        axes = (*axes, *(Axis(lane(t), self.lanes[t]) for t in update.reduced))
        return replace(
            self.kernel,
            name=f"{self.kernel.name}.tiles",
            axes=axes,
            inputs=tuple(inputs.values()),
            outputs=tuple(p.result.source for p in parts),
            body=tuple(body),
        )

    def unpack(self, parts: tuple[MappedPart, ...]) -> Kernel:
        """The kernel with the reductions read from their tiles."""
        where: dict[str, Expr] = {}
        for t in self.pattern.index:
            flat: Expr = Const(0)
            for a in self.fused[t]:
                flat = add(mul(flat, as_expr(self.kernel.axis(a).extent)), Var(a))
            where[tile(t)], where[lane(t)] = floordiv(flat, self.lanes[t]), mod(flat, self.lanes[t])
        results = {p.reduction: p.result for p in parts}
        body: list[Statement] = []
        for s in self.kernel.body:
            if isinstance(s, Let) and s.name in results:
                result = results[s.name]
                index = [substitute(i, where) for i in result.index]
                for d, t in zip(result.dims, self.pattern.index):
                    index[d] = where[lane(t)]
                body.append(Let(s.name, Load(result.source.name, tuple(index), result.source.dtype)))
            else:
                body.append(s)
        used = {x for s in body for e in expressions(s) for x in _sources(e)}
        outputs = {o.name for o in self.kernel.outputs}
        inputs = (
            *(o for o in self.kernel.inputs if o.name in used or o.name in outputs),
            *(r.source for r in results.values()),
        )
        kept = {a for s in body if isinstance(s, Let) and isinstance(s.value, Reduce) for a in s.value.axes}
        axes = tuple(a for a in self.kernel.axes if a in self.kernel.free or a.name in kept)
        return replace(self.kernel, name=f"{self.kernel.name}.rest", axes=axes, inputs=inputs, body=tuple(body))


def _sources(e: Expr) -> set[str]:
    return {x.source for x in loads(e)}
