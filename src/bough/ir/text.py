"""What the texts of the three levels share: names, literals, types, expressions, and the reader of lines and tokens.

    expression   x[i, j + 1] * 2.0 - exp(y[]) , select(i < n, f32(a), 0.5) , i // 4 % 2 == 0 , min(a, b)
    literal      1 (i64), 1.0 (f32), true (bool); else with the type: 1_i32, 0.5_f64, inf_f16
    call         a function of the table, or a cast where the name is a type's
    type         f32[batch, 300]
    name         letters, digits, _ and dots; anything else between backquotes
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bough.base.errors import BoughError
from bough.base.source import Location
from bough.ir.dtypes import BOOL, DTYPES, F32, I64, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, as_extent
from bough.ir.functions import FUNCTIONS, result_type

_OPERATORS = {
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%",
}  # fmt: skip
_FUNCTIONS = {symbol: name for name, symbol in _OPERATORS.items()}
_LEVELS = (("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "//", "%"))
_PRECEDENCE = {symbol: level for level, symbols in enumerate(_LEVELS) for symbol in symbols}
ADDITIVE, ATOM = 1, 3

_NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
_PLAIN = re.compile(_NAME, re.ASCII)
_LITERAL = re.compile(rf"(true|false)|(inf|nan)(?:_({'|'.join(DTYPES)}))?")
_TOKEN = re.compile(
    rf"""(?P<space>\s+|\#.*)
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:_(?:{"|".join(DTYPES)}))?)
    |(?P<name>{_NAME}|`[^`]*`)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<attribute>\.(?:[A-Za-z_]\w*|`[^`]*`))
    |(?P<symbol>\.\.|->|//|<=|>=|==|!=|[-+*/%<>=()\[\],:])""",
    re.ASCII | re.VERBOSE,
)


class ParseError(BoughError, ValueError):
    """A text that is not in the language: where, and what was expected."""

    def __init__(self, message: str, line: int, column: int, source: str) -> None:
        self.line, self.column = line, column
        super().__init__(f"line {line}, column {column}: {message}\n  {source}\n  {' ' * (column - 1)}^")


# -- printing


RESERVED = frozenset({"if", "none"})
"""Words that name nothing unless quoted; other words are told from names by what follows them."""


