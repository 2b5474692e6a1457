"""Programs as text; `program_text` describes it and reads it back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from bough.ir.dtypes import BOOL, F32, I64, DType
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.program import Assign, Check, Dim, Function, If, Loop, Node, Program, Size, Value, While
from bough.ir.text import print_expr, print_extent, print_location, print_name, print_type

Array = np.ndarray[Any, Any]


def print_program(program: Program, hashes: bool = False, locations: bool = True) -> str:
    """The text of a program. Constants appear by name and type, with `hashes` of their bytes too."""
    entry = program.functions[program.entry]
    others = [f for f in program.functions.values() if f is not entry]
    printer = _Printer(hashes, locations)
    return "\n".join(printer.function(f) for f in (entry, *others))


def same_program(a: Program, b: Program) -> bool:
    """Whether two programs are alike but for the identity of their values, locations, and the entry's name."""
    return print_program(a, hashes=True, locations=False) == print_program(b, hashes=True, locations=False)


def content_hash(array: Array) -> str:
    """Of an array's elements in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


class _Printer:
    def __init__(self, hashes: bool, locations: bool) -> None:
        self.hashes, self.locations = hashes, locations
        self.lines: list[str] = []

    def function(self, f: Function) -> str:
        self.lines = []
        results = ", ".join(print_name(v.name) for v in f.results)
        self.line("", f"func {print_name(f.name)}({_definitions(f.params)}) -> ({results})")
        if f.dims:
            self.line("  ", print_dims(f.dims))
        for v, array in f.constants.items():
            self.line("  ", f"const {_definition(v)}" + (f' hash "{content_hash(array)}"' if self.hashes else ""))
        self.nodes(f.body, "  ")
        return "\n".join(self.lines) + "\n"

    def line(self, indent: str, text: str, location: Any = None) -> None:
        self.lines.append(indent + print_location(location if self.locations else None, text))

    def nodes(self, nodes: Iterable[Node], indent: str) -> None:
        for node in nodes:
            match node:
                case Assign():
                    self.line(indent, print_assign(node), node.location)
                case Loop():
                    self.loop(node, indent)
                case If():
                    self.branches(node, indent)
                case While():
                    self.whilst(node, indent)
                case Size() | Check():
                    self.line(indent, print_scalar_use(node), node.location)

    def loop(self, loop: Loop, indent: str) -> None:
        reverse = " reverse" if loop.reverse else ""
        self.line(indent, f"loop {_definition(loop.index)} in 0..{print_extent(loop.count)}{reverse}", loop.location)
        inner = indent + "  "
        self.carry(loop, inner)
        self.nodes(loop.body, inner)
        self.next(loop, inner)
        for v, stacked in zip(loop.collected, loop.stacked, strict=True):
            self.line(inner, f"stack {print_name(v.name)} -> {_definition(stacked)}")

    def carry(self, loop: Loop | While, indent: str) -> None:
        for v, initial in zip(loop.carried, loop.initial, strict=True):
            self.line(indent, f"carry {_definition(v)} = {print_name(initial.name)}")

    def next(self, loop: Loop | While, indent: str) -> None:
        for v, updated, final in zip(loop.carried, loop.updated, loop.final, strict=True):
            self.line(indent, f"next {print_name(v.name)} = {print_name(updated.name)} -> {_definition(final)}")

    def branches(self, node: If, indent: str) -> None:
        self.line(indent, f"if {print_name(node.condition.name)}", node.location)
        self.nodes(node.then, indent + "  ")
        if node.otherwise:
            self.line(indent, "else")
            self.nodes(node.otherwise, indent + "  ")
        for v, a, b in zip(node.results, node.then_results, node.otherwise_results, strict=True):
            self.line(indent, f"join {_definition(v)} = {print_name(a.name)}, {print_name(b.name)}")

    def whilst(self, node: While, indent: str) -> None:
        self.line(indent, "while", node.location)
        inner = indent + "  "
        self.carry(node, inner)
        self.nodes(node.head, inner)
        self.line(inner, f"test {print_name(node.condition.name)}")
        self.nodes(node.body, inner)
        self.next(node, inner)


def print_assign(node: Assign) -> str:
    args = ["none" if a is None else print_name(a.name) for a in node.args]
    args += [f"{print_name(k)}={print_attribute(v)}" for k, v in node.attributes.items()]
    return f"{_definitions(node.results)} = {print_name(node.op)}({', '.join(args)})"


def print_scalar_use(node: Size | Check) -> str:
    """The text of a node that gives a scalar's value a meaning outside of tensors."""
    if isinstance(node, Check):
        return f"check {print_name(node.condition.name)} {json.dumps(node.error)} {json.dumps(node.message)}"
    high = "" if node.high is None else print_extent(node.high)
    return f"size {print_name(node.name)} = {print_name(node.value.name)} in {node.low}..{high}"


def print_attribute(value: Any) -> str:
    match value:
        case None:
            return "none"
        case str():
            return json.dumps(value)
        case DType():
            return value.name
        case bool() | int() | float():
            return print_expr(Const(value, BOOL if isinstance(value, bool) else F32 if isinstance(value, float) else I64))
        case tuple():
            return f"({', '.join(map(print_attribute, value))}{',' * (len(value) == 1)})"
        case Const() | Var() | Load() | Apply() | Cast():
            return print_expr(value)
    raise TypeError(f"{value!r} is no attribute")


def _definition(v: Value) -> str:
    return f"{print_name(v.name)}: {print_type(v.type.dtype, v.type.shape)}"


def _definitions(values: Iterable[Value]) -> str:
    return ", ".join(map(_definition, values))


def print_dims(dims: Iterable[Dim]) -> str:
    """The line that declares symbolic sizes."""
    return "dims " + ", ".join(f"{print_name(d.name)}: {d.low}..{'' if d.high is None else d.high}" for d in dims)
