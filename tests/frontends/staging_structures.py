"""Structures as users build them, and the table of the modules that are run on them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import bough

H = 6


class Tree:
    def __init__(self, word: int = 0, left: Any = None, right: Any = None) -> None:
        self.word, self.left, self.right = word, left, right

    @property
    def is_leaf(self) -> bool:
        return self.left is None


def trees() -> list[Tree]:
    a = Tree(1, Tree(2), Tree(3, Tree(4), Tree(5)))
    return [a, Tree(7), Tree(6, a, Tree(0, a, Tree(1)))]


def unshared() -> list[Tree]:
    """Python appends to a list once for each way to a shared node, compiled code once."""
    return [Tree(6, Tree(7), Tree(0, Tree(1, Tree(2), Tree(3, Tree(4), Tree(5))), Tree(1))), Tree(3)]


class Slotted:
    __slots__ = ("children", "value")

    def __init__(self, value: float, *children: Slotted) -> None:
        self.value, self.children = value, list(children)


def bushes() -> list[Slotted]:
    leaf = Slotted(0.5)
    return [
        Slotted(1.0, Slotted(2.0), Slotted(-1.0, leaf, Slotted(3.0), leaf)),
        leaf,
        Slotted(0.25, leaf),
        Slotted(2.0, *[Slotted(float(i), *[leaf] * i) for i in range(4)]),
    ]


class Op(enum.Enum):
    ADD = 1
    MUL = 2
    NEG = 3


@dataclass
class Leaf:
    features: Tensor


@dataclass
class Unary:
    op: Op
    child: Any


@dataclass
class Binary:
    op: Op
    left: Any
    right: Any


def expressions() -> list[Any]:
    x, y = Leaf(torch.arange(float(H))), Leaf(torch.linspace(-1, 1, H))
    first = Binary(Op.ADD, Unary(Op.NEG, x), Binary(Op.MUL, x, y))
    return [first, y, Binary(Op.MUL, first, Unary(Op.NEG, first))]


@bough.structure
class Chain:
    features: np.ndarray
    rest: Chain | None = None


def chains() -> list[Chain]:
    made: list[Chain] = []
    rest = None
    for i in range(4):
        rest = Chain(np.full(H, float(i), np.float32), rest)
        made.append(rest)
    return made[::-1]


class Model(nn.Module):
    """Layers that most models here use."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, H)
        self.one = nn.Linear(H, H)
        self.two = nn.Linear(2 * H, H)
        self.out = nn.Linear(H, 3)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], list[Any]]]] = {}


def on(structures: Callable[[], list[Any]]) -> Callable[[type], type]:
    """Enters a module into the table, with what it is run on."""

    def enter(cls: type) -> type:
        MODELS[cls.__name__] = (cls, structures)
        return cls

    return enter
