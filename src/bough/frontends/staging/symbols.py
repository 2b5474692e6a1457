"""Symbolic values: what stands for the user's objects, numbers and lists while a function is run on no object in particular."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bough.base.spans import Index
from bough.base.visits import Attribute, Item, Path, Slice
from bough.frontends.staging import refusals

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies: at `path` from the activation's object, or from the element of walk number `each`."""

    path: Path
    each: int | None = None

    def attribute(self, name: str) -> Place:
        return Place((*self.path, Attribute(name)), self.each)

    def item(self, key: int | str | Index) -> Place:
        return Place((*self.path, Item(key)), self.each)

    def part(self, first: Index, last: Index) -> Place:
        return Place((*self.path, Slice(first, last)), self.each)

    def __str__(self) -> str:
        return show_path(self.path) or "the object" if self.each is None else f"element{show_path(self.path)}"


def show_path(path: Path) -> str:
    return "".join(map(str, path))


def _refers(function: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any) -> Any:
        return self._run.arithmetic(function, self, *args)

    return method


def _reversed(function: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return self._run.arithmetic(function, other, self)

    return method


class Arithmetic:
    """Python's arithmetic, done by the run as `run.arithmetic(name of an operator, operands)`."""

    __slots__ = ()
    _run: Run

    __add__, __sub__, __mul__, __truediv__ = _refers("add"), _refers("sub"), _refers("mul"), _refers("truediv")
    __floordiv__, __mod__, __pow__ = _refers("floordiv"), _refers("mod"), _refers("pow")
    __radd__, __rsub__, __rmul__, __rtruediv__ = _reversed("add"), _reversed("sub"), _reversed("mul"), _reversed("truediv")
    __rshift__ = _refers("rshift")
    __rfloordiv__, __rmod__, __rpow__ = _reversed("floordiv"), _reversed("mod"), _reversed("pow")
    __neg__, __pos__, __abs__ = _refers("neg"), _refers("pos"), _refers("abs")

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """torch's functions take the number as a tensor of rank 0."""
        found = next(v for v in leaves((args, kwargs or {})) if isinstance(v, Arithmetic))
        return found._run.torch_call(func, args, kwargs or {})


class Symbol(Arithmetic):
    """An object, number, word or container of the user's at a place. Asking it anything records or answers a question."""

    __slots__ = ("_place", "_run")

    def __init__(self, run: Run, place: Place) -> None:
        self._run, self._place = run, place

    def __getattr__(self, name: str) -> Any:
        return self._run.attribute(self, name)

    def __getitem__(self, key: Any) -> Any:
        return self._run.item(self, key)

    def __bool__(self) -> bool:
        return self._run.truth(self)

    def __eq__(self, other: object) -> Any:
        return self._run.compare("equals", self, other)

    def __ne__(self, other: object) -> Any:
        return self._run.negated(self._run.compare("equals", self, other))

    def __lt__(self, other: object) -> Any:
        return self._run.compare("less", self, other)

    def __le__(self, other: object) -> Any:
        return self._run.compare("at_most", self, other)

    def __gt__(self, other: object) -> Any:
        return self._run.compare("more", self, other)

    def __ge__(self, other: object) -> Any:
        return self._run.compare("at_least", self, other)

    def __hash__(self) -> int:
        return hash(self._place)

    def __iter__(self) -> Iterator[Any]:
        raise refusals.misused(self, "is iterated by a library function")

    def __len__(self) -> int:
        raise refusals.misused(self, "is measured by a library function")

    def __index__(self) -> int:
        raise refusals.misused(self, "is used where a fixed number is needed")

    def __float__(self) -> float:
        raise refusals.misused(self, "is used where a fixed number is needed")

    def __str__(self) -> str:
        return self._run.text(self)

    def __format__(self, spec: str) -> str:
        return self._run.text(self)

    def __repr__(self) -> str:
        return f"<{self._place}>"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Symbol.__slots__:
            object.__setattr__(self, name, value)
        else:
            raise refusals.stored_attribute(self, name)


class Length(Symbol):
    """The number of elements of the container at a place."""

    __slots__ = ()


def _compared(test: str) -> Callable[..., Any]:
    def method(self: Number, other: Any) -> Any:
        return self._run.compare_numbers(test, self, other)

    return method


class Number(Arithmetic):
    """A number computed from symbolic ones, held as a tensor of rank 0."""

    __slots__ = ("_run", "tensor")

    def __init__(self, run: Run, tensor: Any) -> None:
        self._run, self.tensor = run, tensor

    def _refused(self, *_: object) -> Any:
        raise refusals.computed_choice()

    __bool__ = __index__ = __int__ = __float__ = _refused
    __lt__, __le__, __gt__, __ge__ = _compared("less"), _compared("at_most"), _compared("more"), _compared("at_least")
    __eq__, __ne__ = _compared("equals"), _compared("differs")
    __hash__ = object.__hash__


class Measure(Number):
    """`index` of the number of elements of the container at `place`. A number like any other where it is computed with; where it
    decides, or says what part of the container is meant, it is known before any arithmetic."""

    __slots__ = ("index", "place")

    def __init__(self, run: Run, place: Place, index: Index) -> None:
        self._run, self.place, self.index = run, place, index

    @property
    def tensor(self) -> Any:
        return self._run.measured(self.place, self.index)

    def __bool__(self) -> bool:  # type: ignore[override]
        return bool(self != 0)

    def __repr__(self) -> str:
        return f"<{self.index} of {self.place}>"


@dataclass(frozen=True, slots=True)
class Elements:
    """One value per element of walk `each`: `tree` is a nesting whose tensors are stacked along a new first axis, and whose
    places are those of the generic element."""

    run: Run
    each: int
    tree: Any
    reverse: bool = False
    """Whether a loop goes over them from the last to the first."""

    def __getitem__(self, key: Any) -> Any:
        return self.run.item(self, key)

    def __bool__(self) -> bool:
        return self.run.truth(self)

    def __iter__(self) -> Iterator[Any]:
        raise refusals.misused(self, "is iterated by a library function")


class Position(Arithmetic):
    """The number of the generic element in its walk, counted from `start`."""

    __slots__ = ("_run", "each", "start")

    def __init__(self, run: Run, each: int, start: int = 0) -> None:
        self._run, self.each, self.start = run, each, start

    def _refused(self, *_: object) -> Any:
        raise refusals.misused(self, "decides what happens to an element of a list")

    __bool__ = __index__ = __int__ = __float__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refused
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "<position>"


@dataclass(frozen=True, slots=True)
class Spread:
    """`*values` of symbolic values, on the way into a call."""

    values: Elements


@dataclass(frozen=True, slots=True)
class Rest:
    """What a star takes of a symbolic value, on the way through Python's own unpacking."""

    values: Symbol


@dataclass(frozen=True, slots=True)
class Identity:
    """`id(object)` and what else stands for an object as a key."""

    place: Place


@dataclass(frozen=True, slots=True)
class Piece:
    """In a list: what call number `call` of the run has returned at its place, or has returned for each element of its walk; it
    is collected in list `number`."""

    call: int
    number: int


SYMBOLIC = (Arithmetic, Elements, Spread, Identity, Piece)


def leaves(tree: Any) -> Iterator[Any]:
    """The values in a nesting of lists, tuples and dictionaries."""
    work = [tree]
    while work:
        value = work.pop()
        if isinstance(value, (list, tuple)):
            work.extend(reversed(value))
        elif isinstance(value, dict):
            work.extend(reversed(value.values()))
        elif isinstance(value, slice):
            work.extend((value.step, value.stop, value.start))
        else:
            yield value


def as_tensor(number: Any) -> torch.Tensor:
    """A number as a tensor, sizes included."""
    if isinstance(number, (int, torch.SymInt)) and not isinstance(number, bool):
        return torch.full((), number, dtype=torch.int64)  # type: ignore[arg-type]
    return torch.as_tensor(number)
