"""Every mapping that is found computes what the kernel computes, judged by the interpreter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mapping_kernels import (
    ALL,
    DPBUSD,
    FMA,
    FMAVV,
    MATMUL,
    bytes_product,
    conv2d,
    gates,
    linear,
    looked_up,
    padded_conv2d,
)  # fmt: skip

from bough.ir.dtypes import F32
from bough.ir.expr import Load, Var
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Axis, Kernel, Operand
from bough.ir.kernel_text import parse_kernel
from bough.mapping import Part, apply_mapping, check_mapping, enumerate_mappings, explain_mismatch
from bough.mapping.check import random_integers
from bough.targets import TARGETS, Instruction
from bough.targets.notation import instruction


@pytest.mark.parametrize("unit", [MATMUL, FMA, FMAVV], ids=lambda i: i.name)
@pytest.mark.parametrize("kernel", ALL, ids=lambda k: k.name)
def test_every_mapping_is_right(kernel: Kernel, unit: Instruction) -> None:
    rng = np.random.default_rng(1)
    for mapping in enumerate_mappings(kernel, unit, partial=True):
        assert check_mapping(kernel, mapping, rng), mapping


def test_every_order_of_fused_axes_is_right() -> None:
    kernel = conv2d(n=2, c=2, size=4, k=3)
    rng = np.random.default_rng(2)
    found = enumerate_mappings(kernel, MATMUL, all_orders=True)
    for mapping in found[::7]:
        assert check_mapping(kernel, mapping, rng), mapping


def test_a_wrong_mapping_is_found_wrong() -> None:
    kernel = linear(17, 17, 17)
    mapping = enumerate_mappings(kernel, MATMUL)[0]
    x, w = mapping.parts[0].bindings
    turned = replace(x, value=Load("x", (Var("k"), Var("n"))))
    wrong = replace(mapping, parts=(Part("s", (turned, w)),))
    assert check_mapping(kernel, mapping, np.random.default_rng(3))
    assert not check_mapping(kernel, wrong, np.random.default_rng(3))


def test_tiles_are_the_same_computation() -> None:
    """Packing, the tiles' kernel and the rest are ordinary kernels: the interpreter runs all three."""
    kernel = padded_conv2d()
    rng = np.random.default_rng(4)
    arrays = {o.name: random_integers(o, rng, {}) for o in kernel.inputs}
    for mapping in enumerate_mappings(kernel, MATMUL)[::9]:
        mapped = apply_mapping(kernel, mapping)
        known = dict(arrays)
        for k in (*mapped.packs, mapped.tiled, mapped.unpack):
            known |= run_kernel(k, known)
        np.testing.assert_array_equal(known["y"], run_kernel(kernel, arrays)["y"])


def test_what_lies_right_is_not_packed() -> None:
    kernel = linear(16, 32, 48)
    mapped = apply_mapping(kernel, enumerate_mappings(kernel, MATMUL)[0])
    assert [p.name for p in mapped.packs] == ["pack.linear.s.b"]
    assert mapped.parts[0].operands[0].source.name == "x"


@pytest.mark.parametrize("unit", [MATMUL, FMA], ids=lambda i: i.name)
def test_matrices_that_are_looked_up(unit: Instruction) -> None:
    found = enumerate_mappings(looked_up(), unit)
    assert any(not apply_mapping(looked_up(), m).packs for m in found)
    for mapping in found:
        assert check_mapping(looked_up(), mapping, np.random.default_rng(6)), mapping


def test_parts_share_what_they_pack_alike() -> None:
    mapping = next(m for m in enumerate_mappings(gates(), MATMUL) if len(m.parts) == 3)
    mapped = apply_mapping(gates(), mapping)
    assert len(mapped.packs) == 4
    assert len({p.operands[0].source for p in mapped.parts}) == 1


