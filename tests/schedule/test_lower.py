"""Every schedule of a kernel means what the kernel means: the loops are run and compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bough.graph_passes.normalize import normalize
from bough.ir import loops
from bough.ir.bfloat import to_bf16
from bough.ir.dtypes import F32
from bough.ir.evaluate import shape_value
from bough.ir.expr import Const, Extent, Var, add, floordiv
from bough.ir.interpret_kernel import run_kernel
from bough.ir.interpret_loops import run_loops
from bough.ir.kernel import Kernel, Operand
from bough.ir.kernel_text import parse_kernel
from bough.ir.program import TensorType
from bough.ops import infer, lower
from bough.pipeline.assemble import element_count
from bough.runtime.arrays import Array, Room
from bough.schedule.decisions import (
    Ahead,
    Block,
    Decision,
    Even,
    Follow,
    Order,
    Pack,
    Schedule,
    Serial,
    Serpentine,
    Stage,
    Tile,
    Unroll,
    Use,
    Vectorize,
    parse_schedule,
)
from bough.schedule.lower import lower_kernel
from bough.schedule.pack import ConstantPack, pack_operands
from bough.search.heuristic import Context, Heuristic
from bough.targets import TARGETS

AVX512 = TARGETS["avx512"]
INSTRUCTIONS = {i.name: i.kernel for i in TARGETS["avx512-bf16"].instructions}


def kernel_of(op: str, *shapes: tuple[Extent, ...], **attributes: object) -> Kernel:
    types = [TensorType(F32, s) for s in shapes]
    (result,) = infer(op, types, attributes)
    operands = [Operand(f"x{n}", F32, s) for n, s in enumerate(shapes)]
    (kernel,) = lower(op, operands, (Operand("y", result.dtype, result.shape),), attributes)
    return normalize(kernel)


def check(kernel: Kernel, schedule: Schedule, seed: int = 0, given: dict[str, Array] | None = None, **sizes: int) -> None:
    """Runs packing and loops and compares with the kernel; arrays that are not given are random."""
    rng = np.random.default_rng(seed)
    arrays = {
        i.name: rng.standard_normal([sizes[e.name] if isinstance(e, Var) else int(e) for e in i.shape]).astype(np.float32)
        for i in kernel.inputs
    } | (given or {})
    expected = run_kernel(kernel, arrays, sizes)
    packed, after = pack_operands(kernel, schedule, "k")
    for p in packed:
        made = run_kernel(p.copy, arrays, sizes)[p.operand.name]
        if not sizes:
            pack, source = ConstantPack.of(p, kernel), arrays[p.source.name]
            copied = pack.room(source.dtype, Room())
            pack.fill(copied, source)
            np.testing.assert_array_equal(made, copied)
        arrays[p.operand.name] = made
    operands = {o.name: o for o in (*after.inputs, *after.outputs)}
    params = tuple(loops.Buffer(n, o.dtype, (element_count(o.shape),)) for n, o in operands.items())
    function = loops.Function("main", tuple(sizes), params, (lower_kernel(after, schedule),))
    buffers = {n: arrays[n].reshape(-1).copy() if n in arrays else np.zeros(expected[n].size, np.float32) for n in operands}
    run_loops(function, buffers, sizes, INSTRUCTIONS)
    for name, value in expected.items():
        np.testing.assert_allclose(buffers[name].reshape(value.shape), value, rtol=2e-5, atol=2e-5)


LINEAR = kernel_of("linear", (5, 7), (37, 7), (37,))
I, J, K = (a.name for a in LINEAR.axes)

SCHEDULES = [
    Schedule(),
    Schedule((Serial(), Vectorize(J, 16))),
    Schedule((Pack(1, J, 32), Vectorize(J, 16, 2), Tile(I, 2), Order((J, I)), Use("total", "avx512.fma", "avx512.load"))),
    Schedule((Pack(1, J, 32), Vectorize(J, 16, 2), Tile(I, 4), Order((J, I)), Unroll(K, 3), Stage(), Block(I, 2))),
    Schedule((Pack(1, J, 16), Vectorize(J, 16), Tile(I, 3), Block(J, 2), Unroll(K, 2), Use("total", "avx512.fma", "avx512.load"))),
    Schedule((Vectorize(K, 4, 1), Tile(I, 2), Tile(J, 1))),
    Schedule((Vectorize(K, 2, 2),)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=range(len(SCHEDULES)))
def test_schedules_of_a_product(schedule: Schedule):
    assert parse_schedule(str(schedule)) == schedule
    check(LINEAR, schedule)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8, 13])
def test_one_schedule_for_every_batch(batch: int):
    kernel = kernel_of("linear", (Var("batch"), 6), (20, 6), (20,))
    i, j, _ = (a.name for a in kernel.axes)
    check(kernel, Schedule((Pack(1, j, 16), Vectorize(j, 16), Tile(i, 6), Order((j, i)), Use("total", "avx512.fma", "avx512.load"))), batch=batch)
    check(kernel, Schedule((Pack(1, j, 16), Vectorize(j, 16), Tile(i, 4), Block(i, 2), Stage())), batch=batch)


SHARED = parse_kernel("""
kernel shared(x: f32[batch, 100], w: f32[150, 100]) -> (y: f32[batch, 150])
  axes i: batch, j: 150, k: 100
  s = sum(k) x[i, k] * w[j, k]
  y[i, j] = s
