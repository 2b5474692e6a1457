"""What a run of a function comes to, for one way through it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bough.base.source import Location
from bough.base.visits import Call, Collect, Each, Payload
from bough.frontends.staging.facts import Answer
from bough.frontends.staging.templates import Template
from bough.ir.recursion import Source


@dataclass(slots=True)
class Record:
    """What one way through a function needs, and what it gives."""

    eaches: list[Each] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    collects: list[Collect] = field(default_factory=list)
    params: dict[Source, torch.Tensor] = field(default_factory=dict)
    list_uses: dict[int, int] = field(default_factory=dict)
    """After how many calls each list is used that is collected."""
    passes: list[tuple[int, int]] = field(default_factory=list)
    """The call and the argument of each tensor that goes down."""
    template: Template | None = None
    results: tuple[torch.Tensor, ...] = ()
    location: Location | None = None
    remembers: bool = False
    """Whether the user's memo holds the result for the object."""
    known: tuple[Answer, ...] = ()
    answers: tuple[bool, ...] = ()
    """The answers to give when the way is repeated: `known` from the start, `answers` when they are asked for."""
