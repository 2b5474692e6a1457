"""Branches and loops of the Program level while they are being built: open frames over the bodies of a `Builder`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from bough.base.errors import CompileError, InternalError
from bough.base.source import Location
from bough.frontends.builder import Builder
from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Extent, variables
from bough.ir.program import If, Loop, Node, Size, TensorType, Value, While, results_of

DEEPEST = 100
"""How deep branches and loops may nest."""


@dataclass(frozen=True, slots=True)
class NewSize:
    """A size that a result has and its sources have not: that of `axis` of the tensor number `tensor`."""

    name: str
    low: int
    high: Extent | None
    tensor: int
    axis: int


@dataclass(slots=True)
class _OpenIf:
    condition: Value
    location: Location | None
    then: list[Node] | None = None


@dataclass(slots=True)
class _OpenWhile:
    carried: tuple[Value, ...]
    initial: tuple[Value, ...]
    sizes: Sequence[NewSize]
    location: Location | None
    head: list[Node] = field(default_factory=list)
    condition: Value | None = None


@dataclass(slots=True)
class _OpenFor:
    index: Value
    count: Extent
    carried: tuple[Value, ...]
    initial: tuple[Value, ...]
    reverse: bool
    location: Location | None


F = TypeVar("F", _OpenIf, _OpenWhile, _OpenFor)


class Regions:
    """Begins and ends branches and loops, innermost first, and tells which values are known in the innermost."""

    def __init__(self, builder: Builder) -> None:
        self.b = builder
        self._open: list[_OpenIf | _OpenWhile | _OpenFor] = []
        self._home: dict[Value, int] = {}
        self._noted: dict[int, tuple[list[Node], int]] = {}
        self._visible: set[int] = set()
        self._lasting: dict[Value, Value] = {}
        self.scope_changed()

    def scope_changed(self) -> None:
        """To be called where a body has been opened or closed by others."""
        for body in self.b.bodies:
            self._note(body)
        heads = [frame.head for frame in self._open if isinstance(frame, _OpenWhile)]
        self._visible = {id(body) for body in (*self.b.bodies, *heads)}

    def is_known(self, value: Value) -> bool:
        """Whether a value can be used in the innermost body. Values made elsewhere than in a body are known everywhere."""
        if value not in self._home:
            self._note(self.b.bodies[-1])
        return self._home.get(value, id(self.b.bodies[0])) in self._visible

    def lasting(self, value: Value) -> Value:
        """What has the same elements behind a loop that does not change it."""
        while value in self._lasting and not self.is_known(value):
            value = self._lasting[value]
        return value

    def _note(self, body: list[Node]) -> None:
        """Notes where the values of new nodes are at home."""
        _, known = self._noted.get(id(body), (body, 0))
        for node in body[known:]:
            self._home.update(dict.fromkeys(results_of(node), id(body)))
        self._noted[id(body)] = (body, len(body))

    def _open_body(self) -> None:
        self.b.bodies.append([])
        self.scope_changed()

    def _close_body(self) -> list[Node]:
        self._note(self.b.bodies[-1])
        body = self.b.bodies.pop()
        self.scope_changed()
        return body

    def begin_if(self, condition: Value) -> None:
        self._push(_OpenIf(condition, self.b.location))
        self._open_body()

    def begin_else(self) -> None:
        frame = self._innermost(_OpenIf)
        frame.then = self._close_body()
        self._open_body()

    @contextmanager
    def in_first_branch(self) -> Iterator[None]:
        """While active, the first branch of the innermost `if` is open once more in place of the second."""
        frame = self._innermost(_OpenIf)
        if frame.then is None:
            raise InternalError("a branch ends that has no other side")
        second = self._close_body()
        self.b.bodies.append(frame.then)
        self.scope_changed()
        yield
        self._close_body()
        self.b.bodies.append(second)
        self.scope_changed()

    def end_if(
        self,
        then: Sequence[Value | None],
        otherwise: Sequence[Value | None],
        types: Sequence[TensorType],
        sizes: Sequence[NewSize] = (),
    ) -> tuple[Value, ...]:
        """The results, of these types. None among the values of a branch: zeros, of size 0 where the size is new."""
        with self.in_first_branch():
            first = self._ends(then, types, sizes)
        second = self._ends(otherwise, types, sizes)
        frame = self._innermost(_OpenIf)
        self._open.pop()
        body = self._close_body()
        results = [self.b.value(t) for t in types] + [self.b.value(_SIZE, s.name) for s in sizes]
        self._append(If(frame.condition, frame.then or [], first, body, second, tuple(results), frame.location))
        self._define(sizes, results[len(types) :])
        return tuple(results[: len(types)])

    def begin_while(
        self, initial: Sequence[Value], types: Sequence[TensorType], sizes: Sequence[NewSize] = ()
    ) -> tuple[Value, ...]:
        """The carried values, of these types."""
        first = (*initial, *(self._size_of(initial, s) for s in sizes))
        carried = [self.b.value(t, "state") for t in types] + [self.b.value(_SIZE, s.name) for s in sizes]
        self._push(_OpenWhile(tuple(carried), first, sizes, self.b.location))
        self._open_body()
        self._home.update(dict.fromkeys(carried, id(self.b.bodies[-1])))
        self._define(sizes, carried[len(types) :])
        return tuple(carried[: len(types)])

    def test(self, condition: Value) -> None:
        frame = self._innermost(_OpenWhile)
        frame.head, frame.condition = self._close_body(), condition
        self._open_body()

    def end_while(
        self, updated: Sequence[Value], types: Sequence[TensorType], sizes: Sequence[NewSize] = ()
    ) -> tuple[Value, ...]:
        """The final values, of these types."""
        frame = self._innermost(_OpenWhile)
        self._open.pop()
        if frame.condition is None:
            raise InternalError("a loop ends that tests nothing")
        next_ = (*updated, *(self._size_of(updated, s) for s in frame.sizes))
        body = self._close_body()
        final = [self.b.value(t, "final") for t in types] + [self.b.value(_SIZE, s.name) for s in sizes]
        self._append(While(frame.carried, frame.initial, frame.head, frame.condition, body, next_, tuple(final), frame.location))
        self._lasting.update((c, f) for c, u, f in zip(frame.carried, next_, final, strict=True) if u is c)
        self._define(sizes, final[len(types) :])
        return tuple(final[: len(types)])

    def begin_for(self, initial: Sequence[Value], count: Extent, reverse: bool) -> tuple[Value, ...]:
        """The number of the turn, and the carried values."""
        index = self.b.value(_SIZE, "turn")
        carried = tuple(self.b.value(v.type, "state") for v in initial)
        self._push(_OpenFor(index, count, carried, tuple(initial), reverse, self.b.location))
        self._open_body()
        return index, *carried

    def end_for(
        self, updated: Sequence[Value], collected: Sequence[Value], types: Sequence[TensorType]
    ) -> tuple[Value, ...]:
        """The final values and the stacked ones, of these types."""
        frame = self._innermost(_OpenFor)
        self._open.pop()
        body = self._close_body()
        results = tuple(self.b.value(t, "final" if n < len(updated) else "steps") for n, t in enumerate(types))
        self._append(
            Loop(
                frame.index, frame.count, frame.carried, frame.initial, tuple(updated), results[: len(updated)],
                tuple(collected), results[len(updated) :], body, frame.reverse, frame.location,
            )
        )  # fmt: skip
        return results

    def _push(self, frame: _OpenIf | _OpenWhile | _OpenFor) -> None:
        if len(self._open) >= DEEPEST:
            raise CompileError(
                f"branches and loops on computed values nest more than {DEEPEST} deep",
                code="BGH-CTRL-002",
                because="each level is code inside the code of the one around it",
                advice="put the choices behind each other instead of inside each other, or into a loop",
                location=self.b.location,
            )
        self._open.append(frame)

    def _innermost(self, kind: type[F]) -> F:
        frame = self._open[-1] if self._open else None
        if not isinstance(frame, kind):
            raise InternalError("branches and loops do not end in the order in which they began")
        return frame

    def _append(self, node: Node) -> None:
        self.b.bodies[-1].append(node)

    def _define(self, sizes: Sequence[NewSize], values: Sequence[Value]) -> None:
        for s, v in zip(sizes, values, strict=True):
            self._append(Size(s.name, v, s.low, s.high, self.b.location))

    def _size_of(self, values: Sequence[Value], size: NewSize) -> Value:
        return self.b.symbolic(values[size.tensor].type.shape[size.axis])

    def _ends(
        self, given: Sequence[Value | None], types: Sequence[TensorType], sizes: Sequence[NewSize]
    ) -> tuple[Value, ...]:
        """What the open branch gives: its values, and what they have of new sizes."""
        values = [self._absent(type, sizes) if v is None else v for v, type in zip(given, types, strict=True)]
        return (*values, *(self._size_of(values, s) for s in sizes))

    def _absent(self, type: TensorType, sizes: Sequence[NewSize]) -> Value:
        new = {s.name for s in sizes}
        shape = tuple(0 if not isinstance(e, int) and variables(e) & new else e for e in type.shape)
        return self.b.emit("full", shape=shape, value=False if type.dtype == BOOL else 0, dtype=type.dtype)


_SIZE = TensorType(I64, ())
