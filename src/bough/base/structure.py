"""Marks classes of the user's as recursive inputs."""

from __future__ import annotations

import dataclasses
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform()
def structure(cls: type[T]) -> type[T]:
    """A class decorator: the class is a type of nodes, a dataclass (it becomes one unless it is one), compared by identity.

    Its annotations tell the compiler what the example objects do not show, such as `left: "Node | None"` where no example
    has a None. Plain classes are described by example alone, and by their annotations where they have some.
    """
    return cls if dataclasses.is_dataclass(cls) else dataclasses.dataclass(eq=False)(cls)
