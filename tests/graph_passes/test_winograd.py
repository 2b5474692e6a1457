"""Convolutions with fewer products: when they are rewritten, and that they compute the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.graph_passes.winograd import winograd
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Group, Run, Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

TEXT = """
sequence main(x: f32[{n}, {c}, {h}, {w}], b: f32[{k}], z: f32[{n}, {k}, {p}, {q}]{more}) -> (y)
  const w: f32[{k}, {c}, 3, 3]
  temporary y: f32[{n}, {k}, {p}, {q}]
  kernel convolution(x: f32[{n}, {c}, {h}, {w}], {weight}: f32[{k}, {c}, 3, 3], b: f32[{k}], z: f32[{n}, {k}, {p}, {q}])
      -> (y: f32[{n}, {k}, {p}, {q}])
    axes n: {n}, k: {k}, i: {p}, j: {q}, r: 3, s: 3, c: {c}
    t = sum(r, s, c) x[n, c, {row}, j + s] * {weight}[k, c, r, s]
    u = t + b[k]
    y[n, k, i, j] = max(u, 0.0) + z[n, k, i, j]
"""


def convolution(
    n: int = 1, c: int = 48, k: int = 48, p: int = 2, q: int = 2, row: str = "i + r", constant: bool = True, h: int | None = None
) -> Sequence:
    weight, more = ("w", "") if constant else ("v", f", v: f32[{k}, {c}, 3, 3]")
    sizes = {"n": n, "c": c, "k": k, "p": p, "q": q, "h": h or p + 2, "w": q + 2}
    text = TEXT.format(**sizes, row=row, weight=weight, more=more).replace("\n      ->", " ->")
    values = 4 * np.random.default_rng(c + k).integers(-3, 4, (k, c, 3, 3)).astype(np.float32)
    return parse_sequence(text, {"w": values})


def inputs(sequence: Sequence) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(-9, 10, [int(e) for e in i.shape]).astype(np.float32) for i in sequence.inputs]  # type: ignore[arg-type]


@given(
    n=st.integers(1, 2), c=st.integers(1, 3), k=st.integers(1, 3), p=st.sampled_from([2, 3, 4]), q=st.sampled_from([2, 5, 6])
)
def test_numbers_without_rounding_are_the_same(n: int, c: int, k: int, p: int, q: int) -> None:
    before = convolution(n, c, k, p, q)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bough.graph_passes.winograd_match.LEAST_CHANNELS", 0)
        after = winograd(before)
    verify_sequence(after)
    assert len(kernels(after.steps)) == 3
    given = inputs(before)
    (expected,), (result,) = run_sequence(before, given), run_sequence(after, given)
    assert np.array_equal(expected, result)


WINDOWS = """
sequence main(x: f32[2, {h}, {w}, {c}], z: f32[2, {k}, {p}, {q}]) -> (y)
  const w: f32[{r}, {s}, {k}, {c}]
  temporary y: f32[2, {k}, {p}, {q}]
  kernel convolution(x: f32[2, {h}, {w}, {c}], w: f32[{r}, {s}, {k}, {c}], z: f32[2, {k}, {p}, {q}]) -> (y: f32[2, {k}, {p}, {q}])
    axes n: 2, k: {k}, i: {p}, j: {q}, r: {r}, s: {s}, c: {c}
    t = sum(r, s, c) x[n, i * {step} + r + {first}, j + s, c] * w[r, s, k, c]
    y[n, k, i, j] = t + z[n, k, i, j]
