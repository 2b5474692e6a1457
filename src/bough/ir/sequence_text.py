"""Sequences of kernels as text and back.

    sequence main(x: f32[batch, 28, 8]) -> (y)
      dims batch: 1..64
      const w: f32[8, 8]
      temporary h: f32[batch, 8]
      kernel clear() -> (h: f32[batch, 8])
        axes i: batch, j: 8
        h[i, j] = 0.0
      repeat t in 0..28
        define m = t + 1 nominal 14
        kernel step(h: f32[batch, 8], x: f32[batch, 28, 8]) -> (h: f32[batch, 8])
          ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bough.ir.dtypes import DType, from_numpy
from bough.ir.kernel import Kernel, Operand
from bough.ir.kernel_text import KernelReader, print_kernel, print_operand
from bough.ir.program import Dim
from bough.ir.program_text import print_dims, read_dims
from bough.ir.sequence import Beside, Define, Group, Repeat, Run, Sequence, Step
from bough.ir.text import Scope, print_expr, print_extent, print_location, print_name

Array = np.ndarray[Any, Any]


def print_sequence(sequence: Sequence) -> str:
    """The text of a sequence; constants appear by name and type."""
    inputs = ", ".join(map(print_operand, sequence.inputs))
    lines = [f"sequence {print_name(sequence.name)}({inputs}) -> ({', '.join(map(print_name, sequence.results))})"]
    if sequence.dims:
        lines.append(f"  {print_dims(sequence.dims)}")
    lines.extend(f"  const {print_operand(o)}" for o in constant_operands(sequence))
    lines.extend(f"  temporary {print_operand(o)}" for o in sequence.temporaries.values())
    _print_steps(sequence.steps, "  ", lines)
    return "\n".join(lines) + "\n"


def constant_operands(sequence: Sequence) -> list[Operand]:
    """The constants as operands."""
    types = sequence.constant_types
    return [Operand(n, types.get(n) or from_numpy(a.dtype), a.shape) for n, a in sequence.constants.items()]


def _print_steps(steps: tuple[Step, ...], indent: str, lines: list[str]) -> None:
    for step in steps:
        if isinstance(step, Run):
            lines.append(print_kernel(step.kernel, indent).rstrip("\n"))
        elif isinstance(step, Group):
            lines.append(f"{indent}group")
            lines.extend(print_kernel(k, indent + "  ").rstrip("\n") for k in step.kernels)
        elif isinstance(step, Beside):
            lines.append(f"{indent}beside")
            _print_steps(step.parts, indent + "  ", lines)
        elif isinstance(step, Define):
            head = f"{indent}define {print_name(step.name)} = {print_expr(step.value)} nominal {step.nominal}"
            lines.append(print_location(step.location, head))
        else:
            head = f"{indent}repeat {print_name(step.variable)} in 0..{print_extent(step.count)}"
            lines.append(print_location(step.location, head))
            _print_steps(step.body, indent + "  ", lines)


def parse_sequence(text: str, constants: Mapping[str, Array] | None = None) -> Sequence:
    """The sequence of a text, with arrays for its constants by name; those not given are zeros. Raises ParseError."""
    reader = SequenceReader(text)
    sequence = reader.sequence(constants or {})
    reader.end_text()
    return sequence


class SequenceReader(KernelReader):
    """Reads sequences."""

    def sequence(self, arrays: Mapping[str, Array]) -> Sequence:
        indent = self.line.indent
        self.expect("sequence")
        name = self.name()
        inputs = self.operands()
        self.expect("->")
        results: list[str] = []
        self.expect("(")
        self.list(lambda: results.append(self.name()), ")")
        self.end_line()
        dims: list[Dim] = []
        constants: dict[str, Array] = {}
        types: dict[str, DType] = {}
        temporaries: dict[str, Operand] = {}
        steps: list[Step] = []

        def line() -> None:
            if self.keyword("dims"):
                dims.extend(read_dims(self))
            elif self.keyword("const"):
                o = self.operand()
                zeros = np.zeros([e for e in o.shape if isinstance(e, int)], o.dtype.numpy)
                constants[o.name], types[o.name] = arrays.get(o.name, zeros), o.dtype
            elif self.keyword("temporary"):
                o = self.operand()
                temporaries[o.name] = o
            else:
                steps.append(self.step(inputs))
                return
            self.end_line()

        self.block(indent, line)
        return Sequence(name, inputs, tuple(results), temporaries, constants, types, tuple(steps), tuple(dims))

    def step(self, inputs: tuple[Operand, ...]) -> Step:
        indent = self.line.indent
        if self.keyword("define"):
            return self.define(inputs)
        if self.accept("beside"):
            self.end_line()
            parts: list[Step] = []
            self.block(indent, lambda: parts.append(self.step(inputs)))
            return Beside(tuple(p for p in parts if isinstance(p, (Run, Group))))
        if self.accept("group"):
            self.end_line()
            members: list[Kernel] = []
            self.block(indent, lambda: members.append(self.kernel()))
            return Group(tuple(members))
        if not self.keyword("repeat"):
            return Run(self.kernel())
        variable = self.name()
        self.expect("in")
        if self.integer() != 0:
            raise self.error("a loop starts from 0", self.peek(-1))
        self.expect("..")
        count = self.extent()
        self.end_line()
        body: list[Step] = []
        self.block(indent, lambda: body.append(self.step(inputs)))
        return Repeat(variable, count, tuple(body))

    def define(self, inputs: tuple[Operand, ...]) -> Define:
        name = self.name()
        self.expect("=")
        self.scope = Scope({o.name: o.dtype for o in inputs}, {})
        value = self.expr()
        self.expect("nominal")
        nominal = self.integer()
        self.end_line()
        return Define(name, value, nominal)
