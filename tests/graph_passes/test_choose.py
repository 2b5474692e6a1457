"""Branches that choose between elements become kernels that do; others stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bough
from bough.graph_passes.choose import choose
from bough.graph_passes.fuse import fuse
from bough.ir.interpret_sequence import Failed, run_sequence
from bough.ir.sequence import Branch, Check, Sequence, kernels, walk
from bough.ir.sequence_text import parse_sequence
from bough.ir.verify_sequence import verify_sequence

ROW = """
sequence main(x: f32[5, 8], at: i64[], most: i64[]) -> (y)
  temporary some: bool[]
  temporary fits: bool[]
  temporary y: f32[1, 8]
  kernel ask(at: i64[], most: i64[]) -> (some: bool[])
    some[] = at[] < most[]
  if some[]
    kernel inside(at: i64[]) -> (fits: bool[])
      fits[] = at[] < 5
    check fits[] else "IndexError: outside"
    kernel row(x: f32[5, 8], at: i64[]) -> (y: f32[1, 8])
      axes o: 1, k: 8
      double = x[at[], k] * 2.0
      y[o, k] = double
  else
    kernel nothing() -> (y: f32[1, 8])
      axes j: 8
      y[0, j] = NOTHING
"""


def branches(sequence: Sequence) -> int:
    return sum(isinstance(s, Branch) for s in walk(sequence.steps))


def results(sequence: Sequence, *inputs: object) -> object:
    try:
        return [r.tolist() for r in run_sequence(sequence, [np.asarray(i) for i in inputs], {})]
    except Failed as failed:
        return str(failed)


def test_a_row_or_nothing_is_one_kernel_behind_its_check() -> None:
    sequence = parse_sequence(ROW.replace("NOTHING", "0.0"))
    chosen = choose(sequence)
    verify_sequence(chosen)
    assert branches(chosen) == 0 and len(kernels(chosen.steps)) == 3
    assert sum(isinstance(s, Check) for s in chosen.steps) == 1
    x = np.arange(40, dtype=np.float32).reshape(5, 8)
    for at, most in ((3, 5), (3, 2), (9, 5), (7, 9)):  # the third place is outside, and not read
        assert results(chosen, x, at, most) == results(sequence, x, at, most)


WIDE = ROW.replace("8]", "8000]").replace(": 8", ": 8000").replace("NOTHING", "0.0")
SUM = ROW.replace("y[0, j] = NOTHING", "s = sum(k) x[k, j]\n      y[0, j] = s").replace("j: 8", "j: 8, k: 5")
SUM = SUM.replace("nothing()", "nothing(x: f32[5, 8])")
COPY = ROW.replace("  temporary some", "  temporary z: f32[1, 8]\n  temporary some").replace("8]", "80]").replace(": 8", ": 80").replace("y[0, j] = NOTHING", "y[0, j] = z[0, j]").replace("nothing()", "nothing(z: f32[1, 80])")
COPY = COPY.replace("  if some", "  kernel first() -> (z: f32[1, 80])\n    axes j: 80\n    z[0, j] = 1.0\n  if some")
ONE_SIDED = ROW.replace("NOTHING", "0.0").replace("  else", "  if some[]")


@pytest.mark.parametrize("text", [WIDE, SUM, COPY, ONE_SIDED], ids=["long", "a sum", "an array that is kept", "one way"])
def test_branches_that_save_work_or_memory_stay(text: str) -> None:
    sequence = parse_sequence(text)
    assert choose(sequence) is sequence


class Stack(nn.Module):
    """Reads what is there of a list that grows and shrinks as numbers say."""

    def forward(self, numbers: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        stack, nothing, total = [x], torch.zeros(4), torch.zeros(4)
        for n in range(5):
            top = stack[-1] if stack else nothing
            below = stack[-2] if len(stack) > 1 else nothing
            total = total + top - 2.0 * below
            if numbers[n] > 0:
                stack.append(total * 0.5)
            elif stack:
                stack.pop()
        return total, torch.tensor(len(stack))


def test_elements_of_a_list_that_may_be_missing() -> None:
    torch.manual_seed(0)
    inputs = [(torch.randint(-1, 2, (5,)), torch.randn(4)) for _ in range(20)]
    compiled = bough.compile(Stack(), inputs[0])
    singles = [compiled(*x) for x in inputs]
    for (got, length), x, (many, count) in zip(singles, inputs, compiled.map(inputs), strict=True):
        want, wanted = Stack()(*x)
        torch.testing.assert_close(got, want)
        assert int(length) == int(wanted) == int(count) and torch.equal(got, many)


def test_what_is_chosen_fuses_with_what_reads_it() -> None:
    """The row is read where it lies."""
    text = ROW.replace("NOTHING", "0.0").replace("-> (y)", "-> (z)").replace("  kernel ask", "  temporary z: f32[8]\n  kernel ask")
    text += "  kernel after(y: f32[1, 8]) -> (z: f32[8])\n    axes i: 8\n    z[i] = y[0, i] + 1.0\n"
    fused = fuse(choose(parse_sequence(text)))
    assert [o.name for o in kernels(fused.steps)[-1].outputs] == ["z"] and len(kernels(fused.steps)) == 3
