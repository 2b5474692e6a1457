"""What loops turned out to carry, kept for the next time that their code is traced: a loop around them is tried several times,
and so is the whole trace.

What is remembered is where a loop begins to try, like any other guess: a turn shows whether it holds.
"""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bough.frontends import markers
from bough.frontends.staging import layouts
from bough.frontends.staging.layouts import Layout
from bough.frontends.staging.outcomes import BEHIND, BREAK, CONTINUE
from bough.frontends.staging.scopes import MISSING, AttributeOf, Content, Elements, Place

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

OUTCOME = ("outcome",)
"""The key of where control goes at the end of a turn, which is carried like a name."""
MOST_OBJECTS = 1000
"""So many objects are looked at to find again those that a loop changes."""
Way = tuple[int, tuple[tuple[str, Any], ...]]
"""How an object is found: the number of a name, and steps from its value on."""


@dataclass(slots=True)
class Hidden:
    """What a carried tensor may be, or be a part of, after a turn: the one that it was before the loop, and others as old."""

    first: bool
    others: dict[int, torch.Tensor]


@dataclass(slots=True)
class State:
    """What is known of a loop from earlier tries."""

    forms: dict[Hashable, Layout] = field(default_factory=dict)
    places: dict[Hashable, Place] = field(default_factory=dict)
    shapes: dict[tuple[Hashable, int], tuple[Any, ...]] = field(default_factory=dict)
    """Shapes of leaves, for those that are absent at first."""
    growths: tuple[markers.Growth, ...] = ()
    hidden: dict[int, Hidden] = field(default_factory=dict)
    """By the number of what is carried."""
    stale: set[int] = field(default_factory=set)
    """The ids of tensors from before the loop that are not known any more after a turn."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place: one of the names, or of this kind, of what is found on a way, or of an object from before the trace."""

    kind: type | None
    way: Way | None
    owner: Any = None
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a loop carries: places, None for the outcome of a turn, and the rest of its `State`."""

    forms: tuple[tuple[Where | None, Layout], ...]
    shapes: Mapping[tuple[int, int], tuple[Any, ...]]
    growths: tuple[markers.Growth, ...]
    hidden: Mapping[int, bool]


@dataclass(slots=True)
class Site:
    """A loop at its place in the turn of the one around it; the outermost is the trace itself."""

    codes: tuple[types.CodeType, ...] = ()
    found: Found | None = None
    inner: list[Site] = field(default_factory=list)
    position: int = 0
    """How many loops the turn that is being traced has come to."""

    def next(self, thunks: Sequence[Any]) -> Site:
        """That of the loop that begins now."""
        codes = tuple(t.__code__ for t in thunks if isinstance(t, types.FunctionType))
        if self.position == len(self.inner) or self.inner[self.position].codes != codes:
            del self.inner[self.position :]
            self.inner.append(Site(codes))
        self.position += 1
        return self.inner[self.position - 1]


def recalled(staging: DataStaging, names: Sequence[Place], found: Found) -> State | None:
    """The state that a loop begins with. None where that does not fit what is there now."""
    state = State(growths=found.growths, hidden={n: Hidden(first, {}) for n, first in found.hidden.items()})
    for where, form in found.forms:
        if where is None:
            state.forms[OUTCOME] = form
            continue
        place = _place(staging, names, where)
        if place is None:
            return None
        before = place.owner if isinstance(place, Elements) else place.read()
        if layouts.unify(form, layouts.layout_of(staging, before), True) != form:
            return None
        state.forms[place.key], state.places[place.key] = form, place
    keys = list(state.forms)
    if len(keys) != len(found.forms):
        return None
    state.shapes = {(keys[k], n): shape for (k, n), shape in found.shapes.items()}
    return state


def found(staging: DataStaging, names: Sequence[Place], state: State) -> Found | None:
    """What a loop has turned out to carry, while all is as it was before it. None where it holds for this time alone."""
    if any(g.high is not None for g in state.growths) or state.stale or any(h.others for h in state.hidden.values()):
        return None
    ways, numbers = _ways(staging, names), {p.key: n for n, p in enumerate(names)}
    forms: list[tuple[Where | None, Layout]] = []
    for key, form in state.forms.items():
        where = None
        if key in numbers:
            where = Where(None, (numbers[key], ()))
        elif key != OUTCOME:
            where = _where(staging, ways, state.places[key])
        if not _is_lasting(form) or (where is None and key != OUTCOME):
            return None
        forms.append((where, form))
    order = {key: n for n, key in enumerate(state.forms)}
    shapes = {(order[key], n): shape for (key, n), shape in state.shapes.items() if key in order}
    return Found(tuple(forms), shapes, state.growths, {n: h.first for n, h in state.hidden.items()})


def _ways(staging: DataStaging, names: Sequence[Place]) -> dict[int, Way]:
    """How objects that the trace has made are found, by their ids."""
    ways: dict[int, Way] = {}
    work: list[tuple[Any, Way]] = [(p.read(), (n, ())) for n, p in enumerate(names)]
    for value, (name, steps) in work:
        if isinstance(value, torch.Tensor):
            ways.setdefault(id(staging.base_of(value)), (name, (*steps, ("base", None))))
        elif id(value) not in ways and len(work) < MOST_OBJECTS and (staging.is_own(value) or isinstance(value, tuple)):
            ways[id(value)] = name, steps
            work.extend((part, (name, (*steps, step))) for step, part in _parts(value))
    return ways


def _parts(value: Any) -> Iterator[tuple[tuple[str, Any], Any]]:
    if isinstance(value, (list, tuple)):
        return ((("item", n), v) for n, v in enumerate(value))
    if isinstance(value, dict):
        return ((("item", k), v) for k, v in value.items())
    return ((("attribute", k), v) for k, v in getattr(value, "__dict__", {}).items())


def _where(staging: DataStaging, ways: Mapping[int, Way], place: Place) -> Where | None:
    way = ways.get(id(place.owner))
    if way is None and (staging.is_own(place.owner) or isinstance(place.owner, types.CellType)):
        return None
    owner = place.owner if way is None else None
    return Where(type(place), way, owner, place.name if isinstance(place, AttributeOf) else "")


def _place(staging: DataStaging, names: Sequence[Place], where: Where) -> Place | None:
    owner = where.owner
    if where.way is not None:
        number, steps = where.way
        if number >= len(names):
            return None
        if where.kind is None:
            return names[number]
        owner = names[number].read()
        for how, key in steps:
            try:
                owner = staging.base_of(owner) if how == "base" else owner[key] if how == "item" else vars(owner)[key]
            except (LookupError, TypeError, AttributeError):
                return None
    if where.kind is AttributeOf:
        return AttributeOf(owner, where.attribute)
    if where.kind is Content:
        return Content(owner, staging.varied) if isinstance(owner, (list, dict, set)) else None
    return Elements(owner) if isinstance(owner, torch.Tensor) else None


def _is_lasting(form: Layout) -> bool:
    """Whether a form means the same another time."""
    match form:
        case layouts.Fixed(value=value):
            return isinstance(value, _LASTING) or any(value is v for v in _SINGLE)
        case layouts.Parts(parts=parts) | layouts.Choices(parts=parts):
            return all(map(_is_lasting, parts))
        case layouts.RowsOf(part=part):
            return _is_lasting(part)
    return True


_SINGLE = (None, MISSING, BREAK, CONTINUE, BEHIND)
_LASTING = (str, int, float, complex, bytes, slice, range, torch.dtype, torch.device, type, nn.Module)
