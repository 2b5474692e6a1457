"""Whole programs: a module with weights, helpers and a forward, as the text of a file, and inputs for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from random_programs.expressions import Helper
from random_programs.scope import FEATURES, Scope
from random_programs.statements import Statements

HEAD = '''import torch
from torch import nn


class Box:
    def __init__(self, h, n):
        self.h = h
        self.n = n


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.named = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Tanh()})
        self.depth, self.flag, self.limit = 2, True, 0.25

'''
RESULTS = (
    "vec", "vec", "vec", "mat", "num", "int", "float", "bool", "grown", "filled", "items", "maybe", "table", "tokens", "counts", "index",
    "pair", "mask", "some", "values",
)  # fmt: skip
PARAMETERS = ("int", "float", "num", "mat", "bool", "maybe", "index", "grown", "box")
LISTS = ("filled", "items", "counts")
INPUTS = {"x": ("vec", (4,)), "m": ("mat", (3, 4)), "s": ("num", ())}


@dataclass(frozen=True, slots=True)
class Case:
    """A program and what it is called with; the first inputs are the example that it is compiled for."""

    source: str
    inputs: tuple[tuple[torch.Tensor, ...], ...]
    seed: int = 0


def generate(seed: int, size: int = 8) -> Case:
    """The program of a seed, with up to `size` statements on its outermost level."""
    r = random.Random(seed)
    share = r.choice([0.1, 0.2, 0.4, 0.7])
    features = frozenset(f for f in FEATURES if r.random() < share)
    taken = ["x", *(n for n in ("m", "s") if r.random() < 0.7)]
    helpers: list[Helper] = []
    functions, methods = [], []
    for number in range(r.randrange(1, 3) if "helpers" in features else 0):
        method = r.random() < 0.5
        text, made = helper(r, features, helpers, number, method)
        (methods if method else functions).append(text)
        helpers.append(made)
    main = forward(r, features, helpers, taken, size)
    source = HEAD + "\n".join([*methods, main]) + "".join(f"\n\n{f}" for f in functions)
    drawn = torch.Generator().manual_seed(seed)
    return Case(source, tuple(draw(taken, drawn) for _ in range(6)), seed)


def draw(names: list[str], drawn: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Inputs of differing scale and mean, so that programs take more than one way."""
    scale, shift = (torch.rand(2, generator=drawn) * torch.tensor([2.0, 1.0]) - torch.tensor([0.0, 0.5])).tolist()
    return tuple(torch.randn(INPUTS[n][1], generator=drawn) * scale + shift for n in names)


def result_types(scope: Scope, most: int) -> tuple[str, ...]:
    possible = [t for t in RESULTS if scope.has_type(t)]
    return tuple(scope.random.choice(possible) for _ in range(scope.random.randint(1, most)))


def forward(r: random.Random, features: frozenset[str], helpers: list[Helper], names: list[str], size: int) -> str:
    scope = Scope(r, features)
    writer = Statements(scope, helpers, result_types(scope, 3), 1)
    writer.write(f"def forward(self, {', '.join(names)}):")
    writer.indent += 1
    for n in names:
        scope.declare(n, INPUTS[n][0])
    if "in_place" in features:  # arguments themselves may not be written to
        writer.write(f"{', '.join(names)} = {', '.join(f'{n}.clone()' for n in names)}")
    if "attributes" in features:
        writer.write("self.kept = x * 0.5")
    body(writer, r.randint(1, size))
    return "\n".join(writer.lines) + "\n"


def body(writer: Statements, count: int) -> None:
    if writer.scope.has("walrus"):
        writer.write("int0 = 0")
        writer.scope.declare("int0", "int")
    for _ in range(count):
        writer.statement()
    writer.leave()


def helper(
    r: random.Random, features: frozenset[str], helpers: list[Helper], number: int, method: bool
) -> tuple[str, Helper]:
    """A function or method with its own variables, and how it is called. It takes one list at most: a loop over a list that grows
    under another name would not end."""
    scope = Scope(r, features - {"attributes"})
    params = ["vec", *r.sample([p for p in PARAMETERS if scope.has_type(p)], r.randrange(3))]
    params += [r.choice([p for p in LISTS if scope.has_type(p)])] if features & {"lists", "numbers_listed"} and r.random() < 0.4 else []
    names = [f"p{i}" for i in range(len(params))]
    result = result_types(scope, 1)
    writer = Statements(scope, list(helpers), result, 1 if method else 0)
    writer.write(f"def help{number}({', '.join(['self', *names])}):")
    writer.indent += 1
    for n, t in zip(names, params, strict=True):
        scope.declare(n, t)
    body(writer, r.randint(1, 4))
    call = f"self.help{number}({{}})" if method else f"help{number}(self, {{}})"
    return "\n".join(writer.lines) + "\n", Helper(call, tuple(params), result[0])
