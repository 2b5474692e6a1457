"""Names of arrays and sizes: what changes, and kernels that differ in nothing else."""

from __future__ import annotations

from bough.graph_passes.substitution import nameless
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.pipeline.separate_names import Renaming

TEXT = """
kernel {name}({x}: f32[n, 4], {w}: f32[3, 4]) -> ({y}: f32[n, 3])
  axes i: n, j: 3, k: 4
  s = sum(k) {x}[i, k] * {w}[j, k]
  {y}[i, j] = s
"""


def test_kernels_of_repeated_layers_are_equal_without_names() -> None:
    first = parse_kernel(TEXT.format(name="linear", x="x", w="w0", y="y0"))
    second = parse_kernel(TEXT.format(name="linear_1", x="y0", w="w1", y="y1"))
    twice = parse_kernel(TEXT.format(name="linear", x="x", w="x", y="y0").replace("x: f32[n, 4], x: f32[3, 4]", "x: f32[n, 4]"))
    assert first != second and nameless(first) == nameless(second)
    assert nameless(twice) != nameless(first)


def test_a_kernel_without_the_names_is_itself() -> None:
    kernel = parse_kernel(TEXT.format(name="linear", x="x", w="w", y="y"))
    assert Renaming({"other": "new"}, {"m": "n"}).kernel(kernel) is kernel
    assert "f32[size, 4]" in print_kernel(Renaming({}, {"n": "size"}).kernel(kernel))
    assert "w_[j, k]" in print_kernel(Renaming({"w": "w_"}, {}).kernel(kernel))
