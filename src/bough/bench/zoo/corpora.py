"""Where structures come from: bracketed sentences, perfect trees, grids, expressions, and the standard library's own source."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Union

Binary = Union[str, tuple["Binary", "Binary"]]
"""A binary tree whose leaves are words."""
VOCABULARY = 5000
"""Rows of an embedding table; words are numbered by a hash, so that no list of words is needed."""
TOKEN = re.compile(r"[()]|[^() \n]+")  # words may hold a no-break space: only a plain one divides
PACKAGES = ("json", "email", "http", "logging", "unittest", "asyncio", "importlib", "multiprocessing", "collections", "xml")
LEAVES = range(10, 57)
"""How many words a sentence of code has: about as many as one of the Stanford Sentiment Treebank."""
NODES = range(10, 400)
"""How many nodes the syntax tree of a function has."""


def word_index(word: str) -> int:
    """The row of a word in an embedding table, the same in every process."""
    return zlib.crc32(word.encode()) % VOCABULARY


def read_brackets(text: str) -> Binary:
    """One tree such as `(3 (2 It) (4 works))`: labels, and a word or subtrees; the labels are dropped.

    Nodes of one subtree are that subtree; of more than two, pairs within pairs. Raises ValueError for anything else.
    """
    error = ValueError(f"not a tree in brackets: {text!r}")
    open_: list[list[Binary]] = [[]]
    labelled = True
    for token in TOKEN.findall(text):
        if token == "(":
            open_.append([])
            labelled = False
        elif len(open_) == 1:
            raise error
        elif token == ")":
            if not (parts := open_.pop()):
                raise error
            open_[-1].append(fold(parts))
        elif labelled:
            open_[-1].append(token)
        else:
            labelled = True
    if len(open_) != 1 or len(open_[0]) != 1:
        raise error
    return open_[0][0]


def fold(parts: Sequence[Binary]) -> Binary:
    """(a, (b, (c, d)))."""
    tree = parts[-1]
    for part in reversed(parts[:-1]):
        tree = (part, tree)
    return tree


def sentences(count: int, path: Path | None = None) -> list[Binary]:
    """The first trees of a bracket file, or where there is none, statements of the standard library as binary trees."""
    if path is None:
        return list(islice(statements(), count))
    with path.open(encoding="utf-8", newline="\n") as file:
        return [read_brackets(line) for line in islice((line for line in file if line.strip()), count)]


def perfect(count: int, height: int, seed: int = 0) -> list[Binary]:
    """Perfect trees with random words: 2 ** height leaves."""
    draw = random.Random(seed)

    def grow(height: int) -> Binary:
        return (grow(height - 1), grow(height - 1)) if height else f"word{draw.randrange(VOCABULARY)}"

    return [grow(height) for _ in range(count)]


def statements() -> Iterator[Binary]:
    """Statements of the standard library as binary trees, the leaves of which are names and kinds of syntax."""
    for _, function in functions(PACKAGES):
        for statement in function.body:
            tree = binary_syntax(statement)
            if sum(1 for _ in words(tree)) in LEAVES:
                yield tree


def binary_syntax(node: ast.AST) -> Binary:
    """A syntax tree whose every node is its own label and its children, folded."""
    return fold([label(node), *map(binary_syntax, children(node))])


def words(tree: Binary) -> Iterator[str]:
    """The leaves, from left to right."""
    rest = [tree]
    while rest:
        top = rest.pop()
        if isinstance(top, str):
            yield top
        else:
            rest += reversed(top)


def functions(packages: Sequence[str]) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions of packages of the standard library with the package of each, in turns, in the order of their files."""
    turns = [_functions(package) for package in packages]
    while turns:
        for turn in tuple(turns):
            if (found := next(turn, None)) is None:
                turns.remove(turn)
            else:
                yield found


def _functions(package: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for file in sorted(Path(sysconfig.get_path("stdlib"), package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef) and size(node) in NODES:
                yield package, node


def size(node: ast.AST) -> int:
    """How many nodes a syntax tree has."""
    return 1 + sum(map(size, children(node)))


def children(node: ast.AST) -> list[ast.AST]:
    """What a node consists of; whether a name is read or written says nothing about structure."""
    return [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]


def label(node: ast.AST) -> str:
    """What a node is: the name of a variable or attribute, the type of a constant, or its kind of syntax."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    return type(node).__name__
