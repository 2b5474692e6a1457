"""Models over trees of any number of children: objects, dictionaries, lists, chains."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from held_out import WIDTH, Arguments, on
from helpers import pooled
from torch import Tensor, nn


class Tag:
    """What a parser of markup makes."""

    def __init__(self, name: int, score: float) -> None:
        self.name, self.score, self.items = name, score, []

    def add(self, item: "Tag") -> None:
        self.items.append(item)

    @property
    def childless(self) -> bool:
        return not self.items

    def __len__(self) -> int:
        return len(self.items)


def tags(random: Random, nodes: int) -> Tag:
    made = [Tag(random.randrange(15), random.uniform(-1, 1))]
    while len(made) < nodes:
        tag = Tag(random.randrange(15), random.uniform(-1, 1))
        random.choice(made).add(tag)
        made.append(tag)
    return made[0]


class OverTags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(15, WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.outer = nn.Linear(2 * WIDTH, WIDTH)

    def own(self, tag: Tag) -> Tensor:
        return self.names(torch.tensor(tag.name)) * tag.score


@on(tags)
class SumOfGenerator(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        return torch.tanh(self.own(tag) + sum(self.inner(self(item)) for item in tag.items))


@on(tags)
class MeanOrZeros(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        below = torch.stack([self(i) for i in tag.items]).mean(dim=0) if tag.items else torch.zeros(WIDTH)
        return F.gelu(self.outer(torch.cat([self.own(tag), below])))


@on(tags)
class MaxPooled(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        if tag.childless:
            return self.own(tag).relu()
        states = []
        for item in tag.items:
            states.append(self.forward(item))
        return torch.relu(self.inner(torch.stack(states).max(dim=0).values) + self.own(tag))


@on(tags)
class PooledByHelper(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        if len(tag) == 0:
            return self.own(tag)
        return self.outer(pooled([self(item) for item in tag.items])).tanh() + self.own(tag)


@on(tags)
class AttendsToChildren(OverTags):
    def __init__(self) -> None:
        super().__init__()
        self.key, self.value = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)

    def forward(self, tag: Tag) -> Tensor:
        query = self.own(tag)
        if not len(tag.items) > 0:
            return query
        children = torch.stack([self(item) for item in tag.items])
        weights = F.softmax(self.key(children) @ query / WIDTH**0.5, dim=0)
        return torch.tanh(query + weights @ self.value(children))


@on(tags)
class RunningSum(OverTags):
    """Accumulates in a loop, with a position that decays."""

    def forward(self, tag: Tag) -> Tensor:
        total = self.own(tag)
        for position, item in enumerate(tag.items):
            total = total + self.inner(self(item)) / (position + 1)
        return F.elu(total)


@on(tags)
class EveryScore(OverTags):
    """A prediction from every node, appended on the way up; and one of the root."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = nn.Linear(WIDTH, 4)

    def forward(self, root: Tag) -> tuple[Tensor, Tensor]:
        scores: list[Tensor] = []
        state = self.visit(root, scores)
        return torch.stack(scores), state

    def visit(self, tag: Tag, scores: list[Tensor]) -> Tensor:
        state = self.own(tag)
        for item in tag.items:
            state = state + self.visit(item, scores)
        state = torch.tanh(self.inner(state))
        scores.append(self.predict(state).log_softmax(0))
        return state


@on(tags)
class CountsAndMeans(OverTags):
    """Whole numbers on the way up: the size of a subtree divides."""

    def measure(self, tag: Tag) -> tuple[Tensor, int]:
        total, count = self.own(tag), 1
        for item in tag.items:
            below, size = self.measure(item)
            total = total + below
            count = count + size
        return total, count

    def forward(self, tag: Tag) -> Tensor:
        total, count = self.measure(tag)
        return total / count


@on(tags)
class TwoPasses(OverTags):
    """Two methods that call each other: even and odd depths have other weights."""

    def forward(self, tag: Tag) -> Tensor:
        return self.even(tag)

    def even(self, tag: Tag) -> Tensor:
        assert tag.name >= 0, "names are numbers"
        return torch.tanh(self.own(tag) + sum([self.odd(item) for item in tag.items], torch.zeros(WIDTH)))

    def odd(self, tag: Tag) -> Tensor:
        h = self.own(tag)
        for item in tag.items:
            h = h + self.inner(self.even(item))
        return h.sigmoid()


