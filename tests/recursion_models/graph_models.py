"""Models over graphs without circles, where a node has several parents and is computed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random

import torch
from held_out import WIDTH, on
from torch import Tensor, nn


@dataclass(eq=False)
class Step:
    """A step of a recipe, which needs others."""

    features: tuple[float, float]
    needs: list["Step"] = field(default_factory=list)


def recipes(random: Random, nodes: int) -> Step:
    steps: list[Step] = []
    for _ in range(nodes):
        needs = random.sample(steps, min(len(steps), random.randrange(4)))
        steps.append(Step((random.random(), random.random()), needs))
    unused = [s for s in steps[:-1] if not any(s in other.needs for other in steps)]
    steps[-1].needs.extend(s for s in unused if s not in steps[-1].needs)
    return steps[-1]


class OverSteps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(2, WIDTH)
        self.pass_on = nn.Linear(WIDTH, WIDTH)

    def compute(self, step: Step, below: list[Tensor]) -> Tensor:
        x = self.enter(torch.tensor([step.features[0], step.features[1]]))
        return torch.tanh(x + self.pass_on(torch.stack(below).sum(0))) if below else torch.tanh(x)


@on(recipes)
class Memo(OverSteps):
    """A dictionary by id, as a default argument that is None."""

    def forward(self, step: Step, memo: dict[int, Tensor] | None = None) -> Tensor:
        if memo is None:
            memo = {}
        if id(step) in memo:
            return memo[id(step)]
        memo[id(step)] = self.compute(step, [self(n, memo) for n in step.needs])
        return memo[id(step)]


@on(recipes)
class CachedClosure(OverSteps):
    """`lru_cache` around a function of the forward."""

    def forward(self, root: Step) -> Tensor:
        @cache
        def value(step: Step) -> Tensor:
            return self.compute(step, [value(n) for n in step.needs])

        return value(root)


@on(recipes)
class MemoOfObjects(OverSteps):
    """A dictionary by the objects themselves, asked with `in`; the states of all nodes beside the root's."""

    def forward(self, root: Step) -> tuple[Tensor, Tensor]:
        done: dict[Step, Tensor] = {}
        states: list[Tensor] = []

        def visit(step: Step) -> Tensor:
            if step not in done:
                h = self.compute(step, [visit(n) for n in step.needs])
                done[step] = h
                states.append(h)
            return done[step]

        top = visit(root)
        return top, torch.stack(states)


@on(recipes)
class Forgetful(OverSteps):
    """No memo: shared nodes are computed again by Python, once by compiled code, with the same result."""

    def forward(self, step: Step) -> Tensor:
        return self.compute(step, [self(n) for n in step.needs])
