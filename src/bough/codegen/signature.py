"""What a piece of loop code is, up to the names in it: pieces of one signature become one function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bough.base.errors import InternalError
from bough.ir import loops
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var

Token = object
Names = Mapping[str, int]


@dataclass(slots=True)
class Signature:
    """`values` and `buffers`: the names from outside in the order of their first use; `written`: buffers among them.

    Code of equal `tokens` differs by names and by source locations only. Instructions count all their operands as written.
    """

    tokens: list[Token] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    buffers: dict[str, int] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    bound: int = 0

    @classmethod
    def of(cls, body: Sequence[loops.Stmt], bound: Sequence[str] = ()) -> Signature:
        """The signature of statements in which the names `bound` have values."""
        signature = cls()
        signature._body(body, {name: signature._number() for name in bound}, {})
        return signature

    def _number(self) -> int:
        """A number for a name that is bound here."""
        self.bound += 1
        return self.bound

    def _body(self, body: Sequence[loops.Stmt], values: Names, buffers: Names) -> None:
        """Inner names are numbered where they are bound, outer ones, counted apart, by their first use."""
        values, buffers = dict(values), dict(buffers)
        for s in body:
            self.tokens.append(type(s).__name__)
            match s:
                case loops.For(var, start, stop, inner, kind, step, lanes, rooms):
                    self.tokens += [kind, step, lanes, rooms.count if rooms else 0]
                    self._expressions((start, stop), values, buffers)
                    bound = (var, rooms.var) if rooms else (var,)
                    self._body(inner, {**values, **{name: self._number() for name in bound}}, buffers)
                case loops.If(test, then, otherwise):
                    self._expressions((test,), values, buffers)
                    self._body(then, values, buffers)
                    self._body(otherwise, values, buffers)
                case loops.Let(name, value):
                    self._expressions((value,), values, buffers)
                    values[name] = self._number()
                case loops.Store(buffer, index, value):
                    self._buffer(buffer, buffers, written=True)
                    self._expressions((*index, value), values, buffers)
                case loops.Alloc(buffer):
                    self.tokens += [buffer.dtype.name, buffer.shape, buffer.place, buffer.align]
                    buffers[buffer.name] = self._number()
                case loops.Within(buffer, whole, start):
                    self._buffer(whole, buffers, written=True)
                    self.tokens += [buffer.dtype.name, buffer.shape, buffer.align]
                    self._expressions((start,), values, buffers)
                    buffers[buffer.name] = self._number()
                case loops.Invoke(instruction, operands):
                    self.tokens.append(instruction)
                    for part in operands:
                        self._buffer(part.buffer, buffers, written=True)
                        self.tokens.append(part.dims)
                        self._expressions(part.start, values, buffers)
                case loops.Fetch(buffer, index):
                    self._buffer(buffer, buffers)
                    self._expressions(index, values, buffers)
                case loops.While() | loops.Fail():
                    raise InternalError("control of the host stands in a part of its own")
        self.tokens.append("end")

    def _buffer(self, name: str, inner: Names, written: bool = False) -> None:
        if name in inner:
            self.tokens.append(inner[name])
            return
        self.tokens.append(("outer", self.buffers.setdefault(name, len(self.buffers))))
        if written:
            self.written.add(name)

    def _expressions(self, expressions: Sequence[Expr], values: Names, buffers: Names) -> None:
        for e in expressions:
            match e:
                case Const(value, dtype):
                    self.tokens.append((dtype.name, repr(value)))
                case Var(name, dtype):
                    known = values.get(name)
                    number = known if known is not None else ("outer", self.values.setdefault(name, len(self.values)))
                    self.tokens += [number, dtype.name]
                case Load(source, index, dtype):
                    self.tokens += ["load", dtype.name]
                    self._buffer(source, buffers)
                    self._expressions(index, values, buffers)
                case Apply(function, args, dtype):
                    self.tokens += [function, dtype.name]
                    self._expressions(args, values, buffers)
                case Cast(value, dtype):
                    self.tokens += ["cast", dtype.name]
                    self._expressions((value,), values, buffers)