def print_name(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and not _LITERAL.fullmatch(name) and name not in RESERVED
    return name if plain else f"`{name}`"


def print_expr(e: Expr, level: int = 0) -> str:
    """The text of an expression, in parentheses where it binds less than `level`."""
    match e:
        case Const():
            return _print_literal(e)
        case Var(name, _):
            return print_name(name)
        case Load(source, index, _):
            return f"{print_name(source)}[{', '.join(print_expr(i) for i in index)}]"
        case Cast(value, dtype):
            return f"{dtype}({print_expr(value)})"
        case Apply(function, (a, b), _) if function in _OPERATORS:
            symbol = _OPERATORS[function]
            mine = _PRECEDENCE[symbol]
            text = f"{print_expr(a, mine + (mine == 0))} {symbol} {print_expr(b, mine + 1)}"
            return f"({text})" if mine < level else text
        case Apply(function, args, _):
            return f"{function}({', '.join(print_expr(a) for a in args)})"


def _print_literal(e: Const) -> str:
    if e.dtype == BOOL:
        return "true" if e.value else "false"
    value = repr(float(e.value)) if e.dtype.is_float else str(int(e.value))
    return value if e.dtype in (I64, F32) else f"{value}_{e.dtype}"


def print_extent(extent: Extent) -> str:
    return str(extent) if isinstance(extent, int) else print_expr(extent)


def print_type(dtype: DType, shape: Iterable[Extent]) -> str:
    return f"{dtype}[{', '.join(print_extent(e) for e in shape)}]"


def print_location(location: Location | None, line: str) -> str:
    """The line with its place in the user's source as a comment."""
    return line if location is None else f"{line}  # {location}"


# -- reading


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    line: int
    column: int


@dataclass(slots=True)
class Line:
    """The tokens of a line, the last of kind `end`; `indent` counts leading blanks."""

    indent: int
    tokens: list[Token]


def read_lines(text: str) -> list[Line]:
    """The lines that hold more than comments. One that begins with `->`, or in brackets, continues the one before."""
    lines: list[Line] = []
    depth = 0
    for number, source in enumerate(text.splitlines(), 1):
        tokens = _read_tokens(number, source)
        if not tokens:
            continue
        end = Token("end", "", number, len(source.rstrip()) + 1)
        if lines and (depth > 0 or tokens[0].text == "->"):
            lines[-1].tokens[-1:] = [*tokens, end]
        else:
            lines.append(Line(tokens[0].column - 1, [*tokens, end]))
        depth += sum((t.text in ("(", "[")) - (t.text in (")", "]")) for t in tokens)
    return lines


def _read_tokens(number: int, source: str) -> list[Token]:
    tokens, position = [], 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None:
            raise ParseError(f"unexpected character {source[position]!r}", number, position + 1, source)
        if found.lastgroup != "space":
            tokens.append(Token(str(found.lastgroup), found.group(), number, position + 1))
        position = found.end()
    return tokens


@dataclass(slots=True)
class Scope:
    """The types that names have: arrays to load from, and locals that are not `i64`."""

    arrays: dict[str, DType]
    locals: dict[str, DType]

    def inner(self) -> Scope:
        return Scope(dict(self.arrays), dict(self.locals))


class Reader:
    """Reads a text line by line, and within the current line token by token."""

    def __init__(self, text: str) -> None:
        self.sources = text.splitlines()
        self.lines = read_lines(text)
        self.at = 0
        self.position = 0
        self.scope = Scope({}, {})

    # lines

    def more(self, indent: int = -1) -> bool:
        """Whether a line follows that is indented more than `indent`."""
        return self.at < len(self.lines) and self.lines[self.at].indent > indent

    @property
    def line(self) -> Line:
        if self.at >= len(self.lines):
            last = self.sources[-1] if self.sources else ""
            raise ParseError("unexpected end of the text", len(self.sources), len(last) + 1, last)
        return self.lines[self.at]

    def end_line(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected("the end of the line")
        self.at, self.position = self.at + 1, 0

    def end_text(self) -> None:
        if self.more():
            raise self.error("expected the end of the text")

    def block(self, indent: int, statement: Callable[[], None]) -> None:
        """Reads the lines indented more than `indent`, all by the same amount."""
        inner = self.line.indent if self.more(indent) else 0
        while self.more(indent):
            if self.line.indent != inner:
                raise self.error("unexpected indentation")
            statement()

    # tokens

    @property
    def token(self) -> Token:
        return self.line.tokens[self.position]

    def peek(self, offset: int = 1) -> Token:
        tokens = self.line.tokens
        return tokens[min(self.position + offset, len(tokens) - 1)]

    def error(self, message: str, token: Token | None = None) -> ParseError:
        place = token if token is not None else self.token
        return ParseError(message, place.line, place.column, self.sources[place.line - 1])

    def unexpected(self, wanted: str) -> ParseError:
        found = "the line ends" if self.token.kind == "end" else f"found {self.token.text!r}"
        return self.error(f"expected {wanted} but {found}")

    def advance(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def accept(self, text: str) -> bool:
        if self.token.text == text and self.token.kind != "string":
            self.position += 1
            return True
        return False

    def keyword(self, word: str) -> bool:
        """Reads a word that begins a line and has a name behind it; what is named like it has something else there."""
        return self.token.text == word and self.peek().kind == "name" and self.accept(word)

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.unexpected(repr(text))

    def name(self, what: str = "a name") -> str:
        if self.token.kind != "name" or self.token.text in RESERVED:
            raise self.unexpected(what)
        return self.advance().text.strip("`")

    def integer(self) -> int:
        if self.token.kind != "number" or not self.token.text.isdecimal():
            raise self.unexpected("an integer")
        return int(self.advance().text)

    def list(self, item: Callable[[], None], close: str) -> None:
        """Items separated by commas up to `close`, which is read too."""
        while not self.accept(close):
            item()
            if not self.accept(","):
                self.expect(close)
                return

    # types and expressions

    def dtype(self) -> DType:
        token = self.token
        name = self.name("a type")
        if name not in DTYPES:
            raise self.error(f"unknown type {name}", token)
        return DTYPES[name]

    def extent(self) -> Extent:
        return as_extent(self.expr())

    def shape(self) -> tuple[Extent, ...]:
        self.expect("[")
        extents: list[Extent] = []
        self.list(lambda: extents.append(self.extent()), "]")
        return tuple(extents)

    def expr(self, level: int = 0) -> Expr:
        """An expression whose operators bind at least as `level`."""
        if level == ATOM:
            return self._atom()
        left = self.expr(level + 1)
        while self.token.text in _LEVELS[level] and self.token.kind == "symbol":
            if self.token.text == "+" and self.peek().text == ":":
                break
            token = self.advance()
            left = self._apply(_FUNCTIONS[token.text], (left, self.expr(level + 1)), token)
            if level == 0:
                break
        return left

    def exprs(self, close: str) -> tuple[Expr, ...]:
        """Expressions separated by commas up to `close`."""
        found: list[Expr] = []
        self.list(lambda: found.append(self.expr()), close)
        return tuple(found)

    def _atom(self) -> Expr:
        if self.accept("("):
            inner = self.expr()
            self.expect(")")
            return inner
        token = self.token
        negative = self.accept("-")
        literal = self._literal(negative)
        if literal is not None:
            return literal
        if negative:
            raise self.error("expected a number after the sign (a negation is written neg(x))")
        quoted = token.text.startswith("`")
        name = self.name("an expression")
        if self.accept("["):
            if name not in self.scope.arrays:
                raise self.error(f"unknown array {name}", token)
            return Load(name, self.exprs("]"), self.scope.arrays[name])
        if quoted or self.token.text != "(":
            return Var(name, self.scope.locals.get(name, I64))
        self.advance()
        args = self.exprs(")")
        if name in DTYPES and len(args) == 1:
            return Cast(args[0], DTYPES[name])
        return self._apply(name, args, token)

    def _literal(self, negative: bool) -> Const | None:
        token = self.token
        text, _, suffix = token.text.partition("_")
        if token.kind == "number":
            self.advance()
            floating = not text.isdecimal()
            dtype = DTYPES[suffix] if suffix else F32 if floating else I64
            if floating and not dtype.is_float:
                raise self.error(f"{text} is no literal of type {dtype}", token)
            value: float | int = float(text) if dtype.is_float else int(text)
            return Const(-value if negative else value, dtype)
        if token.kind == "name" and _LITERAL.fullmatch(token.text):
            self.advance()
            if text in ("true", "false"):
                return Const(text == "true", BOOL)
            return Const(float(f"{'-' * negative}{text}"), DTYPES[suffix] if suffix else F32)
        return None

    def _apply(self, name: str, args: tuple[Expr, ...], token: Token) -> Apply:
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.error(f"unknown function {name}", token)
        if len(args) != function.arity:
            raise self.error(f"{name} takes {function.arity} operands, not {len(args)}", token)
        return Apply(name, args, result_type(name, *(a.dtype for a in args)))


def parse_expr(
    text: str, arrays: Mapping[str, DType] | None = None, variables: Mapping[str, DType] | None = None
) -> Expr:
    """An expression from its text; `arrays` and `variables` give the types of names (variables not named are `i64`)."""
    reader = Reader(text)
    reader.scope = Scope(dict(arrays or {}), dict(variables or {}))
    e = reader.expr()
    reader.end_line()
    reader.end_text()
    return e

