"""Loops around an instruction, for a mapped kernel: on arrays in memory, or with the data movement that a target needs."""

from __future__ import annotations

from bough.base.errors import InternalError
from bough.ir.dtypes import DType
from bough.ir.expr import Const, Expr, Load, Var, add, as_expr, variables
from bough.ir.functions import reduction_unit
from bough.ir.kernel import Axis, Kernel, Operand
from bough.ir.kernel import Store as KernelStore
from bough.ir.loops import Alloc, Buffer, For, Function, Invoke, Slice, Stmt, Store
from bough.ir.sequence import expressions
from bough.mapping.apply import MappedKernel, MappedPart, TileOperand
from bough.targets.description import Instruction, Target

MEMORY = "memory"


def invoke_tiles(mapped: MappedKernel) -> Function:
    """The tiles' kernel with the instruction as its inner box, all operands in memory.

    The results hold the reduction's unit at first. This is what the mapping claims, without any target's data movement.
    """
    name = mapped.mapping.instruction.name
    body: tuple[Stmt, ...] = tuple(
        Invoke(name, tuple(_slice(o) for o in _in_order(mapped, (*p.operands, p.result)))) for p in mapped.parts
    )
    body = _loops(mapped.free_loops, _loops(mapped.reduced_loops, body))
    return Function(mapped.tiled.name, _scalars(mapped.tiled), _params(mapped.tiled), body)


def lower_tiles(mapped: MappedKernel, target: Target) -> Function:
    """The tiles' kernel on a target: operands brought to where the instruction takes them, results brought back.

    Data moves by the instructions of the target whose kernels are copies between these places, accumulators start by one
    that fills them; generic code does both where registers are concerned and no instruction does.
    Raises InternalError where the target cannot move the data, or its memories are too small for one tile of each operand.
    """
    lowering = _Lowering(mapped, target)
    inner = lowering.products()
    body: list[Stmt] = []
    for part in mapped.parts:
        body += lowering.start(part)
    body += _loops(mapped.reduced_loops, tuple(inner))
    for part in mapped.parts:
        body += lowering.finish(part)
    lowering.check_capacity()
    loops = _loops(mapped.free_loops, tuple(body))
    return Function(mapped.tiled.name, _scalars(mapped.tiled), _params(mapped.tiled), loops)


class _Lowering:
    def __init__(self, mapped: MappedKernel, target: Target) -> None:
        self.mapped, self.target = mapped, target
        self.instruction = mapped.mapping.instruction
        self.operands = self.instruction.kernel.operands
        self.allocated: list[Buffer] = []

    def products(self) -> list[Stmt]:
        """The inner loop's body: each operand loaded, the instruction. Parts share what they both load."""
        body: list[Stmt] = []
        loaded: dict[tuple[str, TileOperand], Slice] = {}
        for part in self.mapped.parts:
            slices = {part.result.operand: self.whole(self.accumulator(part))}
            for o in part.operands:
                place = self.operands[o.operand].place
                if place == MEMORY:
                    slices[o.operand] = _slice(o)
                    continue
                if (place, o) not in loaded:
                    buffer = self.local(f"{part.reduction}.{o.operand}", o.operand)
                    body.append(Alloc(buffer))
                    body += self.copy(_slice(o), MEMORY, self.whole(buffer), buffer, place)
                    loaded[place, o] = self.whole(buffer)
                slices[o.operand] = loaded[place, o]
            body.append(Invoke(self.instruction.name, tuple(slices[name] for name in self.operands)))
        return body

    def local(self, name: str, operand: str) -> Buffer:
        o = self.operands[operand]
        buffer = Buffer(name, o.dtype, o.shape, o.place)
        if buffer not in self.allocated:
            self.allocated.append(buffer)
        return buffer

    def accumulator(self, part: MappedPart) -> Buffer:
        return self.local(f"{part.reduction}.{part.result.operand}", part.result.operand)

    def start(self, part: MappedPart) -> list[Stmt]:
        """The accumulator, filled with the reduction's unit."""
        buffer = self.accumulator(part)
        op = dict(self.mapped.tiled.reductions)[part.reduction].op
        unit = Const(reduction_unit(op, buffer.dtype), buffer.dtype)
        fill = next((i for i in self.target.instructions if _fills(i, buffer, unit)), None)
        if fill is not None:
            return [Alloc(buffer), Invoke(fill.name, (self.whole(buffer),))]
        return [Alloc(buffer), *self.generic(buffer.place, self.whole(buffer), buffer, unit)]

    def finish(self, part: MappedPart) -> list[Stmt]:
        """The accumulator's way back to memory."""
        buffer = self.accumulator(part)
        return self.copy(self.whole(buffer), buffer.place, _slice(part.result), buffer, MEMORY)

    def copy(self, source: Slice, origin: str, goal: Slice, like: Buffer, destination: str) -> list[Stmt]:
        for i in self.target.instructions:
            if _copies(i, like, origin, destination):
                return [Invoke(i.name, (source, goal))]
        place = like.place
        return self.generic(place, goal, like, None, source)

    def generic(self, place: str, goal: Slice, like: Buffer, value: Expr | None, source: Slice | None = None) -> list[Stmt]:
        """Element by element, by code that any register file has."""
        if self.target.memory(place).kind != "registers":
            shape = ", ".join(map(str, like.shape))
            raise InternalError(f"{self.target.name} has no instruction that moves {like.dtype}[{shape}] to or from {place}")
        index = tuple(Var(f"element.{d}") for d in range(len(like.shape)))
        if source is not None:
            value = Load(source.buffer, _element(source, index), like.dtype)
        assert value is not None
        body: tuple[Stmt, ...] = (Store(goal.buffer, _element(goal, index), value),)
        for v, extent in reversed(list(zip(index, like.shape))):
            body = (For(v.name, Const(0), as_expr(extent), body),)
        return list(body)

    def whole(self, buffer: Buffer) -> Slice:
        return Slice(buffer.name, tuple(Const(0) for _ in buffer.shape), tuple(range(len(buffer.shape))))

    def check_capacity(self) -> None:
        for memory in self.target.memories:
            limit = memory.bytes
            needed = sum(_bytes(b) for b in self.allocated if b.place == memory.name)
            if limit is not None and needed > limit * memory.count:
                raise InternalError(f"{needed} bytes do not fit in {memory.name} of {self.target.name}")


