"""Syntax trees of the functions of Python's own library, each with the package that it comes from."""

from __future__ import annotations

import ast
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("asyncio", "email", "http", "importlib", "logging", "multiprocessing", "tkinter", "unittest", "xml")
SIZES = range(20, 301)
WORDS = 4000
HELD_BACK = 0.25

KINDS = {name: n for n, name in enumerate(sorted(k for k in dir(ast) if isinstance(getattr(ast, k), type)))}
NAMED = ("id", "attr", "arg", "name", "module")


@dataclass(slots=True)
class Node:
    """A node of a syntax tree: numbers of its kind and of its word (0: none), and its children in the order of the source."""

    kind: int
    word: int
    children: list[Node]

    def __len__(self) -> int:
        return 1 + sum(map(len, self.children))


class Sample(NamedTuple):
    tree: Node
    package: int


def read() -> tuple[list[str], list[Sample], list[Sample]]:
    """Names of the packages that are installed, functions to train with, and functions of other files, held back."""
    library = Path(sysconfig.get_path("stdlib"))
    names = [name for name in PACKAGES if (library / name).is_dir()]
    training: list[Sample] = []
    held_back: list[Sample] = []
    for package, name in enumerate(names):
        sources = [file for file in (library / name).rglob("*.py") if "test" not in file.parts]
        files = [[Sample(tree, package) for tree in functions(file)] for file in sources]
        files.sort(key=lambda samples: zlib.crc32(repr(samples).encode()))
        room = HELD_BACK * sum(map(len, files))
        for samples in files:
            (held_back if len(samples) <= room else training).extend(samples)
            room -= len(samples) if len(samples) <= room else 0
    return names, training, held_back


def functions(file: Path) -> Iterator[Node]:
    """The file's functions and methods of a size in SIZES."""
    for found in outermost(ast.parse(file.read_bytes())):
        tree = node(found)
        if len(tree) in SIZES:
            yield tree


def outermost(within: ast.AST) -> Iterator[ast.AST]:
    """Functions that stand in no other function."""
    for child in ast.iter_child_nodes(within):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        else:
            yield from outermost(child)


def node(of: ast.AST) -> Node:
    word = next((value for name in NAMED if isinstance(value := getattr(of, name, None), str)), None)
    children = [node(child) for child in ast.iter_child_nodes(of) if not isinstance(child, ast.expr_context)]
    return Node(KINDS[type(of).__name__], 0 if word is None else 1 + zlib.crc32(word.encode()) % (WORDS - 1), children)
