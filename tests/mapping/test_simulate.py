"""Kernels on described targets: results are those of the interpreter, cycles follow from the description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mapping_kernels import ALL, attention_scores, conv2d, gates, linear, pointwise

from bough.base.errors import InternalError
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Kernel
from bough.ir.loops import Alloc, Invoke
from bough.mapping import apply_mapping, best_mapping, enumerate_mappings, lower_tiles, simulate
from bough.targets import TARGETS, Target

UNIT = TARGETS["matrix-unit"]


def random_arrays(kernel: Kernel) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    return {o.name: rng.standard_normal([int(e) for e in o.shape], np.float32) for o in kernel.inputs}


@pytest.mark.parametrize("target", [UNIT, TARGETS["avx2"]], ids=lambda t: t.name)
@pytest.mark.parametrize("kernel", ALL, ids=lambda k: k.name)
def test_targets_compute_what_kernels_mean(kernel: Kernel, target: Target) -> None:
    arrays = random_arrays(kernel)
    simulation = simulate(kernel, target, arrays)
    for name, expected in run_kernel(kernel, arrays, precision="float64").items():
        np.testing.assert_allclose(simulation.outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_scalar_code_is_a_mapping_too() -> None:
    kernel = gates(n=2, hidden=3)
    arrays = random_arrays(kernel)
    simulation = simulate(kernel, TARGETS["x86-64"], arrays)
    np.testing.assert_allclose(simulation.outputs["y"], run_kernel(kernel, arrays)["y"], rtol=1e-5)


@pytest.mark.parametrize("kernel", [linear(), attention_scores(), conv2d(), pointwise(), gates()], ids=lambda k: k.name)
def test_products_go_to_the_matrix_unit(kernel: Kernel) -> None:
    mapping = best_mapping(kernel, UNIT)
    assert mapping.instruction.name == "unit.matmul"
    assert len(mapping.parts) == len(kernel.reductions)


def test_cycles_follow_from_the_description() -> None:
    """48 rows and columns, depth 32: 3 * 3 tiles of results, each of two products."""
    kernel = linear(48, 32, 48)
    simulation = simulate(kernel, UNIT, random_arrays(kernel))
    counts = {i.instruction: i.count for i in simulation.instructions}
    assert counts == {"unit.zero": 9, "unit.load": 36, "unit.matmul": 18, "unit.store": 9}
    busy = {i.instruction: i.busy for i in simulation.instructions}
    assert busy["unit.matmul"] == 18 * 16
    assert busy["unit.load"] == 36 * 32
    assert simulation.overlapped == 36 * 32 + 100 + 48 + 100 + 16
    assert simulation.serial == 9 * 16 + 36 * 100 + 18 * 48 + 9 * 100
    assert "unit.matmul" in str(simulation)


def test_gates_load_the_state_once_for_all_products() -> None:
    kernel = gates(n=16, hidden=16)
    counts = {i.instruction: i.count for i in simulate(kernel, UNIT, random_arrays(kernel)).instructions}
    assert counts == {"unit.zero": 3, "unit.load": 4, "unit.matmul": 3, "unit.store": 3}


def test_data_movement_is_explicit() -> None:
    kernel = linear(16, 16, 16)
    function = lower_tiles(apply_mapping(kernel, enumerate_mappings(kernel, UNIT.instruction("unit.matmul"))[0]), UNIT)
    found: list[object] = []

    def walk(statements: tuple[object, ...]) -> None:
        for s in statements:
            found.append(s)
            walk(getattr(s, "body", ()))

    walk(function.body)
    places = {s.buffer.place for s in found if isinstance(s, Alloc)}
    assert places == {"scratchpad", "accumulator"}
    assert [s.instruction for s in found if isinstance(s, Invoke)] == [
        "unit.zero", "unit.load", "unit.load", "unit.matmul", "unit.store",
    ]  # fmt: skip


def test_a_target_that_cannot_move_the_data_says_so() -> None:
    kernel = linear()
    deaf = replace(UNIT, instructions=tuple(i for i in UNIT.instructions if i.name != "unit.load"))
    with pytest.raises(InternalError, match=r"no instruction that moves f32\[16, 16\] to or from scratchpad"):
        simulate(kernel, deaf, random_arrays(kernel))


def test_a_memory_that_is_too_small_says_so() -> None:
    kernel = linear()
    small = replace(UNIT, memories=tuple(replace(m, bytes=1024) if m.name == "scratchpad" else m for m in UNIT.memories))
    with pytest.raises(InternalError, match="2048 bytes do not fit in scratchpad"):
        simulate(kernel, small, random_arrays(kernel))


def test_nothing_to_map_gives_the_reasons() -> None:
    kernel = replace(linear(), body=linear().body[1:])
    with pytest.raises(InternalError, match="it reduces nothing"):
        best_mapping(kernel, UNIT)
