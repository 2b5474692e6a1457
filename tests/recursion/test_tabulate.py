"""Products of rows of constant tables are made when compiling, and mean the same."""

from __future__ import annotations

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
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.program import TensorType, Value
from bough.ir.recursion import Recursion
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import Switches, lower_recursion
from bough.recursion import tabulate as module
from bough.recursion.split_products import split_products
from bough.recursion.tabulate import tabulate

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


def tables(recursion: Recursion) -> list[np.ndarray[Any, Any]]:
    constants = [pair for c in recursion.cells.values() for pair in c.function.constants.items()]
    return list({id(a): a for v, a in constants if v.name.endswith(".table")}.values())


def test_the_recursion_means_the_same_with_one_table_for_all_cells() -> None:
    recursion = chain()
    tabulated = tabulate(recursion)
    verify_recursion(tabulated, ops.infer)
    (table,) = tables(tabulated)
    np.testing.assert_array_equal(table, (TABLE.astype(np.float64) @ WEIGHTS.T + BIAS).astype(np.float32))
    for args in objects():
        pair = (interpret_recursion(r, args, ops.evaluate, "float64") for r in (tabulated, recursion))
        for got, want in zip(*pair, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_functions_of_rows_are_part_of_the_table() -> None:
    b = Build("main")
    row = b("tanh", b("neg", b("take", TABLE, b.read(0, "i64"), axis=0)))
    cell = b.cell(b("linear", row, WEIGHTS, BIAS), b("matmul", b("reshape", row, shape=(1, WIDTH)), WEIGHTS), row)
    (made,) = tabulate(Recursion(Visits((MAIN,), "main"), {("main", 0): cell}, {"main": ()})).cells.values()
    arrays = [a for v, a in made.function.constants.items() if v.name.endswith(".table")]
    state = np.tanh(-TABLE.astype(np.float64))
    for array, want in zip(arrays, (state @ WEIGHTS.T + BIAS, state @ WEIGHTS), strict=True):
        np.testing.assert_array_equal(array, want.astype(np.float32))


def test_the_old_table_is_not_kept() -> None:
    held = [a is TABLE for a in lower_recursion(chain()).constants.values()]
    assert not any(held)
    assert any(a is TABLE for a in lower_recursion(chain(), Switches(tabulation=False)).constants.values())


@pytest.mark.parametrize("limit", ["LARGEST", "MOST_WORK"])
def test_what_would_be_too_large_or_too_much_work_stays(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, limit, WORDS * WIDTH * 4 - 1)
    assert not tables(tabulate(chain()))


def test_rows_that_are_values_of_the_call_stay() -> None:
    b = Build("main")
    b.const(TABLE)
    computed: Value = b("linear", b.returned(0, 0, WIDTH), WEIGHTS, BIAS)
    cell = b.cell(b("take", b("reshape", computed, shape=(1, WIDTH)), b.read(0, "i64"), axis=0))
    visits = Visits((MAIN,), "main")
    assert tabulate(Recursion(visits, {("main", 0): cell}, {"main": ()})).cells["main", 0].function is cell.function


class Cell(nn.Module):
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
    model = Cell().eval().requires_grad_(False)
    given = [Node(w, Node(v)) for w, v in ((0, 1), (4, 2), (5, 3), (3, 0), (6, 6))] + [Node(w) for w in range(WORDS)]
    compiled = bough.compile(model, (given[0],), threads=2)
    recursion = tabulate(split_products(stage(model, (given[0],)).recursion))
    assert sorted(t.shape for t in tables(recursion)) == [(WORDS, 5), (WORDS, WIDTH)]
    for alone, together, node in zip(map(compiled, given), compiled.map(given), given, strict=True):
        torch.testing.assert_close(alone, model(node), rtol=2e-5, atol=2e-6, equal_nan=True)
        assert torch.equal(alone.view(torch.int32), together.view(torch.int32))

