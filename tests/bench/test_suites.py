"""The problems of the suites: their sizes, their checks against float64, and their ONNX models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bough.bench.peers import PEERS
from bough.bench.problem import Choice
from bough.bench.suites import SUITES, gemm, rnn
from bough.bench.suites.gemm import product_error


def test_the_suites_hold_all_sizes() -> None:
    names = {suite: [case.name for case in found.cases(Choice())] for suite, found in SUITES.items()}
    assert sum(name.startswith("server/") for name in names["gemm"]) == 75
    assert sum(name.startswith("device/") for name in names["gemm"]) == 13
    assert sum(name.startswith("server/") for name in names["rnn"]) == 69
    assert sum(name.startswith("device/") for name in names["rnn"]) == 3
    for suite in ("gemm", "rnn"):
        assert len(set(names[suite])) == len(names[suite])
        assert 3 <= sum(case.quick for case in SUITES[suite].cases(Choice(quick=True))) <= 10


@pytest.mark.parametrize("shape", [(3, 5, 7), (150, 200, 33)])
def test_one_wrong_element_of_a_product_shows(shape: tuple[int, int, int]) -> None:
    n, m, k = shape
    random = np.random.default_rng(1)
    x, weight = random.uniform(-1, 1, (n, k)).astype("f4"), random.uniform(-1, 1, (m, k)).astype("f4")
    y = x @ weight.T
    rounding = product_error(x, weight, y)
    assert rounding < gemm.UNIT * np.sqrt(k)
    for _ in range(20):
        i, j = random.integers(n), random.integers(m)
        wrong = y.copy()
        wrong[i, j] -= x[i, -1] * weight[j, -1] or 1
        assert product_error(x, weight, wrong) > 2 * rounding
    wrong[0, 0] = np.nan
    assert product_error(x, weight, wrong) == np.inf
    assert product_error(x, weight, y[:-1]) == np.inf


@pytest.mark.parametrize("kind", ["lstm", "gru", "vanilla"])
def test_one_wrong_step_of_a_layer_shows(kind: str) -> None:
    problem = rnn.build((6, 2, 5, kind))
    outputs = PEERS["torch"].open(problem, 1, Path()).outputs()
    assert problem.error(outputs) < problem.tolerance
    outputs[0] = outputs[0].copy()
    outputs[0][3, 1, 2] += 1e-3
    assert problem.error(outputs) > problem.tolerance
    assert problem.error(outputs[:1]) == np.inf
    outputs[0][0, 0, 0] = np.nan
    assert problem.error(outputs) == np.inf


@pytest.mark.parametrize("peer", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["gemm", "lstm", "gru", "vanilla"])
def test_onnx_models_compute_what_the_modules_do(kind: str, peer: str, tmp_path: Path) -> None:
    if PEERS[peer].versions is None:
        pytest.skip(f"{peer} is not installed")
    problem = gemm.build((6, 2, 5)) if kind == "gemm" else rnn.build((6, 2, 5, kind))
    outputs = PEERS[peer].open(problem, 1, tmp_path).outputs()
    assert problem.error(outputs) < problem.tolerance


def test_large_weights_stand_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if PEERS["onnxruntime"].versions is None:
        pytest.skip("onnxruntime is not installed")
    monkeypatch.setattr("bough.bench.onnx_models.INLINE", 0)
    problem = gemm.build((6, 2, 5))
    outputs = PEERS["onnxruntime"].open(problem, 1, tmp_path).outputs()
    assert (tmp_path / "w.bin").stat().st_size == 4 * 6 * 5
    assert problem.error(outputs) < problem.tolerance


def test_the_other_form_of_a_product_is_the_same_product() -> None:
    problem = gemm.build((6, 2, 5))
    first, second = (form(problem.x) for form in problem.forms())
    torch.testing.assert_close(first, second)


def test_the_work_of_a_layer() -> None:
    work = rnn.work((100, 2, 10, "gru"))
    assert work.flops == 2 * 3 * (100 * 100 + 100 * 100) * 2 * 10
    once, repeated = work.traffic
    assert once.bytes == 4 * (3 * 100 * 100 + 2 * 10 * 2 * 100)
    assert repeated.bytes == 4 * 3 * 100 * 100 * 10 and repeated.working_set == 4 * 3 * 100 * 100
