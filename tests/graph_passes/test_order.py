"""Orders of kernels: what changes, as text, that it means the same, and that it needs less."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.graph_passes.order import order
from bough.graph_passes.plan_memory import Block, byte_size, largest_live_set, live_spans
from bough.ir.dtypes import F32
from bough.ir.evaluate import extent_value
from bough.ir.expr import Const, Expr, Load, Var, apply
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel import Axis, Kernel, Operand, Store
from bough.ir.sequence import Run, Sequence, kernels
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

BRANCHES = """\
sequence main(x: f32[4]) -> (y)
  temporary large: f32[4, 1000]
  temporary other: f32[4, 1000]
  temporary small: f32[4]
  temporary y: f32[4]
  kernel a(x: f32[4]) -> (large: f32[4, 1000])
    axes i: 4, j: 1000
    large[i, j] = exp(x[i])
  kernel b(x: f32[4]) -> (other: f32[4, 1000])
    axes i: 4, j: 1000
    other[i, j] = neg(x[i])
  kernel c(large: f32[4, 1000]) -> (small: f32[4])
    axes i: 4, j: 1000
    s = sum(j) large[i, j]
    small[i] = s
  kernel d(other: f32[4, 1000], small: f32[4]) -> (y: f32[4])
    axes i: 4, j: 1000
    s = sum(j) other[i, j]
    y[i] = s + small[i]
"""


def names(sequence: Sequence) -> list[str]:
    return [k.name for k in kernels(sequence.steps)]


def live(sequence: Sequence) -> int:
    """The most that is in use at one time."""
    sizes = {n: extent_value(byte_size(sequence.temporaries[n]), {}) for n in live_spans(sequence)}
    return largest_live_set([Block(n, sizes[n], *span) for n, span in live_spans(sequence).items()])


def test_a_branch_is_finished_before_the_next_begins() -> None:
    before = parse_sequence(BRANCHES)
    after = order(before, {})
    assert names(after) == ["a", "c", "b", "d"]
    assert (live(before), live(after)) == (32064, 16064)


def test_a_good_order_stays() -> None:
    good = order(parse_sequence(BRANCHES), {})
    assert order(good, {}).steps == good.steps


def test_symbolic_sizes_count_as_their_nominal_ones() -> None:
    text = BRANCHES.replace("1000", "n").replace("(x: f32[4]) -> (y)\n", "(x: f32[4], z: f32[n]) -> (y)\n  dims n: 1..\n", 1)
    assert names(order(parse_sequence(text), {"n": 64})) == ["a", "c", "b", "d"]


def random_sequence(drawn: Random) -> Sequence:
    """Kernels that read some arrays from before and write one, now and then another time."""
    held = {"x": Operand("x", F32, (64, 1))}
    steps = []
    for n in range(drawn.randint(3, 14)):
        read = drawn.sample(list(held.values()), min(len(held), drawn.randint(1, 3)))
        target = Operand(f"t{n}", F32, (64, drawn.choice([1, 1, 4, 20])))
        if n and drawn.random() < 0.2:
            target = drawn.choice(list(held.values())[1:])
        read = [o for o in read if o.name != target.name] or [held["x"]]
        loads = [Load(o.name, (Var("j"), Const(0)), F32) for o in read]
        value: Expr = Const(float(n), F32)
        for load in loads:
            value = apply("add", value, load)
        axes = (Axis("j", 64), Axis("i", target.shape[1]))
        steps.append(Run(Kernel(f"k{n}", axes, tuple(read), (target,), (Store(target.name, (Var("j"), Var("i")), value),))))
        held[target.name] = target
    temporaries = {n: o for n, o in held.items() if n != "x"}
    results = tuple(drawn.sample(list(temporaries), min(2, len(temporaries))))
    return Sequence("main", (held["x"],), results, temporaries, {}, {}, tuple(steps))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_sequences_mean_the_same_and_need_no_more(seed: int) -> None:
    before = random_sequence(Random(seed))
    after = order(before, {})
    verify_sequence(after)
    assert sorted(names(after)) == sorted(names(before))
    x = np.arange(64, dtype=np.float32)[:, None]
    for a, b in zip(run_sequence(before, [x]), run_sequence(after, [x]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert after.steps == before.steps or live(after) < live(before)