def test_symbolic_sizes() -> None:
    batch = Var("batch")
    fixed = linear()
    kernel = Kernel(
        "linear",
        (Axis("n", batch), *fixed.axes[1:]),
        (Operand("x", F32, (batch, 19)), *fixed.inputs[1:]),
        (Operand("y", F32, (batch, 21)),),
        fixed.body,
    )
    rng = np.random.default_rng(5)
    for unit in (MATMUL, FMA):
        for mapping in enumerate_mappings(kernel, unit):
            for size in (1, 5, 16, 33):
                assert check_mapping(kernel, mapping, rng, {"batch": size})
    assert enumerate_mappings(kernel, MATMUL)[0].utilization(kernel, {"batch": 16}) == 19 / 32 * 21 / 32


def test_products_of_bytes() -> None:
    """Four bytes at a time of one operand for all lanes, a depth that is no multiple of four."""
    rng = np.random.default_rng(6)
    kernel = bytes_product(channels=13)
    (mapping,) = enumerate_mappings(kernel, DPBUSD)
    assert str(mapping) == "avx512.dpbusd_broadcast on s with i = j, q = k"
    assert check_mapping(kernel, mapping, rng)
    assert enumerate_mappings(kernel, TARGETS["avx512-vnni"].instruction("avx512.dpbusd")) == []


def test_products_of_bf16() -> None:
    product = parse_kernel("""
        kernel half(x: bf16[3, 7], w: bf16[20, 7]) -> (y: f32[3, 20])
          axes n: 3, j: 20, k: 7
          s = sum(k) f32(x[n, k]) * f32(w[j, k])
          y[n, j] = s
        """)
    found = enumerate_mappings(product, TARGETS["avx512-bf16"].instruction("avx512.dpbf16ps_broadcast"))
    assert [m.fused("i") for m in found] == [("j",), ("n",)]
    for mapping in found:
        assert check_mapping(product, mapping, np.random.default_rng(7))


def largest(extent: int) -> Kernel:
    return parse_kernel(f"""
        kernel largest(x: f32[{extent}, 5]) -> (y: f32[5])
          axes n: {extent}, j: 5
          m = max(n) x[n, j]
          y[j] = m
        """)


RUNNING_MAX = instruction(
    """
    kernel unit.rows(acc: f32[4] in accumulator, a: f32[4, 4] in scratchpad) -> (acc: f32[4] in accumulator)
      axes i: 4, k: 4
      m = max(k) a[k, i]
      acc[i] = max(acc[i], m)
    """,
    latency=4,
    issue=1,
)


def test_other_reductions_are_padded_with_their_own_unit() -> None:
    kernel = largest(6)
    (mapping,) = enumerate_mappings(kernel, RUNNING_MAX)
    rng = np.random.default_rng(8)
    assert check_mapping(kernel, mapping, rng)
    negative = {"x": -1 - rng.random((6, 5), np.float32)}
    mapped = apply_mapping(kernel, mapping)
    known = dict(negative)
    for k in (*mapped.packs, mapped.tiled, mapped.unpack):
        known |= run_kernel(k, known)
    np.testing.assert_array_equal(known["y"], negative["x"].max(axis=0))


def test_where_padding_would_change_the_result_extents_must_fit() -> None:
    """exp(0) is not 0, so a sum of exponentials cannot be filled up with zeros."""
    exponentials = instruction(
        """
        kernel unit.exponentials(acc: f32[4] in accumulator, a: f32[4, 4] in scratchpad) -> (acc: f32[4] in accumulator)
          axes i: 4, k: 4
          s = sum(k) exp(a[k, i])
          acc[i] = acc[i] + s
        """,
        latency=4,
        issue=1,
    )

    def kernel(extent: int) -> Kernel:
        return parse_kernel(f"""
            kernel z(x: f32[{extent}, 5]) -> (y: f32[5])
              axes n: {extent}, j: 5
              s = sum(n) exp(x[n, j])
              y[j] = s
            """)

    assert len(enumerate_mappings(kernel(8), exponentials)) == 1
    assert str(explain_mismatch(kernel(6), exponentials)) == (
        "reduction s of kernel z: axis k of unit.exponentials cannot be padded, "
        "because no value of its operands leaves a sum as it is, and the extent does not fit"
    )
