"""Matrix products and convolutions, against PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bough import ops
from bough.ir.dtypes import F32
from bough.ir.expr import loads, variables
from bough.ir.kernel import Operand
from bough.ir.program import TensorType
from bough.rewrite import affine

Check = Callable[..., None]
FLOATS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 3e-2}


@pytest.fixture(params=FLOATS)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    torch.manual_seed(9)
    kind: torch.dtype = request.param
    return kind


def close(dtype: torch.dtype) -> dict[str, float]:
    return {"rtol": FLOATS[dtype], "atol": FLOATS[dtype] * 4}


@pytest.mark.parametrize(
    "a, b",
    [((3, 5), (5, 7)), ((2, 3, 5), (2, 5, 7)), ((2, 3, 5), (5, 7)), ((3, 5), (4, 5, 7)), ((2, 1, 3, 5), (4, 5, 1)),
     ((0, 5), (5, 7)), ((3, 0), (0, 7)), ((1, 1), (1, 1)), ((2, 1, 3), (1, 3, 2))],
)  # fmt: skip
def test_matmul(check: Check, dtype: torch.dtype, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = torch.randn(a, dtype=dtype), torch.randn(b, dtype=dtype)
    check("matmul", [x, y], x @ y, **close(dtype))


def test_matmul_of_integers(check: Check) -> None:
    x, y = torch.randint(-9, 9, (3, 4)), torch.randint(-9, 9, (4, 5))
    check("matmul", [x, y], x @ y)


def test_matmul_keeps_nan_where_it_is(check: Check) -> None:
    x, y = torch.randn(3, 4), torch.randn(4, 5)
    x[1, 2], y[0, 3] = float("nan"), float("inf")
    check("matmul", [x, y], x @ y)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5), (3, 0)])
def test_linear(check: Check, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x, w, b = torch.randn(shape, dtype=dtype), torch.randn(7, shape[-1], dtype=dtype), torch.randn(7, dtype=dtype)
    check("linear", [x, w, b], F.linear(x, w, b), **close(dtype))
    check("linear", [x, w, None], F.linear(x, w), **close(dtype))
    check("linear", [x, w], F.linear(x, w), **close(dtype))


FORWARD: list[dict[str, Any]] = [
    {},
    {"stride": (2, 3), "padding": (1, 2), "dilation": (2, 1)},
    {"padding": (1, 1), "groups": 2},
    {"padding": (2, 0), "stride": (1, 2), "groups": 4},
]
BACKWARD: list[dict[str, Any]] = [
    {},
    {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)},
    {"stride": (2, 1), "padding": (3, 1), "dilation": (2, 2), "groups": 2},
    {"groups": 4, "stride": (3, 2), "padding": (2, 3), "output_padding": (0, 1)},
]
KNOWN = frozenset({3, 5})
"""Sizes of windows, which stay numbers where the others become symbols."""


@pytest.mark.parametrize("attributes", FORWARD)
@pytest.mark.parametrize("window", [(3, 5), (1, 3), (1, 1)])
def test_convolution(check: Check, dtype: torch.dtype, attributes: dict[str, Any], window: tuple[int, int]) -> None:
    groups = attributes.get("groups", 1)
    x = torch.randn(2, 4, 9, 11, dtype=dtype)
    w, b = torch.randn(8, 4 // groups, *window, dtype=dtype), torch.randn(8, dtype=dtype)
    options = {**attributes, **close(dtype), "fixed": KNOWN, "dynamic": groups == 1}
    check("convolution", [x, w, b], F.conv2d(x, w, b, **attributes), **options)
    check("convolution", [x, w, None], F.conv2d(x, w, **attributes), **options)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 7])
def test_windows_in_the_padding(check: Check, window: int, padding: int, stride: int) -> None:
    """More padding than the window has elements, with none, some and all of the windows outside."""
    for size, dilation in itertools.product((1, 2, 5), (1, 2)):
        if size + 2 * padding <= dilation * (window - 1):
            continue
        x, w, b = torch.randn(2, 4, size, 3), torch.randn(6, 2, window, 1), torch.randn(6)
        options: dict[str, Any] = {"stride": (stride, 1), "padding": (padding, 1), "dilation": (dilation, 1), "groups": 2}
        want = F.conv2d(x, w, b, **options)
        check("convolution", [x, w, b], want, dynamic=False, **options, **close(torch.float32))
        check("convolution", [x, w, None], F.conv2d(x, w, **options), dynamic=False, **options, **close(torch.float32))


@pytest.mark.parametrize("attributes", BACKWARD)
@pytest.mark.parametrize("window", [(3, 5), (1, 3)])
def test_transposed(check: Check, dtype: torch.dtype, attributes: dict[str, Any], window: tuple[int, int]) -> None:
    groups = attributes.get("groups", 1)
    x = torch.randn(2, 4, 7, 9, dtype=dtype)
    w = torch.randn(4, 3 if groups == 2 else 2, *window, dtype=dtype)
    b = torch.randn(w.shape[1] * groups, dtype=dtype)
    want = F.conv_transpose2d(x, w, b, **attributes)
    options = {**attributes, **close(dtype), "fixed": KNOWN, "dynamic": groups == 1, "transposed": True}
    check("convolution", [x, w, b], want, **options)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
def test_phases_of_transposed_convolutions(check: Check, stride: int, window: int) -> None:
    for padding, size in itertools.product(range(window + 1), (1, 2, 5)):
        extra = stride - 1 if padding % 2 else 0
        if (size - 1) * stride + window + extra <= 2 * padding:
            continue
        x, w = torch.randn(1, 2, size), torch.randn(2, 3, window)
        want = F.conv_transpose1d(x, w, None, stride, padding, extra)
        options = {"stride": stride, "padding": padding, "output_padding": extra, "transposed": True}
        check("convolution", [x, w, None], want, dynamic=False, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_ranks(check: Check, rank: int) -> None:
    x = torch.randn(2, 4, *(7, 6, 8)[:rank])
    w, back = torch.randn(6, 4, *(3,) * rank), torch.randn(4, 6, *(3,) * rank)
    forward = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    backward = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]
    check("convolution", [x, w, None], forward(x, w, None, 2, 1), stride=2, padding=1, fixed=KNOWN, atol=1e-4)
    want = backward(x, back, None, 2, 1)
    check("convolution", [x, back, None], want, stride=2, padding=1, transposed=True, fixed=KNOWN, atol=1e-4)


def test_empty_batch(check: Check) -> None:
    x, w = torch.zeros(0, 4, 9, 9), torch.randn(6, 4, 3, 3)
    check("convolution", [x, w, None], F.conv2d(x, w, padding=1), padding=(1, 1), dynamic=False)


@pytest.mark.parametrize("attributes", [*FORWARD, {"transposed": True, "stride": (2, 2), "groups": 2}])
def test_products_are_affine(attributes: dict[str, Any]) -> None:
    """However a convolution is padded, grouped or transposed, its product loads at affine positions only."""
    groups, transposed = attributes.get("groups", 1), attributes.get("transposed", False)
    x, y = Operand("x", F32, (2, 4, 9, 11)), Operand("y", F32, ())
    w = Operand("w", F32, (4, 8 // groups, 3, 3) if transposed else (8, 4 // groups, 3, 3))
    (result,) = ops.infer("convolution", [_type(x), _type(w), None], attributes)
    y = Operand("y", F32, result.shape)
    (product,) = (k for k in ops.lower("convolution", [x, w, None], [y], attributes) if k.reductions)
    names = {a.name for a in product.axes}
    ((_, total),) = product.reductions
    for load in loads(total.body):
        for index in load.index:
            assert affine(index, variables(index) & names) is not None
    assert [a.name for a in product.axes] == [a.name for a in (*product.free, *(product.axis(n) for n in product.reduced))]


def _type(o: Operand) -> TensorType:
    return TensorType(o.dtype, o.shape)
