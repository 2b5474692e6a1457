"""Copies that stand where eager Python has the same tensor, or a view of one: rows at a computed index, tensors that a branch has
chosen, lists that are kept stacked.

What is written to such a copy is written back; what is written to the tensor makes the copy out of date, and it is read again
before it is used. Where one of the two cannot be done, what is then not known may not be used any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging.left import storage
from bough.frontends.staging.scopes import Scope

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

Read = Callable[[], torch.Tensor]
Write = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Link:
    """`copy`, no view, has the elements that eager Python finds in tensors with these storages."""

    copy: torch.Tensor
    sources: Mapping[int, torch.Tensor]
    """Tensors by their storages."""
    read: Read | None
    write: Write | None
    scope: Scope
    part: tuple[torch.Tensor, Any, Any] | None = None
    """The tensor that was given out for `owner[key]`."""


class Aliases:
    """Of one trace."""

    def __init__(self, staging: DataStaging) -> None:
        self.staging = staging
        self.links: dict[int, Link] = {}
        """By the id of the copy."""
        self.busy: set[int] = set()
        self.any_stale = False
        self.paused = False
        """See `quiet`."""

    def stands_for(
        self, copy: torch.Tensor, tensors: Iterable[torch.Tensor], read: Read | None, write: Write | None,
        part: tuple[Any, Any] | None = None,
    ) -> None:  # fmt: skip
        """Notes that a tensor is a copy of elements of others."""
        base = self.staging.base_of(copy)
        sources = {s: of for t in tensors for s, of in self.sources(t).items()}
        known = None if part is None else (copy, *part)
        self.links[id(base)] = Link(base, sources, read, write, self.staging.scope, known)

    def derived(self, copy: torch.Tensor, tensors: Iterable[torch.Tensor]) -> None:
        """Notes the same where neither can be read from nor written to the other."""
        tensors = tuple(tensors)
        self.stands_for(copy, tensors, None, None)
        if any(self.is_stale(id(self.staging.base_of(t))) for t in tensors):
            self.staging.scope.stale[id(self.staging.base_of(copy))] = True

    def sources(self, tensor: torch.Tensor) -> dict[int, torch.Tensor]:
        """What a tensor shares elements with, in eager Python."""
        base = self.staging.base_of(tensor)
        link = self.links.get(id(base))
        return {storage(tensor): base, **({} if link is None else link.sources)}

    def older_sources(self, tensor: torch.Tensor, start: int) -> list[torch.Tensor]:
        """Those of them that are older than this."""
        return [t for t in self.sources(tensor).values() if self.staging.born(t) < start]

    # -- what is written and used ----------------------------------------------------------------------------------------

    def written(self, tensor: torch.Tensor) -> None:
        """Notes that a tensor has been written in place."""
        base = self.staging.base_of(tensor)
        if self.paused or id(base) in self.busy:
            return
        link = self.links.get(id(base))
        with self.at_work(base):
            if link is not None and self.is_alive(link):
                if link.write is not None:
                    link.write()
                else:
                    for source, of in link.sources.items():
                        self.blur(source, of)
        self.outdate(storage(tensor))

    def overwrite(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """`tensor.copy_(value)`, also where nobody watches what torch's functions write: inside of one."""
        self.use([tensor])
        self.staging.wrote(tensor)
        tensor.copy_(value)
        self.written(tensor)

    def blur(self, source: int, tensor: torch.Tensor) -> None:
        """Notes that a tensor may have been written: it is not to be used any more."""
        if self.staging.born(tensor) == 0:
            raise self.staging.refused(
                "a tensor is written in place that may be a part of an argument or a weight, which only the call decides",
                "a compiled function leaves these alone",
                "compute a new tensor in place of writing",
            )
        self.staging.scope.stale[id(tensor)] = self.any_stale = True
        self.outdate(source)

    def outdate(self, source: int) -> None:
        for key, link in self.links.items():
            if source in link.sources and key not in self.busy and not self.is_stale(key) and self.is_alive(link):
                self.staging.scope.stale[key] = True
                self.any_stale = True
                with self.at_work(link.copy):
                    self.outdate(storage(link.copy))

    def use(self, values: Iterable[Any]) -> None:
        """What is out of date among values that are about to be used is read again."""
        if not self.any_stale or self.paused:
            return
        for value in tensors_in(values):
            base = self.staging.base_of(value)
            if self.is_stale(id(base)) and id(base) not in self.busy:
                self.refresh(self.links.get(id(base)))

    def refresh(self, link: Link | None) -> None:
        if link is None or link.read is None or not self.is_alive(link):
            raise self.staging.refused(
                "a tensor is used that may share elements with another one, which has been written in place since",
                "which elements only the call decides, so there is no telling what it holds",
                "use it before the other is written, or write to a copy",
            )
        self.use(link.sources.values())
        with self.at_work(link.copy):
            self.staging.scope.stale[id(link.copy)] = False
            self.staging.wrote(link.copy)
            link.copy.copy_(link.read())
        self.outdate(storage(link.copy))

    def refresh_all(self) -> None:
        """At the end of a scope: what it has made out of date is read again, for others than it cannot."""
        while found := [k for k, stale in self.staging.scope.stale.items() if stale and self.can_refresh(k)]:
            for key in found:
                self.refresh(self.links[key])

    def can_refresh(self, key: int) -> bool:
        link = self.links.get(key)
        return link is not None and link.read is not None and self.is_alive(link)

    def leave(self, scope: Scope) -> None:
        """Hands on what cannot be read again."""
        assert scope.parent is not None
        scope.parent.stale.update({key: True for key, stale in scope.stale.items() if stale})

    def is_stale(self, key: int) -> bool:
        scope: Scope | None = self.staging.scope
        while scope is not None:
            if key in scope.stale:
                return scope.stale[key]
            scope = scope.parent
        return False

    def is_alive(self, link: Link) -> bool:
        """Whether what the copy was made of is known here."""
        scope: Scope | None = self.staging.scope
        while scope is not None and scope is not link.scope:
            scope = scope.parent
        return scope is not None

    def is_part(self, value: Any, owner: Any, key: Any) -> bool:
        """Whether a value is what `owner[key]` was, which may have been written since."""
        link = self.links.get(id(self.staging.base_of(value))) if isinstance(value, torch.Tensor) else None
        part = None if link is None else link.part
        return part is not None and part[0] is value and part[1] is owner and part[2] is key

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """While active, what is written is what eager Python has had there already."""
        self.paused, before = True, self.paused
        try:
            yield
        finally:
            self.paused = before

    @contextmanager
    def at_work(self, copy: torch.Tensor) -> Iterator[None]:
        """While active, what is written concerns this copy no more."""
        new = id(copy) not in self.busy
        self.busy.add(id(copy))
        try:
            yield
        finally:
            if new:
                self.busy.discard(id(copy))


def tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)
        elif isinstance(value, dict):
            yield from tensors_in(value.values())
