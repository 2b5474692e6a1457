"""Models over trees of two children, each written as another author would write it."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from held_out import WIDTH, on
from helpers import combine, cut
from torch import Tensor, nn


@dataclass(slots=True)
class Span:
    vector: Tensor | None = None
    left: "Span" | None = None
    right: "Span" | None = None

    @property
    def is_word(self) -> bool:
        return self.left is None and self.right is None


def spans(random: Random, nodes: int) -> Span:
    if nodes <= 1:
        return Span(torch.randn(WIDTH, generator=torch.Generator().manual_seed(random.randrange(10**6))))
    left = random.randint(1, nodes - 1)
    return Span(None, spans(random, left), spans(random, nodes - left))


@on(spans)
class Additive(nn.Module):
    """A property as leaf test, early return, keyword call of the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, span: Span) -> Tensor:
        if span.is_word:
            return span.vector
        return torch.tanh(self.mix(torch.cat((self.forward(span.left), self.forward(span=span.right)), dim=-1)))


@on(spans)
class KeptBatch(nn.Module):
    """Every state is [1, width]; the classifier ends in a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2 * WIDTH, 2 * WIDTH), nn.ReLU(), nn.Dropout(0.3), nn.Linear(2 * WIDTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, 3)

    def encode(self, span: Span) -> Tensor:
        if span.left is not None:
            pair = torch.cat([self.encode(span.left), self.encode(span.right)], 1)
            return self.norm(self.encoder(pair))
        return span.vector.unsqueeze(0)

    def forward(self, root: Span) -> Tensor:
        return F.softmax(self.out(self.encode(root)), dim=1).squeeze(0)


@on(spans)
class Tensorial(nn.Module):
    """A neural tensor layer, by einsum, and a bilinear one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.cube = nn.Parameter(torch.randn(WIDTH, WIDTH, WIDTH) * 0.1)
        self.bilinear = nn.Bilinear(WIDTH, WIDTH, WIDTH)

    def forward(self, t: Span) -> Tensor:
        if t.left is None:
            return t.vector.tanh()
        a, b = self(t.left), self(t.right)
        v = torch.einsum("i,kij,j->k", a, self.cube, b)
        return torch.tanh(v + self.bilinear(a, b))


@on(spans)
class MatrixVector(nn.Module):
    """Each node is a vector and a matrix, which act on each other's."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Linear(WIDTH, 16)
        self.small = nn.Linear(WIDTH, 4)
        self.join = nn.Linear(8, 4, bias=False)
        self.joined = nn.Parameter(torch.randn(4, 8) * 0.3)

    def forward(self, t: Span) -> Tensor:
        vector, _matrix = self.both(t)
        return vector

    def both(self, t: Span) -> tuple[Tensor, Tensor]:
        if t.is_word:
            return self.small(t.vector), torch.eye(4) + 0.1 * self.make(t.vector).view(4, 4)
        (v, m), (w, n) = self.both(t.left), self.both(t.right)
        return torch.tanh(self.join(torch.cat([n @ v, m.matmul(w)]))), self.joined @ torch.cat([m, n], dim=0)


@on(spans)
class Residual(nn.Module):
    """Helpers of another file; a state that is scaled, clamped and added to."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH) * 0.2)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, t: Span) -> Tensor:
        if t.left is None or t.right is None:
            return cut(t.vector)
        return combine(self.weight, self(t.left), self(t.right)) * self.scale


class Pair(NamedTuple):
    word: int
    parts: tuple[Any, ...] = ()


def pairs(random: Random, nodes: int) -> Pair:
    if nodes <= 1:
        return Pair(random.randrange(20))
    left = random.randint(1, nodes - 1)
    return Pair(random.randrange(20), (pairs(random, left), pairs(random, nodes - left)))


