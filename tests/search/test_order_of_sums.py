"""Along which axis the vectors of a sum lie, which decides its order."""

from __future__ import annotations

import pytest

from bough.ir.kernel_text import parse_kernel
from bough.search.heuristic import Context, Heuristic
from bough.targets import TARGETS

ATTENTION = """
kernel fit(x: f32[{rows}, 384], y: f32[words, 384], w: f32[384]) -> (z: f32[{rows}, words])
  axes i: {rows}, j: words, k: 384
  s = sum(k) {term}
  z[i, j] = s
"""
CONTEXT = Context(TARGETS["avx512"], 4, frozenset({"w"}), {"words": 64})


def vector(rows: int, term: str) -> str | None:
    kernel = parse_kernel(ATTENTION.format(rows=rows, term=term))
    found = Heuristic().choose(kernel, CONTEXT).vector
    return found.axis if found else None


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_long_terms_are_worked_out_as_they_lie(rows: int) -> None:
    assert vector(rows, "tanh(x[i, k] + y[j, k]) * w[k]") == "k"


def test_products_are_worth_a_copy() -> None:
    assert vector(64, "x[i, k] * y[j, k]") in ("i", "j")
