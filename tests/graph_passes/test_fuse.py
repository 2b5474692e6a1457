"""Fusion keeps the meaning, and finds what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bough import ops
from bough.frontends.torch_export import export
from bough.graph_passes.fuse import fuse
from bough.graph_passes.lower_program import lower_function
from bough.graph_passes.normalize import normalize
from bough.ir.dtypes import F32, I64
from bough.ir.expr import Extent
from bough.ir.interpret_sequence import run_sequence
from bough.ir.program import Assign, Function, Loop, Node, TensorType, Value
from bough.ir.sequence import Repeat, Run, Sequence, kernels, map_kernels


class Build:
    """Writes a function op by op."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[Value, np.ndarray] = {}
        self.count = 0

    def value(self, shape: tuple[Extent, ...], dtype=F32, name: str = "v") -> Value:
        self.count += 1
        return Value(f"{name}{self.count}", TensorType(dtype, shape))

    def constant(self, array: np.ndarray) -> Value:
        v = self.value(array.shape, name="c")
        self.constants[v] = array
        return v

    def op(self, name: str, *args: Value | None, **attributes) -> Value:
        types = ops.infer(name, [None if a is None else a.type for a in args], attributes)
        result = self.value(types[0].shape, types[0].dtype)
        self.nodes.append(Assign((result,), name, args, attributes))
        return result


def gru(t: int, n: int, h: int, rng: np.random.Generator) -> tuple[Function, Build]:
    b = Build()
    gates = b.value((t, n, 3 * h), name="gates")
    state = b.value((n, h), name="h0")
    w = b.constant(rng.standard_normal((3 * h, h)).astype(np.float32))
    bias = b.constant(rng.standard_normal(3 * h).astype(np.float32))
    one = b.constant(np.ones((), np.float32))
    inner = Build()
    inner.count = 100
    index, carried = inner.value((), I64, "t"), inner.value((n, h), name="h")
    x = inner.op("take_at", gates, index, axis=0)
    g = inner.op("linear", carried, w, bias)

    def part(v: Value, k: int) -> Value:
        return inner.op("slice", v, axis=1, start=k * h, stop=(k + 1) * h, step=1)

    r = inner.op("sigmoid", inner.op("add", part(x, 0), part(g, 0)))
    z = inner.op("sigmoid", inner.op("add", part(x, 1), part(g, 1)))
    c = inner.op("tanh", inner.op("add", part(x, 2), inner.op("mul", r, part(g, 2))))
    new = inner.op("add", inner.op("mul", inner.op("sub", one, z), c), inner.op("mul", z, carried))
    stacked, final = b.value((t, n, h), name="ys"), b.value((n, h), name="last")
    loop = Loop(index, t, (carried,), (state,), (new,), (final,), (new,), (stacked,), inner.nodes)
    return Function("main", (gates, state), b.constants, [*b.nodes, loop], (stacked, final)), b


def check_same(before: Sequence, after: Sequence, inputs: list[np.ndarray]) -> None:
    for a, b in zip(run_sequence(before, inputs, precision="float64"), run_sequence(after, inputs, precision="float64")):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_recurrent_cell_becomes_one_kernel_with_a_reduction_per_gate():
    rng = np.random.default_rng(0)
    function, _ = gru(4, 3, 5, rng)
    before = lower_function(function)
    after = fuse(before)
    (step,) = [s for s in after.steps if isinstance(s, Repeat)]
    assert len(step.body) == 1 and isinstance(step.body[0], Run)
    cell = step.body[0].kernel
    assert len(cell.reductions) == 3
    assert len(cell.outputs) == 2
    inputs = [rng.standard_normal((4, 3, 15)).astype(np.float32), rng.standard_normal((3, 5)).astype(np.float32)]
    check_same(before, after, inputs)


def test_softmax_keeps_row_reductions_apart():
    b = Build()
    x = b.value((6, 7), name="x")
    y = b.op("exp", b.op("sub", x, b.op("reduce_max", x, axes=(1,), keep=True)))
    out = b.op("div", y, b.op("reduce_sum", y, axes=(1,), keep=True))
    before = lower_function(Function("main", (x,), {}, b.nodes, (out,)))
    after = fuse(before)
    assert len(kernels(after.steps)) == 4
    check_same(before, after, [np.random.default_rng(1).standard_normal((6, 7)).astype(np.float32)])


def test_views_and_pointwise_vanish_into_their_readers():
    b = Build()
    x = b.value((4, 6), name="x")
    w = b.constant(np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32))
    y = b.op("relu", b.op("matmul", x, b.op("permute", b.op("permute", w, order=(1, 0)), order=(1, 0))))
    z = b.op("mul", b.op("reshape", y, shape=(2, 10)), b.op("reshape", y, shape=(2, 10)))
    before = lower_function(Function("main", (x,), b.constants, b.nodes, (z,)))
    after = fuse(before)
    assert len(kernels(after.steps)) <= 2
    check_same(before, after, [np.random.default_rng(3).standard_normal((4, 6)).astype(np.float32)])


def test_normalize_fuses_adjacent_axes_of_pointwise_kernels():
    b = Build()
    x = b.value((2, 1, 3, 4), name="x")
    y = b.op("relu", x)
    before = lower_function(Function("main", (x,), {}, b.nodes, (y,)))
    after = Sequence(
        before.name, before.inputs, before.results, before.temporaries, before.constants, before.constant_types,
        map_kernels(before.steps, normalize), before.dims,
    )  # fmt: skip
    assert [a.extent for a in kernels(after.steps)[0].axes] == [24]
    check_same(before, after, [np.random.default_rng(4).standard_normal((2, 1, 3, 4)).astype(np.float32)])


def test_what_a_guard_protects_stays_behind_it():
    b = Build()
    x = b.value((4, 3), name="x")
    y = b.op("concat", x, b.op("mul", b.op("exp", x), x), axis=1)
    before = lower_function(Function("main", (x,), {}, b.nodes, (y,)))
    after = fuse(before)
    assert len(kernels(after.steps)) <= 2
    check_same(before, after, [np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)])


@pytest.mark.parametrize("batch", [1, 3])
def test_lstm_cells_become_one_kernel_for_every_batch(batch: int):
    program = export(nn.LSTM(4, 5).eval(), (torch.zeros(7, batch, 4),)).program
    before = lower_function(program.functions[program.entry])
    after = fuse(before)
    (loop,) = [s for s in after.steps if isinstance(s, Repeat)]
    (cell,) = kernels(loop.body)
    assert len(cell.reductions) == 4
    check_same(before, after, [np.random.default_rng(6).standard_normal((7, batch, 4)).astype(np.float32)])


def test_products_of_different_operands_share_a_kernel_two_at_a_time():
    b = Build()
    total = None
    for n in range(5):
        product = b.op("matmul", b.value((4, 6), name=f"x{n}"), b.value((6, 5), name=f"w{n}"))
        total = product if total is None else b.op("add", total, product)
    inputs = tuple(v for node in b.nodes if node.op == "matmul" for v in node.args)
    before = lower_function(Function("main", inputs, {}, b.nodes, (b.op("relu", total),)))
    after = fuse(before)
    assert sorted(len(k.reductions) for k in kernels(after.steps)) == [1, 2, 2]
    random = np.random.default_rng(7)
    check_same(before, after, [random.standard_normal([int(e) for e in v.type.shape]).astype(np.float32) for v in inputs])
