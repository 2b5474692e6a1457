"""What modules hold that one call would leave for the next: compiled functions keep no state, so it is refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from bough.frontends.errors import mutation
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import MISSING, AttributeOf, Content, Entries, Scope
from bough.frontends.staging.signals import here

_WRITES = ("append", "extend", "insert", "clear", "__setitem__")
"""Methods that do not read what a list or dictionary holds."""


class State:
    """What modules held before the call, and the call has read: values of attributes, and what lists and dictionaries hold."""

    def __init__(self, call: Scope) -> None:
        """`call`: the scope of the whole call."""
        self.call = call
        self.seen: set[Hashable] = set()
        self.attributes: dict[Hashable, AttributeOf] = {}
        """Where lists and dictionaries were found, by the key of their content."""
        self.found: tuple[Any, bool] | None = None
        """The list or dictionary that was read just now, and whether something else had read it before."""
        self.anew: set[Hashable] = set()
        """Attributes that all ways of the call have set by now, and what they have emptied."""

    def read(self, owner: nn.Module, name: str, value: Any) -> None:
        """A module's attribute is read."""
        place = AttributeOf(owner, name)
        written = self.call.journal.get(place.key)
        if place.key in self.anew or (written is not None and written[1] is not value):
            return
        self.seen.add(place.key)
        if isinstance(value, (list, dict)) and (content := Content(value, {}).key) not in self.anew:
            self.attributes[content] = place
            self.found = (value, content in self.seen)
            self.seen.add(content)

    def write(self, owner: nn.Module, name: str, everywhere: bool) -> None:
        """A module's attribute is set; `everywhere`: all ways of the call come here."""
        if everywhere:
            self.anew.add(AttributeOf(owner, name).key)

    def method(self, owner: list[Any] | dict[Any, Any], name: str, everywhere: bool) -> None:
        """A method is looked up. To add to a list is not to read it."""
        found, self.found = self.found, None
        content = Content(owner, {}).key
        if name not in _WRITES:
            self.use(owner)
        elif found is not None and found[0] is owner and not found[1]:
            self.seen.discard(content)
        if name == "clear" and everywhere:
            self.anew.add(content)

    def use(self, *values: Any) -> None:
        """Values are read, by whatever name they are known: lists and dictionaries of modules among them."""
        for value in values:
            content = Content(value, {}).key if isinstance(value, (list, dict)) else None
            if content in self.attributes and content not in self.anew:
                self.seen.add(content)

    def check(self, model: Callable[..., Any]) -> dict[str, list[torch.Tensor]]:
        """Raises CompileError for what is read and changed, but not for tensors that are made where there was None or nothing:
        they may stay, if each call would make the same. They are returned, by their path."""
        made: dict[str, list[torch.Tensor]] = {}
        for key, (place, before, now) in self.call.changes().items():
            if key not in self.seen:
                continue
            if isinstance(place, Content):
                new, where = _added(before, now), self.attributes[key]
            elif isinstance(place, AttributeOf):
                new, where = [now] if before is None or before is MISSING else None, place
            else:
                continue
            path = _path(model, where)
            if new is None or any(map(_counts, new)):
                raise mutation(f"`{path}`", here())
            made.setdefault(path, []).extend(v for v in tree_leaves(new) if isinstance(v, torch.Tensor))
        return {path: tensors for path, tensors in made.items() if tensors}


def _added(before: Any, now: Any) -> list[Any] | None:
    """The values of new keys of a dictionary; None where it holds others under old keys, and for lists."""
    if not isinstance(before, Entries) or not isinstance(now, Entries):
        return None
    if any(now.get(k, MISSING) is not v for k, v in before.items()):
        return None
    return [v for k, v in now.items() if k not in before]


def _counts(value: Any) -> bool:
    """Whether it is a number, which counts calls, or depends on what a call decides."""
    return any(isinstance(v, (int, float, Scalar, Choice)) for v in tree_leaves(value))


def _path(model: Callable[..., Any], place: AttributeOf) -> str:
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    path = next((n for n, m in modules if m is place.owner), "")
    return f"{path}.{place.name}" if path else place.name
