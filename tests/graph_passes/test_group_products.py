"""Products in groups: the kernels that come out, and that they compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bough.graph_passes.group_products import group_products
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import print_kernel
from bough.ir.sequence import Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence
from bough.targets import TARGETS, Grouping, groupings

Array = np.ndarray[Any, Any]
PAIRS = Grouping(BF16, 2)

TWO = """
sequence main(x: f32[3, 8], row: i64[3]) -> (y, z)
  const w: bf16[6, 8]
  const v: bf16[5, 6]
  temporary h: f32[3, 6]
  temporary y: f32[3, 5]
  temporary z: f32[3, 8]
  kernel first(x: f32[3, 8], w: bf16[6, 8]) -> (h: f32[3, 6])
    axes i: 3, j: 6, k: 8
    s = sum(k) x[i, k] * f32(w[j, k])
    h[i, j] = max(s, 0.0)
  kernel second(h: f32[3, 6], v: bf16[5, 6]) -> (y: f32[3, 5])
    axes i: 3, j: 5, k: 6
    s = sum(k) h[i, k] * f32(v[j, k])
    y[i, j] = s
  kernel rows(row: i64[3], w: bf16[6, 8]) -> (z: f32[3, 8])
    axes i: 3, k: 8
    z[i, k] = f32(w[row[i], k])
"""
COPY = """
kernel bf16.x(x: f32[3, 8]) -> (x.bf16: bf16[3, 8])
  axes i0: 3, i1: 8
  x.bf16[i0, i1] = bf16(x[i0, i1])
"""
FIRST = """
kernel first(w: bf16[6, 4, 2], x.bf16: bf16[3, 8]) -> (h: f32[3, 6], h.bf16: bf16[3, 6])
  axes i: 3, j: 6, k: 4, k.group: 2
  s = sum(k, k.group) f32(x.bf16[i, k * 2 + k.group]) * f32(w[j, k, k.group])
  h.value1 = max(s, 0.0)
  h[i, j] = h.value1
  h.bf16[i, j] = bf16(h.value1)
"""
SECOND = """
kernel second(v: bf16[5, 3, 2], h.bf16: bf16[3, 6]) -> (y: f32[3, 5])
  axes i: 3, j: 5, k: 3, k.group: 2
  s = sum(k, k.group) f32(h.bf16[i, k * 2 + k.group]) * f32(v[j, k, k.group])
  y[i, j] = s
"""
ROWS = """
kernel rows(row: i64[3], w: bf16[6, 4, 2]) -> (z: f32[3, 8])
  axes i: 3, k: 8
  z[i, k] = f32(w[row[i], k // 2, k % 2])
"""


def of(text: str) -> Sequence:
    names = ("w", "v")
    empty = parse_sequence(text)
    rng = np.random.default_rng(0)
    return parse_sequence(
        text, {n: to_bf16(rng.standard_normal(empty.constants[n].shape)) for n in names if n in empty.constants}
    )


def inputs(sequence: Sequence) -> list[Array]:
    rng = np.random.default_rng(1)
    made: list[Array] = []
    for o in sequence.inputs:
        values = rng.standard_normal([int(e) for e in o.shape]).astype(np.float32)  # type: ignore[arg-type]
        made.append(
            np.array([4, 0, 2]) if o.dtype.is_integer else to_bf16(values) if o.dtype == BF16 else from_bf16(to_bf16(values))
        )
    return made


def same(before: Sequence, after: Sequence, tolerance: float) -> None:
    verify_sequence(after)
    for e, f in zip(run_sequence(before, inputs(before)), run_sequence(after, inputs(after)), strict=True):
        assert e.shape == f.shape and np.abs(e - f).max() <= tolerance * np.abs(e).max()


def test_activations_are_rounded_where_they_are_written() -> None:
    before = of(TWO)
    after = group_products(before, PAIRS, rounded=True)
    assert [print_kernel(k).strip() for k in kernels(after.steps)] == [t.strip() for t in (COPY, FIRST, SECOND, ROWS)]
    same(before, after, 2.0**-7)
    assert group_products(before, PAIRS, rounded=False) is before


def one(
    x: str = "f32[3, 8]", w: str = "bf16[6, 8]", k: str = "8", body: str = "x[i, k] * f32(w[j, k])", more: str = ""
) -> Sequence:
    return of(f"""
sequence main(x: {x}) -> (y)
  const w: {w}
  temporary y: f32[3, 6]
  kernel product(x: {x}, w: {w}) -> (y: f32[3, 6])
    axes i: 3, j: 6, k: {k}
    s = sum(k) {body}
    {more or "y[i, j] = s"}
""")


def test_activations_that_have_the_type_stay_as_they_are() -> None:
    before = one("bf16[3, 8]", body="f32(w[j, k]) * f32(x[i, k])")
    after = group_products(before, PAIRS, rounded=False)
    assert len(kernels(after.steps)) == 1 and "k.group" in print_kernel(kernels(after.steps)[0])
    same(before, after, 1e-6)


@pytest.mark.parametrize(
    "sequence",
    [
        one("f32[3, 7]", "bf16[6, 7]", "7"),
        one("f32[8, 3]", body="x[k, i] * f32(w[j, k])"),
        one("f32[3, 16]", body="x[i, 2 * k] * f32(w[j, k])"),
        one("f32[3, 8]", "bf16[6, 9]", body="x[i, k] * f32(w[j, k + 1])"),
        one(body="exp(x[i, k]) * f32(w[j, k])"),
        one(more="t = sum(k) x[i, k]\n    y[i, j] = s + t"),
    ],
    ids=["odd", "across", "apart", "shifted weight", "computed", "another sum over the axis"],
)
def test_what_no_group_can_be_read_of_stays(sequence: Sequence) -> None:
    assert group_products(sequence, PAIRS, rounded=True) is sequence


def test_shifted_activations_and_a_sum_of_two() -> None:
    before = one("f32[3, 9]", body="x[i, k + 1] * f32(w[j, k])", more="t = sum(k) x[i, k] * f32(w[j, k])\n    y[i, j] = s + t")
    same(before, group_products(before, PAIRS, rounded=True), 2.0**-7)


def test_a_weight_that_sums_run_along_in_both_ways_stays() -> None:
    both = of("""
sequence main(x: f32[3, 8], u: f32[3, 6]) -> (y, z)
  const w: bf16[6, 8]
  temporary y: f32[3, 6]
  temporary z: f32[3, 8]
  kernel there(x: f32[3, 8], w: bf16[6, 8]) -> (y: f32[3, 6])
    axes i: 3, j: 6, k: 8
    s = sum(k) x[i, k] * f32(w[j, k])
    y[i, j] = s
  kernel back(u: f32[3, 6], w: bf16[6, 8]) -> (z: f32[3, 8])
    axes i: 3, k: 8, j: 6
    s = sum(j) u[i, j] * f32(w[j, k])
    z[i, k] = s
""")
    assert group_products(both, PAIRS, rounded=True) is both


def test_groupings_are_read_off_the_instructions() -> None:
    assert groupings(TARGETS["avx512-bf16"]) == (PAIRS,)
    assert groupings(TARGETS["avx512"]) == groupings(TARGETS["avx2"]) == groupings(TARGETS["x86-64"]) == ()
