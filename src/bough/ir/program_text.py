"""Programs as text and back.

    func main(x: f32[batch, tokens, 8]) -> (last, all)
      dims batch: 1..1024, tokens: 0..
      const w: f32[8, 8] hash "0f3a99c1e5d27b64"
      h0: f32[batch, 8] = full(none, value=0.0, shape=(batch, 8))        # model.py:12
      loop t: i64[] in 0..tokens reverse
        carry h: f32[batch, 8] = h0
        h2: f32[batch, 8], gate: f32[batch, 8] = cell(x, t, h, w)
        next h = h2 -> last: f32[batch, 8]
        stack gate -> all: f32[tokens, batch, 8]

One `func` per function, the entry first. Attributes are numbers, sizes, strings, `true`, `false`, `none`, types and tuples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bough.ir.dtypes import BOOL, DTYPES, F32, I64, DType
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.program import Assign, Attribute, Dim, Function, Loop, Node, Program, TensorType, Value
from bough.ir.text import (
    ParseError,
    Reader,
    Token,
    print_expr,
    print_extent,
    print_location,
    print_name,
    print_type,
)

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
            if isinstance(node, Assign):
                self.line(indent, print_assign(node), node.location)
            else:
                self.loop(node, indent)

    def loop(self, loop: Loop, indent: str) -> None:
        reverse = " reverse" if loop.reverse else ""
        self.line(indent, f"loop {_definition(loop.index)} in 0..{print_extent(loop.count)}{reverse}", loop.location)
        inner = indent + "  "
        for v, initial in zip(loop.carried, loop.initial, strict=True):
            self.line(inner, f"carry {_definition(v)} = {print_name(initial.name)}")
        self.nodes(loop.body, inner)
        for v, updated, final in zip(loop.carried, loop.updated, loop.final, strict=True):
            update = f"{print_name(v.name)} = {print_name(updated.name)}"
            self.line(inner, f"next {update} -> {_definition(final)}")
        for v, stacked in zip(loop.collected, loop.stacked, strict=True):
            self.line(inner, f"stack {print_name(v.name)} -> {_definition(stacked)}")


def print_assign(node: Assign) -> str:
    args = ["none" if a is None else print_name(a.name) for a in node.args]
    args += [f"{print_name(k)}={print_attribute(v)}" for k, v in node.attributes.items()]
    return f"{_definitions(node.results)} = {print_name(node.op)}({', '.join(args)})"


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


def parse_program(text: str, constants: Mapping[str, Array] | None = None) -> Program:
    """The program of a text, with arrays for its constants by name; those not given are zeros.

    What `print_program` made comes back as the same program but for identities and locations. Raises ParseError, also for
    an array whose hash is not the one in the text.
    """
    reader = ProgramReader(text, constants or {})
    functions = [reader.function()]
    while reader.more():
        functions.append(reader.function())
    return Program({f.name: f for f in functions}, functions[0].name)


def read_dims(reader: Reader) -> list[Dim]:
    """What stands behind the word `dims`."""
    dims: list[Dim] = []
    while not dims or reader.accept(","):
        name = reader.name()
        reader.expect(":")
        low = reader.integer()
        reader.expect("..")
        dims.append(Dim(name, low, reader.integer() if reader.token.kind == "number" else None))
    return dims


class ProgramReader(Reader):
    """Reads the functions of a program."""

    def __init__(self, text: str, constants: Mapping[str, Array]) -> None:
        super().__init__(text)
        self.arrays = constants
        self.values: dict[str, Value] = {}

    def function(self) -> Function:
        indent = self.line.indent
        self.values = {}
        self.expect("func")
        name = self.name()
        params: list[Value] = []
        self.expect("(")
        self.list(lambda: params.append(self.definition()), ")")
        self.expect("->")
        self.expect("(")
        results: list[Token] = []
        self.list(lambda: results.append(self.named()), ")")
        self.end_line()
        dims: list[Dim] = []
        constants: dict[Value, Array] = {}
        body: list[Node] = []

        def line() -> None:
            if self.keyword("dims"):
                dims.extend(read_dims(self))
                self.end_line()
            elif self.keyword("const"):
                v = self.definition()
                constants[v] = self.constant(v)
                self.end_line()
            else:
                body.append(self.node())

        self.block(indent, line)
        return Function(name, tuple(params), constants, body, tuple(map(self.value_of, results)), tuple(dims))

    # values

    def named(self) -> Token:
        """The token of a name."""
        token = self.token
        self.name("a value")
        return token

    def definition(self) -> Value:
        token = self.named()
        name = token.text.strip("`")
        if name in self.values:
            raise self.error(f"{name} is defined twice", token)
        self.expect(":")
        v = self.values[name] = Value(name, TensorType(self.dtype(), self.shape()))
        return v

    def definitions(self) -> tuple[Value, ...]:
        found = [self.definition()]
        while self.accept(","):
            found.append(self.definition())
        return tuple(found)

    def value_of(self, token: Token) -> Value:
        name = token.text.strip("`")
        if name not in self.values:
            raise self.error(f"no value is named {name}", token)
        return self.values[name]

    def value(self) -> Value:
        return self.value_of(self.named())

    def constant(self, v: Value) -> Array:
        array = self.arrays.get(v.name)
        wanted = self.string() if self.accept("hash") else None
        if array is None:
            return np.zeros([e for e in v.type.shape if isinstance(e, int)], v.type.dtype.numpy)
        if wanted is not None and wanted != content_hash(array):
            raise self.error(f"the array given for {v.name} is another one", self.peek(-1))
        return array

    def string(self) -> str:
        if self.token.kind != "string":
            raise self.unexpected("a string")
        return str(json.loads(self.advance().text))

    # nodes

    def node(self) -> Node:
        indent, first = self.line.indent, self.token
        if self.keyword("loop"):
            return self.loop(indent, first)
        results = self.definitions()
        self.expect("=")
        op = self.name("an operator")
        args: list[Value | None] = []
        attributes: dict[str, Attribute] = {}

        def argument() -> None:
            if self.peek().text == "=":
                name = self.name("an attribute")
                self.advance()
                attributes[name] = self.attribute()
            else:
                args.append(None if self.accept("none") else self.value())

        self.expect("(")
        self.list(argument, ")")
        self.end_line()
        return Assign(results, op, tuple(args), attributes)

    def loop(self, indent: int, header: Token) -> Loop:
        index = self.definition()
        self.expect("in")
        if self.integer() != 0:
            raise self.error("a loop starts from 0", self.peek(-1))
        self.expect("..")
        count = self.extent()
        reverse = self.accept("reverse")
        self.end_line()
        carried: dict[Value, Value] = {}
        next_: dict[Value, tuple[Value, Value]] = {}
        stack: list[tuple[Value, Value]] = []
        body: list[Node] = []

        def line() -> None:
            first = self.token
            if self.keyword("carry"):
                v = self.definition()
                self.expect("=")
                carried[v] = self.value()
            elif self.keyword("next"):
                v = self.value()
                self.expect("=")
                if v not in carried or v in next_:
                    raise self.error(f"{v.name} is not carried, or has its next value", first)
                updated = self.value()
                self.expect("->")
                next_[v] = (updated, self.definition())
            elif self.keyword("stack"):
                v = self.value()
                self.expect("->")
                stack.append((v, self.definition()))
            else:
                body.append(self.node())
                return
            self.end_line()

        self.block(indent, line)
        if len(next_) != len(carried):
            raise self.error("a carried value of this loop has no next value", header)
        updates = [next_[v] for v in carried]
        return Loop(
            index, count,
            tuple(carried), tuple(carried.values()), tuple(u for u, _ in updates), tuple(f for _, f in updates),
            tuple(v for v, _ in stack), tuple(v for _, v in stack),
            body, reverse,
        )  # fmt: skip

    # attributes

    def attribute(self) -> Attribute:
        token = self.token
        if token.kind == "string":
            return self.string()
        if self.accept("none"):
            return None
        if token.text in DTYPES and self.peek().text != "(":
            return self.dtype()
        if token.text != "(":
            return self.plain()
        start = self.position
        try:
            return self.plain()
        except ParseError:
            self.position = start + 1
        items: list[Attribute] = []
        self.list(lambda: items.append(self.attribute()), ")")
        return tuple(items)

    def plain(self) -> Attribute:
        """A number, or an expression over sizes."""
        e = self.expr()
        simple = isinstance(e, Const) and e.dtype in (BOOL, I64, F32)
        return e.value if simple and isinstance(e, Const) else e  # type: ignore[return-value]
