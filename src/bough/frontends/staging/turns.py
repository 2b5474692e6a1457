"""Loops over lists of unknown length in which a turn needs what the one before has made: they stay loops.

    for child in node.children:              (index, h) = for_begin([h], number of children)
        h = gru(self(child), h)       ->     h = gru(for_row(results, index), h)
                                             h = for_end([h])

The body is run once, on the tensors of one turn. Only loops that are no sums and the like over all elements come here (see
`folds`), when a first attempt has told so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from bough.base.source import Location
from bough.frontends import markers
from bough.frontends.staging.signals import Restart, refuse_source
from bough.frontends.staging.symbols import Arithmetic, Elements, Number, leaves
from bough.frontends.staging.templates import rebuild

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


@dataclass(frozen=True, slots=True)
class First:
    """What a plain number is before the first turn: a tensor of this type and shape, filled with it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    number: bool


@dataclass(slots=True)
class Learned:
    """What earlier attempts at one loop have found out: plain numbers that change, by name."""

    numbers: dict[str, First] = field(default_factory=dict)


class _Notes(TorchFunctionMode):
    """Knows the tensors that are made while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, torch.Tensor] = {}
        self.used: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i") or name == "__setitem__"
        if in_place and name not in _NOT_IN_PLACE and args and isinstance(args[0], torch.Tensor) and id(args[0]) not in self.made:
            raise refuse_source(
                "a tensor from before a loop over a list of unknown length is changed in its body",
                "what goes on from turn to turn are the names that the body assigns",
                "assign the changed tensor to its name",
            )
        self.used.update(id(v) for v in leaves((args, kwargs or {})) if isinstance(v, torch.Tensor))
        return self.note(func(*args, **(kwargs or {})))

    def note(self, result: Any) -> Any:
        for value in leaves(result):
            if isinstance(value, torch.Tensor):
                self.made[id(value)] = value
        return result


_NOT_IN_PLACE = ("__index__", "__int__", "__invert__", "__init__", "requires_grad_")


Getters = Mapping[str, Callable[[], Any]]


class Turns:
    """One loop while its body runs. `getters` read the names that the body assigns."""

    def __init__(self, run: Run, elements: Elements, location: Location | None, getters: Getters) -> None:
        self.run, self.elements, self.location, self.getters = run, elements, location, getters
        self.learned = run.world.learned.turns[location]
        self.notes = _Notes()
        self.before: dict[str, Any] = {}
        self.collected: list[torch.Tensor] = []
        self.waiting: list[tuple[int, torch.Tensor | None]] = []
        """Places among what the run passes down, each with the tensor from before the loop, or None for what is collected."""
        self.count = run.size(elements.each)
        self.active = False

    def begin(self, missing: Any) -> dict[str, Any]:
        """Marks the loop. Gives the values of names in the first line of its body, for those that have any."""
        self.before = {name: v for name, get in self.getters.items() if (v := get()) is not missing}
        firsts = self.firsts() or self.firsts(numbers=True) or [torch.zeros(())]  # it carries something, needed or not
        index, carried = markers.for_begin([t.contiguous() for t in firsts], self.count, self.elements.reverse)
        self.index, self.carried = index, carried
        self.notes.__enter__()  # type: ignore[no-untyped-call]
        self.active = True
        self.notes.note((index, carried))
        rest = iter(carried)
        self.inside = {name: self.filled(self.first(name, v), rest) for name, v in self.before.items()}
        return self.inside

    def firsts(self, numbers: bool = False) -> list[torch.Tensor]:
        """The tensors before the first turn, and with `numbers` all plain numbers as such."""
        for name, value in self.before.items():
            if numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
                self.learned.numbers[name] = First(torch.float64 if isinstance(value, float) else torch.int64, (), True)
        return [t for name, value in self.before.items() for t in self.tensors(self.first(name, value))]

    def first(self, name: str, value: Any) -> Any:
        known = self.learned.numbers.get(name)
        if known is None or isinstance(value, (torch.Tensor, bool)) or not isinstance(value, (int, float)):
            return value
        tensor = torch.full(known.shape, value, dtype=known.dtype)
        return Number(self.run, tensor) if known.number else tensor

    def tensors(self, value: Any) -> list[torch.Tensor]:
        """The tensors in a nesting, those of numbers included."""
        found: list[torch.Tensor] = []

        def leaf(v: Any) -> Any:
            if isinstance(v, (torch.Tensor, Arithmetic)):
                found.append(torch.as_tensor(self.run.number(v)) if isinstance(v, Arithmetic) else v)
            return v

        rebuild(value, leaf)
        return found

    def filled(self, value: Any, tensors: Any) -> Any:
        """The nesting with the next tensors in it."""

        def leaf(v: Any) -> Any:
            if isinstance(v, Arithmetic):
                return Number(self.run, next(tensors))
            return next(tensors) if isinstance(v, torch.Tensor) else v

        return rebuild(value, leaf)

    def row(self, stacked: torch.Tensor) -> torch.Tensor:
        """The turn's own row."""
        made: torch.Tensor = self.notes.note(markers.for_row(stacked, self.index))
        return made

    def passed_down(self, value: torch.Tensor) -> None:
        """Notes a tensor that goes down with a call of this turn; what it is for all turns is known at the end."""
        if id(value) in self.notes.made:
            self.collected.append(value)
            self.waiting.append((len(self.run.passed), None))
        else:
            self.waiting.append((len(self.run.passed), value))
        self.run.passed.append(value)

    def abandon(self) -> None:
        """Where the body has not come to its end."""
        if self.active:
            self.notes.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self.active = False

    def end(self, grown: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """Marks the end. Gives the values of the names behind the loop, and for each of `grown`, values of one turn, those of all
        turns, stacked."""
        self.abandon()
        after = {name: get() for name, get in self.getters.items()}
        updated: list[torch.Tensor] = []
        for name in self.before:
            updated += self.updated(name, after[name])
        updated = updated or self.carried
        of_grown = [self.tensors(g) for g in grown]
        collected = [t.contiguous() for t in (*self.collected, *(t for ts in of_grown for t in ts))]
        final, stacked = markers.for_end([t.contiguous() for t in updated], collected, self.count)
        rows = iter(stacked)
        for place, value in self.waiting:
            self.run.passed[place] = next(rows) if value is None else value.expand(self.count, *value.shape)
        grown = [self.filled(g, rows) for g in grown]
        rest = iter(final)
        return {name: self.filled(self.inside[name], rest) for name in self.before}, grown

    def updated(self, name: str, value: Any) -> list[torch.Tensor]:
        """The tensors that a name carries into the next turn."""
        inside = self.inside[name]
        carried, new = self.tensors(inside), self.tensors(value)
        plain = isinstance(inside, (int, float)) and not isinstance(inside, bool)
        if plain and (isinstance(value, Arithmetic) or value != inside):
            self.learn(name, value)
        if not carried and not new and (value is inside or value == inside):
            return []
        if [(t.dtype, t.shape) for t in carried] == [(t.dtype, t.shape) for t in new] and _alike(inside, value):
            return new
        if not any(id(t) in self.notes.used for t in carried):
            return carried  # a name of each turn's own
        before = self.before[name]
        if isinstance(before, (int, float)) and len(new) == 1:
            self.learn(name, value)
        raise refuse_source(
            f"`{name}` is of another kind after a turn of a loop over a list of unknown length than before",
            "how many turns there are is not known, so what goes on from turn to turn has one type and shape",
            "give it its final shape and type before the loop",
            self.location,
        )

    def learn(self, name: str, value: Any) -> None:
        """Tries the loop again with a plain number as a tensor."""
        number = not isinstance(value, torch.Tensor)
        tensor = torch.as_tensor(self.run.number(value)) if isinstance(value, Arithmetic) else torch.as_tensor(value)
        first = First(tensor.dtype, tuple(tensor.shape), number)
        if self.learned.numbers.get(name) != first:
            self.learned.numbers[name] = first
            raise Restart


def _alike(a: Any, b: Any) -> bool:
    """Whether two nestings are the same but for the tensors in them."""

    def shape(v: Any) -> Any:
        if isinstance(v, torch.Tensor):
            return torch.Tensor
        return Number if isinstance(v, Arithmetic) else v

    return bool(rebuild(a, shape) == rebuild(b, shape))
