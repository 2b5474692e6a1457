"""Modules over several kinds of objects: classes, tuples, lists, dictionaries, tables."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from staging_structures import Binary, H, Leaf, Model, Op, Unary, expressions, on
from torch import Tensor, nn


@on(expressions)
class ByClass(Model):
    def forward(self, e: Any) -> Tensor:
        match e:
            case Leaf(features=x):
                return self.one(x)
            case Unary(op, child):
                return self.embedding.weight[op.value] - self(child)
            case Binary(op=Op.ADD):
                return self(e.left) + self(e.right)
            case Binary(left=left, right=right):
                return self.two(torch.cat([self(left), self(right)]))
            case _:
                raise TypeError(f"no expression: {e}")


@on(expressions)
class ByTable(Model):
    def __init__(self) -> None:
        super().__init__()
        self.ops = nn.ModuleDict({"ADD": nn.Linear(H, H), "MUL": nn.Linear(H, H), "NEG": nn.Tanh()})

    def forward(self, e: Any) -> Tensor:
        if isinstance(e, Leaf):
            return e.features
        if isinstance(e, Unary):
            return self.ops[e.op.name](self(e.child))
        assert isinstance(e, Binary), "neither leaf nor unary nor binary"
        inner = self(e.left) * self(e.right) if e.op is Op.MUL else self(e.left) + self(e.right)
        return self.ops[e.op.name](inner)


def plain_values() -> list[Any]:
    return [[1.5, 2, True, [False, None]], 2.5, True, None, [3, [4, [True]], 0.25], 7, False]


@on(plain_values)
class OfPlainValues(Model):
    """Numbers of several kinds at one place: each way has its own."""

    def forward(self, v: Any) -> Tensor:
        if v is None:
            return self.one.bias
        if isinstance(v, bool):
            return self.embedding.weight[int(v)]
        if isinstance(v, int):
            return self.embedding.weight[torch.tensor(v) + 1]
        if isinstance(v, float):
            return self.one.bias * torch.tensor(v)
        return torch.tanh(self.one(torch.stack([self(x) for x in v]).sum(0)))


class Polymorphic:
    """Nodes that know how to encode themselves."""

    def encode(self, model: Any) -> Tensor:
        raise NotImplementedError


class Word(Polymorphic):
    def __init__(self, index: int) -> None:
        self.index = index

    def encode(self, model: Any) -> Tensor:
        return model.embedding.weight[self.index]


class Pair(Polymorphic):
    def __init__(self, *parts: Polymorphic) -> None:
        self.parts = parts

    def encode(self, model: Any) -> Tensor:
        first, second = self.parts
        return model.two(torch.cat([first.encode(model), second.encode(model)]))


@on(lambda: [Pair(Word(1), Pair(Word(2), Word(3))), Word(4), Pair(Pair(Word(1), Word(1)), Word(2))])
class Methods(Model):
    def forward(self, node: Polymorphic) -> Tensor:
        return self.out(node.encode(self))


@on(lambda: [(1, (2, 3)), 4, ((1, 2), (3, (4, 5)))])
class Tuples(Model):
    def forward(self, t: Any) -> Tensor:
        if isinstance(t, tuple):
            left, right = t
            return torch.tanh(self.two(torch.cat([self(left), self(right)])))
        return self.embedding.weight[t]


@on(lambda: [[1, [2, 3, [4]], [5]], [6], [[1, 2], 3]])
class Lists(Model):
    def forward(self, t: Any) -> Tensor:
        if isinstance(t, int):
            return self.embedding.weight[t]
        return torch.tanh(self.one(torch.stack([self(x) for x in t]).sum(0)))


@on(lambda: [{"op": "+", "args": [{"op": "x", "v": 2.0}, {"op": "-", "args": [{"op": "x", "v": 3}]}]}, {"op": "x", "v": 0.5}])
class Dictionaries(Model):
    def forward(self, d: Any) -> Tensor:
        if d["op"] == "x":
            return self.one.bias * d["v"]
        total = sum(self(a) for a in d["args"])
        if d["op"] in ("+", "*"):
            return total
        return -self.one(total) if "args" in d else total


class Kind(enum.IntEnum):
    NAME = 0
    CALL = 1


@dataclass(frozen=True)
class Term:
    kind: Kind
    name: str
    args: tuple[Term, ...] = ()
    weight: float = 1


@on(lambda: [Term(Kind.CALL, "f", (Term(Kind.NAME, "x"), Term(Kind.CALL, "g", (Term(Kind.NAME, "y", weight=2.5),)))), Term(Kind.NAME, "x")])
class Tables(Model):
    """Constants are looked up by what lies in the structure."""

    names: ClassVar = {"f": 0, "g": 1, "x": 2, "y": 3}
    functions: ClassVar = {"f": torch.tanh, "g": torch.sigmoid}

    def forward(self, t: Term) -> Tensor:
        if t.kind == Kind.NAME:
            return self.embedding.weight[self.names[t.name]] * t.weight
        return self.functions[t.name](sum(map(self, t.args)) + self.embedding.weight[t.kind])


@on(lambda: [{"v": 1, "below": {"a": {"v": 2, "below": {}}, "b": {"v": 3, "below": {"c": {"v": 4, "below": {}}}}}}])
class Values(Model):
    def forward(self, d: Any) -> Tensor:
        h = self.embedding.weight[d["v"]]
        for below in d["below"].values():
            h = h + torch.tanh(self(below))
        return h


@on(lambda: [(("a", [1, 2]), [("b", [3]), ("c", [4, 5])]), (("b", [1]), [])])
class ListsOfNumbers(Model):
    def forward(self, x: Any) -> Tensor:
        head, tail = x
        return self.item(head) + sum(self.item(t) for t in tail)

    def item(self, pair: Any) -> Tensor:
        name, ids = pair
        h = self.embedding(torch.tensor(ids)).sum(0)
        return -h if name == "b" else h
