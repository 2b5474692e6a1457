"""Operators that move elements, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bough.ir.dtypes import DTYPES
from bough.ir.expr import Const, Var, add, mul
from bough.ops.reshape import reshape_index

Check = Callable[..., None]
TYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool]


@pytest.fixture(params=TYPES)
def x(request: pytest.FixtureRequest) -> torch.Tensor:
    torch.manual_seed(4)
    return (torch.randn(2, 1, 3, 5) * 3).to(request.param)


def test_copy(check: Check, x: torch.Tensor) -> None:
    check("copy", [x], x)
    check("copy", [x[0, 0, 0, 0]], x[0, 0, 0, 0])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_reshape(check: Check, data: st.DataObject) -> None:
    def shape(parts: list[int]) -> list[int]:
        result = [1]
        for p in parts:
            if data.draw(st.booleans()):
                result.append(p)
            else:
                result[-1] *= p
        return result[data.draw(st.integers(0, 1 if result[0] == 1 else 0)) :]

    parts = data.draw(st.lists(st.sampled_from([1, 2, 3, 5]), max_size=5))
    source, target = shape(parts), shape(data.draw(st.permutations(parts)))
    x = torch.arange(prod(parts)).reshape(source)
    check("reshape", [x], x.reshape(target), shape=tuple(target), dynamic=False)


def test_reshape_of_nothing(check: Check) -> None:
    x = torch.zeros(0, 3)
    check("reshape", [x], x.reshape(3, 0), shape=(3, 0))
    check("reshape", [x], x.reshape(0), shape=(0,))
    check("reshape", [torch.tensor(3.0)], torch.tensor([[3.0]]), shape=(1, 1))


def test_reshape_index_keeps_what_it_can_affine() -> None:
    n, i, j, k = Var("n"), Var("i"), Var("j"), Var("k")
    assert reshape_index((n, Const(6)), (n, 2, 3), (i, j, k)) == (i, add(mul(j, 3), k))
    assert reshape_index((n, 1, 4), (n, 4), (i, j)) == (i, Const(0), j)
    assert reshape_index((mul(n, 4), 5), (n, 4, 5), (i, j, k)) == (add(mul(i, 4), j), k)


def test_permute(check: Check, x: torch.Tensor) -> None:
    check("permute", [x], x.permute(3, 1, 0, 2), order=(3, 1, 0, 2))
    check("permute", [x], x.permute(0, 1, 3, 2), order=(0, 1, -1, -2))


def test_expand(check: Check, x: torch.Tensor) -> None:
    check("expand", [x], x.expand(2, 4, 3, 5), shape=(2, 4, 3, 5), fixed=frozenset(range(9)))
    check("expand", [x], x.expand(7, -1, 4, -1, -1), shape=(7, -1, 4, -1, -1))
    check("expand", [x[0, 0, 0, 0]], x[0, 0, 0, 0].expand(3), shape=(3,))
    check("expand", [x], x.expand(2, 0, 3, 5), shape=(2, 0, 3, 5), dynamic=False)


@pytest.mark.parametrize("start, stop, step", [(0, 5, 1), (1, 4, 1), (0, 5, 2), (1, 4, 2), (1, 5, 3), (2, 2, 1), (4, 5, 9)])
def test_slice(check: Check, x: torch.Tensor, start: int, stop: int, step: int) -> None:
    check("slice", [x], x[..., start:stop:step], axis=-1, start=start, stop=stop, step=step)
    check("slice", [x.permute(3, 0, 1, 2)], x.permute(3, 0, 1, 2)[start:stop:step], axis=0, start=start, stop=stop, step=step)


def test_flip_and_roll(check: Check, x: torch.Tensor) -> None:
    check("flip", [x], x.flip(0, 3), axes=(0, -1))
    check("roll", [x], x.roll((1, -7), (0, 3)), shifts=(1, -7), axes=(0, 3))


def test_repeat(check: Check, x: torch.Tensor) -> None:
    check("repeat", [x], x.repeat(2, 1, 3, 1, 2), repeats=(2, 1, 3, 1, 2))
    check("repeat", [x], x.repeat(2, 2, 1, 1), repeats=(2, 2, 1, 1))


@pytest.mark.parametrize("offset", [0, 1, -1, 4])
def test_diagonal(check: Check, x: torch.Tensor, offset: int) -> None:
    check("diagonal", [x[0, 0]], x[0, 0].diagonal(offset), offset=offset)
    check("diagonal", [x], x.diagonal(offset, 3, 0), offset=offset, axis1=3, axis2=0)


@pytest.mark.parametrize("diagonal", [0, 1, -1, -7])
def test_triangles(check: Check, x: torch.Tensor, diagonal: int) -> None:
    check("tril", [x], x.tril(diagonal), diagonal=diagonal)
    check("triu", [x], x.triu(diagonal), diagonal=diagonal)


def test_pad(check: Check, x: torch.Tensor) -> None:
    check("pad", [x], F.pad(x, (1, 2, 0, 3), value=1), low=(0, 0, 0, 1), high=(0, 0, 3, 2), value=1)
    check("pad", [x], F.pad(x, (-1, 2, 3, -2), value=0), low=(0, 0, 3, -1), high=(0, 0, -2, 2), value=0)
    check("pad", [x], F.pad(x, (2, -1), value=0), low=(0, 0, 0, 2), high=(0, 0, 0, -1))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pad_modes(check: Check, mode: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 4, 5, dtype=dtype)
    for pad in ((1, 2, 3, 0), (4, 4, 0, 0), (0, 1, 3, 3)):
        low, high = (0, 0, pad[2], pad[0]), (0, 0, pad[3], pad[1])
        check("pad", [x], F.pad(x, pad, mode=mode), low=low, high=high, mode=mode)


def test_concat(check: Check, x: torch.Tensor) -> None:
    check("concat", [x], x, axis=0)
    check("concat", [x, x[:0], x[:1]], torch.cat([x, x[:0], x[:1]]), axis=0)
    parts = [x, x[..., 1:3], x[..., :1], x]
    check("concat", parts, torch.cat(parts, -1), axis=-1)


@pytest.mark.parametrize("name", ["f32", "f64", "bf16", "i64", "i32", "u8", "bool"])
def test_full(check: Check, name: str) -> None:
    torch_type = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16, "i64": torch.int64,
                  "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}[name]  # fmt: skip
    for shape in ((), (2, 3), (0, 4)):
        for value in (0, 1, 3.25):
            check("full", [], torch.full(shape, value, dtype=torch_type), shape=shape, value=value, dtype=DTYPES[name])
    if name != "bool":
        want = torch.arange(2, 20, 3, dtype=torch_type)
        check("iota", [], want, size=6, start=2, step=3, dtype=DTYPES[name])
        check("iota", [], torch.arange(0, dtype=torch_type), size=0, dtype=DTYPES[name])
    if name.startswith("f"):
        want = torch.arange(0.5, 2.0, 0.25, dtype=torch_type)
        check("iota", [], want, size=6, start=0.5, step=0.25, dtype=DTYPES[name])