def _element(slice_: Slice, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
    at = list(slice_.start)
    for d, i in zip(slice_.dims, index):
        at[d] = add(at[d], i)
    return tuple(at)


def _bytes(buffer: Buffer) -> int:
    total = buffer.dtype.bytes
    for e in buffer.shape:
        assert isinstance(e, int)
        total *= e
    return total


def _copies(instruction: Instruction, like: Buffer, origin: str, destination: str) -> bool:
    """Whether an instruction's kernel copies such a tile between two places."""
    kernel = instruction.kernel
    if len(kernel.inputs) != 1 or len(kernel.outputs) != 1:
        return False
    source, goal = kernel.inputs[0], kernel.outputs[0]
    index = tuple(Var(a.name) for a in kernel.axes)
    same = _is_tile(source, like.dtype, like, origin) and _is_tile(goal, like.dtype, like, destination)
    return same and kernel.body == (KernelStore(goal.name, index, Load(source.name, index, like.dtype)),)


def _fills(instruction: Instruction, buffer: Buffer, value: Const) -> bool:
    """Whether an instruction's kernel fills such a buffer with a value."""
    kernel = instruction.kernel
    if kernel.inputs or len(kernel.outputs) != 1:
        return False
    index = tuple(Var(a.name) for a in kernel.axes)
    goal = kernel.outputs[0]
    return _is_tile(goal, buffer.dtype, buffer, buffer.place) and kernel.body == (KernelStore(goal.name, index, value),)


def _is_tile(o: Operand, dtype: DType, like: Buffer, place: str) -> bool:
    return (o.dtype, o.shape, o.place) == (dtype, like.shape, place)


def _in_order(mapped: MappedKernel, operands: tuple[TileOperand, ...]) -> list[TileOperand]:
    """The operands as `Invoke` wants them: inputs of the instruction's kernel in order, then outputs that are no inputs."""
    by_name = {o.operand: o for o in operands}
    return [by_name[name] for name in mapped.mapping.instruction.kernel.operands]


def _slice(operand: TileOperand) -> Slice:
    return Slice(operand.source.name, operand.index, operand.dims)


def _loops(axes: tuple[Axis, ...], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    for axis in reversed(axes):
        body = (For(axis.name, Const(0), as_expr(axis.extent), body),)
    return body


def _params(kernel: Kernel) -> tuple[Buffer, ...]:
    return tuple(Buffer(o.name, o.dtype, o.shape) for o in (*kernel.inputs, *kernel.outputs))


def _scalars(kernel: Kernel) -> tuple[str, ...]:
    """The symbolic sizes and other scalars from outside that a kernel names."""
    inside = {a.name for a in kernel.axes} | {name for name, _ in kernel.reductions}
    everything = [
        *(as_expr(a.extent) for a in kernel.axes),
        *(as_expr(e) for o in kernel.operands.values() for e in o.shape),
        *(e for s in kernel.body for e in expressions(s)),
    ]
    found = dict.fromkeys(n for e in everything for n in sorted(variables(e)))
    return tuple(n for n in found if n not in inside)
