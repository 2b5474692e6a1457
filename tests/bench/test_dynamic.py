"""The suite of networks with control flow on computed values: its peers agree with eager PyTorch, and its work is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bough.bench.dynamic_peers import DYNAMIC_PEERS, open_compiled
from bough.bench.dynamic_peers_onnx import InOnnxRuntime, observe, parts_in_onnxruntime
from bough.bench.dynamic_problem import DynamicProblem, Workload
from bough.bench.dynamic_work import Needs, mean_work, needs
from bough.bench.problem import Choice
from bough.bench.suites import SUITES
from bough.bench.zoo.dynamic import DYNAMIC
from bough.cli import main


def small(name: str, batch: int = 1, checked: int = 6, timed: int = 3) -> DynamicProblem:
    return Workload(DYNAMIC[name], checked, timed, "small").problem(batch)


class Halves(nn.Module):
    """Two layers, the second of which is taken where the first says so."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x)
        if y.sum() > 0:
            y = self.second(y)
        return y


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.halves, self.last = Halves(), nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.halves(x))
        return result


def test_the_suite_holds_all_networks_alone_and_together() -> None:
    cases = SUITES["dynamic"].cases(Choice())
    names = {*DYNAMIC, *(f"{name}-large" for name, entry in DYNAMIC.items() if entry.large)}
    assert {case.name for case in cases} == {f"{name}-b{batch}" for name in names for batch in (1, 64)}
    assert {case.name for case in cases if case.quick} == {f"{name}-b1" for name in DYNAMIC}


@pytest.mark.parametrize("name", DYNAMIC)
def test_peers_agree_with_float64(name: str, tmp_path: Path) -> None:
    problem = small(name, checked=3, timed=2)
    for peer in ("torch", "onnxruntime"):
        if DYNAMIC_PEERS[peer].versions is None:
            continue
        session = DYNAMIC_PEERS[peer].open(problem, 1, tmp_path)
        with torch.inference_mode():
            session.call()
            assert session.times == 2
            assert problem.error(session.outputs()) < 1e-5


def test_a_wrong_decision_is_no_rounding() -> None:
    problem = small("shallow-deep-mobilenet")
    with torch.inference_mode():
        right = DYNAMIC_PEERS["torch"].open(problem, 1, Path()).outputs()
    assert problem.error(right) < 1e-5
    near, other, short = ([array.copy() for array in right] for _ in range(3))
    near[0][0, 0] += 1e-2
    other[1] = np.asarray(int(other[1]) + 1)
    short[0] = short[0][:, :-1]
    assert 1e-5 < problem.error(near) < float("inf")
    assert problem.error(other) == problem.error(short) == problem.error(right[:-1]) == float("inf")


def test_the_shares_of_the_ways() -> None:
    problem = small("gpt2-generate", checked=20)
    shares = problem.facts["paths"]
    assert len(shares) == 2 and sum(shares) == 1 and shares[0] >= shares[1]


def test_calls_of_several_inputs() -> None:
    assert [len(call) for call in small("shift-reduce", batch=2, timed=5).calls] == [2, 2, 1]


def test_the_work_is_that_of_the_way_taken() -> None:
    torch.manual_seed(0)
    network = Halves()
    weight = 4 * 16
    counts = {needs(network, (x,)).flops: needs(network, (x,)) for x in torch.randn(20, 1, 4)}
    assert sorted(counts) == [32, 64]
    assert [counts[flops].read for flops in (32, 64)] == [weight, 2 * weight]
    work = mean_work([counts[32], counts[64]], 2)
    assert work.flops == 48 and (work.traffic[0].bytes, work.traffic[0].working_set) == (1.5 * weight, 2 * weight)
    together = mean_work([counts[32], counts[64]], 1)
    assert together.flops == 96 and together.traffic[0].bytes == 2 * weight


def test_weights_that_are_used_in_each_turn_are_read_in_each() -> None:
    cell = nn.RNNCell(4, 8, bias=False)

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            h = torch.zeros(1, 8)
            for _ in range(3):
                h = self.cell(x, h)
            return h

    found: Needs = needs(Steps(), (torch.ones(1, 4),))
    assert found.flops == 3 * 2 * (32 + 64) and found.read == 3 * 4 * (32 + 64) and sum(found.used.values()) == 4 * (32 + 64)


def test_the_largest_parts_without_a_decision_are_found() -> None:
    torch.manual_seed(0)
    module = Outer()
    calls = observe(module, [(x,) for x in torch.randn(8, 1, 4)])
    assert not calls[module.halves].is_straight
    assert calls[module.halves.first].is_straight and calls[module.halves.second].is_straight and calls[module.last].is_straight


def test_parts_run_in_onnxruntime(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    module = Outer().eval().requires_grad_(False)
    inputs = [(x,) for x in torch.randn(8, 1, 4)]
    parts = parts_in_onnxruntime(module, inputs, 1, tmp_path)
    assert [name for name, part in parts.named_modules() if isinstance(part, InOnnxRuntime)] == ["halves.first", "halves.second", "last"]
    for args in inputs:
        torch.testing.assert_close(parts(*args), module(*args))


OUT_OF_TIME = """
import time
from bough.bench.dynamic_peers import time_limit

try:
    with time_limit(0.05, "sleeping"):
        time.sleep(5)
except TimeoutError as error:
    print(error)
with time_limit(5, "nothing"):
    pass
"""


def test_a_limit_of_time() -> None:
    """In a process of its own, for it is the process that a signal is sent to."""
    done = subprocess.run([sys.executable, "-c", OUT_OF_TIME], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout == "sleeping took more than 0 s\n"


@pytest.mark.parametrize("name", DYNAMIC)
def test_every_network_compiles(name: str) -> None:
    """Each as its author wrote it: every decision is eager PyTorch's, and numbers are numbers."""
    work = Workload(DYNAMIC[name], 20, 2, "small")
    problem = work.problem(1)
    session = open_compiled(problem, 1, Path())
    session.call()
    assert session.times == 2 and problem.error(session.outputs()) <= problem.tolerance


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = ["--against", "torch", "--quick", "--threads", "1", "--filter", "^shallow-deep-mobilenet-b1$", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "dynamic", *options])
    assert ended.value.code == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert row["bough_ms"] > 0 and row["peers_ms"]["torch"] > 0 and row["limit_ms"] > 0 and row["max_error"] < 1e-4
    assert sum(row["paths"]) == pytest.approx(1) and row["paths"][1] >= 0.15
    assert "ways, taken by" in capsys.readouterr().out