"""


@given(
    r=st.integers(2, 9), s=st.integers(2, 7), step=st.integers(1, 3), p=st.integers(1, 5), q=st.integers(1, 4),
    first=st.integers(0, 2), more=st.integers(0, 1),
)  # fmt: skip
def test_windows_of_any_size_and_stride(r: int, s: int, step: int, p: int, q: int, first: int, more: int) -> None:
    """Windows are cut into pieces of three; nothing is read from outside the input."""
    h, w = first + (p - 1) * step + r + more, q + s - 1
    text = WINDOWS.format(h=h, w=w, c=2, k=3, p=p, q=q, r=r, s=s, step=step, first=first)
    values = 4 * np.random.default_rng(r + s).integers(-3, 4, (r, s, 3, 2)).astype(np.float32)
    before = parse_sequence(text, {"w": values})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bough.graph_passes.winograd_match._pays", lambda *_: True)
        after = winograd(before)
    verify_sequence(after)
    assert len(kernels(after.steps)) == 3
    given = inputs(before)
    (expected,), (result,) = run_sequence(before, given), run_sequence(after, given)
    assert np.array_equal(expected, result)


@pytest.mark.parametrize(
    "sequence",
    [
        convolution(c=8),
        convolution(k=8),
        convolution(c=24, k=24, p=3, q=3),
        convolution(row="i * 2 + r", h=5),
        convolution(row="i + r * 2", h=6),
        convolution(constant=False),
    ],
    ids=["few channels in", "few channels out", "few rows, and odd", "stride", "dilation", "computed weights"],
)
def test_others_stay_as_they_are(sequence: Sequence) -> None:
    assert winograd(sequence).steps == sequence.steps


@pytest.mark.parametrize(("p", "q"), [(3, 4), (4, 3), (7, 5), (5, 2)])
def test_what_is_over_the_edge_reaches_no_result(p: int, q: int) -> None:
    """One element that is not finite spoils its tiles and no others; the elements that are computed twice are the same."""
    before = convolution(1, 48, 48, p, q)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bough.graph_passes.winograd_match.LEAST_CHANNELS", 0)
        after = winograd(before)
    assert len(kernels(after.steps)) == 3
    x, *rest = inputs(before)
    x[0, 0, 1, 1] = np.nan
    (result,) = run_sequence(after, [x, *rest])
    (expected,) = run_sequence(before, [x, *rest])
    spoiled = np.zeros((p, q), np.bool_)
    spoiled[:2, :2] = True
    assert np.array_equal(np.isnan(result[0]), np.broadcast_to(spoiled, result[0].shape))
    assert np.array_equal(result[0][:, ~spoiled], expected[0][:, ~spoiled])


SHORTCUT = """
sequence main(x: f32[2, 48, 6, 6], z: f32[2, 5, 4, 4]) -> (y)
  const w: f32[48, 48, 3, 3]
  const v: f32[48, 5]
  temporary y: f32[2, 48, 4, 4]
  kernel both(x: f32[2, 48, 6, 6], w: f32[48, 48, 3, 3], z: f32[2, 5, 4, 4], v: f32[48, 5]) -> (y: f32[2, 48, 4, 4])
    axes n: 2, k: 48, i: 4, j: 4, r: 3, s: 3, c: 48{axis}
    t = sum(r, s, c) x[n, c, i + r, j + s] * w[k, c, r, s]
    u = {other}
    y[n, k, i, j] = max(t, 0.0) + u
"""


def with_another_sum(other: str) -> Sequence:
    random = np.random.default_rng(0)
    values = {"w": 4 * random.integers(-3, 4, (48, 48, 3, 3)), "v": random.integers(-3, 4, (48, 5))}
    return parse_sequence(SHORTCUT.format(other=other, axis=", d: 5" if "(d)" in other else ""), {name: v.astype(np.float32) for name, v in values.items()})


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ("sum(d) z[n, d, i, j] * v[k, d]", 4),
        ("max(d) v[k, d]", 4),
        ("sum(r, s, c) x[n, c, i + r, j + s] * w[c, k, r, s]", 6),
        ("sum(d) t * v[k, d]", 1),
    ],
    ids=["shortcut", "without pixels", "a second convolution", "on the first"],
)
def test_another_sum_is_a_kernel_of_its_own(other: str, count: int) -> None:
    """Unless it is made of the convolution."""
    before = with_another_sum(other)
    after = winograd(before)
    verify_sequence(after)
    assert len(kernels(after.steps)) == count
    given = inputs(before)
    (expected,), (result,) = run_sequence(before, given), run_sequence(after, given)
    assert np.array_equal(expected, result)


@pytest.mark.parametrize(("channels", "size", "grouped"), [(48, 16, True), (256, 14, True), (256, 8, False), (256, 4, None)])
def test_heavy_weights_are_read_once(channels: int, size: int, grouped: bool | None) -> None:
    """Each thread takes its rows of tiles through all kernels, unless weights outweigh them; too few tiles stay as they are."""
    before = convolution(1, channels, channels, size, size)
    steps = winograd(before).steps
    assert steps == before.steps if grouped is None else [type(s) for s in steps] == ([Group] if grouped else [Run] * 3)


def test_products_are_fewer() -> None:
    (before,) = kernels(convolution().steps)
    tiles, products, _ = kernels(winograd(convolution()).steps)
    assert not tiles.reductions
    points = [np.prod([a.extent for a in k.axes]) for k in (before, products)]
    assert points[0] == 9 / 4 * points[1]
