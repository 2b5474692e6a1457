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
      while turn
        check turn < 1000000 else "endless"
        test going[]
        if large[]
          kernel ...
        else
          kernel ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bough.ir.dtypes import DType, from_numpy
from bough.ir.expr import Expr, Extent
from bough.ir.kernel import Kernel, Operand
from bough.ir.kernel_text import KernelReader, print_kernel, print_operand
from bough.ir.program import Dim
from bough.ir.program_text import print_dims, read_dims
from bough.ir.sequence import Apart, Beside, Branch, Check, Define, Failure, Group, Repeat, Run, Sequence, Step, Whilst, straight
from bough.ir.text import Scope, print_expr, print_extent, print_location, print_name

Array = np.ndarray[Any, Any]


def print_sequence(sequence: Sequence) -> str:
    """The text of a sequence; constants appear by name and type."""
    inputs = ", ".join(map(print_operand, sequence.inputs))
    lines = [f"sequence {print_name(sequence.name)}({inputs}) -> ({', '.join(map(print_name, sequence.results))})"]
    if sequence.dims:
        lines.append(f"  {print_dims(sequence.dims)}")
    if sequence.computed:
        lines.append(f"  computed {', '.join(map(print_name, sequence.computed))}")
    lines.extend(f"  const {print_operand(o)}" for o in constant_operands(sequence))
    lines.extend(f"  temporary {print_operand(o)}" for o in sequence.temporaries.values())
    if sequence.partly:
        lines.append(f"  partly {', '.join(map(print_name, sorted(sequence.partly)))}")
    _print_steps(sequence.steps, "  ", lines)
    return "\n".join(lines) + "\n"


def constant_operands(sequence: Sequence) -> list[Operand]:
    """The constants as operands."""
    types = sequence.constant_types
    return [Operand(n, types.get(n) or from_numpy(a.dtype), a.shape) for n, a in sequence.constants.items()]


def _print_steps(steps: tuple[Step, ...], indent: str, lines: list[str]) -> None:
    inner = indent + "  "
    for step in steps:
        match step:
            case Run(kernel):
                lines.append(print_kernel(kernel, indent).rstrip("\n"))
                continue
            case Define() | Repeat() | Branch() | Whilst():
                lines.append(print_location(step.location, indent + print_head(step)))
            case Check():
                lines.append(print_location(step.failure.location, indent + print_head(step)))
            case Group() | Beside() | Apart():
                lines.append(indent + print_head(step))
        match step:
            case Group(members):
                lines.extend(print_kernel(k, inner).rstrip("\n") for k in members)
            case Beside(parts):
                _print_steps(parts, inner, lines)
            case Apart():
                _print_steps(step.steps, inner, lines)
            case Repeat():
                _print_steps(step.body, inner, lines)
            case Branch():
                _print_steps(step.then, inner, lines)
                if step.otherwise:
                    lines.append(f"{indent}else")
                    _print_steps(step.otherwise, inner, lines)
            case Whilst():
                _print_steps(step.head, inner, lines)
                lines.append(f"{inner}test {print_expr(step.condition)}")
                _print_steps(step.body, inner, lines)


def print_head(step: Step) -> str:
    """The first line of a step."""
    match step:
        case Run(kernel):
            return f"kernel {print_name(kernel.name)}"
        case Group(_, rows, private):
            named = f" rows {', '.join(map(print_name, rows))}" if rows else ""
            return f"group{named}{_private(private)}"
        case Apart():
            return f"apart {print_name(step.variable)} in 0..{step.count} rooms {step.rooms}{_private(step.private)}"
        case Beside():
            return "beside"
        case Define(name, value, nominal):
            return f"define {print_name(name)} = {print_expr(value)} nominal {nominal}"
        case Repeat(variable, count):
            return f"repeat {print_name(variable)} in 0..{print_extent(count)}"
        case Branch(condition):
            return f"if {print_expr(condition)}"
        case Whilst(variable):
            return f"while {print_name(variable)}"
        case Check(condition, failure):
            message = f" {json.dumps(failure.message)}" if failure.message else ""
            return f"check {print_expr(condition)} else {json.dumps(failure.error)}{message}"


def _private(names: tuple[str, ...]) -> str:
    return f" private {', '.join(map(print_name, names))}" if names else ""


def parse_sequence(text: str, constants: Mapping[str, Array] | None = None) -> Sequence:
    """The sequence of a text, with arrays for its constants by name; those not given are zeros. Raises ParseError."""
    reader = SequenceReader(text)
    sequence = reader.sequence(constants or {})
    reader.end_text()
    return sequence


