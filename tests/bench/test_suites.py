"""The problems of the suites: their sizes, their checks against float64, and their ONNX models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bough.bench.peers import PEERS
from bough.bench.problem import Choice, Problem
from bough.bench.suites import SUITES, conv, gemm, rnn, static
from bough.bench.suites.gemm import product_error
from bough.bench.zoo.static import STATIC

SMALL: dict[str, Callable[[], Problem]] = {
    "gemm": lambda: gemm.build((6, 2, 5)),
    "lstm": lambda: rnn.build((6, 2, 5, "lstm")),
    "gru": lambda: rnn.build((6, 2, 5, "gru")),
    "vanilla": lambda: rnn.build((6, 2, 5, "vanilla")),
    "conv": lambda: conv.build((7, 6, 3, 2, 5, 3, 2, 1, 0, 2, 1)),
    "pictures": lambda: static.build(STATIC["diffusion-unet"], 2, small=True),
    "texts": lambda: static.build(STATIC["gpt2-decode"], 2, small=True),
}


def test_the_suites_hold_all_sizes() -> None:
    names = {suite: [case.name for case in found.cases(Choice())] for suite, found in SUITES.items()}
    assert sum(name.startswith("server/") for name in names["gemm"]) == 75
    assert sum(name.startswith("device/") for name in names["gemm"]) == 13
    assert sum(name.startswith("server/") for name in names["rnn"]) == 69
    assert sum(name.startswith("device/") for name in names["rnn"]) == 3
    assert sum(name.startswith("server/") for name in names["conv"]) == 103
    assert sum(name.startswith("device/") for name in names["conv"]) == 15
    assert len(names["static"]) == 2 * len(STATIC)
    for suite in ("gemm", "rnn", "conv"):
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
@pytest.mark.parametrize("kind", SMALL)
def test_onnx_models_compute_what_the_modules_do(kind: str, peer: str, tmp_path: Path) -> None:
    if PEERS[peer].versions is None:
        pytest.skip(f"{peer} is not installed")
    problem = SMALL[kind]()
    outputs = PEERS[peer].open(problem, 1, tmp_path).outputs()
    assert problem.error(outputs) < problem.tolerance


@pytest.mark.parametrize("name", STATIC)
def test_static_networks_run_in_onnxruntime(name: str, tmp_path: Path) -> None:
    if PEERS["onnxruntime"].versions is None:
        pytest.skip("onnxruntime is not installed")
    problem = static.build(STATIC[name], 2, small=True)
    assert problem.error(PEERS["onnxruntime"].open(problem, 1, tmp_path).outputs()) < problem.tolerance


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
    first, second = (module(*args) for module, args in problem.forms())
    torch.testing.assert_close(first, second)


def test_the_work_of_a_layer() -> None:
    work = rnn.work((100, 2, 10, "gru"))
    assert work.flops == 2 * 3 * (100 * 100 + 100 * 100) * 2 * 10
    once, repeated = work.traffic
    assert once.bytes == 4 * (3 * 100 * 100 + 2 * 10 * 2 * 100)
    assert repeated.bytes == 4 * 3 * 100 * 100 * 10 and repeated.working_set == 4 * 3 * 100 * 100


def test_the_name_of_a_convolution_says_its_size() -> None:
    assert conv.title((700, 161, 1, 4, 32, 20, 5, 0, 0, 2, 2)) == "700x161x1-b4-k32x20x5-s2-p0"
    assert conv.title((151, 40, 1, 1, 32, 20, 5, 8, 4, 8, 2)) == "151x40x1-b1-k32x20x5-s8x2-p8x4"


def test_the_work_of_a_convolution() -> None:
    work = conv.build((7, 6, 3, 2, 5, 3, 2, 1, 0, 2, 1)).work
    rows, columns = 5, 4
    assert work.flops == 2 * (2 * 5 * rows * columns) * (3 * 3 * 2)
    (traffic,) = work.traffic
    assert traffic.bytes == 4 * (2 * 3 * 6 * 7 + 5 * 3 * 2 * 3 + 2 * 5 * rows * columns)


def test_forms_of_pictures_have_the_same_results() -> None:
    problem = static.build(STATIC["mobilenet-v2"], 2, small=True)
    with torch.inference_mode():
        errors = [problem.error([module(*args).numpy()]) for module, args in problem.forms()]
    assert len(errors) == 2 and max(errors) < 1e-4
