"""What explain says: of straight networks, of those whose course depends on what they compute, of recursive ones."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bough
from bough.pipeline.explain import Roof, Roofs
from bough.pipeline.explain.host_program import Decision, HostProgram, Part
from bough.pipeline.explain.picture import svg
from bough.pipeline.explanation import Explanation


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


class Node:
    def __init__(self, value: torch.Tensor, children: tuple[Node, ...] = ()) -> None:
        self.value, self.children = value, children


class Tree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, node: Node) -> torch.Tensor:
        total = node.value
        for child in node.children:
            total = total + torch.tanh(self.mix(self(child)))
        return total


class Attention(nn.Module):
    """Kernels that share phases."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ x.transpose(-1, -2), -1) @ x


def explain(module: nn.Module, *args: object, threads: int = 2, **options: object) -> Explanation:
    torch.manual_seed(0)
    return bough.compile(module.eval(), args, threads=threads, cache=False, **options).explain()


@pytest.fixture(scope="module")
def gated() -> Explanation:
    torch.manual_seed(0)
    return explain(Gated(), torch.ones(2, 16))


def test_sub_networks_decisions_and_loops(gated: Explanation) -> None:
    text = str(gated)
    assert "3 decisions, 1 loop, 1 check" in text and "if x.sum() > 0:" in text and "= [" in text
    assert abs(sum(r.share for r in gated.rows) - 1) < 1e-6


def test_runs_are_those_of_the_example() -> None:
    torch.manual_seed(0)
    compiled = bough.compile(Gated().eval(), (torch.ones(2, 16),), threads=2, cache=False)
    _, turns = compiled(torch.ones(2, 16))
    rows = compiled.explain().rows
    halving = [r.runs for r in rows if any("x * 0.5" in line for line in r.lines)]
    assert turns > 0 and turns in halving


def test_a_loop_over_a_range_runs_its_kernels_each_time() -> None:
    rows = explain(nn.GRU(4, 8), torch.ones(5, 1, 4)).rows
    step = max(rows, key=lambda r: r.runs)
    assert step.runs == 5 and step.flops >= 5 * 2 * 3 * 8 * 8


def test_levels_count_what_each_has() -> None:
    leaves = tuple(Node(torch.ones(8)) for _ in range(3))
    rows = explain(Tree(), Node(torch.ones(8), (Node(torch.ones(8), leaves), Node(torch.ones(8))))).rows
    products = 2.0 * 5 * 8 * 8  # one for each of the five children
    assert products <= sum(r.flops for r in rows if "linear" in r.kernel) <= 2 * products


def test_kernels_of_one_phase_have_their_own_times() -> None:
    found = explain(Attention(), torch.randn(64, 32), threads=1)
    members = next(names for names in found.timeline.phases if len(names) > 1)
    times = {r.kernel: r.ms for r in found.rows if r.kernel in members}
    phase = found.timeline.phases.index(members)
    (turn,) = (t for t in found.timeline.turns if t.phase == phase)
    assert all(ms > 0 for ms in times.values()) and len(set(times.values())) > 1
    assert sum(times.values()) <= 20e-3 * (turn.end - turn.begin)  # the same clock, give or take a disturbance


def test_a_kernel_stands_with_the_line_of_most_of_its_work() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.transpose(0, 1)
            x = self.mix(x)
            return torch.relu(x)

    rows = explain(Turned(), torch.randn(16, 16)).rows
    product = next(r for r in rows if "linear" in r.kernel)
    assert "self.mix(x)" in product.lines[0] and any("relu" in line for line in product.lines[1:])


def test_a_call_that_is_too_long_to_record_is_told_so(tmp_path: Path) -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            while x.sum() < 70_000:
                x = x + 1
            return x

    found = explain(Counts(), torch.zeros(1), threads=1)
    assert not found.timeline.whole and "first part" in str(found)
    found.html(tmp_path / "page.html")
    assert "first part" in (tmp_path / "page.html").read_text()


