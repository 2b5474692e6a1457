"""What explain says of networks whose course depends on what they compute."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch
from torch import nn

import bough


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        turns = 0
        for block in self.blocks:
            if x.sum() > 0:
                x = torch.tanh(block(x))
        while x.abs().max() > 0.1:
            x = x * 0.5
            turns += 1
        assert turns < 100, "too many"
        return x, turns


def test_sub_networks_decisions_and_loops(tmp_path: Path) -> None:
    torch.manual_seed(0)
    compiled = bough.compile(Gated().eval(), (torch.ones(2, 16),), threads=2, cache=False)
    explanation = compiled.explain()
    text = str(explanation)
    assert "3 decisions, 1 loop, 1 check" in text and "if x.sum() > 0:" in text and "= [" in text
    _, turns = compiled(torch.ones(2, 16))
    assert turns in [r.runs for r in explanation.rows]
    assert abs(sum(r.share for r in explanation.rows) - 1) < 1e-6
    file = tmp_path / "course.svg"
    explanation.picture(file)
    root = ElementTree.parse(file).getroot()
    assert root.tag.endswith("svg") and sum(e.tag.endswith("polygon") for e in root.iter()) == 5


def test_a_picture_of_a_straight_network(tmp_path: Path) -> None:
    explanation = bough.compile(nn.Linear(8, 8).eval(), (torch.ones(2, 8),), threads=1, cache=False).explain()
    explanation.picture(tmp_path / "straight.svg")
    assert explanation.program is None and "[1]" in (tmp_path / "straight.svg").read_text()
