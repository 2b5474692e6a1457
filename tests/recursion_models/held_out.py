"""The list of models that the modules of this folder fill: each with a maker of random structures for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import nn

WIDTH = 12


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    draw: Callable[[Random, int], Any]
    """A structure of about as many nodes as asked for, or the arguments of a call."""
    lacking: str = ""
    """Why it may still be refused, by a CompileError."""

    def arguments(self, random: Random, nodes: int) -> tuple[Any, ...]:
        drawn = self.draw(random, nodes)
        return drawn.values if isinstance(drawn, Arguments) else (drawn,)


@dataclass(frozen=True)
class Arguments:
    """Where a model takes several arguments."""

    values: tuple[Any, ...]


CASES: dict[str, Case] = {}


def on(draw: Callable[[Random, int], Any], lacking: str = "") -> Callable[[type[nn.Module]], type[nn.Module]]:
    def enter(model: type[nn.Module]) -> type[nn.Module]:
        CASES[model.__name__] = Case(model, draw, lacking)
        return model

    return enter
