"""Models that cannot become loops over levels. Each marks the line that the error must name with `# here`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from bushy_models import OverTags, Tag
from torch import Tensor, nn

REFUSED: dict[str, tuple[type[nn.Module], str]] = {}
"""The model and the code of its error."""


def refused(code: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def enter(model: type[nn.Module]) -> type[nn.Module]:
        REFUSED[model.__name__] = model, code
        return model

    return enter


@refused("BGH-REC-002")
class ChoosesChild(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        h = self.own(tag)
        if len(tag.items) < 3:
            return h
        return h + self(tag.items[h.argmax() % 3])  # here


@refused("BGH-REC-007")
class PassesAlong(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        return self.visit(tag, torch.zeros(12))

    def visit(self, tag: Tag, before: Tensor) -> Tensor:
        h = self.own(tag) + before
        if len(tag.items) == 2:
            return self.visit(tag.items[1], self.visit(tag.items[0], h))  # here
        return h


@refused("BGH-REC-003")
class NeverEnds(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        return torch.tanh(self.own(tag) + self(tag))  # here


@refused("BGH-REC-001")
class OneRowEach(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        rows = torch.stack([self.read(item) for item in tag.items])
        return rows @ rows.mT  # here

    def read(self, tag: Tag) -> Tensor:
        return self.own(tag) + sum(self.read(item) for item in tag.items)


@refused("BGH-REC-004")
class TwoShapes(OverTags):
    def forward(self, tag: Tag) -> Tensor:
        if not tag.items:
            return self.own(tag)
        return torch.cat([self(tag.items[0]), self.own(tag)])  # here