def test_the_timeline_is_in_order_and_inside_the_call(gated: Explanation) -> None:
    line = gated.timeline
    assert line.whole and line.turns
    edges = [edge for t in line.turns for edge in (t.begin, t.end)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= line.total
    for t in line.turns:
        assert all(t.begin <= s.begin <= s.end <= t.end for s in t.spans)
        assert {s.thread for s in t.spans} <= set(range(line.threads))
    runs = {r.kernel: r.runs for r in gated.rows}
    for n, names in enumerate(line.phases):
        assert sum(t.phase == n for t in line.turns) == runs[names[0]]


def test_memory_is_the_plan(gated: Explanation) -> None:
    memory = gated.memory
    assert memory.arguments == 2 * 16 * 4 <= memory.results
    assert memory.weights >= 3 * 4 * (16 * 16 + 16)
    assert 0 < max(memory.used()) <= memory.arena
    assert all(a.offset >= 0 and a.offset + a.bytes <= memory.arena for a in memory.arrays)
    assert all(0 <= a.first <= a.last < len(memory.steps) for a in memory.arrays)


def test_limits_are_those_of_the_roofs() -> None:
    compiled = bough.compile(nn.Linear(64, 64).eval(), (torch.ones(8, 64),), threads=1, cache=False)
    fast, slow = Roof("near", 1 << 30, 1e9), Roof("far", None, 1e6)
    (row,) = compiled.explain(Roofs(peak=1e12, memories=(fast, slow))).rows
    assert row.limit == "bandwidth" and row.limit_ms == pytest.approx(1e3 * row.bytes / 1e9)
    (row,) = compiled.explain(Roofs(peak=1e3, memories=(slow,))).rows
    assert row.limit == "compute" and row.limit_ms == pytest.approx(1e3 * row.flops / 1e3)


def test_a_picture_of_the_course(gated: Explanation, tmp_path: Path) -> None:
    file = tmp_path / "course.svg"
    gated.picture(file)
    root = ElementTree.parse(file).getroot()
    assert root.tag.endswith("svg") and sum(e.tag.endswith("polygon") for e in root.iter()) == 5
    texts = " ".join(e.text or "" for e in root.iter())
    assert "if x.sum() > 0:" in texts and "yes, 1 time" in texts and "turns" in texts


def test_the_course_of_a_recursive_model(tmp_path: Path) -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.join, self.last = nn.Linear(8, 4), nn.Linear(4, 2)

        def read(self, tree: Any) -> torch.Tensor:
            if isinstance(tree, tuple):
                return torch.tanh(self.join(torch.cat([self.read(tree[0]), self.read(tree[1])])))
            return tree * torch.ones(4)

        def forward(self, tree: Any) -> torch.Tensor:
            out: torch.Tensor = self.last(self.read(tree))
            return out

    found = explain(Sums(), ((1.0, 2.0), (3.0, (4.0, 5.0))))
    text = str(found).splitlines()[1:6]
    assert [t.split()[0] for t in text] == ["3", "[1]", "for", "[2]", "[3]"] and text[2] == "  for each level of read"
    found.picture(tmp_path / "course.svg")
    assert "for each level of read" in (drawn := (tmp_path / "course.svg").read_text()) and "3 turns" in drawn


@pytest.mark.parametrize("otherwise", [False, True])
def test_a_picture_of_nested_decisions_grows_with_their_number(otherwise: bool) -> None:
    def nested(depth: int) -> tuple[Part, ...]:
        inner = nested(depth - 1) if depth else ()
        return (Decision("x[]", "", () if otherwise else inner, inner if otherwise else ()),)

    left, width = zip(*(map(float, re.search(r'viewBox="-(\d+) \S+ (\d+)', svg(HostProgram(nested(n)))).groups()) for n in range(6)))
    assert len({b - a for a, b in zip(width, width[1:])}) == 1 and width[5] < 2000
    assert (len(set(left)) == 1) == otherwise


def test_a_picture_of_a_straight_network(tmp_path: Path) -> None:
    found = explain(nn.Linear(8, 8), torch.ones(2, 8))
    found.picture(tmp_path / "straight.svg")
    assert found.program is None and "[1]" in (tmp_path / "straight.svg").read_text()


def test_a_trace_for_viewers(gated: Explanation, tmp_path: Path) -> None:
    gated.trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    named = {e["tid"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert all(e["dur"] >= 0 and e["ts"] >= 0 and e["tid"] in named for e in spans)
    kernels = [e for e in spans if e["cat"] == "kernel"]
    assert len(kernels) == sum(len(t.spans) for t in gated.timeline.turns)
    assert any("x.sum() > 0" in line for e in kernels for line in e["args"]["lines"])


def test_nothing_to_run(tmp_path: Path) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(3)

    found = explain(Constant(), torch.ones(0))
    found.html(tmp_path / "page.html")
    found.trace(tmp_path / "trace.json")
    assert "<h2>Memory</h2>" in (tmp_path / "page.html").read_text()


def test_as_data(gated: Explanation) -> None:
    data = json.loads(json.dumps(gated.as_dict()))
    assert len(data["rows"]) == len(gated.rows) and data["memory"]["arena"] == gated.memory.arena


def test_many_structures_are_explained_together() -> None:
    torch.manual_seed(0)
    trees = [Node(torch.randn(8), tuple(Node(torch.randn(8)) for _ in range(n))) for n in (1, 2, 3)]
    tree = bough.compile(Tree().eval(), (trees[0],), threads=2, cache=False)
    one, many = tree.explain(), tree.explain(inputs=trees)
    assert [r.kernel for r in one.rows] == [r.kernel for r in many.rows]
    assert sum(r.flops for r in many.rows) == pytest.approx(6 * sum(r.flops for r in one.rows), rel=0.5)
    assert max(r.runs for r in many.rows) == max(r.runs for r in one.rows)


def test_inputs_that_part_ways_are_explained_together() -> None:
    torch.manual_seed(0)
    gated = bough.compile(Gated().eval(), (torch.ones(2, 16),), threads=2, cache=False)
    inputs = [torch.randn(2, 16) for _ in range(9)]
    found = gated.explain(inputs=iter(inputs))
    assert found.timeline.turns and found.ms > 0 and "while" in str(found)
    assert {r.kernel for r in found.rows if r.runs} - {r.kernel for r in gated.explain().rows}
    with pytest.raises(bough.InputError, match="BGH-IN-014"):
        gated.explain(inputs=7)  # type: ignore[arg-type]


def test_inputs_that_are_computed_one_by_one_are_explained_so() -> None:
    x = torch.randn(4, 16)
    attention = bough.compile(Attention().eval(), (x,), threads=2, cache=False)
    one, many = attention.explain(), attention.explain(inputs=[x, x, x])
    assert [r.runs for r in many.rows] == [3 * r.runs for r in one.rows]