""")
PANEL = 32 * 100 * 4 // 64
"""Cache lines of the weights that a tile of two vectors reads; there are five such tiles."""


def fetched(batch: int, *decisions: Decision, turn: int = 0) -> set[int]:
    """The lines of weights that are fetched, counted from one tile in front of them on: each hint becomes a note."""
    tile = (Pack(1, "j", 32), Vectorize("j", 16, 2), Tile("i", 4), Order(("j", "i")))
    schedule, sizes = Schedule((*tile, Ahead(2), *decisions)), {"batch": batch, "turn": turn}
    check(SHARED, schedule, **sizes)
    _, kernel = pack_operands(SHARED, schedule, "k")

    def noted(s: loops.Stmt) -> loops.Stmt:
        if isinstance(s, loops.Fetch):
            return loops.Store("seen", (add(floordiv(s.index[0], 16), PANEL),), Const(1.0, F32))
        if isinstance(s, loops.If):
            return replace(s, then=tuple(map(noted, s.then)), otherwise=tuple(map(noted, s.otherwise)))
        return replace(s, body=tuple(map(noted, s.body))) if isinstance(s, loops.For) else s

    params = [loops.Buffer(n, o.dtype, (element_count(o.shape),)) for n, o in kernel.operands.items()]
    params.append(loops.Buffer("seen", F32, (7 * PANEL,)))
    function = loops.Function("main", tuple(sizes), tuple(params), (noted(lower_kernel(kernel, schedule)),))
    buffers = {b.name: np.zeros(shape_value(b.shape, sizes), np.float32) for b in params}
    run_loops(function, buffers, sizes, INSTRUCTIONS)
    return {int(n) for n in np.flatnonzero(buffers["seen"])}


@pytest.mark.parametrize("decisions", [(), (Even("i"),), (Block("j", 2),), (Use("s", "avx512.fma", "avx512.load"),)])
@pytest.mark.parametrize("batch", [1, 3, 4, 9, 23])
def test_the_next_weights_are_fetched_while_the_rows_of_these_run(batch: int, decisions: tuple[Decision, ...]):
    panels = range(2 * PANEL, 7 * PANEL) if batch > 4 else ()  # one tile of rows has no time for it
    assert fetched(batch, *decisions) == set(panels)


def test_chunks_that_run_backwards_fetch_the_weights_before():
    assert fetched(9, Serpentine("turn", 5), turn=0) == set(range(2 * PANEL, 7 * PANEL))
    assert fetched(9, Serpentine("turn", 5), turn=1) == set(range(5 * PANEL))


def written(rows: int, chunks: int, *decisions: Decision) -> list[tuple[int, int]]:
    """How many columns, and of which rows, the first chunks write: first, and behind the last."""
    schedule = Schedule((Pack(1, "j", 32), Vectorize("j", 16, 2), Tile("i", 4), Order(("j", "i")), *decisions))
    check(SHARED, schedule, batch=rows)
    _, kernel = pack_operands(SHARED, schedule, "k")
    function_body = replace(lower_kernel(kernel, schedule), stop=Const(chunks))
    params = tuple(loops.Buffer(n, o.dtype, (element_count(o.shape),)) for n, o in kernel.operands.items())
    buffers = {b.name: np.ones(shape_value(b.shape, {"batch": rows}), np.float32) for b in params}
    buffers["y"][:] = 0
    run_loops(loops.Function("main", ("batch",), params, (function_body,)), buffers, {"batch": rows}, INSTRUCTIONS)
    columns = np.count_nonzero(buffers["y"].reshape(rows, 150), axis=1)
    return [(int(n), int(np.count_nonzero(columns == n))) for n in sorted({*columns} - {0})]


@pytest.mark.parametrize("rows", [1, 4, 13, 16, 23])
def test_chunks_follow_the_rows_where_there_are_blocks_for_all_threads(rows: int):
    """Five chunks are all columns of one block, or one of five panels of columns for up to five blocks."""
    assert written(rows, 5, Follow("i", 1)) == [(150, min(rows, 4))]
    blocks = -(-rows // 4)
    if blocks >= 4:
        assert written(rows, 5, Follow("i", 4)) == [(150, 4)]
        assert written(rows, blocks, Follow("i", blocks + 1)) == [(32, rows)]


def test_blocks_of_several_tiles_follow_the_rows():
    assert written(23, 5, Block("i", 2), Follow("i", 3)) == [(150, 8)]
    assert written(23, 3, Block("i", 2), Follow("i", 4)) == [(32, 23)]


ACROSS = parse_kernel("""
kernel across(x: f32[5, 7], w: f32[48, 7]) -> (y: f32[48, 5], z: f32[5, 48])
  axes i: 5, j: 48, k: 7
  s = sum(k) x[i, k] * w[j, k]
  t = tanh(s)
  y[j, i] = t + 1.0
  z[i, j] = t
