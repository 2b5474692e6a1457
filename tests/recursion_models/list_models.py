"""Models that recurse over parts of a list, and that count levels."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from bushy_models import OverTags, Tag, tags
from held_out import WIDTH, Arguments, on
from torch import Tensor, nn

Merged = tuple[Tensor, Tensor]


def words(random: Random, nodes: int) -> list[int]:
    return [random.randrange(20) for _ in range(nodes)]


def vectors(random: Random, nodes: int) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([random.gauss(0, 1) for _ in range(WIDTH)]) for _ in range(nodes))


def paragraphs(random: Random, nodes: int) -> list[list[int]]:
    return [words(random, random.randrange(4)) for _ in range(nodes // 2)]


def terms(random: Random, nodes: int) -> Any:
    if nodes <= 1:
        return random.choice(["x", "y", random.random()])
    parts = random.randrange(1, 4)
    return (random.choice(["sum", "product"]), *(terms(random, (nodes - 1) // parts) for _ in range(parts)))


class OverWords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        self.join = nn.Linear(2 * WIDTH, WIDTH)

    def word(self, number: int) -> Tensor:
        return self.words(torch.tensor(number))


@on(words)
class LastFirst(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        if not numbers:
            return torch.zeros(WIDTH)
        return self.cell(self.word(numbers[-1]), self(numbers[:-1]))


@on(words)
class HeadAndTail(OverWords):
    """Collects the state of every suffix."""

    def forward(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        states: list[Tensor] = []
        whole = self.suffix(numbers, states)
        return whole, torch.stack(states)

    def suffix(self, numbers: list[int], states: list[Tensor]) -> Tensor:
        head, *tail = numbers
        rest = self.suffix(tail, states) if tail else torch.ones(WIDTH)
        state = self.cell(self.word(head), rest)
        states.append(state)
        return state


@on(words)
class Halves(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        return self.merged(numbers)[0]

    def merged(self, numbers: list[int]) -> Merged:
        if len(numbers) == 1:
            h = self.word(numbers[0])
            return h, h * 0.5
        middle = (len(numbers) + 1) // 2
        (left, a), (right, b) = self.merged(numbers[:middle]), self.merged(numbers[middle:])
        return torch.tanh(self.join(torch.cat([left, right]))) + a, a - b


@on(words)
class FromTheMiddle(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        count = len(numbers)
        if count - 1 < 1:
            return self.word(numbers[0]) if numbers else torch.zeros(WIDTH)
        middle = count // 2
        sides = torch.cat([self(numbers[:middle]), self(numbers[middle + 1 :])])
        return torch.tanh(self.word(numbers[middle]) + self.join(sides)) / count


@on(words)
class OutsideIn(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        match numbers:
            case []:
                return torch.zeros(WIDTH)
            case [number]:
                return self.word(number)
            case [first, *inner, last]:
                return torch.tanh(self.join(torch.cat([self.word(first), self.word(last)])) + self(inner))
        raise AssertionError


@on(lambda random, nodes: words(random, min(nodes, 9)))
class AllParts(OverWords):
    """Parts of equal bounds are computed once here, and by plain recursion over and over."""

    def forward(self, numbers: list[int]) -> Tensor:
        if len(numbers) == 1:
            return self.word(numbers[0])
        return torch.tanh(self.join(torch.cat([self(numbers[1:]), self(numbers[:-1])])))


@on(words)
class StopsEarly(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        if not numbers:
            return torch.zeros(WIDTH)
        before = self(numbers[:-1])
        if before.norm() > 1.2:
            return before * 0.9
        return self.cell(self.word(numbers[-1]), before)


@on(words)
class FoldsForward(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        return self.after(numbers, torch.zeros(WIDTH))

    def after(self, numbers: list[int], state: Tensor) -> Tensor:
        if not numbers:
            return state
        return self.after(numbers[1:], self.cell(self.word(numbers[0]), state))


@on(vectors)
class HalvesOfTensors(OverWords):
    def forward(self, rows: tuple[Tensor, ...]) -> Tensor:
        if len(rows) == 1:
            return rows[0]
        return torch.tanh(self.join(torch.cat([self(rows[: len(rows) // 2]), self(rows[len(rows) // 2 :])])))


@on(paragraphs)
class ListsInLists(OverWords):
    def forward(self, text: list[list[int]]) -> Tensor:
        if not text:
            return torch.zeros(WIDTH)
        return self.cell(self.sentence(text[0]), self(text[1:]))

    def sentence(self, numbers: list[int]) -> Tensor:
        if not numbers:
            return torch.ones(WIDTH)
        return torch.tanh(self.word(numbers[0]) + self.sentence(numbers[1:]))


@on(terms)
class Terms(OverWords):
    def forward(self, term: Any) -> Tensor:
        if isinstance(term, str):
            return self.word(0) if term == "x" else self.word(1)
        if isinstance(term, float):
            return self.word(2) * term
        name, *parts = term
        return self.folded(parts) * (0.5 if name == "sum" else -0.5)

    def folded(self, parts: Any) -> Tensor:
        if len(parts) == 1:
            return self(parts[0])
        return torch.tanh(self.join(torch.cat([self(parts[0]), self.folded(parts[1:])])))


@on(tags)
class FirstApart(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        h = self.own(tag)
        match tag.items:
            case []:
                return h
            case [first, *others]:
                return torch.tanh(h + self(first) - sum(self(other) for other in others) / len(tag.items))
        raise AssertionError


@on(tags)
class CountsLevels(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        return self.at(tag, 0)

    def at(self, tag: Tag, level: int) -> Tensor:
        h = self.own(tag) / (1 + level)
        if tag.items:
            h = h + torch.stack([self.at(item, level + 1) for item in tag.items]).mean(0)
        return torch.tanh(h)


def forest(random: Random, nodes: int) -> list[Tag]:
    made = [tags(random, random.randrange(1, nodes + 1)) for _ in range(3)]
    return [random.choice(made) for _ in range(1 + nodes // 3)]


class OverForest(OverTags):
    def state(self, tag: Tag) -> Tensor:
        return torch.tanh(self.own(tag) + sum((self.inner(self.state(item)) for item in tag.items), torch.zeros(WIDTH)))


@on(forest)
class RowForEachTree(OverForest):
    def forward(self, trees: list[Tag]) -> Tensor:
        return torch.log_softmax(self.inner(torch.stack([self.state(tree) for tree in trees])), -1)


@on(forest)
class ListOfTrees(OverForest):
    def forward(self, trees: list[Tag]) -> tuple[list[Tensor], Tensor]:
        states = [self.state(tree) for tree in trees]
        return [self.inner(h) for h in states], torch.stack(states).amax(0)


@on(lambda random, nodes: Arguments((forest(random, nodes), torch.tensor([random.gauss(0, 1) for _ in range(WIDTH)]))))
class RanksTrees(OverForest):
    def forward(self, trees: list[Tag], query: Tensor) -> tuple[Tensor, Tensor]:
        states = torch.stack([self.state(tree) * query for tree in trees])
        weights = torch.softmax(states @ query, 0)
        return weights, weights @ states


@on(tags)
class LastChildFirst(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        h = self.own(tag)
        for item in tag.items[::-1]:
            h = torch.tanh(self.outer(torch.cat([self(item), h])))
        return h


@on(words)
class QuarterApart(OverWords):
    def forward(self, numbers: list[int]) -> Tensor:
        quarter = len(numbers) >> 2
        if quarter == 0:
            return self.word(numbers[0]) + self.word(numbers[-1])
        return torch.tanh(self(numbers[:quarter]) + self.join(torch.cat([self(numbers[quarter:-quarter]), self(numbers[-quarter:])])))
