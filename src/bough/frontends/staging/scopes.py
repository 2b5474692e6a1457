"""What a branch or a turn of a loop changes: noted when it is first touched, undone at its end, and joined with the other side.

A *place* can be read, and written back: a local name, what a list or dictionary holds, an attribute, the elements of a tensor.
"""

from __future__ import annotations

import types
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bough.base.errors import CompileError
from bough.frontends.staging.signals import here


class _Missing:
    """In place of a value where a name is not bound or an attribute is not there."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()


class _Poison:
    """The only element of a container whose content only the call decides: a library function that finds it gets an error."""

    def __getattr__(self, name: str) -> Any:
        raise CompileError(
            "a list or dictionary of which only the call decides what it holds goes to a function that is not traced",
            code="BGH-CTRL-001",
            because="its elements are not known",
            advice="use it in loops, torch.stack and torch.cat; make dictionaries with all their keys at once",
            location=here(),
        )


POISON = _Poison()


@dataclass(frozen=True, slots=True)
class Cell:
    """A local name that inner functions share."""

    cell: types.CellType
    name: str

    @property
    def key(self) -> Hashable:
        return ("cell", id(self.cell))

    @property
    def owner(self) -> Any:
        return self.cell

    def read(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return MISSING

    def write(self, value: Any) -> None:
        if value is not MISSING:
            self.cell.cell_contents = value
        elif self.read() is not MISSING:
            del self.cell.cell_contents


class Entries(dict[Any, Any]):
    """What a dictionary holds."""


class Items(tuple[Any, ...]):
    """What a list holds."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a list, set or dictionary holds. `varied` has that of those whose content only the call decides."""

    owner: Any
    varied: dict[int, tuple[Any, Any]]

    @property
    def key(self) -> Hashable:
        return ("content", id(self.owner))

    def read(self) -> Any:
        if id(self.owner) in self.varied:
            return self.varied[id(self.owner)][1]
        if isinstance(self.owner, dict):
            return Entries(self.owner)
        return Items(self.owner)

    def write(self, value: Any) -> None:
        self.varied.pop(id(self.owner), None)
        if not isinstance(value, (Items, Entries)):
            self.varied[id(self.owner)] = (self.owner, value)
            value = [POISON] if isinstance(self.owner, list) else {POISON: POISON}
        if isinstance(self.owner, list):
            self.owner[:] = value
        else:
            self.owner.clear()
            self.owner.update(value)


@dataclass(frozen=True, slots=True)
class AttributeOf:
    """An attribute that an object has itself."""

    owner: Any
    name: str

    @property
    def key(self) -> Hashable:
        return ("attribute", id(self.owner), self.name)

    def read(self) -> Any:
        if isinstance(self.owner, nn.Module):
            for table in (self.owner._buffers, self.owner._parameters, self.owner._modules):
                if self.name in table:
                    return table[self.name]
        if self.name in getattr(self.owner, "__dict__", ()):
            return self.owner.__dict__[self.name]
        slots = [s for c in type(self.owner).__mro__ for s in getattr(c, "__slots__", ())]
        return getattr(self.owner, self.name, MISSING) if self.name in slots else MISSING

    def write(self, value: Any) -> None:
        owner, name = self.owner, self.name
        if isinstance(owner, nn.Module):
            for table in (owner._buffers, owner._parameters, owner._modules):
                if name in table:
                    table[name] = value
                    return
        plain: Any = type if isinstance(owner, type) else object
        if value is not MISSING:
            plain.__setattr__(owner, name, value)
        elif self.read() is not MISSING:
            plain.__delattr__(owner, name)


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a tensor that is written in place; `owner` is not a view."""

    owner: torch.Tensor

    @property
    def key(self) -> Hashable:
        return ("tensor", id(self.owner))

    def read(self) -> torch.Tensor:
        return self.owner.clone()

    def write(self, value: torch.Tensor) -> None:
        self.owner.copy_(value)


Place = Cell | Content | AttributeOf | Elements


@dataclass(eq=False, slots=True)
class Scope:
    """A branch or a turn of a loop that is being traced."""

    parent: Scope | None
    start: int
    """What was made from this number on was made inside."""
    tries: int = 0
    """How many `try`s of the user's were open when it began."""
    supposed: int = 0
    """How many conditions on sizes held when it began."""
    journal: dict[Hashable, tuple[Place, Any]] = field(default_factory=dict)
    facts: dict[int, bool] = field(default_factory=dict)
    """Truth values that are known inside, by the id of the tensor."""
    choices: dict[int, frozenset[int]] = field(default_factory=dict)
    """Which alternatives are left of a choice, by the id of its selector."""
    sizes: dict[int, Any] = field(default_factory=dict)
    """Sizes made of scalars, by the id of the tensor."""
    truths: dict[tuple[int, int], Any] = field(default_factory=dict)
    stale: dict[int, bool] = field(default_factory=dict)
    """Whether copies are out of date, by the id of the tensor (see `aliases`)."""
    held: list[Any] = field(default_factory=list)
    """What the ids stand for."""

    def fact(self, tensor: torch.Tensor) -> bool | None:
        scope: Scope | None = self
        while scope is not None:
            if id(tensor) in scope.facts:
                return scope.facts[id(tensor)]
            scope = scope.parent
        return None

    def know(self, tensor: torch.Tensor, value: bool) -> None:
        self.held.append(tensor)
        self.facts[id(tensor)] = value

    def possible(self, selector: torch.Tensor, count: int) -> list[int]:
        left = set(range(count))
        scope: Scope | None = self
        while scope is not None:
            left &= scope.choices.get(id(selector), left)
            scope = scope.parent
        return sorted(left)

    def restrict(self, selector: torch.Tensor, left: frozenset[int]) -> None:
        self.held.append(selector)
        self.choices[id(selector)] = self.choices.get(id(selector), left) & left

    def changes(self) -> dict[Hashable, tuple[Place, Any, Any]]:
        """What is other than before: place, value before, value now. Of tensors, which were written to be noted, all."""
        found = {}
        for key, (place, before) in self.journal.items():
            now = place.read()
            if not same(before, now):
                found[key] = (place, before, now)
        return found

    def undo(self) -> None:
        for place, before in reversed(self.journal.values()):
            place.write(before)


def same(a: Any, b: Any) -> bool:
    """Whether a place holds what it held before."""
    if a is b:
        return True
    if isinstance(a, tuple) and isinstance(b, tuple) and type(a) is type(b):
        return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(a[k] is b[k] for k in a)
    return False
