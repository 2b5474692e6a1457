"""The few effects that recursive functions may have besides their results: filling lists, and memos that are not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.base.visits import Collect
from bough.frontends.staging.signals import here, refuse_source
from bough.frontends.staging.symbols import Arithmetic, Symbol

if TYPE_CHECKING:
    from bough.frontends.staging.primitives import Primitives

_ABSENT = object()


class Effects:
    """Of all runs together. Objects are told apart by their ids, so they are held."""

    def __init__(self) -> None:
        self.lists: dict[int, int] = {}
        """The numbers of the lists that are collected in, by id."""
        self.numbers: dict[Any, int] = {}
        """The same by what stays equal when a run is repeated."""
        self.filled: set[int] = set()
        """The ids of all lists, dictionaries and sets that functions of the recursion fill."""
        self.types: dict[int, torch.Tensor] = {}
        """An element of each list, by number."""
        self.python_numbers: set[int] = set()
        """The lists of Python's numbers."""
        self.held: list[Any] = []
        self.overlays: list[tuple[Any, str, Any]] = []

    def shared_list(self, staging: Primitives, value: list[Any]) -> int:
        """The number of a list that functions of the recursion may append to. It is the same in all runs that make it."""
        if id(value) not in self.lists:
            if value or staging.run.function is not staging.run.world.entry:
                raise refuse_source(
                    "a list goes down the recursion that is not empty, or is made within the recursion",
                    "what is appended on the way is collected in one list for the whole call",
                    "make an empty list where the recursion is started",
                )
            staging.shared.append(value)
            self.enter_list(value, ("entry", len(staging.shared)))
        return self.lists[id(value)]

    def enter_list(self, value: list[Any], key: Any) -> None:
        self.held.append(value)
        self.filled.add(id(value))
        self.lists[id(value)] = self.numbers.setdefault(key, len(self.numbers))

    def collect(self, staging: Primitives, owner: Any, name: str, args: tuple[Any, ...]) -> None:
        if isinstance(owner, list) and name == "extend" and type(args[0]) in (list, tuple) and id(owner) in self.lists:
            for value in args[0]:
                self.collect(staging, owner, "append", (value,))
            return
        if not isinstance(owner, list) or name != "append" or staging.run.scope is not None:
            raise mutation(f"a {type(owner).__name__} with `{name}`")
        if id(owner) not in self.lists:
            if owner:
                raise mutation("a list that is not empty")
            self.enter_list(owner, ("outside", id(owner)))
        record, number, value = staging.run.record, self.lists[id(owner)], args[0]
        is_number = isinstance(value, Arithmetic)
        if is_number:
            value = torch.as_tensor(staging.run.number(value))
        if not isinstance(value, torch.Tensor):
            kind = f"`{value!r}`, a part of the structure," if isinstance(value, Symbol) else f"a {type(value).__name__}"
            raise refuse_source(
                f"{kind} is collected in a list",
                "only tensors and numbers can be",
                "append tensors or numbers, of one kind in each list",
            )
        self.note_type(number, value, is_number)
        record.collects.append(Collect(number, -1, len(record.calls)))
        staging.run.collected.append(value)

    def expect_untouched(self) -> None:
        """What is collected is noted; the lists themselves stay empty while the model is staged."""
        if any(isinstance(v, list) and id(v) in self.lists and v for v in self.held):
            raise mutation("a list that functions of the recursion fill, other than by append, extend or +=,")

    def note_type(self, number: int, element: torch.Tensor, is_number: bool) -> None:
        """Notes of what kind the elements of a list are."""
        if is_number:
            self.python_numbers.add(number)
        known = self.types.setdefault(number, element)
        if known.shape != element.shape or known.dtype != element.dtype:
            raise refuse_source(
                "tensors of different kinds are collected in one list",
                "the elements of a list are kept in one array",
                "append tensors of one shape and type",
                code="BGH-REC-004",
            )

    def overlay(self, staging: Primitives, owner: Any, name: str, value: Any) -> None:
        """`self.states = []` where the recursion starts: the list (or memo) is there while the model is staged."""
        if not isinstance(value, (list, dict, set)) or value or staging.run.function is not staging.run.world.entry:
            raise mutation(f"`{type(owner).__name__}.{name}`")
        self.overlays.append((owner, name, vars(owner).get(name, _ABSENT)))
        object.__setattr__(owner, name, value)
        if isinstance(value, list):
            self.enter_list(value, ("attribute", id(owner), name))
        self.fill(value)

    def fill(self, value: Any) -> None:
        """Notes a list, dictionary or set that functions of the recursion fill."""
        self.held.append(value)
        self.filled.add(id(value))

    def restore(self) -> None:
        """Undoes what staging changed."""
        for owner, name, value in reversed(self.overlays):
            if value is _ABSENT:
                object.__delattr__(owner, name)
            else:
                object.__setattr__(owner, name, value)
        self.overlays.clear()


def mutation(what: str) -> CompileError:
    return CompileError(
        f"the model changes {what} while it recurses",
        code="BGH-MUT-001",
        because="a compiled function has no state, and the order of visits is not the model's",
        advice="return the value, or append it to a list that the caller passes",
        location=here(),
    )
