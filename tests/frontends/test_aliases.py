"""Tensors that are one, or views of one, in eager PyTorch, and copies in the trace: writing to one is seen in the other, or what is
not known is refused where it is used. Writing to parts that only the call knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bough import ops
from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.frontends.structure import fill
from bough.ir.interpret_program import run_program
from bough.ir.program import CAPACITY

X = torch.tensor([1.3, -0.02, -0.03, -0.24])
M = torch.tensor([[0.02, -0.7, 0.5, 0.1], [-0.1, -0.08, 2.0, -0.3], [-1.0, 0.1, 0.5, -0.6]])
INPUTS = [(X, M), (X, -M), (-X, M.flip(0)), (X * 3, M * 3 + 1)]
Body = Callable[[Tensor, Tensor], Any]
RIGHT: dict[str, Body] = {}
REFUSED: dict[str, Body] = {}


def right(body: Body) -> Body:
    RIGHT[body.__name__] = body
    return body


def refused(body: Body) -> Body:
    REFUSED[body.__name__] = body
    return body


@refused
def a_list_that_was_chosen(x: Tensor, m: Tensor) -> Any:
    left, right = [x], [m[0]]
    rows = left if x.sum() > 0 else right
    rows.append(m[1])
    return left[-1], right[-1]


@refused
def a_dictionary_that_a_function_chose(x: Tensor, m: Tensor) -> Any:
    left, right = {"x": x}, {"x": m[0]}

    def chosen() -> Any:
        if x.sum() > 0:
            return left, 1
        return right, 2

    found, number = chosen()
    found["x"] = m[1] * number
    return left["x"], right["x"]


@refused
def a_list_that_was_chosen_in_a_loop(x: Tensor, m: Tensor) -> Any:
    left, right = [m[0]], [m[1]]
    while x.norm() > 0.5:
        x = x * 0.5
        (left if x[0] > 0 else right).append(x)
    return torch.stack(left), torch.stack(right)


@right
def lists_chosen_to_be_read(x: Tensor, m: Tensor) -> Any:
    left, right = [x], [m[0]]
    rows = left if x.sum() > 0 else right
    lists = [left, right]
    lists[int(x.sum() > 0)].append(m[1])
    return rows[0], left[-1], right[-1], len(left)


@right
def a_row_sees_its_owner(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    row = m[int(x.argmax()) % 3]
    m.add_(10)
    return row, row.sum(), m


@right
def a_part_of_a_row(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    row = m[int(x.argmax()) % 3]
    part, turns = row[1:], 0
    while row.sum() < 10 and turns < 5:
        m.add_(1)
        turns += 1
    part.mul_(2)
    return row, part, m


@right
def an_element(x: Tensor, m: Tensor) -> Any:
    x = x.clone()
    element = x[int(m[0].argmax())]
    x.add_(10)
    return element


@right
def rows_kept_while_others_are_written(x: Tensor, m: Tensor) -> Any:
    m, kept = m.clone(), []
    for i in range(3):
        kept.append(m[int(m[i].argmax()) % 3])
        m[i] = x + i
    return kept


@right
def of_a_list(x: Tensor, m: Tensor) -> Any:
    a, b = x.clone(), x * 2
    both, k = [a, b], int(m[0].argmax()) % 2
    both[k].add_(1)
    a.mul_(2)
    t = both[k]
    b.add_(3)
    t.sub_(1)
    return a, b, t, both


@right
def one_of_two(x: Tensor, m: Tensor) -> Any:
    x, other = x.clone(), m[0].clone()
    if m.sum() > 0:
        x.add_(1)
        y = x
    else:
        y = other
    y.add_(1)
    x.mul_(2)
    return x, y, other


@right
def one_or_none(x: Tensor, m: Tensor) -> Any:
    a = x.clone()
    kept = a if m.sum() > 0 else None
    a.add_(1)
    return a if kept is None else kept * 2


@right
def the_same_on_both_sides(x: Tensor, m: Tensor) -> Any:
    x = x.clone()
    if m.sum() > 0:
        x.add_(1)
        y = x
    else:
        x.mul_(2)
        y = x
    y.add_(1)
    return x, y


@right
def a_loop_begins_with_it(x: Tensor, m: Tensor) -> Any:
    y = z = x.clone()
    turns = 0
    while y.sum() < 20 and turns < 6:
        y.add_(1)
        y = y * 2
        turns += 1
    return y, z


@right
def a_loop_adds_to_it(x: Tensor, m: Tensor) -> Any:
    y = x = x.clone()
    turns = 0
    while x.sum() < 10 and turns < 4:
        x.add_(1)
        y = y + x
        turns += 1
    return x, y


@right
def a_loop_may_leave_it(x: Tensor, m: Tensor) -> Any:
    y = x = x.clone()
    turns = 0
    while x.sum() < 10 and turns < int(m[0].argmax()):
        x = x + 1
        turns += 1
    x.mul_(2)
    return x, y


@right
def written_where_nobody_looks(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    row = m[int(x.argmax()) % 3] if x.sum() > m.sum() else x.clone()
    row.add_(1)
    return row


@right
def through_the_rows_of_a_choice(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    c = m * 2
    for row in c if m.sum() > 0 else m:
        row.add_(1)
    return m, c


@right
def a_part_with_computed_bounds(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    n = int(x.argmax()) % 2 + 1
    part = m[:n]
    m.add_(1)
    part.mul_(3)
    return m, part.sum()


@right
def written_parts(x: Tensor, m: Tensor) -> Any:
    x, m = x.clone(), m.clone()
    n, k = int(m[0].argmax()), int(x.argmax()) - 1
    x[n:] = 7.0
    m[: k + 1] = x
    m[:, n : n + 1] = 1.5
    m[k, :n] = x[:n]
    m[:n, 1] = 2.0
    m[int(x.argmax()) % 3, 1:3] = x[:2]
    m[n:, :2] = m[n:, 2:] * 2
    return x, m


@right
def parts_of_computed_length_written(x: Tensor, m: Tensor) -> Any:
    buffer, n = torch.zeros(8), int(m[0].argmax()) + 1
    part = torch.cat([x[:n], x[:1]])
    buffer[2 : 2 + n + 1] = part
    buffer[:0] = part[:0]
    buffer[-n:] += 1
    return buffer


@right
def parts_written_in_a_loop(x: Tensor, m: Tensor) -> Any:
    out, i = torch.zeros(3, 4), 0
    while i < 3 and m[i].sum() < 3:
        out[i, : i + 1] = m[i, : i + 1]
        out[i:, 3] += 1
        i += 1
    return out


@right
def triangles_and_turns_by_computed_numbers(x: Tensor, m: Tensor) -> Any:
    k = int(m.argmax()) - 5
    rolled = torch.roll(x, k), m.roll(k, 1), torch.roll(m, (k, 1), (0, 1)), torch.roll(m, k)
    return torch.triu(m, k), torch.tril(m, diagonal=k), m.triu(k), rolled


@refused
def a_row_that_one_side_chose(x: Tensor, m: Tensor) -> Any:
    m = m.clone()
    row = m[int(x.argmax()) % 3] if x.sum() > m.sum() else x.clone()
    row.add_(1)
    return row, m


@refused
def a_view_that_one_side_made(x: Tensor, m: Tensor) -> Any:
    a, b = x.clone(), m.clone()
    part = a[1:] if m.sum() > 0 else b[0]
    a.add_(1)
    return part * 2


@refused
def a_list_that_is_kept_stacked(x: Tensor, m: Tensor) -> Any:
    rows, i = [x * 1], 0
    while i < int(m[0].argmax()) + 1:
        rows.append(x + i)
        i += 1
    for row in rows:
        row.add_(1)
    return torch.stack(rows)


@refused
def what_a_loop_may_have_replaced(x: Tensor, m: Tensor) -> Any:
    y = z = x.clone()
    i = 0
    while y.sum() < 5 and i < 6:
        if m[0].sum() > 0:
            y = y + 1
        i += 1
    y.add_(100)
    return y, z


class Model(nn.Module):
    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, m: Tensor) -> Any:
        return self.body(x, m)


@pytest.mark.parametrize("name", RIGHT)
def test_as_eager(name: str) -> None:
    imported = export_module(Model(RIGHT[name]), INPUTS[0])
    for args in INPUTS:
        results = run_program(imported.program, [a.numpy() for a in args], ops.evaluate, given={CAPACITY: 64})
        got = fill(imported.outputs, [torch.from_numpy(np.array(r)) for r in results], lambda number: number.item())
        want = RIGHT[name](*(a.clone() for a in args))
        for a, b in zip(tree_leaves(got), tree_leaves(want), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(CompileError, match=r"BGH-CTRL-001.*(may share elements|only the call decides which)"):
        export_module(Model(REFUSED[name]), INPUTS[0])