class SequenceReader(KernelReader):
    """Reads sequences. `arrays` are the types of what the host may load."""

    arrays: Mapping[str, DType]

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
        computed: list[str] = []
        partly: list[str] = []
        steps: list[Step] = []

        def line() -> None:
            if self.keyword("dims"):
                dims.extend(read_dims(self))
            elif self.keyword("computed"):
                computed.extend(self.names())
            elif self.keyword("partly"):
                partly.extend(self.names())
            elif self.keyword("const"):
                o = self.operand()
                zeros = np.zeros([e for e in o.shape if isinstance(e, int)], o.dtype.numpy)
                constants[o.name], types[o.name] = arrays.get(o.name, zeros), o.dtype
            elif self.keyword("temporary"):
                o = self.operand()
                temporaries[o.name] = o
            else:
                self.arrays = {o.name: o.dtype for o in (*inputs, *temporaries.values())} | types
                steps.append(self.step())
                return
            self.end_line()

        self.block(indent, line)
        return Sequence(
            name, inputs, tuple(results), temporaries, constants, types, tuple(steps), tuple(dims), None, tuple(computed),
            frozenset(partly),
        )  # fmt: skip

    def names(self) -> list[str]:
        found = [self.name()]
        while self.accept(","):
            found.append(self.name())
        return found

    def step(self) -> Step:
        indent = self.line.indent
        if self.keyword("define"):
            return self.define()
        if self.accept("check"):
            return self.check()
        if self.accept("beside"):
            self.end_line()
            return Beside(straight(self.steps(indent)))
        if self.keyword("apart"):
            return self.apart(indent)
        if self.accept("group"):
            rows = self.names() if self.keyword("rows") else []
            private = self.names() if self.keyword("private") else []
            self.end_line()
            members: list[Kernel] = []
            self.block(indent, lambda: members.append(self.kernel()))
            return Group(tuple(members), tuple(rows), tuple(private))
        if self.accept("if"):
            return self.branch(indent)
        if self.keyword("while"):
            return self.whilst(indent)
        return self.repeat(indent) if self.keyword("repeat") else Run(self.kernel())

    def steps(self, indent: int) -> tuple[Step, ...]:
        found: list[Step] = []
        self.block(indent, lambda: found.append(self.step()))
        return tuple(found)

    def host_expr(self) -> Expr:
        self.scope = Scope(dict(self.arrays), {})
        return self.expr()

    def repeat(self, indent: int) -> Repeat:
        variable, count = self.range()
        self.end_line()
        return Repeat(variable, count, self.steps(indent))

    def apart(self, indent: int) -> Apart:
        variable, count = self.range()
        self.expect("rooms")
        rooms = self.integer()
        private = self.names() if self.keyword("private") else []
        self.end_line()
        return Apart(variable, count, rooms, straight(self.steps(indent)), tuple(private))

    def range(self) -> tuple[str, Extent]:
        variable = self.name()
        self.expect("in")
        if self.integer() != 0:
            raise self.error("a loop starts from 0", self.peek(-1))
        self.expect("..")
        return variable, self.extent()

    def branch(self, indent: int) -> Branch:
        condition = self.host_expr()
        self.end_line()
        then, otherwise = self.steps(indent), tuple[Step, ...]()
        if self.more(indent - 1) and self.line.indent == indent and self.accept("else"):
            self.end_line()
            otherwise = self.steps(indent)
        return Branch(condition, then, otherwise)

    def whilst(self, indent: int) -> Whilst:
        variable = self.name()
        self.end_line()
        head: list[Step] = []
        body: list[Step] = []
        tests: list[Expr] = []

        def line() -> None:
            if not tests and self.accept("test"):
                tests.append(self.host_expr())
                self.end_line()
            else:
                (body if tests else head).append(self.step())

        start = self.line
        self.block(indent, line)
        if not tests:
            raise self.error("a loop has a test", start.tokens[0])
        return Whilst(variable, tuple(head), tests[0], tuple(body))

    def check(self) -> Check:
        condition = self.host_expr()
        self.expect("else")
        error = self.string()
        message = self.string() if self.token.kind == "string" else ""
        self.end_line()
        return Check(condition, Failure(error, message))

    def string(self) -> str:
        if self.token.kind != "string":
            raise self.unexpected("a string")
        return str(json.loads(self.advance().text))

    def define(self) -> Define:
        name = self.name()
        self.expect("=")
        value = self.host_expr()
        self.expect("nominal")
        nominal = self.integer()
        self.end_line()
        return Define(name, value, nominal)
