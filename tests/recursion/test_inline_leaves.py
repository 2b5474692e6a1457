"""Base cases are computed by their callers where that saves work, and mean the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from recursive_models import LEFT, MAIN, MODELS, RIGHT, WORD, Build, Node, weight
from torch import nn

import bough
from bough import ops
from bough.base.errors import InputError
from bough.base.visits import Ask, Call, Payload, Question, Variant, Visit, Visits
from bough.frontends.staging import stage
from bough.ir import run_sequence, verify_sequence
from bough.ir.dtypes import DTYPES, F32
from bough.ir.interpret_program import run_program
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.program import Assign, Function, Program, TensorType, Value
from bough.ir.recursion import Cell, Recursion
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import inline_leaves, lower_recursion, rows, unroll
from bough.recursion.factored import Weights, factored, work
from bough.recursion.rows import SHORTEST
from bough.runtime.linearize import linearize

N, RANK, WORDS = 13, 2, 5
LONG = SHORTEST + 3


def diagonal(b: Build, row: Value, n: int) -> Value:
    whole = {"size": n, "start": 0, "step": 1, "dtype": DTYPES["i64"]}
    mask = b("eq", b("iota", **whole), b("reshape", b("iota", **whole), shape=(n, 1)))
    return b("select", mask, b("reshape", row, shape=(1, n)), np.zeros((), np.float32))


def matrices(structured: bool = True) -> Recursion:
    """m = W [l; r] at nodes; at leaves diag(d[word]) + t[word] v[word], or a plain matrix."""
    d, t, v, w = weight(WORDS, N), weight(WORDS, N, RANK), weight(WORDS, RANK, N), weight(N, 2 * N)
    b = Build("main")
    cells = {("main", 0): b.cell(b.returned(0, 0, N, N))}
    b = Build("leaf")
    word = b.read(0, "i64")
    low = b("matmul", b("take", t, word, axis=0), b("take", v, word, axis=0))
    cells["encode", 0] = b.cell(b("add", diagonal(b, b("take", d, word, axis=0), N), low) if structured else b("tanh", low))
    b = Build("node")
    cells["encode", 1] = b.cell(b("matmul", w, b("concat", b.returned(0, 0, N, N), b.returned(1, 0, N, N), axis=0)))
    leaf = Variant("leaf", payloads=(Payload(WORD, "i64", range=(-WORDS, WORDS - 1)),))
    node = Variant("node", calls=(Call("encode", LEFT), Call("encode", RIGHT)))
    visits = Visits((MAIN, Visit("encode", Ask(Question(LEFT, "is_none"), 0, 1), (leaf, node))), "main")
    state = (TensorType(F32, (N, N)),)
    return Recursion(visits, cells, {"main": state, "encode": state})


def vectors() -> Recursion:
    """h = tanh(W [l; r] + b) at nodes, tanh(E[word]) at leaves."""
    words, w, bias = weight(WORDS, LONG), weight(LONG, 2 * LONG), weight(LONG)
    b = Build("main")
    cells = {("main", 0): b.cell(b.returned(0, 0, LONG))}
    b = Build("leaf")
    cells["encode", 0] = b.cell(b("tanh", b("take", words, b.read(0, "i64"), axis=0)))
    b = Build("node")
    both = b("concat", b.returned(0, 0, LONG), b.returned(1, 0, LONG), axis=0)
    cells["encode", 1] = b.cell(b("tanh", b("linear", both, w, bias)))
    state = (TensorType(F32, (LONG,)),)
    return replace(matrices(), cells=cells, results={"main": state, "encode": state})


def gated() -> Recursion:
    """c = sigmoid(i) * tanh(u) of gates [i; u], which are W [l; r] + b at nodes and W' E[word] + b' at leaves."""
    words, gates = weight(WORDS, LONG), ((weight(2 * LONG, LONG), weight(2 * LONG)), (weight(2 * LONG, 2 * LONG), weight(2 * LONG)))

    def cell(b: Build, x: Value, leaf: bool) -> Cell:
        both = b("linear", x, *gates[not leaf])
        i, u = (b("slice", both, axis=0, start=n * LONG, stop=(n + 1) * LONG, step=1) for n in range(2))
        return b.cell(b("mul", b("sigmoid", i), b("tanh", u)))

    b, recursion = Build("leaf"), vectors()
    leaf = cell(b, b("take", words, b.read(0, "i64"), axis=0), True)
    b = Build("node")
    node = cell(b, b("concat", b.returned(0, 0, LONG), b.returned(1, 0, LONG), axis=0), False)
    return replace(recursion, cells={**recursion.cells, ("encode", 0): leaf, ("encode", 1): node})


def trees() -> list[Node]:
    a, b, c = Node(0), Node(-1), Node(WORDS - 1)
    both = Node(left=a, right=b)
    left, right = Node(left=both, right=c), Node(left=c, right=both)
    return [a, both, left, right, Node(left=left, right=right), Node(left=left, right=left)]


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("before", [lambda r: r, unroll], ids=["plain", "unrolled"])
@pytest.mark.parametrize("model", [matrices, vectors, gated])
def test_the_recursion_means_the_same(model: Callable[[], Recursion], before: Callable[[Recursion], Recursion]) -> None:
    recursion = model()
    inlined = inline_leaves(before(recursion))
    assert inlined is not recursion
    verify_recursion(inlined, ops.infer)
    sequence = lower_recursion(inlined)
    verify_sequence(sequence)
    given = [(tree,) for tree in trees()]
    found = linearize(inlined.visits, given)
    (rows,) = run_sequence(sequence, [found.arrays[o.name] for o in sequence.inputs], found.sizes, "float64")
    for args, row in zip(given, rows, strict=True):
        (want,) = interpret_recursion(recursion, args, ops.evaluate, "float64")
        (got,) = interpret_recursion(inlined, args, ops.evaluate, "float64")
        close(got, want)
        close(row, want)


def test_nodes_of_leaves_call_nothing_and_a_level_is_less() -> None:
    plain, inlined = matrices(), inline_leaves(matrices())
    assert [len(v.calls) for v in inlined.visits.function("encode").variants] == [0, 0, 1, 1, 2]
    levels = [
        max(v for k, v in linearize(r.visits, [(trees()[4],)]).sizes.items() if k.endswith("levels")) for r in (plain, inlined)
    ]
    assert levels[1] == levels[0] - 1


def test_products_with_leaves_are_rows_of_one_table_for_each_side() -> None:
    sequence = lower_recursion(inline_leaves(vectors()))
    tables = [n for n, a in sequence.constants.items() if a.shape == (WORDS, LONG)]
    assert len(tables) == 3  # the words, which a tree of one leaf returns, and the products of either side
    weights = [a.shape for a in sequence.constants.values() if len(a) == LONG and a.ndim == 2]
    assert weights == [(LONG, LONG)] * 2


def test_leaves_stay_where_there_is_no_room_for_all_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [a for a in lower_recursion(inline_leaves(gated())).constants.values() if len(a) == WORDS]
    assert sorted(a.shape[1] for a in tables) == [LONG, 2 * LONG, 2 * LONG]
    needed = sum(a.nbytes for a in tables)
    monkeypatch.setattr(rows, "LARGEST", needed)
    recursion = gated()
    assert inline_leaves(recursion) is not recursion
    monkeypatch.setattr(rows, "LARGEST", needed - 1)
    assert inline_leaves(recursion) is recursion


def test_calls_that_are_seldom_of_leaves_stay() -> None:
    chain = Node(0)
    for _ in range(9):
        chain = Node(left=chain, right=Node(1))
    variants = inline_leaves(vectors(), (chain,)).visits.function("encode").variants
    assert [len(v.calls) for v in variants] == [0, 1, 2]
    assert [call.path for call in variants[1].calls] == [LEFT]


def test_what_saves_nothing_stays() -> None:
    for recursion in (matrices(structured=False), *(build() for build in MODELS.values())):
        assert inline_leaves(recursion) is recursion


def run(function: Function, given: list[Any]) -> tuple[Any, ...]:
    return run_program(Program({"cell": function}, "cell"), given, ops.evaluate, "float64")


@pytest.mark.parametrize("special", [0.0, float("nan")])
@pytest.mark.parametrize("n", [11, 16])
def test_products_by_parts_mean_the_same(n: int, special: float) -> None:
    b = Build("cell")
    shapes = [(n,), (n, 2), (2, n), (n, 3), (7, n)]
    row, tall, wide, x, w = (b.read(i, "f32", *s) for i, s in enumerate(shapes))
    m = b("add", b("matmul", tall, wide), diagonal(b, row, n))
    function = b.cell(b("matmul", m, x), b("matmul", w, m), b("matmul", b("matmul", w, m), x)).function
    by_parts = factored(function, Weights())
    assert work(by_parts) < work(function)
    assert not any(isinstance(node, Assign) and node.op == "select" for node in by_parts.body)
    given = [weight(*shape) for shape in shapes]
    for array in given[:1] if special else given:
        array.flat[0] = special
    for got, want in zip(run(by_parts, given), run(function, given), strict=True):
        close(got, want)


def test_products_with_other_matrices_stay() -> None:
    b = Build("cell")
    x, row, tall, wide = (b.read(i, "f32", *s) for i, s in enumerate([(9, 9), (9,), (9, 5), (5, 9)]))
    full = b("matmul", tall, wide)
    mask = b("select", b("eq", x, x), b("reshape", row, shape=(1, 9)), np.zeros((), np.float32))
    ones = b("select", b("eq", x, x), x, np.ones((), np.float32))
    function = b.cell(*(b("matmul", x, m) for m in (full, mask, ones))).function
    assert factored(function, Weights()).body == function.body


def test_errors_say_where_the_leaf_is() -> None:
    visits = inline_leaves(vectors()).visits
    for bad, what in (
        (None, "None stands at .right where an object with .left must be (at argument 0.left)"),
        (3, "3 at .right has no .left"),
    ):
        with pytest.raises(InputError, match=re.escape(what)):
            linearize(visits, [(Node(left=Node(left=Node(0), right=bad), right=Node(1)),)])


class Phrases(nn.Module):
    """A vector and a matrix for every phrase; the matrices of words are a diagonal and a product of low rank."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(WORDS, N)
        self.diagonals = nn.Parameter(1 + 0.1 * torch.randn(WORDS, N))
        self.tall, self.wide = nn.Parameter(torch.randn(WORDS, N, RANK)), nn.Parameter(torch.randn(WORDS, RANK, N))
        self.matrix = nn.Linear(2 * N, N, bias=False)

    def forward(self, node: Node) -> torch.Tensor:
        vector, matrix = self.compose(node)
        return matrix @ vector

    def compose(self, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
        if node.left is None:
            low = self.tall[node.word] @ self.wide[node.word]
            return self.vectors.weight[node.word], torch.diag(self.diagonals[node.word]) + low
        left, of_left = self.compose(node.left)
        right, of_right = self.compose(node.right)
        return torch.tanh(of_right @ left + of_left @ right), self.matrix.weight @ torch.cat((of_left, of_right))


def test_modules_give_what_eager_gives_one_by_one_and_together() -> None:
    torch.manual_seed(0)
    model, given = Phrases().eval().requires_grad_(False), trees()
    assert len(inline_leaves(stage(model, (given[0],)).recursion).visits.function("compose").variants) == 5
    alone = {}
    for threads in (1, 2):
        compiled = bough.compile(model, (given[0],), threads=threads)
        alone[threads] = [compiled(tree) for tree in given]
        for one, together, tree in zip(alone[threads], compiled.map(given), given, strict=True):
            torch.testing.assert_close(one, model(tree), rtol=1e-4, atol=1e-4)
            assert torch.equal(one, together)
    assert all(map(torch.equal, alone[1], alone[2]))
