"""Kernels that contain matrix products, as the lowering of operators writes them, and instructions that compute such."""

from __future__ import annotations

from bough.ir.kernel import Kernel
from bough.ir.kernel_text import parse_kernel
from bough.targets import TARGETS

MATMUL = TARGETS["matrix-unit"].instruction("unit.matmul")
FMA = TARGETS["avx512"].instruction("avx512.fma")
FMAVV = TARGETS["avx512"].instruction("avx512.fmavv")
DPBUSD = TARGETS["avx512-vnni"].instruction("avx512.dpbusd_broadcast")


def linear(n: int = 5, k: int = 19, j: int = 21) -> Kernel:
    return parse_kernel(f"""
        kernel linear(x: f32[{n}, {k}], w: f32[{j}, {k}], b: f32[{j}]) -> (y: f32[{n}, {j}])
          axes n: {n}, j: {j}, k: {k}
          s = sum(k) x[n, k] * w[j, k]
          y[n, j] = b[j] + s
        """)


def batched_matmul(b: int = 3, n: int = 5, k: int = 7, j: int = 18) -> Kernel:
    return parse_kernel(f"""
        kernel batched(x: f32[{b}, {n}, {k}], w: f32[{b}, {k}, {j}]) -> (y: f32[{b}, {n}, {j}])
          axes b: {b}, n: {n}, j: {j}, k: {k}
          s = sum(k) x[b, n, k] * w[b, k, j]
          y[b, n, j] = s
        """)


def looked_up(b: int = 3) -> Kernel:
    """Products of matrices that are looked up."""
    return parse_kernel(f"""
        kernel looked_up(x: f32[5, 16, 32], w: f32[5, 32, 48], rows: i64[{b}]) -> (y: f32[{b}, 16, 48])
          axes b: {b}, n: 16, j: 48, k: 32
          row = min(max(rows[b], 0), 4)
          s = sum(k) x[row, n, k] * w[4 - row, k, j]
          y[b, n, j] = s
        """)


def attention_scores(b: int = 2, h: int = 2, t: int = 9, d: int = 5) -> Kernel:
    return parse_kernel(f"""
        kernel scores(query: f32[{b}, {t}, {h}, {d}], key: f32[{b}, {t}, {h}, {d}]) -> (y: f32[{b}, {h}, {t}, {t}])
          axes b: {b}, h: {h}, q: {t}, t: {t}, d: {d}
          s = sum(d) query[b, q, h, d] * key[b, t, h, d]
          y[b, h, q, t] = s * 0.5
        """)


def conv2d(n: int = 2, c: int = 3, size: int = 5, k: int = 5) -> Kernel:
    """NCHW, windows of 3x3."""
    out = size - 2
    return parse_kernel(f"""
        kernel conv2d(x: f32[{n}, {c}, {size}, {size}], w: f32[{k}, {c}, 3, 3]) -> (y: f32[{n}, {k}, {out}, {out}])
          axes n: {n}, k: {k}, p: {out}, q: {out}, c: {c}, r: 3, s: 3
          total = sum(c, r, s) x[n, c, p + r, q + s] * w[k, c, r, s]
          y[n, k, p, q] = max(total, 0.0)
        """)


def padded_conv2d(size: int = 6) -> Kernel:
    """Stride 2; the padding is a select around the load, as fusion leaves it."""
    tests = [f"and(2*{a} + {b} >= 1, 2*{a} + {b} <= {size})" for a, b in ("pr", "qs")]
    inside = f"and({', '.join(tests)})"
    return parse_kernel(f"""
        kernel padded_conv2d(x: f32[2, 3, {size}, {size}], w: f32[5, 3, 3, 3]) -> (y: f32[2, 5, {size // 2}, {size // 2}])
          axes n: 2, k: 5, p: {size // 2}, q: {size // 2}, c: 3, r: 3, s: 3
          total = sum(c, r, s) select({inside}, x[n, c, 2*p + r - 1, 2*q + s - 1], 0.0) * w[k, c, r, s]
          y[n, k, p, q] = total
        """)


def depthwise(n: int = 2, c: int = 7, size: int = 5) -> Kernel:
    """NCHW, one filter of 3x3 per channel."""
    out = size - 2
    return parse_kernel(f"""
        kernel depthwise(x: f32[{n}, {c}, {size}, {size}], w: f32[{c}, 3, 3]) -> (y: f32[{n}, {c}, {out}, {out}])
          axes n: {n}, c: {c}, p: {out}, q: {out}, r: 3, s: 3
          total = sum(r, s) x[n, c, p + r, q + s] * w[c, r, s]
          y[n, c, p, q] = total
        """)


def pointwise(n: int = 2, c: int = 18, size: int = 4, k: int = 7) -> Kernel:
    """The 1x1 convolution of a depthwise-separable one."""
    return parse_kernel(f"""
        kernel pointwise(x: f32[{n}, {c}, {size}, {size}], w: f32[{k}, {c}]) -> (y: f32[{n}, {k}, {size}, {size}])
          axes n: {n}, k: {k}, p: {size}, q: {size}, c: {c}
          total = sum(c) x[n, c, p, q] * w[k, c]
          y[n, k, p, q] = total
        """)


def gates(n: int = 3, hidden: int = 10) -> Kernel:
    """The hidden half of a GRU cell: three sums over one state, and the new state from them."""
    return parse_kernel(f"""
        kernel gates(h: f32[{n}, {hidden}], w: f32[{3 * hidden}, {hidden}], g: f32[{n}, {3 * hidden}]) -> (y: f32[{n}, {hidden}])
          axes n: {n}, j: {hidden}, k: {hidden}
          r = sum(k) h[n, k] * w[j, k]
          z = sum(k) h[n, k] * w[{hidden} + j, k]
          c = sum(k) h[n, k] * w[{2 * hidden} + j, k]
          reset = sigmoid(g[n, j] + r)
          update = sigmoid(g[n, {hidden} + j] + z)
          new = tanh(g[n, {2 * hidden} + j] + reset * c)
          y[n, j] = new + update * (h[n, j] - new)
        """)


def bytes_product(a: str = "u8", channels: int = 12) -> Kernel:
    return parse_kernel(f"""
        kernel bytes(x: {a}[3, {channels}], w: i8[20, {channels}]) -> (y: i32[3, 20])
          axes n: 3, j: 20, k: {channels}
          s = sum(k) i32(x[n, k]) * i32(w[j, k])
          y[n, j] = s
        """)


ALL = (
    linear(), linear(16, 32, 48), batched_matmul(), attention_scores(), conv2d(), padded_conv2d(), depthwise(), pointwise(),
    gates(),
)  # fmt: skip
