"""A shift-reduce parser that chooses its actions itself, and encodes the sentence by the tree that it finds.

Bowman et al., "A fast unified model for parsing and sentence understanding", ACL 2016 (SPINN).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.dynamic.calibrate import threshold

SHIFT, REDUCE = 0, 1


class Compose(nn.Module):
    """A binary TreeLSTM: a parent's state from its children's, each h and c side by side."""

    def __init__(self, hidden: int, tracking: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(hidden, 5 * hidden), nn.Linear(hidden, 5 * hidden, bias=False)
        self.tracked = nn.Linear(tracking, 5 * hidden, bias=False)

    def forward(self, left: Tensor, right: Tensor, tracking: Tensor) -> Tensor:
        (h1, c1), (h2, c2) = left.chunk(2, dim=1), right.chunk(2, dim=1)
        gates = self.left(h1) + self.right(h2) + self.tracked(tracking)
        new, take, forget1, forget2, give = gates.chunk(5, dim=1)
        c = torch.tanh(new) * torch.sigmoid(take) + torch.sigmoid(forget1) * c1 + torch.sigmoid(forget2) * c2
        return torch.cat([torch.sigmoid(give) * torch.tanh(c), c], dim=1)


class Parser(nn.Module):
    """Reads numbers of words; returns the state of the whole sentence and the actions that led there."""

    def __init__(self, hidden: int = 256, tracking: int = 64, vocabulary: int = 8000) -> None:
        super().__init__()
        self.hidden, self.tracking = hidden, tracking
        self.embedding = nn.Embedding(vocabulary, 2 * hidden)
        self.tracker = nn.LSTMCell(3 * hidden, tracking)
        self.action = nn.Linear(tracking, 2)
        self.compose = Compose(hidden, tracking)

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        buffer = list(self.embedding(sentence).split(1))
        stack: list[Tensor] = []
        nothing = torch.zeros(1, 2 * self.hidden)
        track = torch.zeros(1, self.tracking), torch.zeros(1, self.tracking)
        actions: list[int] = []
        while buffer or len(stack) > 1:
            seen = [
                buffer[0] if buffer else nothing,
                stack[-1] if stack else nothing,
                stack[-2] if len(stack) > 1 else nothing,
            ]
            track = self.tracker(torch.cat([state[:, : self.hidden] for state in seen], dim=1), track)
            action = int(self.action(track[0]).argmax())
            if len(stack) < 2:
                action = SHIFT
            elif not buffer:
                action = REDUCE
            if action == SHIFT:
                stack.append(buffer.pop(0))
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(self.compose(left, right, track[0]))
            actions.append(action)
        return stack[0][:, : self.hidden], torch.tensor(actions)


def calibrate(model: Parser, sentences: list[Tensor], share: float) -> None:
    """Gives reducing a bias with which it is preferred at about `share` of all steps."""
    states: list[Tensor] = []
    watch = model.action.register_forward_hook(lambda module, args, result: states.append(args[0]))
    for sentence in sentences:
        model(sentence)
    watch.remove()
    logits = model.action(torch.cat(states))
    model.action.bias[REDUCE] -= threshold(logits[:, REDUCE] - logits[:, SHIFT], share)
