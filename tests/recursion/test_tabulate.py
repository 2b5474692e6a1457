"""What depends on a row of a constant table alone is made when compiling, and means the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from recursive_models import MAIN, Build, Node, weight
from torch import nn

import bough
from bough import ops
from bough.base.visits import Ask, Attribute, Call, Payload, Question, Variant, Visit, Visits
from bough.frontends.staging import stage
from bough.ir.interpret_program import run_program
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.program import Function, Program, TensorType, Value
from bough.ir.recursion import Cell, Recursion
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import Switches, lower_recursion, rows
from bough.recursion.split_products import split_products
from bough.recursion.tabulate import left_out, tabulate

Array = np.ndarray[Any, Any]
WIDTH, WORDS = 40, 7
TABLE, WEIGHTS, BIAS = weight(WORDS, WIDTH), weight(WIDTH, WIDTH), weight(WIDTH)


def chain() -> Recursion:
    """h = tanh(W E[word] + b + W h'), and at the end tanh(W E[word] + b), each with shapes of its own."""
    rest, word = (Attribute("left"),), Payload((Attribute("word"),), "i64", range=(-WORDS, WORDS - 1))
    variants = Variant("end", payloads=(word,)), Variant("link", calls=(Call("encode", rest),), payloads=(word,))
    visits = Visits((MAIN, Visit("encode", Ask(Question(rest, "is_none"), 0, 1), variants)), "main")
    b = Build("main")
    main = b.cell(b.returned(0, 0, WIDTH))
    b = Build("end")
    row = b("take", TABLE, b.read(0, "i64"), axis=0)
    last = b.cell(b("tanh", b("linear", row, WEIGHTS, BIAS)))
    b = Build("link")
    row = b("reshape", b("take", TABLE, b.read(0, "i64"), axis=0), shape=(1, WIDTH))
    product = b("reshape", b("linear", row, WEIGHTS, BIAS), shape=(WIDTH,))
    inner = b.cell(b("tanh", b("add", product, b("linear", b.returned(0, 0, WIDTH), WEIGHTS, None))))
    cells = {("main", 0): main, ("encode", 0): last, ("encode", 1): inner}
    state = (TensorType(b.params[-1].type.dtype, (WIDTH,)),)
    return Recursion(visits, cells, {"main": state, "encode": state})


def objects() -> list[tuple[Any, ...]]:
    found, node = [], None
    for word in (3, -1, 0, -WORDS, WORDS - 1):
        node = Node(word, node)
        found.append((node,))
    return found


def tables(recursion: Recursion) -> list[Array]:
    constants = [pair for c in recursion.cells.values() for pair in c.function.constants.items()]
    return list({id(a): a for v, a in constants if v.name.endswith(".table")}.values())


def test_the_recursion_means_the_same_and_cells_share_tables() -> None:
    recursion = chain()
    tabulated = tabulate(recursion)
    verify_recursion(tabulated, ops.infer)
    product = TABLE.astype(np.float64) @ WEIGHTS.T + BIAS
    for table, want in zip(tables(tabulated), (np.tanh(product), product), strict=True):
        np.testing.assert_array_equal(table, want.astype(np.float32))
    for args in objects():
        pair = (interpret_recursion(r, args, ops.evaluate, "float64") for r in (tabulated, recursion))
        for got, want in zip(*pair, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_functions_of_rows_are_part_of_the_table() -> None:
    b = Build("main")
    row = b("tanh", b("neg", b("take", TABLE, b.read(0, "i64"), axis=0)))
    cell = b.cell(b("linear", row, WEIGHTS, BIAS), b("matmul", b("reshape", row, shape=(1, WIDTH)), WEIGHTS), row)
    state = np.tanh(-TABLE.astype(np.float64))
    for array, want in zip(tables_of(cell), (state, state @ WEIGHTS.T + BIAS, state @ WEIGHTS), strict=True):
        np.testing.assert_array_equal(array, want.astype(np.float32))


def tables_of(cell: Cell) -> list[Array]:
    return tables(tabulate(Recursion(Visits((MAIN,), "main"), {("main", 0): cell}, {"main": ()})))


def gates(b: Build, width: int) -> tuple[Value, Value]:
    """Halves of a product of a word's row, each through its own function."""
    product = b("linear", b("take", TABLE, b.read(0, "i64"), axis=0), weight(2 * width, WIDTH), weight(2 * width))
    first, second = (b("slice", product, axis=0, start=n * width, stop=(n + 1) * width, step=1) for n in range(2))
    return b("sigmoid", first), b("tanh", second)


def test_a_state_that_a_word_decides_is_a_row() -> None:
    b = Build("main")
    one, other = gates(b, 9)
    (table,) = tables_of(b.cell(b("mul", b("sub", np.ones((), np.float32), one), other)))
    assert table.shape == (WORDS, 9)


def test_functions_that_are_more_to_read_than_the_product_they_are_of_stay() -> None:
    b = Build("main")
    one, other = gates(b, 9)
    (table,) = tables_of(b.cell(b("mul", one, other), b("sub", one, other), one))
    assert table.shape == (WORDS, 18)


def test_rows_of_two_words_meet_outside_of_tables() -> None:
    b = Build("main")
    one, other = (b("take", TABLE, b.read(n, "i64"), axis=0) for n in range(2))
    cell = b.cell(b("linear", b("add", one, other), WEIGHTS, BIAS))
    assert not tables_of(cell)
    b = Build("main")
    one, other = (b("take", TABLE, b.read(n, "i64"), axis=0) for n in range(2))
    (table,) = tables_of(b.cell(b("add", b("linear", one, WEIGHTS, BIAS), b("linear", other, WEIGHTS, BIAS))))
    assert table.shape == TABLE.shape


def test_rows_of_several_words_each_stay_in_their_places() -> None:
    b = Build("main")
    rows = b("take", TABLE, np.array([2, 0, 5]), axis=0)
    tall, flat = b("reshape", rows, shape=(3, 1, WIDTH)), b("tanh", rows)
    cell = b.cell(b("linear", flat, WEIGHTS, BIAS), b("add", tall, flat))
    recursion = Recursion(Visits((MAIN,), "main"), {("main", 0): cell}, {"main": tuple(v.type for v in cell.function.results)})
    tabulated = tabulate(recursion)
    assert [t.shape for t in tables(tabulated)] == [TABLE.shape]
    for got, want in zip(*(run(r.cells["main", 0].function) for r in (tabulated, recursion)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def run(function: Function) -> tuple[Array, ...]:
    return tuple(run_program(Program({"main": replace(function, params=())}, "main"), (), ops.evaluate))


@pytest.mark.parametrize("limit", ["LARGEST", "MOST_WORK"])
def test_all_tables_together_have_room_and_time(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Build("main")
    row = b("take", TABLE, b.read(0, "i64"), axis=0)
    cell = b.cell(*(b("tanh", b("linear", row, weight(WIDTH, WIDTH), BIAS)) for _ in range(3)))
    recursion = Recursion(Visits((MAIN,), "main"), {("main", 0): cell}, {"main": ()})
    assert (len(tables(tabulate(recursion))), left_out(recursion)) == (3, 0)
    each = {"LARGEST": TABLE.nbytes, "MOST_WORK": TABLE.size * WIDTH}[limit]
    monkeypatch.setattr(rows, limit, 2 * each)
    assert (len(tables(tabulate(recursion))), left_out(recursion)) == (2, 1)


def test_the_old_table_is_not_kept() -> None:
    held = [a is TABLE for a in lower_recursion(chain()).constants.values()]
    assert not any(held)
    assert any(a is TABLE for a in lower_recursion(chain(), Switches(tabulation=False)).constants.values())


@pytest.mark.parametrize("limit", ["LARGEST", "MOST_WORK"])
def test_what_would_be_too_large_or_too_much_work_stays(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, limit, WORDS * WIDTH * 4 - 1)
    assert not tables(tabulate(chain()))


def test_rows_that_are_values_of_the_call_stay() -> None:
    b = Build("main")
    b.const(TABLE)
    computed: Value = b("linear", b.returned(0, 0, WIDTH), WEIGHTS, BIAS)
    cell = b.cell(b("take", b("reshape", computed, shape=(1, WIDTH)), b.read(0, "i64"), axis=0))
    visits = Visits((MAIN,), "main")
    assert tabulate(Recursion(visits, {("main", 0): cell}, {"main": ()})).cells["main", 0].function is cell.function


class Joined(nn.Module):
    """A product of the word's vector joined with a state, of a vector with NaN and infinity, too."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.words.weight.data[2, 5], self.words.weight.data[3, 6] = float("nan"), float("inf")
        self.joined = nn.Linear(2 * WIDTH, WIDTH)
        self.first = nn.Parameter(torch.randn(WIDTH, 5))

    def forward(self, node: Node) -> torch.Tensor:
        word = self.words(torch.tensor(node.word))
        if node.left is None:
            return torch.cat((word @ self.first, word[5:]))
        return torch.tanh(self.joined(torch.cat((word, self.forward(node.left)))))


def test_modules_give_what_eager_gives_one_by_one_and_together() -> None:
    torch.manual_seed(0)
    model = Joined().eval().requires_grad_(False)
    given = [Node(w, Node(v)) for w, v in ((0, 1), (4, 2), (5, 3), (3, 0), (6, 6))] + [Node(w) for w in range(WORDS)]
    compiled = bough.compile(model, (given[0],), threads=2)
    recursion = tabulate(split_products(stage(model, (given[0],)).recursion))
    assert sorted(t.shape for t in tables(recursion)) == [(WORDS, WIDTH), (WORDS, WIDTH)]
    for alone, together, node in zip(map(compiled, given), compiled.map(given), given, strict=True):
        torch.testing.assert_close(alone, model(node), rtol=2e-5, atol=2e-6, equal_nan=True)
        assert torch.equal(alone.view(torch.int32), together.view(torch.int32))

