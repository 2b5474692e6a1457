"""Checks that a sequence of kernels keeps the promises of its level."""

from __future__ import annotations

from math import prod
from typing import NoReturn

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Expr, Extent
from bough.ir.kernel import Kernel, Operand
from bough.ir.sequence import Apart, Branch, Check, Define, Repeat, Sequence, Step, Whilst, phase
from bough.ir.sequence_text import constant_operands, print_head
from bough.ir.text import print_type
from bough.ir.verify_expr import Checker
from bough.ir.verify_kernel import verify_kernel


def verify_sequence(sequence: Sequence) -> None:
    """Raises InternalError unless

    - inputs, constants and temporaries have distinct names, and their sizes are over the dims;
    - kernels keep the promises of theirs, over the dims, the variables of the loops around them and what is defined before;
    - definitions, counts and conditions are over the same; definitions and conditions also over elements of arrays;
    - each operand of a kernel is one of them, of the same type and, where sizes are constant, as many elements;
    - samples that go apart are equal shares; constants are not written, and results exist.
    """
    _Verifier(sequence).run()


class _Verifier:
    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.operands: dict[str, Operand] = {}

    def fail(self, message: str) -> NoReturn:
        raise InternalError(f"sequence {self.sequence.name}: {message}")

    def run(self) -> None:
        s = self.sequence
        dims = [d.name for d in s.dims]
        for o in (*s.inputs, *constant_operands(s), *s.temporaries.values()):
            if o.name in self.operands:
                self.fail(f"{o.name} is defined twice")
            Checker(f"sequence {s.name}", {}, dict.fromkeys(dims, I64)).shape(o.shape, o.name)
            self.operands[o.name] = o
        self.steps(s.steps, dims)
        for name in s.results:
            if name not in self.operands:
                self.fail(f"the result {name} is defined nowhere")

    def steps(self, steps: tuple[Step, ...], around: list[str]) -> list[str]:
        """Checks the steps; gives what is known after them."""
        scalars = list(around)
        for step in steps:
            text = print_head(step)
            match step:
                case Define(name, value):
                    self.define(name, scalars, text)
                    self.host(value, scalars, text, I64)
                    scalars.append(name)
                case Repeat(variable, count, body):
                    self.define(variable, scalars, text)
                    Checker(f"sequence {self.sequence.name}", {}, dict.fromkeys(scalars, I64)).shape((count,), text)
                    self.steps(body, [*scalars, variable])
                case Apart(variable, count, rooms):
                    self.define(variable, scalars, text)
                    Checker(f"sequence {self.sequence.name}", {}, dict.fromkeys(scalars, I64)).shape((count,), text)
                    if rooms < 1:
                        self.fail(f"there is no room for a sample in: {text}")
                    for kernel in phase(step):
                        self.kernel(kernel, [*scalars, variable])
                case Branch(condition, then, otherwise):
                    self.host(condition, scalars, text, BOOL)
                    self.steps(then, scalars)
                    self.steps(otherwise, scalars)
                case Whilst(variable, head, condition, body):
                    self.define(variable, scalars, text)
                    inside = self.steps(head, [*scalars, variable])
                    self.host(condition, inside, text, BOOL)
                    self.steps(body, inside)
                case Check(condition):
                    self.host(condition, scalars, text, BOOL)
                case _:
                    for kernel in phase(step):
                        self.kernel(kernel, scalars)
        return scalars

    def define(self, name: str, scalars: list[str], text: str) -> None:
        if name in scalars:  # arrays may be called the same
            self.fail(f"{name} is defined twice in: {text}")

    def host(self, e: Expr, scalars: list[str], text: str, dtype: DType) -> None:
        arrays = {o.name: (o.dtype, len(o.shape)) for o in self.operands.values()}
        Checker(f"sequence {self.sequence.name}", arrays, dict.fromkeys(scalars, I64)).expr(e, text, dtype)

    def kernel(self, kernel: Kernel, scalars: list[str]) -> None:
        verify_kernel(kernel, scalars)
        for o in kernel.operands.values():
            held = self.operands.get(o.name)
            if held is None:
                self.fail(f"kernel {kernel.name} names {o.name}, which is defined nowhere")
            here, there = _count(o.shape), _count(held.shape)
            if o.dtype != held.dtype or (here is not None and there is not None and here != there):
                types = f"{print_type(o.dtype, o.shape)}, elsewhere {print_type(held.dtype, held.shape)}"
                self.fail(f"{o.name} is {types} in kernel {kernel.name}")
        for o in kernel.outputs:
            if o.name in self.sequence.constants:
                self.fail(f"kernel {kernel.name} writes the constant {o.name}")


def _count(shape: tuple[Extent, ...]) -> int | None:
    return prod(e for e in shape if isinstance(e, int)) if all(isinstance(e, int) for e in shape) else None
