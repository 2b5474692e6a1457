"""The structures of the zoo, each as the author of a model might have written it, and how they are made.

They differ on purpose: classes with a property, with None, with lists of children; dictionaries; tuples.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import torch

from bough.bench.zoo.corpora import Binary, children, label, word_index

Nested = Union[int, tuple["Nested", "Nested"]]


class Tree:
    """A binary tree with words at its leaves."""

    def __init__(self, word: int, left: Any = None, right: Any = None) -> None:
        self.word = word
        self.left = left
        self.right = right

    @property
    def is_leaf(self) -> bool:
        return self.left is None


@dataclass(eq=False)
class Phrase:
    """A phrase of any number of phrases; a word has none."""

    word: int = -1
    children: list[Phrase] = field(default_factory=list)


@dataclass(eq=False)
class Syntax:
    """A node of a syntax tree: what it is, and what it consists of."""

    kind: int
    children: tuple[Syntax, ...] = ()


@dataclass(eq=False, slots=True)
class Word:
    """A word of a sentence, and the one before it."""

    index: int
    previous: Word | None


@dataclass(eq=False, slots=True)
class Frame:
    """A frame of a recording: its features, and the frame before it."""

    features: torch.Tensor
    previous: Frame | None


class Vertex:
    """A vertex of a directed acyclic graph: its features, and the vertices with an edge to it."""

    def __init__(self, features: torch.Tensor, sources: Sequence[Vertex] = ()) -> None:
        self.features = features
        self.sources = list(sources)


def tree(binary: Binary) -> Tree:
    if isinstance(binary, str):
        return Tree(word_index(binary))
    left, right = binary
    return Tree(-1, tree(left), tree(right))


def phrase(binary: Binary) -> Phrase:
    if isinstance(binary, str):
        return Phrase(word_index(binary))
    return Phrase(children=[phrase(child) for child in binary])


def nested(binary: Binary) -> Nested:
    """Words as numbers, in pairs of pairs."""
    if isinstance(binary, str):
        return word_index(binary)
    left, right = binary
    return nested(left), nested(right)


def record(binary: Binary) -> dict[str, Any]:
    """As it would come out of a JSON file."""
    if isinstance(binary, str):
        return {"word": word_index(binary)}
    left, right = binary
    return {"left": record(left), "right": record(right)}


def syntax(node: ast.AST) -> Syntax:
    return Syntax(word_index(label(node)), tuple(syntax(child) for child in children(node)))


def words(length: int, draw: random.Random, vocabulary: int) -> Word:
    """The last of a chain of words."""
    word = None
    for _ in range(length):
        word = Word(draw.randrange(vocabulary), word)
    assert word is not None
    return word


def frames(length: int, width: int, generator: torch.Generator) -> Frame:
    """The last of a chain of frames."""
    frame = None
    for features in torch.rand(length, width, generator=generator) * 2 - 1:
        frame = Frame(features, frame)
    assert frame is not None
    return frame


def grid(rows: int, columns: int, width: int, generator: torch.Generator) -> Vertex:
    """The last corner of a grid whose edges go right and down: every other vertex but those of two sides is shared."""
    line: list[Vertex] = []
    for _ in range(rows):
        above, line = line, []
        for j, features in enumerate(torch.rand(columns, width, generator=generator) * 2 - 1):
            line.append(Vertex(features, [*line[-1:], *above[j : j + 1]]))
    return line[-1]
