"""Loop functions as text and back.

    func linear(batch) (x: f32[batch, 300], w: f32[16, 300, 32] align 64, y: f32[batch, 512])
      parallel jo in 0..16
        for i in 0..batch step 2
          alloc acc: f32[2, 16] in register align 64
          if i < 4
            limit = min(16, batch - i)
          else
            y[i, 0] = 0.0
          for k in 0..300
            unroll v in 0..2
              avx512.fma(acc[v, :], x[i, k], w[jo, k, v * 16 + :])
            fetch w[jo + 1, k, 0]
          vector l in 0..16 lanes 16
            y[i, l] = acc[0, l]

In the host part:

    while turn
      going = flag[0]
      test going and turn < 100
      if x[0] < 0.0
        fail 2

A slice's `:` extends along the next dimension of the instruction's operand, `:1` along its dimension 1.
"""

from __future__ import annotations

from bough.ir.expr import Const, Expr
from bough.ir.loops import (
    Alloc,
    Buffer,
    Fail,
    Fetch,
    For,
    Function,
    If,
    Invoke,
    Let,
    LoopKind,
    Rooms,
    Slice,
    Stmt,
    Store,
    While,
    Within,
)
from bough.ir.text import ADDITIVE, Reader, Scope, print_expr, print_location, print_name, print_type

KINDS: dict[str, LoopKind] = {"for": "serial", "parallel": "parallel", "unroll": "unroll", "vector": "vector"}
_WORDS = {kind: word for word, kind in KINDS.items()}
_ALIGN = 4


def print_loops(function: Function) -> str:
    """The text of a loop function."""
    scalars = ", ".join(map(print_name, function.scalars))
    params = ", ".join(_buffer(b) for b in function.params)
    header = f"func {print_name(function.name)}({scalars}) ({params})"
    lines = [print_location(function.location, header)]
    _print_block(function.body, "  ", lines)
    return "\n".join(lines) + "\n"


def _print_block(statements: tuple[Stmt, ...], indent: str, lines: list[str]) -> None:
    for s in statements:
        lines.append(indent + print_head(s))
        match s:
            case For():
                _print_block(s.body, indent + "  ", lines)
            case If():
                _print_block(s.then, indent + "  ", lines)
                if s.otherwise:
                    lines.append(f"{indent}else")
                    _print_block(s.otherwise, indent + "  ", lines)
            case While():
                _print_block(s.head, indent + "  ", lines)
                lines.append(f"{indent}  test {print_expr(s.condition)}")
                _print_block(s.body, indent + "  ", lines)


def print_head(s: Stmt) -> str:
    """The first line of a statement."""
    match s:
        case For():
            step = f" step {s.step}" if s.step != 1 else ""
            lanes = f" lanes {s.lanes}" if s.lanes else ""
            rooms = f" room {print_name(s.rooms.var)} of {s.rooms.count}" if s.rooms else ""
            bounds = f"{print_expr(s.start)}..{print_expr(s.stop)}"
            return print_location(s.location, f"{_WORDS[s.kind]} {print_name(s.var)} in {bounds}{step}{lanes}{rooms}")
        case If(condition, _, _):
            return f"if {print_expr(condition)}"
        case While():
            return print_location(s.location, f"while {print_name(s.var)}")
        case Fail(code):
            return f"fail {code}"
        case Let(name, value):
            return f"{print_name(name)} = {print_expr(value)}"
        case Store(buffer, index, value):
            return f"{print_name(buffer)}[{', '.join(map(print_expr, index))}] = {print_expr(value)}"
        case Alloc(b):
            return f"alloc {_buffer(b)}"
        case Within(b, whole, start):
            return f"within {print_name(whole)} from {print_expr(start)} {_buffer(b)}"
        case Invoke(instruction, operands):
            return f"{print_name(instruction)}({', '.join(map(_slice, operands))})"
        case Fetch(buffer, index):
            return f"fetch {print_name(buffer)}[{', '.join(map(print_expr, index))}]"


def _buffer(b: Buffer) -> str:
    place = "" if b.place == "memory" else f" in {print_name(b.place)}"
    align = f" align {b.align}" if b.align != _ALIGN else ""
    return f"{print_name(b.name)}: {print_type(b.dtype, b.shape)}{place}{align}"


def _slice(s: Slice) -> str:
    in_order = list(s.dims) == sorted(s.dims)

    def part(position: int, start: Expr) -> str:
        if position not in s.dims:
            return print_expr(start)
        colon = ":" if in_order else f":{s.dims.index(position)}"
        return colon if start == Const(0) else f"{print_expr(start, ADDITIVE)} + {colon}"

    return f"{print_name(s.buffer)}[{', '.join(part(d, start) for d, start in enumerate(s.start))}]"


def parse_loops(text: str) -> Function:
    """The loop function of a text; what `print_loops` made comes back equal. Raises ParseError."""
    reader = LoopsReader(text)
    function = reader.function()
    reader.end_text()
    return function


