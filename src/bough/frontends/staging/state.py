"""Attributes of modules that one call would leave for the next: compiled functions keep no state, so they are refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import nn

from bough.frontends.errors import mutation
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import MISSING, AttributeOf, Scope
from bough.frontends.staging.signals import here


class State:
    """The attributes whose value from before the call the call has read."""

    def __init__(self, call: Scope) -> None:
        """`call`: the scope of the whole call."""
        self.call = call
        self.seen: set[Hashable] = set()

    def read(self, owner: nn.Module, name: str, value: Any) -> None:
        key = AttributeOf(owner, name).key
        written = self.call.journal.get(key)
        if written is None or written[1] is value:
            self.seen.add(key)

    def check(self, model: Callable[..., Any]) -> None:
        """Raises CompileError for an attribute that is read and changed. What is made where there was None or nothing may stay,
        as it would be made again; unless it is a number, which counts."""
        for key, (place, before, now) in self.call.changes().items():
            if key not in self.seen or not isinstance(place, AttributeOf):
                continue
            if (before is not None and before is not MISSING) or _counts(now):
                raise mutation(f"`{_path(model, place)}`", here())


def _counts(value: Any) -> bool:
    alternatives = value.alternatives if isinstance(value, Choice) else (value,)
    return any(isinstance(v, (int, float, Scalar)) for v in alternatives)


def _path(model: Callable[..., Any], place: AttributeOf) -> str:
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    path = next((n for n, m in modules if m is place.owner), "")
    return f"{path}.{place.name}" if path else place.name
