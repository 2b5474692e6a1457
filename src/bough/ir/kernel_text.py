"""Kernels as text and back.

    kernel linear(x: f32[batch, 300], w: f32[512, 300], b: f32[512]) -> (y: f32[batch, 512])
      axes i: batch, j: 512, k: 300
      s = sum(k) x[i, k] * w[j, k]
      y[i, j] = b[j] + s

A place other than `memory` follows the type: `acc: f32[16] in zmm`. An accumulator stands on both sides of the arrow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from bough.ir.expr import Expr, Extent
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Reduction, Statement, Store
from bough.ir.text import Reader, Scope, print_expr, print_extent, print_location, print_name, print_type

REDUCTIONS: dict[str, Reduction] = {name: name for name in get_args(Reduction)}


def print_kernel(kernel: Kernel, indent: str = "") -> str:
    """The text of a kernel."""
    inputs, outputs = (", ".join(print_operand(o) for o in group) for group in (kernel.inputs, kernel.outputs))
    header = f"{indent}kernel {print_name(kernel.name)}({inputs}) -> ({outputs})"
    lines = [print_location(kernel.location, header)]
    if kernel.axes:
        axes = ", ".join(f"{print_name(a.name)}: {print_extent(a.extent)}" for a in kernel.axes)
        lines.append(f"{indent}  axes {axes}")
    if kernel.apart:
        lines.append(f"{indent}  apart {', '.join(map(print_name, kernel.apart))}")
    if kernel.order is not None:
        axis, number = kernel.order
        lines.append(f"{indent}  order {f'{print_name(axis)} * {number}' if number else 'sequential'}")
    lines.extend(f"{indent}  {print_statement(s)}" for s in kernel.body)
    return "\n".join(lines) + "\n"


def print_operand(o: Operand) -> str:
    place = "" if o.place == "memory" else f" in {print_name(o.place)}"
    return f"{print_name(o.name)}: {print_type(o.dtype, o.shape)}{place}"


def print_statement(s: Statement) -> str:
    if isinstance(s, Store):
        return f"{print_name(s.target)}[{', '.join(print_expr(i) for i in s.index)}] = {print_expr(s.value)}"
    if isinstance(s.value, Reduce):
        body = print_expr(s.value.body)
        body = f"({body})" if body.startswith("-") else body
        return f"{print_name(s.name)} = {s.value.op}({', '.join(map(print_name, s.value.axes))}) {body}"
    return f"{print_name(s.name)} = {print_expr(s.value)}"


def parse_kernel(text: str) -> Kernel:
    """The kernel of a text; what `print_kernel` made comes back equal. Raises ParseError."""
    reader = KernelReader(text)
    kernel = reader.kernel()
    reader.end_text()
    return kernel


class KernelReader(Reader):
    """Reads kernels."""

    def kernel(self) -> Kernel:
        indent = self.line.indent
        self.expect("kernel")
        name = self.name()
        inputs = self.operands()
        self.expect("->")
        outputs = self.operands()
        self.end_line()
        self.scope = Scope({o.name: o.dtype for o in (*inputs, *outputs)}, {})
        axes: list[Axis] = []
        apart: list[str] = []
        order: list[tuple[str, int]] = []
        body: list[Statement] = []

        def line() -> None:
            if self.keyword("axes"):
                axes.append(self.axis())
                while self.accept(","):
                    axes.append(self.axis())
            elif self.keyword("apart"):
                apart.append(self.name())
                while self.accept(","):
                    apart.append(self.name())
            elif self.keyword("order"):
                order.append(self.order())
            else:
                body.append(self.statement())
            self.end_line()

        self.block(indent, line)
        kernel = Kernel(name, tuple(axes), inputs, outputs, tuple(body), apart=tuple(apart))
        return replace(kernel, order=order[0]) if order else kernel

    def order(self) -> tuple[str, int]:
        axis = self.name()
        return (axis, self.integer()) if self.accept("*") else ("", 0)

    def operands(self) -> tuple[Operand, ...]:
        found: list[Operand] = []
        self.expect("(")
        self.list(lambda: found.append(self.operand()), ")")
        return tuple(found)

    def operand(self) -> Operand:
        name = self.name()
        self.expect(":")
        dtype, shape = self.dtype(), self.shape()
        return Operand(name, dtype, shape, self.name() if self.accept("in") else "memory")

    def axis(self) -> Axis:
        name = self.name()
        self.expect(":")
        extent: Extent = self.extent()
        return Axis(name, extent)

    def statement(self) -> Statement:
        target = self.name("a statement")
        if self.accept("["):
            index = self.exprs("]")
            self.expect("=")
            return Store(target, index, self.expr())
        self.expect("=")
        value: Expr | Reduce = self.reduce() or self.expr()
        dtype = value.body.dtype if isinstance(value, Reduce) else value.dtype
        self.scope.locals[target] = dtype
        return Let(target, value)

    def reduce(self) -> Reduce | None:
        """A reduction, unless the same word is called as a function of two operands."""
        op = REDUCTIONS.get(self.token.text)
        start = self.position
        if op is None or self.peek().text != "(":
            return None
        self.position += 2
        axes: list[str] = []
        while self.token.kind == "name" and not (axes and self.peek(-1).text != ","):
            axes.append(self.name())
            self.accept(",")
        if axes and self.accept(")") and (self.token.kind in ("name", "number") or self.token.text == "("):
            return Reduce(op, tuple(axes), self.expr())
        self.position = start
        return None
