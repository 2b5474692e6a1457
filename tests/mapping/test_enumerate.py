"""Which embeddings are found, and what is said where there is none."""

from __future__ import annotations

import pytest
from mapping_kernels import (
    DPBUSD,
    FMA,
    FMAVV,
    MATMUL,
    attention_scores,
    batched_matmul,
    bytes_product,
    conv2d,
    depthwise,
    gates,
    linear,
    pointwise,
)  # fmt: skip

from bough.ir.expr import Load, Var
from bough.ir.kernel import Kernel
from bough.ir.kernel_text import parse_kernel
from bough.mapping import Mapping, enumerate_mappings, explain_mismatch, pairs_are_independent
from bough.targets import TARGETS


def text(mappings: list[Mapping]) -> list[str]:
    return [str(m) for m in mappings]


def test_linear_layer_is_a_product_in_both_orientations() -> None:
    assert text(enumerate_mappings(linear(), MATMUL)) == [
        "unit.matmul on s with i = n, j = j, k = k",
        "unit.matmul on s with i = j, j = n, k = k",
    ]


def test_vector_axis_belongs_to_the_operand_that_varies_along_it() -> None:
    by_outputs, by_rows = enumerate_mappings(linear(16, 32, 48), FMA)
    assert by_outputs.fused("i") == ("j",)
    assert [b.value for b in by_outputs.parts[0].bindings] == [
        Load("x", (Var("n"), Var("k"))),
        Load("w", (Var("j"), Var("k"))),
    ]
    assert by_outputs.parts[0].binding("b").strides == (32,)
    assert by_outputs.parts[0].binding("b").obstacle == "neighbours along i are 32 elements apart"
    assert not by_outputs.parts[0].binding("a").packed
    assert by_rows.fused("i") == ("n",)


def test_vectors_of_a_transposed_weight_are_read_in_place() -> None:
    first = next(m for m in enumerate_mappings(batched_matmul(j=32), FMA) if m.fused("i") == ("j",))
    assert first.parts[0].binding("b").strides == (1,)
    assert not first.parts[0].binding("b").packed


def test_batch_axes_stay_outside() -> None:
    for kernel in (batched_matmul(), attention_scores()):
        for mapping in enumerate_mappings(kernel, MATMUL):
            assert not mapping.mapped & {"b", "h"}


def test_rows_that_are_looked_up_are_read_in_place() -> None:
    gathered = parse_kernel("""
        kernel some(x: f32[n, 48], w: f32[48, 32], rows: i64[n]) -> (y: f32[n, 32])
          axes i: few, j: 32, k: 48
          s = sum(k) x[rows[i], k] * w[k, j]
          y[rows[i], j] = s
        """)
    (mapping,) = [m for m in enumerate_mappings(gathered, FMA) if m.fused("i") == ("j",)]
    assert not any(b.packed for part in mapping.parts for b in part.bindings)
    (across,) = [m for m in enumerate_mappings(gathered, FMA) if m.fused("i") == ("i",)]
    assert across.parts[0].binding("b").obstacle == "the index of x is not affine"


def test_attention_holds_a_product() -> None:
    assert "unit.matmul on s with i = q, j = t, k = d" in text(enumerate_mappings(attention_scores(), MATMUL))


def test_gates_hold_three_products_alone_and_together() -> None:
    found = text(enumerate_mappings(gates(), MATMUL))
    assert len(found) == 8
    assert "unit.matmul on r with i = n, j = j, k = k" in found
    assert "unit.matmul on r, z, c with i = n, j = j, k = k" in found


def test_depthwise_separable_convolution_is_vectors_and_a_product() -> None:
    """The depthwise half has no product (no axis belongs to the filter alone), the pointwise half is one."""
    across_channels = enumerate_mappings(depthwise(), FMAVV)
    assert {m.fused("i") for m in across_channels} == {("c",)}
    pixels = enumerate_mappings(depthwise(), FMA)
    assert ("q",) in {m.fused("i") for m in pixels}
    assert enumerate_mappings(depthwise(), MATMUL) == []
    assert "unit.matmul on total with i = n*p*q, j = k, k = c" in text(enumerate_mappings(pointwise(), MATMUL))


