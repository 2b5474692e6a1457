"""A recurrent network that thinks about each input for as many steps as it wants.

Graves, "Adaptive computation time for recurrent neural networks", arXiv 1603.08983, 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bough.bench.zoo.dynamic.calibrate import threshold

EPSILON = 0.01


class AdaptiveTime(nn.Module):
    """An LSTM cell, repeated for each frame until its chances of halting add up to one.

    Takes frames, [count, inputs]; returns a result for each, how many steps each took, and what pondering costs.
    """

    def __init__(self, inputs: int = 128, hidden: int = 512, outputs: int = 64, limit: int = 8) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(inputs + 1, hidden)
        self.halt = nn.Linear(hidden, 1)
        self.output = nn.Linear(hidden, outputs)
        self.hidden, self.limit = hidden, limit

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = c = torch.zeros(1, self.hidden)
        results, steps = [], []
        cost = torch.zeros(())
        for frame in frames.unsqueeze(1):
            total, step = torch.zeros(()), 0
            mean_h, mean_c, result = torch.zeros_like(h), torch.zeros_like(c), torch.zeros(1, self.output.out_features)
            while total < 1 - EPSILON and step < self.limit:
                first = torch.ones(1, 1) if step == 0 else torch.zeros(1, 1)
                h, c = self.cell(torch.cat([frame, first], dim=1), (h, c))
                chance = torch.sigmoid(self.halt(h)).squeeze()
                step += 1
                if total + chance >= 1 - EPSILON or step == self.limit:
                    chance = 1 - total
                    cost = cost + step + chance
                    total = torch.ones(())
                else:
                    total = total + chance
                mean_h, mean_c = mean_h + chance * h, mean_c + chance * c
                result = result + chance * self.output(h)
            h, c = mean_h, mean_c
            results.append(result)
            steps.append(step)
        return torch.cat(results), torch.tensor(steps), cost


def calibrate(model: AdaptiveTime, inputs: list[Tensor], share: float) -> None:
    """Gives halting a bias with which the chance of halting is above a half at about `share` of all steps."""
    states: list[Tensor] = []
    model.halt.weight.mul_(40)
    watch = model.halt.register_forward_hook(lambda module, args, result: states.append(args[0]))
    for frames in inputs:
        model(frames)
    watch.remove()
    model.halt.bias.sub_(threshold(model.halt(torch.cat(states)), share))
