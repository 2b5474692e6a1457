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

Choices and loops that depend on computed values:

    if long                                        while
      a: f32[8] = relu(x)                            carry i: i64[] = zero
    else                                             more: bool[] = less(i, n)
      b: f32[8] = neg(x)                             test more
    join y: f32[8] = a, b                            i2: i64[] = add(i, one)
    size count = i_last in 1..64                     next i = i2 -> i_last: i64[]
    check long "AssertionError" "too short"

One `func` per function, the entry first. Attributes are numbers, sizes, strings, `true`, `false`, `none`, types and tuples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bough.ir.dtypes import BOOL, DTYPES, F32, I64
from bough.ir.expr import Const
from bough.ir.program import Assign, Attribute, Check, Dim, Function, If, Loop, Node, Program, Size, TensorType, Value, While
from bough.ir.program_print import content_hash, print_assign, print_dims, print_program, same_program
from bough.ir.text import ParseError, Reader, Token

__all__ = [
    "ProgramReader", "content_hash", "parse_program", "print_assign", "print_dims", "print_program", "read_dims", "same_program",
]  # fmt: skip

Array = np.ndarray[Any, Any]


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


@dataclass(slots=True)
class _States:
    """Carried values of a loop that is being read, each with its initial value; and with its next one and the final value."""

    carried: dict[Value, Value] = field(default_factory=dict)
    next: dict[Value, tuple[Value, Value]] = field(default_factory=dict)

    def groups(self, reader: Reader, header: Token) -> tuple[tuple[Value, ...], ...]:
        """The carried, initial, updated and final values."""
        if len(self.next) != len(self.carried):
            raise reader.error("a carried value of this loop has no next value", header)
        updates = [self.next[v] for v in self.carried]
        return tuple(self.carried), tuple(self.carried.values()), tuple(u for u, _ in updates), tuple(f for _, f in updates)


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
        if self.keyword("if"):
            return self.branches(indent)
        if first.text == "while" and self.peek().kind == "end":
            return self.whilst(indent)
        if self.keyword("size"):
            return self.size()
        if self.keyword("check"):
            node = Check(self.value(), self.string(), self.string())
            self.end_line()
            return node
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
        states = _States()
        stack: list[tuple[Value, Value]] = []
        body: list[Node] = []

        def line() -> None:
            if self.keyword("stack"):
                v = self.value()
                self.expect("->")
                stack.append((v, self.definition()))
                self.end_line()
            elif not self.state(states):
                body.append(self.node())

        self.block(indent, line)
        carried, initial, updated, final = states.groups(self, header)
        stacked = tuple(v for _, v in stack)
        return Loop(index, count, carried, initial, updated, final, tuple(v for v, _ in stack), stacked, body, reverse)

    def state(self, states: _States) -> bool:
        """Reads a line about a carried value, if it is one."""
        first = self.token
        if self.keyword("carry"):
            v = self.definition()
            self.expect("=")
            states.carried[v] = self.value()
        elif self.keyword("next"):
            v = self.value()
            self.expect("=")
            if v not in states.carried or v in states.next:
                raise self.error(f"{v.name} is not carried, or has its next value", first)
            updated = self.value()
            self.expect("->")
            states.next[v] = (updated, self.definition())
        else:
            return False
        self.end_line()
        return True

    def branches(self, indent: int) -> If:
        condition = self.value()
        self.end_line()
        then, otherwise = self.body(indent), []
        if self.more(indent - 1) and self.token.text == "else" and self.peek().kind == "end":
            self.advance()
            self.end_line()
            otherwise = self.body(indent)
        joins: list[tuple[Value, Value, Value]] = []
        while self.more(indent - 1) and self.keyword("join"):
            result = self.definition()
            self.expect("=")
            a = self.value()
            self.expect(",")
            joins.append((result, a, self.value()))
            self.end_line()
        results, a_, b_ = (tuple(j[n] for j in joins) for n in range(3))
        return If(condition, then, a_, otherwise, b_, results)

    def body(self, indent: int) -> list[Node]:
        nodes: list[Node] = []
        self.block(indent, lambda: nodes.append(self.node()))
        return nodes

    def whilst(self, indent: int) -> While:
        header = self.advance()
        self.end_line()
        states = _States()
        head: list[Node] = []
        body: list[Node] = []
        tests: list[Value] = []

        def line() -> None:
            if not tests and self.keyword("test"):
                tests.append(self.value())
                self.end_line()
            elif not self.state(states):
                (body if tests else head).append(self.node())

        self.block(indent, line)
        if not tests:
            raise self.error("this loop tests nothing", header)
        carried, initial, updated, final = states.groups(self, header)
        return While(carried, initial, head, tests[0], body, updated, final)

    def size(self) -> Size:
        name = self.name()
        self.expect("=")
        value = self.value()
        self.expect("in")
        low = self.integer()
        self.expect("..")
        high = None if self.token.kind == "end" else self.extent()
        self.end_line()
        return Size(name, value, low, high)

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