def test_a_missing_axis_is_one_row_when_asked_for() -> None:
    found = enumerate_mappings(depthwise(), MATMUL, partial=True)
    assert "unit.matmul on total with i = n*p*q, j = 1, k = r*s" in text(found)
    assert all(m.utilization(depthwise()) <= 1 / 16 for m in found)


def test_convolution_counts_compare_with_amos() -> None:
    """AMOS publishes 35 mappings for an NCHW convolution on i, j, k, and 20 of them feasible with 3x3 windows and batch 1.

    With rows from {n, p, q}, columns from {k} and depth from {c, r, s} there are 7 * 1 * 7 subsets that are not empty. In
    35 of these each axis has an independent partner (p and r, q and s are added up in one index of the image); AMOS's own
    table lists the seven pairs that are left. In 20 of the 35 the extents fill the instruction's axes: n alone and r*s do not.
    """
    kernel = conv2d(n=1, c=64, size=34, k=64)
    found = enumerate_mappings(kernel, MATMUL)
    rows_from_image = [m for m in found if m.fused("j") == ("k",)]
    assert len(found) == 2 * len(rows_from_image) == 2 * 49
    published = [m for m in rows_from_image if pairs_are_independent(m)]
    assert len(published) == 35
    assert sum(m.fills(kernel) for m in published) == 20
    assert len(enumerate_mappings(kernel, MATMUL, all_orders=True)) == 2 * 15 * 15


def test_order_of_fused_axes_only_changes_the_layout() -> None:
    found = {m.fused("i") for m in enumerate_mappings(pointwise(), MATMUL, all_orders=True) if m.fused("j") == ("k",)}
    assert {("p", "q"), ("q", "p")} <= found


def test_types_must_agree() -> None:
    signed = explain_mismatch(bytes_product("i8"), DPBUSD)
    assert signed is not None
    assert str(signed) == ("reduction s of kernel bytes: the value `x[n, k]` is i8, because the instruction's operand a holds u8")


def reduction(text: str) -> Kernel:
    return parse_kernel(f"""
        kernel k(x: f32[4, 6]) -> (y: f32[4])
          axes n: 4, k: 6
          s = {text}
          y[n] = s
        """)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max(k) x[n, k] * x[n, k]", "it is a max, because unit.matmul accumulates a sum"),
        (
            "sum(k) x[n, k]",
            "`x[n, k]` is no f32 mul, because the instruction computes `a[i, k] * b[k, j]` (f32)",
        ),
        (
            "sum(k) x[n, k] * x[n, k]",
            "no axis fits axis i of unit.matmul, which is free and used by a only, because "
            "with a = `x[n, k]`, b = `x[n, k]` the axes are n (free, used by a and b); k (reduced, used by a and b)",
        ),
    ],
)
def test_mismatches_say_what_and_why(text: str, message: str) -> None:
    assert enumerate_mappings(reduction(text), MATMUL) == []
    assert str(explain_mismatch(reduction(text), MATMUL)) == f"reduction s of kernel k: {message}"


def test_kernels_without_a_reduction_say_so() -> None:
    copy = parse_kernel("""
        kernel copy(x: f32[4]) -> (y: f32[4])
          axes n: 4
          y[n] = x[n]
        """)
    assert str(explain_mismatch(copy, MATMUL)) == ("kernel copy: it reduces nothing, because unit.matmul accumulates a sum")


def test_no_mismatch_where_it_matches() -> None:
    assert explain_mismatch(linear(), MATMUL) is None


def test_an_operand_that_needs_another_reduction_is_not_known_in_time() -> None:
    """A softmax inside one kernel: the weights of the second sum need the first one's result."""
    kernel = parse_kernel("""
        kernel late(x: f32[4, 6], w: f32[5, 6]) -> (y: f32[4, 5])
          axes n: 4, j: 5, k: 6
          top = max(k) x[n, k]
          s = sum(k) (x[n, k] - top) * w[j, k]
          y[n, j] = s
        """)
    assert str(explain_mismatch(kernel, MATMUL)) == (
        "reduction s of kernel late: `x[n, k] - top` is not known before, "
        "because its operand a would need the result of reduction top"
    )


def test_instructions_that_do_not_accumulate_say_so() -> None:
    load = TARGETS["avx512"].instruction("avx512.load")
    assert str(explain_mismatch(linear(), load)) == (
        "instruction avx512.load: it does not accumulate, because it does not add to an operand that it also reads"
    )