@on(pairs)
class Gated(nn.Module):
    """A GRU cell over the sum of two, and results as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def walk(self, p: Pair, depth_scale: float = 0.9) -> dict[str, Tensor]:
        x = self.table(torch.tensor([p.word]))
        if len(p.parts) == 0:
            state = torch.zeros(1, WIDTH)
            return {"state": self.cell(x, state), "energy": x.pow(2).sum()}
        first, second = p.parts
        a, b = self.walk(first), self.walk(second)
        state = self.cell(x, a["state"] + depth_scale * b["state"])
        return {"state": state, "energy": a["energy"] + b["energy"]}

    def forward(self, p: Pair) -> dict[str, Tensor]:
        found = self.walk(p)
        return {"state": found["state"][0], "energy": found["energy"], "norm": found["state"].norm()}


@on(pairs)
class CellPair(nn.Module):
    """The states of an LSTM cell as a named tuple, and a list of layers by a static loop."""

    State = namedtuple("State", "h c")

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, WIDTH)
        self.cell = nn.LSTMCell(2 * WIDTH, WIDTH)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(3)])

    def forward(self, pair: Pair) -> Tensor:
        h = self.visit(pair).h
        for layer in self.layers:
            h = F.leaky_relu(layer(h))
        return h

    def visit(self, pair: Pair) -> "CellPair.State":
        if pair.parts:
            left, right = map(self.visit, pair.parts)
            x = torch.cat([left.h, right.h])
            h, c = self.cell(x[None], ((left.h + right.h)[None] / 2, (left.c + right.c)[None] / 2))
            return self.State(h[0], c[0])
        x = self.words.weight[pair.word]
        return self.State(h=x, c=torch.zeros_like(x))


@on(lambda random, nodes: nested(random, nodes))
class Nested(nn.Module):
    """Trees as nested tuples of numbers; `not isinstance`."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(9, WIDTH))
        self.left, self.right = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, tree: Any) -> Tensor:
        if not isinstance(tree, tuple):
            return self.words[tree]
        l, r = tree
        return (self.left(self(l)) + self.right(self(r))).sigmoid()


def nested(random: Random, nodes: int) -> Any:
    if nodes <= 1:
        return random.randrange(9)
    left = random.randint(1, nodes - 1)
    return nested(random, left), nested(random, nodes - left)


class Operator(enum.IntEnum):
    PLUS = 0
    TIMES = 1
    MINUS = 2


class Expression:
    pass


class Number(Expression):
    def __init__(self, value: float) -> None:
        self.value = value


class Variable(Expression):
    def __init__(self, name: str) -> None:
        self.name = name


class Application(Expression):
    def __init__(self, op: Operator, *args: Expression) -> None:
        self.op = op
        self.args = list(args)


def expressions(random: Random, nodes: int) -> Expression:
    if nodes <= 1:
        return Number(random.uniform(-1, 1)) if random.random() < 0.5 else Variable(random.choice("xyz"))
    left = random.randint(1, nodes - 1)
    return Application(random.choice(list(Operator)), expressions(random, left), expressions(random, nodes - left))


@on(expressions)
class Arithmetic(nn.Module):
    """Modules by operator in a ModuleDict, variables by name, numbers as scalars; an elif chain that ends in a raise."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.ParameterDict({name: nn.Parameter(torch.randn(WIDTH)) for name in "xyz"})
        self.number = nn.Linear(1, WIDTH)
        self.operators = nn.ModuleDict({op.name: nn.Linear(2 * WIDTH, WIDTH) for op in Operator})

    def forward(self, e: Expression) -> Tensor:
        if isinstance(e, Number):
            h = self.number(torch.tensor([e.value]))
        elif isinstance(e, Variable):
            h = self.names[e.name]
        elif isinstance(e, Application):
            a, b = e.args
            h = self.operators[e.op.name](torch.cat([self(a), self(b)]))
        else:
            raise TypeError(f"no expression: {e}")
        return torch.tanh(h)


@on(expressions)
class Matched(nn.Module):
    """A match statement over classes and members of an enumeration."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(WIDTH))
        self.letters = nn.Embedding(3, WIDTH)

    def forward(self, e: Expression) -> Tensor:
        match e:
            case Number(value=v):
                return self.scale * v
            case Variable(name="x" | "y"):
                return self.letters.weight[0]
            case Variable():
                return self.letters.weight[2]
            case Application(op=Operator.PLUS, args=[a, b]):
                return self(a) + self(b)
            case Application(op=Operator.TIMES, args=[a, b]):
                return self(a) * self(b)
            case Application(args=[a, b]):
                return self(a) - 0.5 * self(b)
        raise ValueError(e)
