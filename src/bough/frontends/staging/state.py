"""What modules hold that one call would leave for the next: compiled functions keep no state, so it is refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import nn

from bough.frontends.errors import mutation
from bough.frontends.staging.choices import Choice
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import MISSING, AttributeOf, Content, Scope
from bough.frontends.staging.signals import here

GROWS = ("append", "extend", "insert")


class State:
    """What modules held before the call, and the call has read: values of attributes, and what lists hold."""

    def __init__(self, call: Scope) -> None:
        """`call`: the scope of the whole call."""
        self.call = call
        self.seen: set[Hashable] = set()
        self.attributes: dict[Hashable, AttributeOf] = {}
        """Where lists were found, by the key of their content."""
        self.found: tuple[Any, bool] | None = None
        """The list that was read just now, and whether something else had read it before."""
        self.emptied: set[Hashable] = set()

    def read(self, owner: nn.Module, name: str, value: Any) -> None:
        """A module's attribute is read."""
        place = AttributeOf(owner, name)
        written = self.call.journal.get(place.key)
        if written is not None and written[1] is not value:
            return
        self.seen.add(place.key)
        if isinstance(value, list) and (content := Content(value, {}).key) not in self.emptied:
            self.attributes[content] = place
            self.found = (value, content in self.seen)
            self.seen.add(content)

    def method(self, owner: list[Any], name: str, everywhere: bool) -> None:
        """A list's method is read. To add to a list is not to read it; `everywhere`: all ways of the call come here."""
        found, self.found = self.found, None
        content = Content(owner, {}).key
        if name in (*GROWS, "clear") and found is not None and found[0] is owner and not found[1]:
            self.seen.discard(content)
        if name == "clear" and everywhere:
            self.emptied.add(content)

    def check(self, model: Callable[..., Any]) -> None:
        """Raises CompileError for what is read and changed. What is made where there was None or nothing may stay, as it
        would be made again; unless it is a number, which counts, or stands in a list."""
        for key, (place, before, now) in self.call.changes().items():
            if key not in self.seen:
                continue
            if isinstance(place, Content):
                raise mutation(f"`{_path(model, self.attributes[key])}`", here())
            if isinstance(place, AttributeOf) and ((before is not None and before is not MISSING) or _counts(now)):
                raise mutation(f"`{_path(model, place)}`", here())


def _counts(value: Any) -> bool:
    alternatives = value.alternatives if isinstance(value, Choice) else (value,)
    return any(isinstance(v, (int, float, Scalar)) for v in alternatives)


def _path(model: Callable[..., Any], place: AttributeOf) -> str:
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    path = next((n for n, m in modules if m is place.owner), "")
    return f"{path}.{place.name}" if path else place.name