""")


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_staged_values_stored_across_the_vectors(rows: int):
    """They come back to an unrolled loop, whose stores may be transposed."""
    check(ACROSS, Schedule((Pack(1, "j", 16), Vectorize("j", 16), Tile("i", rows), Stage())))
    loop = lower_kernel(ACROSS, Schedule((Vectorize("j", 16), Tile("i", rows), Stage())))
    aside = loops.holds((loop,), lambda s: isinstance(s, loops.Alloc) and s.buffer.name.startswith("aside"))
    assert aside == (rows > 1)


CHOSEN = parse_kernel("""
kernel chosen(x: f32[9, 21], i: i64[7], size: i64[7], w: f32[21, 33]) -> (y: f32[7, 33])
  axes n: 7, j: 33, k: 21
  row = min(max(select(i[n] < 0, i[n] + size[n], i[n]), 0), size[n] - 1)
  s = sum(k) x[row, k] * w[k, j]
  t = sum(k) select(i[n] < 0, x[i[n] + size[n], k], x[i[n], k])
  y[n, j] = s + t
""")


@pytest.mark.parametrize("schedule", [
    Schedule(),
    Schedule((Vectorize("j", 16), Tile("n", 3))),
    Schedule((Pack(3, "j", 32), Vectorize("j", 16, 2), Tile("n", 4), Block("n", 2), Order(("j", "n")))),
    Schedule((Vectorize("j", 16), Tile("n", 4), Even("n"))),
    Schedule((Vectorize("k", 4, 1), Tile("n", 2))),
], ids=range(5))  # fmt: skip
def test_a_row_works_out_its_index_once(schedule: Schedule):
    """In front of the loops of its sum. What is read where a select says so alone stays behind it."""
    given = {"i": np.array([0, -1, 3, -4, 8, -9, 2]), "size": np.full(7, 9)}
    check(CHOSEN, schedule, given=given)
    loop = lower_kernel(CHOSEN, replace(schedule, decisions=tuple(d for d in schedule.decisions if not isinstance(d, Pack))))
    kept = loops.holds((loop,), lambda s: isinstance(s, loops.Alloc) and s.buffer.name.startswith("index."))
    again = loops.holds((loop,), lambda s: isinstance(s, loops.Alloc) and s.buffer.name == "index.1")
    assert kept and not again


MATRICES = parse_kernel("""
kernel matrices(m: f32[9, 21, 48], x: f32[7, 21], i: i64[7], size: i64[7]) -> (y: f32[7, 48])
  axes n: 7, j: 48, k: 21
  s = sum(k) x[n, k] * m[select(i[n] < 0, i[n] + size[n], i[n]), k, j]
  y[n, j] = s
