"""What one side of a branch leaves behind: kept before it is undone, because the other side starts from where this one did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging import layouts
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.outcomes import Return
from bough.frontends.staging.scopes import AttributeOf, Content, Elements, Scope

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


@dataclass(frozen=True, slots=True)
class Left:
    """By the id of what the side has changed."""

    tensors: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """Copies of tensors that were written in place."""
    contents: Mapping[int, Any] = field(default_factory=dict)
    """What lists and dictionaries hold."""
    attributes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


NOTHING = Left()


def left_by(staging: DataStaging, scope: Scope, outcome: Any) -> Left:
    """What is so far as the side in this scope leaves it, and what of it is reached from places that it changed or from its
    outcome."""
    contents: dict[int, Any] = {}
    attributes: dict[int, dict[str, Any]] = {}
    for place, _ in scope.journal.values():
        if isinstance(place, Content):
            contents[id(place.owner)] = place.read()
        elif isinstance(place, AttributeOf):
            attributes.setdefault(id(place.owner), {})[place.name] = place.read()
    return Left(_copies(staging, scope, outcome), contents, attributes)


def _copies(staging: DataStaging, scope: Scope, outcome: Any) -> dict[int, torch.Tensor]:
    written = {storage(p.owner) for p, _ in scope.journal.values() if isinstance(p, Elements)}
    if not written:
        return {}
    made: dict[int, torch.Tensor] = {}
    seen: set[int] = set()
    work = [outcome]
    for place, before in scope.journal.values():
        work += [place.owner] if isinstance(place, Elements) else [before, place.read()]
    while work:
        value = work.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if storage(value) in written:
                made[id(value)] = value.clone()
        elif isinstance(value, Return):
            work.append(value.value)
        elif isinstance(value, Choice):
            work.extend(value.alternatives)
        elif (content := staging.varied_content(value)) is not None:
            work.append(content)
        elif (opened := layouts.opened_up(staging, value)) is not None:
            work.extend(opened[1])
    return made


def storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
