"""Arrays that are in use together lie apart, and few bytes are needed for that."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bough.graph_passes.plan_memory import ALIGNMENT, Block, byte_size, largest_live_set, place, plan_memory, weighed
from bough.ir.dtypes import BOOL, F32
from bough.ir.evaluate import extent_value
from bough.ir.expr import Const, Var, add, mul, sub
from bough.ir.kernel import Operand
from bough.ir.sequence_text import parse_sequence


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_blocks_in_use_together_lie_apart(seed: int) -> None:
    drawn = Random(seed)
    blocks = []
    for n in range(drawn.randint(1, 30)):
        first = drawn.randint(0, 20)
        blocks.append(Block(f"b{n}", 64 * drawn.choice([0, 1, 2, 3, 50]), first, first + drawn.choice([0, 1, 2, 10])))
    at = place(blocks)
    for n, a in enumerate(blocks):
        assert at[a.name] >= 0 and at[a.name] % ALIGNMENT == 0
        for b in blocks[:n]:
            if a.meets(b):
                assert at[a.name] + a.size <= at[b.name] or at[b.name] + b.size <= at[a.name]
    top = max(at[b.name] + b.size for b in blocks)
    assert largest_live_set(blocks) <= top <= sum(b.size for b in blocks)


def test_one_order_fits_where_another_does_not() -> None:
    """By size alone, `c` comes on top of both others."""
    blocks = [Block("a", 6, 0, 1), Block("b", 6, 3, 4), Block("c", 5, 1, 3), Block("d", 6, 4, 5), Block("e", 6, 5, 9)]
    at = place(blocks)
    assert max(at[b.name] + b.size for b in blocks) == largest_live_set(blocks) == 12


def test_sizes_as_multiples_of_units() -> None:
    batch, tokens = Var("batch"), Var("tokens")
    assert weighed(Operand("x", F32, (3, 5))) == (64, Const(1))
    assert weighed(Operand("x", F32, (batch, 64))) == weighed(Operand("x", F32, (32, batch, 2))) == (256, batch)
    assert weighed(Operand("x", F32, (batch, tokens, 16))) == weighed(Operand("x", F32, (tokens, mul(batch, 16))))
    mask = Operand("x", BOOL, (tokens, tokens))
    assert weighed(mask) == (1, byte_size(mask)), "not 64 times what it needs"
    assert weighed(Operand("x", F32, (add(tokens, 1), 16))) == (64, add(tokens, 1))


def test_no_array_takes_less_than_no_room() -> None:
    """As one in a branch for sizes below 8 would, where the size is 100."""
    missing = sub(Const(8), Var("rows"))
    for width in (1, 16):
        number, unit = weighed(Operand("x", F32, (missing, width)))
        assert number * extent_value(unit, {"rows": 100}) == 0
        assert number * extent_value(unit, {"rows": 7}) == 64


def test_arrays_of_different_multiples_share() -> None:
    sequence = parse_sequence("""\
sequence main(x: f32[batch, 64]) -> (y)
  dims batch: 0..
  temporary a: f32[batch, 64]
  temporary b: f32[batch, 16]
  temporary c: f32[batch, 48]
  temporary y: f32[batch, 64]
  kernel one(x: f32[batch, 64]) -> (a: f32[batch, 64])
    axes i: batch, j: 64
    a[i, j] = neg(x[i, j])
  kernel two(a: f32[batch, 64]) -> (b: f32[batch, 16])
    axes i: batch, j: 16
    b[i, j] = neg(a[i, j])
  kernel three(b: f32[batch, 16]) -> (c: f32[batch, 48])
    axes i: batch, j: 48
    c[i, j] = neg(b[i, j // 3])
  kernel four(c: f32[batch, 48]) -> (y: f32[batch, 64])
    axes i: batch, j: 64
    y[i, j] = neg(c[i, j // 2])
""")
    plan = plan_memory(sequence)
    assert plan.size == mul(320, Var("batch"))
    for batch in (0, 1, 7):
        a, b, c = (extent_value(plan.offsets[n], {"batch": batch}) for n in "abc")
        assert (a, b, c) == (0, 256 * batch, 0)
