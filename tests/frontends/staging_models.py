"""Small recursive modules, each written as a user might, with structures to run them on."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

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


# -- binary trees ----------------------------------------------------------------------------------------------------------


@on(trees)
class ByProperty(Model):
    def forward(self, t: Tree) -> Tensor:
        if t.is_leaf:
            return self.embedding(torch.tensor(t.word))
        return torch.tanh(self.two(torch.cat([self(t.left), self(t.right)])))


@on(trees)
class ByNone(Model):
    def forward(self, t: Tree) -> Tensor:
        if t is None:
            return torch.zeros(H)
        return torch.tanh(self.one(self(t.left)) - self(t.right) + self.embedding.weight[t.word])


@on(trees)
class Classified(Model):
    def forward(self, t: Tree) -> dict[str, Tensor]:
        h, c = self.state(t)
        return {"scores": torch.softmax(self.out(h), 0), "state": c}

    def state(self, t: Tree) -> tuple[Tensor, Tensor]:
        if not t.left:
            h = self.embedding(torch.tensor([t.word]))[0]
        else:
            (lh, lc), (rh, rc) = self.state(t.left), self.state(t.right)
            h = self.mix(lh, rh) + lc * rc
        return h, torch.sigmoid(h)

    def mix(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.relu(self.two(torch.cat((a, b), dim=-1)))


class State(NamedTuple):
    h: Tensor
    c: Tensor


@on(trees)
class NamedStates(Model):
    def forward(self, t: Tree) -> State:
        if t.left is not None and t.right is not None:
            a, b = self.forward(t.left), self.forward(t.right)
            return State(a.h + b.c, c=torch.tanh(a.c * b.h))
        e = self.embedding.weight[t.word]
        return State(h=e, c=-e)


@on(unshared)
class LocalFunction(Model):
    def forward(self, t: Tree) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []

        def visit(node: Tree) -> Tensor:
            h = self.embedding.weight[node.word]
            for side in (node.left, node.right):
                if side is not None:
                    h = h + self.one(visit(side))
            seen.append(h)
            return h

        return visit(t), seen


@on(trees)
class Memo(Model):
    def forward(self, t: Tree) -> Tensor:
        return self.encode(t, {})

    def encode(self, t: Tree, memo: dict[int, Tensor]) -> Tensor:
        if id(t) in memo:
            return memo[id(t)]
        if t.is_leaf:
            h = self.embedding.weight[t.word]
        else:
            h = torch.tanh(self.encode(t.left, memo) + self.one(self.encode(t.right, memo)))
        memo[id(t)] = h
        return h


@on(trees)
class MemoOfObjects(Model):
    def forward(self, t: Tree) -> Tensor:
        self.memo: dict[Tree, Tensor] = {}
        return self.encode(t)

    def encode(self, t: Tree) -> Tensor:
        known = self.memo.get(t)
        if known is not None:
            return known
        self.memo[t] = self.one(self.encode(t.left) + self.encode(t.right)) if t.left else self.embedding.weight[t.word]
        return self.memo[t]


@on(trees)
class Cached(Model):
    def forward(self, t: Tree) -> Tensor:
        return self.encode(t)

    @functools.cache  # noqa: B019
    def encode(self, t: Tree) -> Tensor:
        if t.left is None:
            return self.embedding.weight[t.word]
        return self.one(self.encode(t.left)) * self.encode(t.right)


@on(unshared)
class EveryNode(Model):
    """Results from every node, through a list on the module."""

    def forward(self, t: Tree) -> tuple[Tensor, Tensor]:
        self.scores: list[Tensor] = []
        root = self.visit(t)
        return root, torch.stack(self.scores)

    def visit(self, t: Tree) -> Tensor:
        h = self.embedding.weight[t.word]
        if not t.is_leaf:
            h = h + self.visit(t.left)
            self.scores.append(h.sum())
            h = h * self.visit(t.right)
        self.scores.append(h.mean())
        return h


@on(trees)
class StaticDepth(Model):
    """Weights of their own for the first levels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(H, H) for _ in range(3)])

    def forward(self, t: Tree, depth: int = 0) -> Tensor:
        if t.is_leaf:
            return self.embedding.weight[t.word]
        below = min(depth + 1, 2)
        return self.layers[depth](self(t.left, below) + self(t.right, depth=below))


