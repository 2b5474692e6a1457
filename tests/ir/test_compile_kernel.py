"""Compiled kernels do in place what the kernel interpreter says."""

from __future__ import annotations

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.ir.compile_kernel import compile_kernel
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel_text import parse_kernel

KERNELS = {
    "fma": """
        kernel fma(acc: f32[16], a: f32[], b: f32[16]) -> (acc: f32[16])
          axes i: 16
          acc[i] = fma(a[], b[i], acc[i])
        """,
    "dot": """
        kernel dot(acc: i32[4], a: u8[4, 3], b: i8[4, 3]) -> (acc: i32[4])
          axes i: 4, q: 3
          s = sum(q) i32(a[i, q]) * i32(b[i, q])
          acc[i] = acc[i] + s
        """,
    "matrix": """
        kernel matrix(a: f32[4, 5], b: f32[5, 6], c: f32[4, 6]) -> (c: f32[4, 6])
          axes j: 6, i: 4, k: 5
          s = sum(k) a[i, k] * b[k, j]
          c[i, j] = c[i, j] + s
        """,
    "shift": """
        kernel shift(a: f32[6]) -> (b: f32[8], n: i64[2, 3])
          axes i: 4, j: 2, k: 3
          b[i * 2 + j] = select(i * 2 + j < 6, a[i * 2 + j], 0.5)
          n[j, k] = k * 10 + j
        """,
    "gather": """
        kernel gather(t: f32[5, 3], at: i64[4], s: f32[]) -> (y: f32[3, 4])
          axes i: 4, j: 3
          row = at[i] % 5
          y[j, i] = select(at[i] >= 0, t[row, j], t[at[i] * 100, j]) * s[]
        """,
    "bf16": """
        kernel bf16(acc: f32[4], a: bf16[4, 2], b: bf16[4, 2]) -> (acc: f32[4], low: bf16[4])
          axes i: 4, q: 2
          s = sum(q) f32(a[i, q]) * f32(b[i, q])
          acc[i] = acc[i] + s
          low[i] = bf16(s)
        """,
    "total": """
        kernel total(a: f32[3, 4]) -> (y: f32[], any: bool[])
          axes i: 3, j: 4
          s = sum(i, j) a[i, j]
          positive = any(i, j) a[i, j] > 2.0
          y[] = s * 2.0
          any[] = positive
        """,
    "move": """
        kernel move(a: f32[3, 4]) -> (b: f32[4, 3])
          axes i: 3, j: 4
          b[j, i] = a[i, j]
        """,
}


@pytest.mark.parametrize("name", KERNELS)
def test_same_as_interpreted(name: str) -> None:
    kernel = parse_kernel(KERNELS[name])
    rng = np.random.default_rng(0)
    arrays = {}
    for o in kernel.operands.values():
        shape = [e for e in o.shape if isinstance(e, int)]
        numbers = rng.integers(0, 5, shape) if not o.dtype.is_float else rng.standard_normal(shape) * 3
        arrays[o.name] = np.asarray(numbers).astype(o.dtype.numpy)
    expected = run_kernel(kernel, arrays)
    compile_kernel(kernel)(*arrays.values())
    for output, value in expected.items():
        np.testing.assert_array_equal(arrays[output], value)


def test_strided_views_are_written_in_place() -> None:
    kernel = parse_kernel(KERNELS["move"])
    a, b = np.arange(24, dtype=np.float32).reshape(3, 8), np.zeros((8, 3), np.float32)
    compile_kernel(kernel)(a[:, ::2], b[4:])
    np.testing.assert_array_equal(b[4:], a[:, ::2].T)
    assert not b[:4].any()


def test_what_cannot_be_compiled() -> None:
    for body, message in {"y[i + 1] = 0.0": "index 3 is outside", "y[at[i]] = 0.0": "a place that it computes"}.items():
        text = f"kernel f(at: i64[3]) -> (y: f32[3])\n  axes i: 3\n  {body}"
        with pytest.raises(InternalError, match=message):
            compile_kernel(parse_kernel(text))
