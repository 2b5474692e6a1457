"""Chunks of the kernels of a level: of all its rows, where those are so few that claiming chunks would show."""

from __future__ import annotations

import pytest

from bough.graph_passes.normalize import normalize
from bough.ir.kernel_text import parse_kernel
from bough.schedule.decisions import Follow
from bough.search.chunks import nominal_chunks
from bough.search.heuristic import Context, Heuristic
from bough.targets import TARGETS

THREADS = 4
TEXT = """
kernel products(x: f32[rows, {k}], z: f32[rows, {k}], w: f32[{i}, {j}, {k}], u: f32[{i}, {j}, {k}]) -> (y: f32[rows, {i}, {j}])
  axes n: rows, i: {i}, j: {j}, k: {k}
  s = sum(k) x[n, k] * w[i, j, k]
  t = sum(k) z[n, k] * u[i, j, k]
  y[n, i, j] = s + t
"""


def chunks(i: int, j: int, k: int, rows: int) -> int:
    """Of a level of so many rows; nominally there are 64."""
    kernel = normalize(parse_kernel(TEXT.format(i=i, j=j, k=k)))
    context = Context(TARGETS["avx512"], THREADS, frozenset({"w", "u"}), {"rows": 64}, defined=frozenset({"rows"}))
    return nominal_chunks(kernel, Heuristic().choose(kernel, context), {"rows": rows})


@pytest.mark.parametrize("rows", [1, 3, 40, 400])
def test_short_products_make_few_chunks(rows: int) -> None:
    assert THREADS <= chunks(64, 32, 32, rows) <= 32


def test_long_products_are_shared_out_along_the_rows() -> None:
    assert chunks(1, 256, 512, 200) > chunks(1, 256, 512, 20) >= THREADS


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (64, 5), (3, 200)])
def test_copies_of_lists_make_few_chunks(rows: int, size: int) -> None:
    """Neither the number of rows nor their length is known."""
    text = "kernel copies(x: f32[rows, 256, 512]) -> (y: f32[rows, 256, 512])\n  axes n: rows, i: size, j: 512\n  y[n, i, j] = x[n, i, j]"
    defined = {"rows": 64, "size": 64}
    context = Context(TARGETS["avx512"], THREADS, frozenset(), defined, defined=frozenset(defined))
    kernel = parse_kernel(text)
    assert rows <= nominal_chunks(kernel, Heuristic().choose(kernel, context), {"rows": rows, "size": size}) <= rows * -(-size // 5)


@pytest.mark.parametrize(("rows", "size", "least", "most"), [(64, 512, 8, 16), (64, 16, 1, 1), (1, 512, 1, 1), (3, 4096, 3, 16)])
def test_rows_that_are_copied_are_shared_out_by_what_moving_them_takes(rows: int, size: int, least: int, most: int) -> None:
    """Other threads have what they read and want what they write."""
    text = f"kernel copies(x: f32[64, {size}]) -> (y: f32[64, {size}])\n  axes n: rows, j: {size}\n  y[n, j] = x[n, j]"
    context = Context(TARGETS["avx512"], THREADS, frozenset(), {"rows": 64}, defined=frozenset({"rows"}))
    kernel = parse_kernel(text)
    assert least <= nominal_chunks(kernel, Heuristic().choose(kernel, context), {"rows": rows}) <= most


@pytest.mark.parametrize(("rows", "j", "least"), [("rows", 8000, 2), (64, 8000, 2), (64, 2000, 4), (9, 2000, None), (1, 8000, None), (64, 100, None), (9999, 8000, None)])
def test_weights_that_leave_the_caches_are_fetched_ahead_by_the_rows_that_share_them(rows: int | str, j: int, least: int | None) -> None:
    text = f"kernel scores(x: f32[{rows}, 384], w: f32[{j}, 384]) -> (y: f32[{rows}, {j}])\n  axes n: {rows}, j: {j}, k: 384\n  s = sum(k) x[n, k] * w[j, k]\n  y[n, j] = s"
    context = Context(TARGETS["avx512"], THREADS, frozenset({"w"}), {"rows": 64}, defined=frozenset({"rows"}))
    ahead = Heuristic().choose(parse_kernel(text), context).ahead
    assert (ahead and ahead.least) == least


@pytest.mark.parametrize(("size", "weights", "tiles"), [(256, 1 << 18, 1), (256, 1 << 20, 8), (512, 1 << 20, None)])
def test_rows_stay_on_threads_where_the_weights_have_room_in_their_caches(size: int, weights: int, tiles: int | None) -> None:
    """And in small blocks where those of all kernels of the loop have."""
    text = f"kernel step(x: f32[rows, {size}], w: f32[{size}, {size}]) -> (y: f32[rows, {size}])\n  axes n: rows, j: {size}, k: {size}\n  s = sum(k) x[n, k] * w[j, k]\n  y[n, j] = s"
    context = Context(
        TARGETS["avx512"], THREADS, frozenset({"w"}), {"rows": 64}, "level", weights, defined=frozenset({"rows"})
    )
    schedule = Heuristic().choose(parse_kernel(text), context)
    assert schedule.follow == (None if tiles is None else Follow("n", THREADS))
    assert tiles is None or schedule.block("n") == tiles
