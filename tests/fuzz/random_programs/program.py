"""Whole programs: a module with weights, helpers and a forward, as the text of a file, and inputs for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from random_programs.expressions import SIGNATURE
from random_programs.scope import (
    BOOL,
    FEATURES,
    FLOAT,
    GROWN,
    INT,
    MATRIX,
    NUMBER,
    VECTOR,
    ListOf,
    Optional,
    Scope,
    Table,
    Tensor,
    Type,
)  # fmt: skip
from random_programs.statements import Statements

HEAD = '''import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.depth, self.flag, self.limit = 2, True, 0.25
'''
RESULTS: tuple[Type, ...] = (
    VECTOR, VECTOR, MATRIX, NUMBER, INT, FLOAT, BOOL, GROWN, ListOf(VECTOR, True), Optional(VECTOR), Table(VECTOR, NUMBER),
)  # fmt: skip
NEEDS: dict[Type, str] = {
    GROWN: "growth", ListOf(VECTOR, True): "lists", Optional(VECTOR): "optional", Table(VECTOR, NUMBER): "tables",
}  # fmt: skip
SHAPES: dict[str, Tensor] = {"x": VECTOR, "m": MATRIX, "s": NUMBER}


@dataclass(frozen=True, slots=True)
class Case:
    """A program and what it is called with; the first inputs are the example that it is compiled for."""

    source: str
    inputs: tuple[tuple[torch.Tensor, ...], ...]
    seed: int = 0


def generate(seed: int, size: int = 8) -> Case:
    """The program of a seed, with about `size` statements on its outermost level."""
    r = random.Random(seed)
    features = frozenset(f for f in FEATURES if r.random() < r.choice([0.3, 0.6]))
    taken = ["x", *(n for n in ("m", "s") if r.random() < 0.7)]
    helpers: list[SIGNATURE] = []
    functions, methods = [], []
    for number in range(r.randrange(1, 3) if "helpers" in features else 0):
        method = r.random() < 0.5
        text, signature = helper(r, features, helpers, number, method)
        (methods if method else functions).append(text)
        helpers.append(signature)
    main = forward(r, features, helpers, taken, size)
    source = HEAD + "\n" + "\n".join([*methods, main]) + "".join(f"\n\n{f}" for f in functions)
    drawn = torch.Generator().manual_seed(seed)
    return Case(source, tuple(draw(taken, drawn) for _ in range(6)), seed)


def draw(names: list[str], drawn: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Inputs of differing scale and mean, so that programs take more than one way."""
    scale, shift = (torch.rand(2, generator=drawn) * torch.tensor([2.0, 1.0]) - torch.tensor([0.0, 0.5])).tolist()
    return tuple(torch.randn([d or 0 for d in SHAPES[n].shape], generator=drawn) * scale + shift for n in names)


def result_types(r: random.Random, features: frozenset[str], most: int) -> tuple[Type, ...]:
    possible = [t for t in RESULTS if t not in NEEDS or NEEDS[t] in features]
    return tuple(r.choice(possible) for _ in range(r.randint(1, most)))


def forward(r: random.Random, features: frozenset[str], helpers: list[SIGNATURE], names: list[str], size: int) -> str:
    scope = Scope(r, features)
    writer = Statements(scope, helpers, result_types(r, features, 3), 1)
    writer.write(f"def forward(self, {', '.join(names)}):")
    writer.indent += 1
    for n in names:
        scope.declare(n, SHAPES[n])
    if "in_place" in features:  # arguments themselves may not be written to
        writer.write(f"{', '.join(names)} = {', '.join(f'{n}.clone()' for n in names)}")
    if "attributes" in features:
        writer.write("self.kept = x * 0.5")
    for _ in range(r.randint(size // 2, size)):
        writer.statement()
    writer.leave()
    return "\n".join(writer.lines) + "\n"


def helper(
    r: random.Random, features: frozenset[str], helpers: list[SIGNATURE], number: int, method: bool
) -> tuple[str, SIGNATURE]:
    """A function or method with its own variables, and how it is called. It takes one list at most: a loop over a list that grows
    under another name would not end."""
    scope = Scope(r, features - {"attributes"})
    params: list[Type] = [VECTOR, *r.sample([INT, FLOAT, NUMBER, MATRIX, BOOL], r.randrange(3))]
    params += [ListOf(VECTOR, True)] if "lists" in features and r.random() < 0.4 else []
    params += [Optional(VECTOR)] if "optional" in features and r.random() < 0.4 else []
    names = [f"p{i}" for i in range(len(params))]
    result = result_types(r, features, 1)
    writer = Statements(scope, helpers, result, 1 if method else 0)
    writer.write(f"def help{number}({', '.join(['self', *names])}):")
    writer.indent += 1
    for n, t in zip(names, params, strict=True):
        scope.declare(n, t)
    for _ in range(r.randint(1, 4)):
        writer.statement()
    writer.leave()
    called = f"self.help{number}({{}})" if method else f"help{number}(self, {{}})"
    return "\n".join(writer.lines) + "\n", (called, tuple(params), result[0])