class Submodule(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(2 * width, width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.cat([left, right])))


@on(trees)
class Submodules(Model):
    def __init__(self) -> None:
        super().__init__()
        self.compose = nn.ModuleDict({"even": Submodule(H), "odd": Submodule(H)})
        self.head = nn.Sequential(nn.Linear(H, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, t: Tree) -> Tensor:
        even, _ = self.both(t)
        return self.head(even)

    def both(self, t: Tree) -> tuple[Tensor, Tensor]:
        return self.even(t), self.odd(t)

    def even(self, t: Tree) -> Tensor:
        return self.embedding.weight[t.word] if t.is_leaf else self.compose["even"](self.odd(t.left), self.odd(t.right))

    def odd(self, t: Tree) -> Tensor:
        return -self.embedding.weight[t.word] if t.is_leaf else self.compose["odd"](self.even(t.left), self.even(t.right))


# -- any number of children ------------------------------------------------------------------------------------------------


@on(bushes)
class SumOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = self.embedding.weight[0] * n.value
        return torch.tanh(x + sum(self.one(self(c)) for c in n.children))


@on(bushes)
class MeanOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = torch.full((H,), 0.5) + n.value
        if len(n.children) > 0:
            x = x + torch.stack([self(c) for c in n.children]).mean(0) / len(n.children)
        return torch.tanh(self.one(x))


@on(bushes)
class MaxOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        best = torch.full((H,), -10.0)
        total = self.one.bias
        product = torch.ones(H)
        for c in n.children:
            h = self(c)
            best = torch.maximum(best, h)
            total = h + total
            product = product * torch.sigmoid(h)
        return torch.tanh(self.one(best / 10 + total) + product + n.value)


@on(bushes)
class Appended(Model):
    def forward(self, n: Slotted) -> Tensor:
        if not n.children:
            return torch.tanh(self.one.bias * n.value)
        hs = []
        for c in n.children:
            hs.append(self.one(self(c)))
        return torch.stack(hs, dim=0).amax(dim=0) + hs[0] - hs[-1] * n.value


@on(bushes)
class Attention(Model):
    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias + n.value)
        if not n.children:
            return x
        states = torch.stack([self.forward(c) for c in n.children])
        scores = torch.softmax(states @ self.one(x) / H**0.5, dim=0)
        return torch.tanh(scores @ states)


@on(bushes)
class PairsOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        return self.state(n)[0]

    def state(self, n: Slotted) -> tuple[Tensor, Tensor]:
        x = self.one.bias * n.value
        if len(n.children) == 0:
            return torch.sigmoid(x), x
        hs, cs = zip(*[self.state(c) for c in n.children])
        gates = [torch.sigmoid(self.one(h) + x) for h in hs]
        c = x + sum(g * c for g, c in zip(gates, cs))
        return torch.tanh(c) + torch.stack(hs).sum(0), c


@on(bushes)
class Positions(Model):
    def forward(self, n: Slotted) -> Tensor:
        total = torch.tanh(self.one.bias + n.value)
        for i, c in enumerate(n.children):
            total = total + self.embedding(torch.tensor(i)) * self(c)
        for i in range(len(n.children)):
            total = total - self.embedding.weight[i] * n.children[i].value
        return total


@on(bushes)
class ByArity(Model):
    """Two, one or no children, by their number."""

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias * n.value)
        match len(n.children):
            case 0:
                return x
            case 1:
                return self.one(self(n.children[0])) + x
            case 2:
                left, right = n.children
                return self.two(torch.cat([self(left), self(right)]))
        return sum((self(c) for c in n.children), x)


@on(bushes)
class FirstAndRest(Model):
    def forward(self, n: Slotted) -> Tensor:
        if not n.children:
            return self.one.bias + n.value
        total = self.one(self(n.children[0]))
        for c in n.children[1:]:
            total = total + torch.relu(self(c))
        return torch.tanh(total) * self(n.children[-1])


@on(bushes)
class NumbersOfChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        weights = [c.value * 0.5 + 1 for c in n.children]
        states = [w * self(c) for w, c in zip(weights, n.children)]
        return torch.tanh(sum(states, self.one.bias * n.value))