@on(tags)
class NumbersDecide(OverTags):
    """Payloads in comparisons, with `and`, `or`, arithmetic and a ternary; numbers go into the sums."""

    def forward(self, tag: Tag) -> Tensor:
        if (tag.score > 0.5 and tag.name < 10) or tag.name == 12:
            h = self.own(tag)
        elif -0.5 <= tag.score <= 0:
            h = torch.ones(WIDTH) * (tag.name * 2 + 1) / 30
        else:
            h = self.names.weight[tag.name] if tag.name != 3 else torch.full((WIDTH,), 0.25)
        for item in tag.items:
            h = h + 0.5 * self(item)
        return h


def folders(random: Random, nodes: int) -> dict[str, Any]:
    made: list[dict[str, Any]] = [{"kind": "folder", "inside": []}]
    while len(made) < nodes:
        folder = random.choice([m for m in made if m["kind"] == "folder"])
        new: dict[str, Any] = (
            {"kind": "folder", "inside": []} if random.random() < 0.4 else {"kind": "file", "size": random.random()}
        )
        folder["inside"].append(new)
        made.append(new)
    return made[0]


@on(folders)
class Folders(nn.Module):
    """Nested dictionaries; strings decide."""

    def __init__(self) -> None:
        super().__init__()
        self.file = nn.Linear(2, WIDTH)
        self.folder = nn.Linear(WIDTH, WIDTH)
        self.empty = nn.Parameter(torch.randn(WIDTH))

    def forward(self, entry: dict[str, Any]) -> Tensor:
        if entry["kind"] == "file":
            return self.file(torch.tensor([entry["size"], 1.0])).relu()
        if not entry["inside"]:
            return self.empty
        return self.folder(torch.stack([self(e) for e in entry["inside"]]).sum(0)).tanh()


def lists(random: Random, nodes: int) -> Any:
    if nodes <= 1:
        return torch.randn(WIDTH, generator=torch.Generator().manual_seed(random.randrange(10**6)))
    count = random.randint(1, min(3, nodes - 1))
    return [lists(random, (nodes - 1) // count) for _ in range(count)]


@on(lists)
class ListsOfTensors(nn.Module):
    """Lists within lists, with tensors as leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Any) -> Tensor:
        if torch.is_tensor(x):
            return x
        return F.silu(self.up(torch.stack([self(y) for y in x]).sum(0)))


class Cons:
    __slots__ = ("head", "tail")

    def __init__(self, head: int, tail: "Cons | None") -> None:
        self.head, self.tail = head, tail


def chain(random: Random, nodes: int) -> Cons:
    made = None
    for _ in range(nodes):
        made = Cons(random.randrange(8), made)
    assert made is not None
    return made


@on(chain)
class Recurrent(nn.Module):
    """A sequence as a linked list, through a GRU cell, with the empty list as base."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(8, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        self.start = nn.Parameter(torch.randn(1, WIDTH))

    def scan(self, at: Cons | None) -> Tensor:
        if at is None:
            return self.start
        return self.cell(self.words(torch.tensor([at.head])), self.scan(at.tail))

    def forward(self, first: Cons) -> Tensor:
        return self.scan(first).flatten()


def conditioned(random: Random, nodes: int) -> Arguments:
    return Arguments((tags(random, nodes), torch.rand(WIDTH), 0.75))


@on(conditioned)
class Conditioned(OverTags):
    """A context vector and a fixed number beside the tree, the same at every node."""

    def forward(self, root: Tag, context: Tensor, temperature: float) -> Tensor:
        def walk(tag: Tag) -> Tensor:
            h = self.own(tag) + context
            for item in tag.items:
                h = h + walk(item)
            return torch.tanh(self.inner(h) * temperature)

        return walk(root)


@on(lambda random, nodes: Arguments((tags(random, nodes), tags(random, nodes // 2))))
class Similarity(nn.Module):
    """Two trees through one encoder; cosine of what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SumOfGenerator()

    def forward(self, a: Tag, b: Tag) -> Tensor:
        return F.cosine_similarity(self.encoder(a), self.encoder(b), dim=0)


@on(lambda random, nodes: [tags(random, 1 + random.randrange(nodes)) for _ in range(3)])
class Committee(nn.Module):
    """A list of trees, whose states are stacked into one batch for the classifier; it says the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MaxPooled()
        self.classify = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, trees: list[Tag]) -> Tensor:
        return self.classify(torch.stack([self.encoder(tree) for tree in trees])).mean(dim=0)