class LoopsReader(Reader):
    """Reads loop functions."""

    def function(self) -> Function:
        indent = self.line.indent
        self.expect("func")
        name = self.name()
        scalars: list[str] = []
        params: list[Buffer] = []
        self.expect("(")
        self.list(lambda: scalars.append(self.name()), ")")
        self.expect("(")
        self.list(lambda: params.append(self.buffer()), ")")
        self.end_line()
        self.scope = Scope({b.name: b.dtype for b in params}, {})
        return Function(name, tuple(scalars), tuple(params), self.statements(indent))

    def buffer(self) -> Buffer:
        name = self.name()
        self.expect(":")
        dtype, shape = self.dtype(), self.shape()
        place = self.name() if self.accept("in") else "memory"
        return Buffer(name, dtype, shape, place, self.integer() if self.accept("align") else _ALIGN)

    def statements(self, indent: int, loop_variable: str | None = None) -> tuple[Stmt, ...]:
        """The block under a line, with a scope of its own."""
        outer, self.scope = self.scope, self.scope.inner()
        if loop_variable is not None:
            self.scope.locals.pop(loop_variable, None)
        found: list[Stmt] = []
        self.block(indent, lambda: found.append(self.statement()))
        self.scope = outer
        return tuple(found)

    def statement(self) -> Stmt:
        indent = self.line.indent
        for word, kind in KINDS.items():
            if self.keyword(word):
                return self.loop(kind, indent)
        if self.accept("if"):
            condition = self.expr()
            self.end_line()
            then = self.statements(indent)
            otherwise: tuple[Stmt, ...] = ()
            if self.more(indent - 1) and self.line.indent == indent and self.accept("else"):
                self.end_line()
                otherwise = self.statements(indent)
            return If(condition, then, otherwise)
        if self.keyword("while"):
            return self.whilst(indent)
        s = self.simple_statement()
        self.end_line()
        return s

    def whilst(self, indent: int) -> While:
        var = self.name()
        self.end_line()
        head: list[Stmt] = []
        body: list[Stmt] = []
        tests: list[Expr] = []
        outer, self.scope = self.scope, self.scope.inner()
        self.scope.locals.pop(var, None)

        def line() -> None:
            if not tests and self.accept("test"):
                tests.append(self.expr())
                self.end_line()
            else:
                (body if tests else head).append(self.statement())

        start = self.line
        self.block(indent, line)
        self.scope = outer
        if not tests:
            raise self.error("a loop has a test", start.tokens[0])
        return While(var, tuple(head), tests[0], tuple(body))

    def loop(self, kind: LoopKind, indent: int) -> For:
        var = self.name()
        self.expect("in")
        start = self.expr()
        self.expect("..")
        stop = self.expr()
        step = self.integer() if self.accept("step") else 1
        lanes = self.integer() if self.accept("lanes") else 0
        rooms = self.rooms() if self.accept("room") else None
        self.end_line()
        return For(var, start, stop, self.statements(indent, var), kind, step, lanes, rooms)

    def rooms(self) -> Rooms:
        var = self.name()
        self.expect("of")
        return Rooms(var, self.integer())

    def simple_statement(self) -> Stmt:
        if self.token.text == "fail" and self.peek().kind == "number" and self.accept("fail"):
            return Fail(self.integer())
        if self.keyword("alloc"):
            buffer = self.buffer()
            self.scope.arrays[buffer.name] = buffer.dtype
            return Alloc(buffer)
        if self.keyword("within"):
            whole = self.name()
            self.expect("from")
            start = self.expr()
            buffer = self.buffer()
            self.scope.arrays[buffer.name] = buffer.dtype
            return Within(buffer, whole, start)
        if self.keyword("fetch"):
            name = self.name("a buffer")
            self.expect("[")
            return Fetch(name, self.exprs("]"))
        name = self.name("a statement")
        if self.accept("["):
            index = self.exprs("]")
            self.expect("=")
            return Store(name, index, self.expr())
        if self.accept("("):
            slices: list[Slice] = []
            self.list(lambda: slices.append(self.slice()), ")")
            return Invoke(name, tuple(slices))
        self.expect("=")
        value = self.expr()
        self.scope.locals[name] = value.dtype
        return Let(name, value)

    def slice(self) -> Slice:
        buffer = self.name("a slice")
        start: list[Expr] = []
        along: dict[int, int] = {}

        def part() -> None:
            first = Const(0) if self.token.text == ":" else self.expr()
            if self.accept("+") or self.token.text == ":":
                self.expect(":")
                along[self.integer() if self.token.kind == "number" else len(along)] = len(start)
            start.append(first)

        self.expect("[")
        self.list(part, "]")
        if sorted(along) != list(range(len(along))):
            raise self.error(f"the dimensions of the slice are {sorted(along)}")
        return Slice(buffer, tuple(start), tuple(along[d] for d in range(len(along))))
