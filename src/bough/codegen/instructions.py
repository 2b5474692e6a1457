"""Calls of a target's instructions: each becomes an inlined LLVM function whose body is the instruction's spelling."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import llvm_types as t
from bough.codegen.expressions import evaluate
from bough.codegen.linear import Linear
from bough.codegen.memory import Place, address
from bough.codegen.state import Emission, Scope
from bough.ir.kernel import Operand
from bough.ir.loops import Slice
from bough.targets.description import Instruction, Target


class SpelledFunction(ir.Function):  # type: ignore[misc]
    """A function whose body is LLVM text."""

    def __init__(self, module: Any, kind: Any, name: str, text: str) -> None:
        super().__init__(module, kind, name)
        self.text = text

    @property
    def is_declaration(self) -> bool:
        return False

    def descr(self, buf: list[str]) -> None:
        prototype: list[str] = []
        self.descr_prototype(prototype)
        buf += [prototype[0].replace("declare", "define", 1), "{\n", self.text.strip("\n"), "\n}\n"]


def in_register(target: Target, operand: Operand) -> bool:
    """Whether an operand lives in a register file."""
    return any(m.name == operand.place and m.kind == "registers" for m in target.memories)


def size_of(operand: Operand) -> int:
    """The number of elements of an instruction's operand, 0 for a scalar."""
    if not operand.shape:
        return 0
    if not all(isinstance(e, int) for e in operand.shape):
        raise InternalError(f"operand {operand.name} of an instruction has a size that is not constant")
    return prod(e for e in operand.shape if isinstance(e, int))


def operands_of(instruction: Instruction) -> tuple[Operand, ...]:
    """Inputs, then the outputs that are not inputs."""
    k = instruction.kernel
    inputs = {o.name for o in k.inputs}
    return (*k.inputs, *(o for o in k.outputs if o.name not in inputs))


def arguments_of(instruction: Instruction, target: Target) -> tuple[Operand, ...]:
    """The operands that the spelling takes as arguments: all but a pure output in registers, which it returns."""
    inputs = {o.name for o in instruction.kernel.inputs}
    return tuple(o for o in operands_of(instruction) if o.name in inputs or not in_register(target, o))


def result_of(instruction: Instruction, target: Target) -> Operand | None:
    """The operand that the spelling returns."""
    return next((o for o in instruction.kernel.outputs if in_register(target, o)), None)


def _argument_type(target: Target, operand: Operand, written: bool) -> Any:
    if in_register(target, operand) or (not operand.shape and not written):
        return t.instruction_type(operand.dtype, size_of(operand))
    return t.POINTER


def spelled(module: Any, instruction: Instruction, target: Target) -> Any:
    """The function of an instruction in a module, defined on first use."""
    name = instruction.name
    known = module.globals.get(name)
    if known is not None:
        return known
    if instruction.spelling is None:
        raise InternalError(f"instruction {name} has no spelling: {target.name} can only be simulated")
    outputs = {o.name for o in instruction.kernel.outputs}
    arguments = arguments_of(instruction, target)
    result = result_of(instruction, target)
    kind = t.VOID if result is None else t.instruction_type(result.dtype, size_of(result))
    function_type = ir.FunctionType(kind, [_argument_type(target, o, o.name in outputs) for o in arguments])
    function = SpelledFunction(module, function_type, name, instruction.spelling)
    for argument, operand in zip(function.args, arguments, strict=True):
        argument.name = operand.name
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    return function


def invoke(em: Emission, scope: Scope, name: str, slices: Sequence[Slice]) -> None:
    """One instruction on slices, in the order of `operands_of`."""
    instruction = em.target.instruction(name)
    function = spelled(em.builder.module, instruction, em.target)
    operands = operands_of(instruction)
    if len(operands) != len(slices):
        raise InternalError(f"{name} has {len(operands)} operands, {len(slices)} are given")
    places = {o.name: _place(em, scope, name, o, s) for o, s in zip(operands, slices, strict=True)}
    arguments = []
    for operand, argument in zip(arguments_of(instruction, em.target), function.args, strict=True):
        place = places[operand.name]
        pointer = address(em, scope, place)
        by_value = argument.type != t.POINTER
        arguments.append(em.builder.load(pointer, align=place.align, typ=argument.type) if by_value else pointer)
    value = em.builder.call(function, arguments)
    result = result_of(instruction, em.target)
    if result is not None:
        place = places[result.name]
        em.builder.store(value, address(em, scope, place), align=place.align)


def _place(em: Emission, scope: Scope, name: str, operand: Operand, part: Slice) -> Place:
    """Where an operand lies, after a check that its elements stand there one after the other, as in registers."""
    index = [evaluate(em, scope, i) for i in part.start]
    place = Place(scope.buffer(part.buffer), index, em, 0)
    if place.storage.buffer.dtype != operand.dtype:
        raise InternalError(f"{name}: {part.buffer} holds {place.storage.buffer.dtype}, {operand.name} is {operand.dtype}")
    if len(part.dims) != len(operand.shape):
        raise InternalError(f"{name}: a slice of {part.buffer} has {len(part.dims)} dimensions, not {len(operand.shape)}")
    expected = 1
    for dim, extent in zip(reversed(part.dims), reversed(operand.shape), strict=True):
        stride = place.storage.strides[dim]
        if extent != 1 and stride != Linear(expected):
            raise InternalError(f"{name}: the elements of {operand.name} do not lie densely in {part.buffer}")
        expected *= int(extent) if isinstance(extent, int) else 1
    return place
