"""Kernels over the levels of a structure: host definitions, indirect rows, ragged sums, through all passes to native code."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from bough.graph_passes.fuse import fuse
from bough.ir.evaluate import extent_value
from bough.ir.interpret_loops import run_loops
from bough.ir.interpret_sequence import run_sequence
from bough.ir.sequence import Repeat, Sequence, kernels
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.verify_loops import verify_loops
from bough.ir.verify_sequence import verify_sequence
from bough.pipeline.passes import PASSES, Generated, Options
from bough.runtime.loader import LoadedObject
from bough.runtime.team import team_of
from bough.targets import host

Array = np.ndarray[Any, Any]

HEAD = """
sequence main(x: f32[leaves, 20], start: i64[levels + 1], first: i64[inner + 1], child: i64[edges]) -> (h)
  dims leaves: 1.., inner: 0.., levels: 1.., edges: 0..
  const w: f32[20, 40]
  const u: f32[20, 20]
  const b: f32[20]
  temporary h: f32[leaves + inner, 20]
  temporary a: f32[inner, 20]
  temporary d: f32[edges, 20]
  temporary p: f32[inner, 40]
  temporary r: f32[inner, 20]
  kernel leaf(x: f32[leaves, 20]) -> (h: f32[leaves + inner, 20])
    axes n: leaves, j: 20
    h[n, j] = tanh(x[n, j])
  repeat t in 0..levels - 1
    define begin = start[t + 1] nominal 0
    define rows = start[t + 2] - begin nominal 4
    define low = first[begin] nominal 0
    define most = first[begin + rows] - low nominal 8
"""
"""Children of inner node n are `child[first[n]]` .. `child[first[n + 1] - 1]`; levels as in `bough.base.visits.Names`."""

CHILD_SUM = HEAD + """    kernel sum(h: f32[leaves + inner, 20], first: i64[inner + 1], child: i64[edges]) -> (a: f32[inner, 20])
      axes n: rows, j: 20, k: first[begin + n + 1] - first[begin + n]
      apart h
      s = sum(k) h[child[first[begin + n] + k], j]
      a[n, j] = s
    kernel gate(h: f32[leaves + inner, 20], child: i64[edges], u: f32[20, 20]) -> (d: f32[edges, 20])
      axes e: most, j: 20, k: 20
      apart h
      s = sum(k) h[child[low + e], k] * u[j, k]
      d[e, j] = sigmoid(s) * h[child[low + e], j]
    kernel product(a: f32[inner, 20], u: f32[20, 20], b: f32[20]) -> (r: f32[inner, 20])
      axes n: rows, j: 20, k: 20
      s = sum(k) a[n, k] * u[j, k]
      r[n, j] = s + b[j]
    kernel cell(r: f32[inner, 20], d: f32[edges, 20], first: i64[inner + 1]) -> (h: f32[leaves + inner, 20])
      axes n: rows, j: 20, k: first[begin + n + 1] - first[begin + n]
      s = sum(k) d[first[begin + n] + k - low, j]
      h[leaves + begin + n, j] = tanh(r[n, j] + s)
"""

BINARY = HEAD + """    kernel join(h: f32[leaves + inner, 20], child: i64[edges]) -> (p: f32[inner, 40])
      axes n: rows, j: 40
      apart h
      p[n, j] = select(j < 20, h[child[2 * (begin + n)], j], h[child[2 * (begin + n) + 1], j - 20])
    kernel add(h: f32[leaves + inner, 20], child: i64[edges]) -> (a: f32[inner, 20])
      axes n: rows, j: 20
      apart h
      a[n, j] = h[child[2 * (begin + n)], j] + h[child[2 * (begin + n) + 1], j]
    kernel product(p: f32[inner, 40], w: f32[20, 40], b: f32[20]) -> (r: f32[inner, 20])
      axes n: rows, j: 20, k: 40
      s = sum(k) p[n, k] * w[j, k]
      r[n, j] = s + b[j]
    kernel cell(r: f32[inner, 20], a: f32[inner, 20], u: f32[20, 20]) -> (h: f32[leaves + inner, 20])
      axes n: rows, j: 20, k: 20
      s = sum(k) a[n, k] * u[j, k]
      h[leaves + begin + n, j] = tanh(r[n, j]) * sigmoid(s)