""")


@pytest.mark.parametrize("tile", [(), (Tile("n", 3),), (Tile("n", 4), Even("n"))], ids=range(3))
def test_each_row_has_a_matrix_that_is_looked_up(tile: tuple[Decision, ...]):
    """Vectors of it are moved to registers for each row, on their own as by an instruction."""
    given = {"i": np.array([0, -1, 3, -4, 8, -9, 2]), "size": np.full(7, 9)}
    for use in ((), (Use("s", "avx512.fma", "avx512.load"),)):
        check(MATRICES, Schedule((Vectorize("j", 16, 3), *tile, *use)), given=given)
    chosen = Heuristic().choose(MATRICES, Context(AVX512, 4, frozenset(), {}))
    assert chosen.use("s") is not None
    check(MATRICES, chosen, given=given)


GROUPED = parse_kernel("""
kernel grouped(x: bf16[5, 24], w: bf16[20, 12, 2], z: f32[5, 7], m: f32[7, 20]) -> (y: f32[5, 20])
  axes i: 5, j: 20, k: 12, l: 7, g: 2
  s = sum(k, g) f32(x[i, 2 * k + g]) * f32(w[j, k, g])
  t = sum(l) z[i, l] * m[l, j]
  y[i, j] = s + t
""")


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_products_in_groups_beside_others(rows: int):
    """They are taken in groups however many rows there are, in front of the end of what the others read, too."""
    axes = tuple(replace(a, extent=rows) if a.name == "i" else a for a in GROUPED.axes)
    inputs = tuple(replace(o, shape=(rows, *o.shape[1:])) if o.name in "xz" else o for o in GROUPED.inputs)
    kernel = replace(GROUPED, axes=axes, inputs=inputs, outputs=(replace(GROUPED.outputs[0], shape=(rows, 20)),))
    schedule = Heuristic().choose(kernel, Context(TARGETS["avx512-bf16"], 4, frozenset("w"), {}))
    use = schedule.use("s")
    assert use is not None and use.group == "g"
    rng = np.random.default_rng(0)
    check(kernel, schedule, given={n: to_bf16(rng.standard_normal([int(e) for e in kernel.operands[n].shape])) for n in "xw"})


CASES = {
    "linear": kernel_of("linear", (3, 40), (33, 40), (33,)),
    "one row": kernel_of("linear", (1, 40), (70, 40), (70,)),
    "one output": kernel_of("linear", (5, 40), (1, 40), (1,)),
    "matmul": kernel_of("matmul", (2, 5, 9), (2, 9, 18)),
    "transposed product": kernel_of("matmul", (9, 9), (9, 2)),
    "relu": kernel_of("relu", (3, 1, 50)),
    "row sum": kernel_of("reduce_sum", (5, 35), axes=(1,), keep=False),
    "column sum": kernel_of("reduce_sum", (5, 35), axes=(0,), keep=False),
    "row max": kernel_of("reduce_max", (3, 2, 19), axes=(1, 2), keep=False),
    "permute": kernel_of("permute", (3, 4, 5), order=(2, 0, 1)),
    "empty": kernel_of("linear", (0, 4), (5, 4), (5,)),
    "nothing to sum": kernel_of("linear", (3, 0), (5, 0), (5,)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("constant", [True, False])
def test_heuristic_schedules(name: str, constant: bool):
    kernel = CASES[name]
    constants = frozenset(i.name for i in kernel.inputs[1:]) if constant else frozenset()
    check(kernel, Heuristic().choose(kernel, Context(AVX512, 4, constants, {})))