@on(bushes)
class SubtreeSizes(Model):
    """A recursion whose results are numbers."""

    def forward(self, n: Slotted) -> Tensor:
        return self.one.bias / self.weight(n)

    def weight(self, n: Slotted) -> Tensor:
        return torch.tensor(1.0) + sum(self.weight(c) for c in n.children)


@on(bushes)
class Rows(Model):
    """States with two axes."""

    def forward(self, n: Slotted) -> Tensor:
        x = torch.outer(self.one.bias, self.one.bias) * n.value
        total = x
        for c in n.children:
            m = self(c)
            total = total + torch.tanh(m @ self.one.weight + m.t() @ x)[:, :H]
        return total.softmax(dim=0)


@on(bushes)
class ElementCells(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(H, H)
        self.norm = nn.LayerNorm(H)

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias * n.value)
        updated = [self.norm(self.cell(x, self(c))) for c in n.children]
        halves = [torch.cat([u[:2], u.chunk(2)[1], u[-1:]]) for u in updated]
        return sum(halves, x)


@on(lambda: bushes()[::-1])
class WeightsByPosition(Model):
    """Each of the first children has weights of its own, the others share those of the third."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.ModuleList([nn.Linear(H, H) for _ in range(3)])

    def forward(self, n: Slotted) -> Tensor:
        total = self.one.bias * n.value
        for i, c in enumerate(n.children):
            total = total + self.at[min(i, 2)](self(c))
        return torch.tanh(total)


@on(lambda: bushes()[::-1])
class CellOverChildren(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(H, H)

    def forward(self, n: Slotted) -> Tensor:
        h = torch.tanh(self.one.bias * n.value)
        for c in n.children:
            h = self.cell(self(c), h)
        return h


@on(lambda: bushes()[:2])
class SomeChildren(Model):
    def forward(self, n: Slotted) -> Tensor:
        hs = [self(c) for c in n.children if c.value > 0]
        for c in reversed(n.children):
            if not c.children:
                hs.append(self.one.bias * c.value)
                break
        return torch.tanh(self.one(torch.stack(hs).sum(0)) if hs else self.one.bias)


@dataclass
class Call:
    name: int
    args: list[Any] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)


@on(lambda: [Call(1, [Call(2), Call(3, [Call(4)], [1])], [0, 1]), Call(5)])
class TwoLists(Model):
    def forward(self, n: Call) -> Tensor:
        total = self.embedding.weight[n.name]
        for arg, kind in zip(n.args, n.kinds):
            total = total + self(arg) * self.embedding.weight[kind]
        return torch.tanh(total)


# -- several kinds of nodes ------------------------------------------------------------------------------------------------


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


# -- tuples, lists, dictionaries -------------------------------------------------------------------------------------------


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


# -- chains and other loops ------------------------------------------------------------------------------------------------


@on(chains)
class Recurrent(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(H, H)

    def forward(self, c: Chain) -> Tensor:
        return self.out(self.state(c)[0])

    def state(self, c: Chain | None) -> tuple[Tensor, Tensor]:
        if c is None:
            return torch.zeros(H), torch.zeros(H)
        return self.cell(torch.as_tensor(c.features), self.state(c.rest))


class Optional:
    """A node with a tensor or none."""

    def __init__(self, extra: Tensor | None, children: tuple[Any, ...] = (), flag: bool = False, count: int = 0) -> None:
        self.extra, self.children, self.flag, self.count = extra, children, flag, count


@on(
    lambda: [
        Optional(torch.ones(H), (Optional(None, count=2), Optional(torch.full((H,), 2.0), flag=True, count=5))),
        Optional(None, (Optional(None, (), True, 3),), True),
    ]
)
class OptionalTensors(Model):
    def forward(self, n: Any) -> Tensor:
        h = sum((self(c) for c in n.children), self.one.bias)
        if n.extra is not None:
            h = h + n.extra
        if n.flag and n.count >= 3:
            h = h * n.count
        elif n.count:
            h = h - torch.tensor(n.count, dtype=torch.float32)
        return torch.tanh(h)


@on(lambda: [Optional(torch.ones(H), (Optional(torch.zeros(H)),))])
class SideInputs(Model):
    """Other arguments beside the structure are tensors of the wrapper."""

    def forward(self, n: Any) -> Tensor:
        return self.out(self.encode(n))

    @torch.no_grad()
    def encode(self, n: Any) -> Tensor:
        with torch.no_grad():
            h = n.extra
            for c in n.children:
                h = h + self.encode(c)
            return h


@dataclass
class Forest:
    members: list[Tree] = field(default_factory=list)


@on(lambda: [Forest(trees()), Forest(trees()[:1])])
class OfForest(Model):
    def forward(self, f: Forest) -> Tensor:
        return self.out(torch.stack([self.encode(t) for t in f.members]).mean(0))

    def encode(self, t: Tree) -> Tensor:
        return self.embedding.weight[t.word] if t.is_leaf else self.encode(t.left) - self.encode(t.right)


# -- more ways of writing it -----------------------------------------------------------------------------------------------


@on(trees)
class InPlace(Model):
    """What a call gives may be changed in place."""

    def forward(self, t: Tree) -> Tensor:
        if t.is_leaf:
            return self.one(self.embedding.weight[t.word])
        h = self.forward(t.left)
        h += self.forward(t.right)
        h.mul_(0.5).tanh_()
        return h


@on(trees)
class ClearedMemo(Model):
    def __init__(self) -> None:
        super().__init__()
        self.memo: dict[Tree, Tensor] = {}

    def forward(self, t: Tree) -> Tensor:
        self.memo.clear()
        return self.encode(t)

    def encode(self, t: Tree) -> Tensor:
        if t in self.memo:
            return self.memo[t]
        h = self.embedding.weight[t.word] if t.is_leaf else self.one(self.encode(t.left) * self.encode(t.right))
        self.memo[t] = h
        return h


def fold(node: Slotted, combine: Callable[[Slotted, list[Tensor]], Tensor]) -> Tensor:
    """A function of the module that calls itself by its name."""
    return combine(node, [fold(c, combine) for c in node.children])


@on(bushes)
class Folded(Model):
    def forward(self, n: Slotted) -> Tensor:
        return fold(n, lambda node, hs: torch.tanh(self.one(sum(hs) if hs else self.one.bias) * node.value))


@on(bushes)
class Measured(Model):
    """Numbers that are found by recursion go into the tensors."""

    def size(self, n: Slotted) -> int:
        return 1 + sum(self.size(c) for c in n.children)

    def depth(self, n: Slotted) -> int:
        return 1 + max([self.depth(c) for c in n.children], default=0)

    def forward(self, n: Slotted) -> Tensor:
        return self.one.bias * self.depth(n) / self.size(n)


@on(bushes)
class CountedLoop(Model):
    def forward(self, n: Slotted) -> Tensor:
        h, i = self.one.bias * n.value, 0
        while i < len(n.children):
            h = h + torch.tanh(self(n.children[i]))
            i += 1
        return h


class Iterated:
    """A node that is walked over itself."""

    def __init__(self, index: int, *below: Iterated) -> None:
        self.index, self.below = index, below

    def __iter__(self) -> Any:
        return iter(self.below)

    def __len__(self) -> int:
        return len(self.below)


@on(lambda: [Iterated(1, Iterated(2), Iterated(3, Iterated(4))), Iterated(5)])
class OwnIteration(Model):
    def forward(self, n: Iterated) -> Tensor:
        h = self.embedding.weight[n.index]
        return h + sum(self.one(self(c)) for c in n) / len(n) if len(n) > 0 else h


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


@on(bushes)
class LayersOverChildren(Model):
    """torch's own layers over the states of the children."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(H, H, batch_first=True)
        self.attention = nn.MultiheadAttention(H, 2, batch_first=True)

    def forward(self, n: Slotted) -> Tensor:
        x = torch.tanh(self.one.bias + n.value)
        if not n.children:
            return x
        states = torch.stack([self(c) for c in n.children]).unsqueeze(0)
        _, last = self.gru(states)
        mixed, _ = self.attention(x[None, None], states, states, need_weights=False)
        return x + last[0, 0] * mixed[0, 0]