"""


def sequence_of(text: str) -> Sequence:
    rng = np.random.default_rng(0)
    arrays = {n: rng.standard_normal(s, dtype=np.float32) / 4 for n, s in (("w", (20, 40)), ("u", (20, 20)), ("b", (20,)))}
    sequence = parse_sequence(text, arrays)
    assert print_sequence(sequence).strip() == text.strip()
    verify_sequence(sequence)
    return sequence


def structure(levels: list[int], leaves: int, arity: int | None, seed: int) -> tuple[list[Array], dict[str, int]]:
    """So many inner nodes in each level; every one has a child in the level below and others, `arity` or 1 to 5, anywhere
    below."""
    rng = np.random.default_rng(seed)
    start = np.cumsum([0, 0, *levels])
    first, child = [0], []
    for n, count in enumerate(levels):
        low, high = (leaves + start[n], leaves + start[n + 1]) if n else (0, leaves)
        for _ in range(count):
            others = rng.integers(0, high, (arity or int(rng.integers(1, 6))) - 1)
            child += [int(rng.integers(low, high)), *others.tolist()]
            first.append(len(child))
    x = rng.standard_normal((leaves, 20), dtype=np.float32)
    sizes = {"leaves": leaves, "inner": sum(levels), "levels": len(levels) + 1, "edges": len(child)}
    return [x, start.astype(np.int64), np.array(first, np.int64), np.array(child, np.int64)], sizes


def compiled(sequence: Sequence, threads: int) -> Generated:
    value: Any = sequence
    for step in PASSES[1 + next(n for n, p in enumerate(PASSES) if p.name == "lower operators") :]:
        value = step.run(value, Options(host(), threads))
        if isinstance(value, Sequence):
            verify_sequence(value)
    assert isinstance(value, Generated)
    verify_loops(value.assembled.function, {i.name: i.kernel for i in host().instructions})
    return value


def buffers_of(made: Generated, inputs: list[Array], sizes: dict[str, int]) -> dict[str, Array]:
    sequence = made.assembled.sequence
    given = {o.name: a for o, a in zip(sequence.inputs, inputs, strict=True)} | dict(sequence.constants)
    out: dict[str, Array] = {}
    for p in made.assembled.function.params:
        room = np.zeros(extent_value(p.shape[0], sizes) * p.dtype.bytes + 512, np.uint8)
        at = -room.ctypes.data % 64
        out[p.name] = room[at : at + room.size - 512].view(p.dtype.numpy)
        if p.name in given:
            out[p.name][:] = given[p.name].reshape(-1)
    return out


def run_native(made: Generated, threads: int, inputs: list[Array], sizes: dict[str, int]) -> Array:
    """The result, computed by the machine code, every temporary in a place of its own."""
    program = LoadedObject(made.code)
    team = team_of(program, None, threads)
    run = program.function("bough_team_run", ctypes.c_int32, *[ctypes.c_void_p] * 4)
    arrays, function = buffers_of(made, inputs, sizes), made.assembled.function
    pointers = (ctypes.c_uint64 * len(arrays))(*(a.ctypes.data for a in arrays.values()))
    scalars = (ctypes.c_int64 * len(sizes))(*(sizes[s.rstrip("_")] for s in function.scalars))
    entry = program.symbols[f"bough_{function.name}"]
    assert run(team.pointer or team.start(program), entry, ctypes.addressof(pointers), ctypes.addressof(scalars)) == 0
    return arrays[made.assembled.sequence.results[0]].reshape(-1, 20).copy()


SHAPES = [[], [1], [7, 3, 1], [2, 9, 17, 5, 1], [1] * 12]


@pytest.mark.parametrize(("text", "arity"), [(CHILD_SUM, None), (BINARY, 2)], ids=["child_sum", "binary"])
def test_levels_compile_to_what_they_mean(text: str, arity: int | None) -> None:
    sequence = sequence_of(text)
    made = compiled(sequence, 2)
    for n, levels in enumerate(SHAPES):
        inputs, sizes = structure(levels, 6, arity, n)
        (want,) = run_sequence(sequence, inputs, sizes, "float64")
        np.testing.assert_allclose(run_native(made, 2, inputs, sizes), want, rtol=1e-5, atol=1e-5)


def test_loops_of_ragged_sums_mean_the_same() -> None:
    sequence = sequence_of(CHILD_SUM)
    made = compiled(sequence, 2)
    inputs, sizes = structure([5, 2, 1], 4, None, 7)
    (want,) = run_sequence(sequence, inputs, sizes, "float64")
    buffers = buffers_of(made, inputs, sizes)
    run_loops(made.assembled.function, buffers, sizes, {i.name: i.kernel for i in host().instructions}, shuffle=1)
    np.testing.assert_allclose(buffers[made.assembled.sequence.results[0]].reshape(-1, 20), want, rtol=1e-5, atol=1e-5)


def test_rows_have_the_same_bits_in_any_company() -> None:
    """A structure beside others: the level's number of rows, the tiles and the threads differ, its results do not."""
    sequence = sequence_of(BINARY)
    inputs, sizes = structure([3, 1], 4, 2, 3)
    alone = run_native(compiled(sequence, 1), 1, inputs, sizes)
    x, _, _, child = inputs
    copies = 9
    leaves, place = 4 * copies, np.arange(copies)[:, None]
    below, above = child[:6], child[6:]
    assert below.max() < 4
    moved = np.where(above < 4, above + 4 * place, leaves + (above - 4) + 3 * place)
    start = np.array([0, 0, 3 * copies, 4 * copies], np.int64)
    both = np.concatenate([(below + 4 * place).reshape(-1), moved.reshape(-1)])
    many = [np.tile(x, (copies, 1)), start, 2 * np.arange(4 * copies + 1), both]
    counts = {"leaves": leaves, "inner": 4 * copies, "levels": 3, "edges": len(both)}
    for threads in (1, 3):
        together = run_native(compiled(sequence, threads), threads, many, counts)
        for n in range(copies):
            np.testing.assert_array_equal(together[leaves + 3 * n : leaves + 3 * n + 3], alone[4:7])
            np.testing.assert_array_equal(together[leaves + 3 * copies + n], alone[7])


def test_a_binary_cell_is_one_kernel_without_copies() -> None:
    (loop,) = [s for s in fuse(sequence_of(BINARY)).steps if isinstance(s, Repeat)]
    (cell,) = kernels(loop.body)
    assert [o.name for o in cell.outputs] == ["h"]
    assert len(cell.reductions) == 3
    assert cell.apart == ("h",)
