"""A suite: its cases, and who takes part in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

from bough.bench.peers import Peer, Session
from bough.bench.problem import Case, Choice, P


@dataclass(frozen=True, slots=True)
class Suite(Generic[P]):
    """`open` compiles a problem with Bough for some threads. `against` are the peers that are compared where none are named;
    `ablations` are Bough itself, each without one of its optimizations. `footprints` are the libraries, Bough among them, that
    load each model in a process of their own too."""

    cases: Callable[[Choice], tuple[Case[P], ...]]
    open: Callable[[P, int, Path], Session]
    peers: Mapping[str, Peer[P]]
    against: tuple[str, ...]
    ablations: Mapping[str, Peer[P]] = field(default_factory=dict)
    footprints: tuple[str, ...] = ()

    @property
    def rivals(self) -> dict[str, Peer[P]]:
        """All that Bough can be compared with, by name."""
        return {**self.peers, **self.ablations}
