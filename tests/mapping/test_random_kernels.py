"""Mappings of random products, each proved on data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.ir.kernel import Kernel
from bough.ir.kernel_text import parse_kernel
from bough.mapping import check_mapping, enumerate_mappings
from bough.targets.notation import instruction

UNIT = instruction(
    """
    kernel small.matmul(acc: f32[3, 4] in accumulator, a: f32[3, 2], b: f32[2, 4]) -> (acc: f32[3, 4] in accumulator)
      axes i: 3, j: 4, k: 2
      s = sum(k) a[i, k] * b[k, j]
      acc[i, j] = acc[i, j] + s
    """,
    latency=1,
    issue=1,
)
OUTER = instruction(
    """
    kernel small.outer(acc: f32[3, 4] in accumulator, a: f32[3], b: f32[4]) -> (acc: f32[3, 4] in accumulator)
      axes i: 3, j: 4
      acc[i, j] = fma(a[i], b[j], acc[i, j])
    """,
    latency=1,
    issue=1,
)
DOT = instruction(
    """
    kernel small.dot(acc: f32[3], a: f32[3, 2], b: f32[3, 2]) -> (acc: f32[3])
      axes i: 3, k: 2
      s = sum(k) b[i, k] * a[i, k]
      acc[i] = s + acc[i]
    """,
    latency=1,
    issue=1,
)


@st.composite
def random_kernels(draw: st.DrawFn) -> Kernel:
    """A sum of products over up to three axes, with indices that add axes up, have strides and offsets."""
    names = "nmpqck"[: draw(st.integers(2, 6))]
    extents = {a: draw(st.integers(1, 7)) for a in names}
    reduced = draw(st.sets(st.sampled_from(names), min_size=1, max_size=min(3, len(names) - 1)))
    free = [a for a in names if a not in reduced]
    texts = []
    shapes = {}
    for operand in "xw":
        used = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
        index, shape = [], []
        while used:
            group, used = used[:2], used[2:]
            if draw(st.booleans()):
                used, group = [*group[1:], *used], group[:1]
            scale, offset = draw(st.integers(1, 2)), draw(st.integers(0, 1))
            index.append(f"{scale}*{group[0]} + {' + '.join([*group[1:], str(offset)])}")
            shape.append(scale * (extents[group[0]] - 1) + sum(extents[a] - 1 for a in group[1:]) + offset + 1)
        texts.append(f"{operand}[{', '.join(index)}]")
        shapes[operand] = ", ".join(map(str, shape))
    out, box = ", ".join(free), ", ".join(str(extents[a]) for a in free)
    order = draw(st.permutations(sorted(reduced)))
    return parse_kernel(f"""
        kernel random(x: f32[{shapes["x"]}], w: f32[{shapes["w"]}]) -> (y: f32[{box}])
          axes {", ".join(f"{a}: {extents[a]}" for a in names)}
          s = sum({", ".join(order)}) {texts[0]} * {texts[1]}
          y[{out}] = s - 1.0
        """)


@settings(max_examples=25, deadline=None)
@given(random_kernels(), st.booleans(), st.integers(0, 99))
def test_every_mapping_of_a_random_product_is_right(kernel: Kernel, all_orders: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for unit in (UNIT, OUTER, DOT):
        found = enumerate_mappings(kernel, unit, partial=True, all_orders=all_orders)
        for mapping in found[:: len(found) // 4 + 1]:
            assert check_mapping(kernel, mapping, rng), mapping
