"""Mapped kernels as machine code: the spellings of the instructions in place, on the processor at hand."""

from __future__ import annotations

import numpy as np
import pytest
from mapping_kernels import attention_scores, bytes_product, conv2d, depthwise, gates, linear
from native_code import run_native

from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Kernel
from bough.ir.kernel_text import parse_kernel
from bough.mapping import apply_mapping, enumerate_mappings, lower_tiles
from bough.mapping.check import random_integers, run_mapped
from bough.targets import TARGETS
from bough.targets.host import cpu_features

HALF = parse_kernel("""
    kernel half(x: bf16[3, 6], w: bf16[20, 6]) -> (y: f32[3, 20])
      axes n: 3, j: 20, k: 6
      s = sum(k) f32(x[n, k]) * f32(w[j, k])
      y[n, j] = s
    """)


@pytest.mark.parametrize(
    ("kernel", "target", "instruction"),
    [
        (linear(), "x86-64", "scalar.fma"),
        (linear(), "avx2", "avx2.fma"),
        (linear(), "avx512", "avx512.fma"),
        (attention_scores(), "avx512", "avx512.fma"),
        (conv2d(), "avx512", "avx512.fma"),
        (depthwise(), "avx512", "avx512.fmavv"),
        (gates(), "avx512", "avx512.fma"),
        (bytes_product(channels=13), "avx512-vnni", "avx512.dpbusd_broadcast"),
        (HALF, "avx512-bf16", "avx512.dpbf16ps_broadcast"),
    ],
    ids=lambda x: x.name if isinstance(x, Kernel) else x,
)
def test_mapped_kernels_run_on_this_processor(kernel: Kernel, target: str, instruction: str) -> None:
    described = TARGETS[target]
    if not cpu_features().issuperset(described.features):
        pytest.skip(f"this processor is no {target}")
    mapping = enumerate_mappings(kernel, described.instruction(instruction))[-1]
    mapped = apply_mapping(kernel, mapping)
    rng = np.random.default_rng(3)
    arrays = {o.name: random_integers(o, rng, {}) for o in kernel.inputs}
    tiles = lower_tiles(mapped, described)
    got = run_mapped(mapped, arrays, {}, tiles, lambda f, buffers: run_native(f, buffers, target=described))
    for name, expected in run_kernel(kernel, arrays).items():
        np.testing.assert_array_equal(got[name], expected)
