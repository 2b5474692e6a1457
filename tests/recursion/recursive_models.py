"""Recursive models as Recursions built by hand, and random structures for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bough import ops
from bough.base.visits import Ask, Attribute, Call, Collect, Each, Item, Payload, Question, Variant, Visit, Visits
from bough.ir.dtypes import DTYPES, F32, I64
from bough.ir.expr import Extent, Var
from bough.ir.program import Assign, Dim, Function, Loop, TensorType, Value
from bough.ir.recursion import Cell, Read, Recursion, Returned, Source

HIDDEN = 4
WORDS = 9
LEFT, RIGHT, WORD, CHILDREN = (Attribute("left"),), (Attribute("right"),), (Attribute("word"),), (Attribute("children"),)
STATE = TensorType(F32, (HIDDEN,))
RNG = np.random.default_rng(5)


def weight(*shape: int) -> np.ndarray[Any, Any]:
    return (RNG.standard_normal(shape) / 2).astype(np.float32)


EMBEDDING = weight(WORDS, HIDDEN)


class Build:
    """Writes a cell: `x = b.read(0, "i64")`, `h = b("linear", x, w, bias)`."""

    def __init__(self, name: str, walks: tuple[str, ...] = ()) -> None:
        self.name, self.walks = name, walks
        self.params: list[Value] = []
        self.sources: list[Source] = []
        self.constants: dict[Value, np.ndarray[Any, Any]] = {}
        self.body: list[Any] = []

    def value(self, type_: TensorType) -> Value:
        return Value(f"v{len(self.body)}", type_)

    def read(self, number: int, dtype: str, *shape: Extent) -> Value:
        return self.param(Read(number), TensorType(DTYPES[dtype], shape))

    def returned(self, call: int, result: int, *shape: Extent) -> Value:
        return self.param(Returned(call, result), TensorType(F32, shape or (HIDDEN,)))

    def param(self, source: Source, type_: TensorType) -> Value:
        self.params.append(Value(f"p{len(self.params)}", type_))
        self.sources.append(source)
        return self.params[-1]

    def const(self, array: np.ndarray[Any, Any]) -> Value:
        found = next((v for v, a in self.constants.items() if a is array), None)
        if found is None:
            found = Value(f"w{len(self.constants)}", TensorType(F32, array.shape))
            self.constants[found] = array
        return found

    def __call__(self, op: str, *args: Any, **attributes: Any) -> Value:
        given = [self.const(a) if isinstance(a, np.ndarray) else a for a in args]
        types = ops.infer(op, [None if a is None else a.type for a in given], attributes)
        results = tuple(Value(f"v{len(self.body)}.{n}" if n else f"v{len(self.body)}", t) for n, t in enumerate(types))
        self.body.append(Assign(results, op, tuple(given), attributes))
        return results[0]

    def loop(self, count: Extent, initial: Value, step: Callable[[Value, Value], Value], reverse: bool) -> tuple[Value, Value]:
        """`state = step(position, state)` count times; the last state, and all of them."""
        index, carried = Value(f"t{len(self.body)}", TensorType(I64, ())), Value(f"s{len(self.body)}", initial.type)
        outer, self.body = self.body, [None] * 100  # names of the body's values start apart
        updated = step(index, carried)
        inner, self.body = self.body[100:], outer
        final, stacked = Value(f"f{len(outer)}", initial.type), Value(f"a{len(outer)}", TensorType(F32, (count, *initial.type.shape)))
        loop = Loop(index, count, (carried,), (initial,), (updated,), (final,), (updated,), (stacked,), inner, reverse)
        self.body.append(loop)
        return final, stacked

    def cell(self, *results: Value) -> Cell:
        dims = tuple(Dim(w, 0) for w in self.walks)
        function = Function(self.name, tuple(self.params), self.constants, self.body, results, dims)
        return Cell(function, tuple(self.sources), self.walks)

    def embed(self, number: int) -> Value:
        return self("embedding", EMBEDDING, self.read(number, "i64"))

    def rows(self, *parts: Value) -> Value:
        return self("concat", *parts, axis=parts[0].type.rank - 1)


@dataclass(eq=False)
class Node:
    word: int = 0
    left: Any = None
    right: Any = None
    children: list[Any] = field(default_factory=list)


MAIN = Visit("main", 0, (Variant("main", calls=(Call("encode", (Item(0),)),)),))


def classifier() -> Cell:
    b = Build("main")
    return b.cell(b("log_softmax", b("linear", b.returned(0, 0), weight(3, HIDDEN), weight(3)), axis=0))


def tree_rnn() -> Recursion:
    """Binary: h = tanh(W [l; r] + b) at nodes, tanh(E[word]) at leaves; a classifier at the root and every state collected."""
    decision = Ask(Question(LEFT, "is_none"), 0, 1)
    leaf = Variant("leaf", payloads=(Payload(WORD, "i64"),), collects=(Collect(0, 0, 0),))
    node = Variant("node", calls=(Call("encode", LEFT), Call("encode", RIGHT)), collects=(Collect(0, 0, 2),))
    b = Build("leaf")
    cells = {("main", 0): classifier(), ("encode", 0): b.cell(b("tanh", b.embed(0)))}
    b = Build("node")
    both = b.rows(b.returned(0, 0), b.returned(1, 0))
    cells["encode", 1] = b.cell(b("tanh", b("linear", both, weight(HIDDEN, 2 * HIDDEN), weight(HIDDEN))))
    visits = Visits((MAIN, Visit("encode", decision, (leaf, node))), "main")
    return Recursion(visits, cells, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def child_sum() -> Recursion:
    """Tai, Socher and Manning (2015), equations 2 to 8, one variant, any number of children."""
    walk = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), (Payload(WORD, "i64"),))
    b = Build("node", ("A",))
    A = Var("A")
    x = b.embed(0)
    hs, cs = b.returned(0, 0, A, HIDDEN), b.returned(0, 1, A, HIDDEN)
    h = b("reduce_sum", hs, axes=(0,), keep=False)
    gates = b("add", b("linear", x, weight(3 * HIDDEN, HIDDEN), weight(3 * HIDDEN)), b("linear", h, weight(3 * HIDDEN, HIDDEN), None))
    i, o, u = (b("slice", gates, axis=0, start=n * HIDDEN, stop=(n + 1) * HIDDEN, step=1) for n in range(3))
    wx = b("linear", x, weight(HIDDEN, HIDDEN), weight(HIDDEN))
    f = b("sigmoid", b("add", wx, b("linear", hs, weight(HIDDEN, HIDDEN), None)))
    kept = b("reduce_sum", b("mul", f, cs), axes=(0,), keep=False)
    c = b("add", b("mul", b("sigmoid", i), b("tanh", u)), kept)
    h = b("mul", b("sigmoid", o), b("tanh", c))
    visits = Visits((MAIN, Visit("encode", 0, (walk,))), "main")
    return Recursion(visits, {("main", 0): classifier(), ("encode", 0): b.cell(h, c)}, {"main": (TensorType(F32, (3,)),), "encode": (STATE, STATE)})


def labelled() -> Recursion:
    """Any number of children. What each node says of itself and of its children is collected, and no other node needs it."""
    walk = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), (Payload(WORD, "i64"),), collects=(Collect(0, 1, 1),))
    b = Build("node", ("A",))
    hs = b.returned(0, 0, Var("A"), HIDDEN)
    below = b("linear", b("reduce_sum", hs, axes=(0,), keep=False), weight(HIDDEN, HIDDEN), None)
    h = b("tanh", b("add", b("linear", b.embed(0), weight(HIDDEN, HIDDEN), None), below))
    children = b("reduce_sum", b("exp", hs), axes=(0,), keep=False)
    label = b("add", b("linear", h, weight(3, HIDDEN), weight(3)), b("linear", children, weight(3, HIDDEN), None))
    visits = Visits((MAIN, Visit("encode", 0, (walk,))), "main")
    cell = b.cell(h, b("log_softmax", label, axis=0))
    return Recursion(visits, {("main", 0): classifier(), ("encode", 0): cell}, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def attention() -> Recursion:
    """Children weigh each other: scores over pairs of children, and the node itself among the rows."""
    walk = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), (Payload(WORD, "i64"), Payload(WORD, "i64", each=0), Payload(None, "i64", each=0)))
    b = Build("node", ("A",))
    A = Var("A")
    x = b.embed(0)
    hs = b.returned(0, 0, A, HIDDEN)
    below = b("embedding", EMBEDDING, b.read(1, "i64", A))
    place = b("reshape", b("cast", b.read(2, "i64", A), dtype=F32), shape=(A, 1))
    hs = b("add", hs, b("mul", below, place))
    q = b("linear", hs, weight(HIDDEN, HIDDEN), None)
    scores = b("matmul", q, b("permute", hs, order=(1, 0)))
    mixed = b("matmul", b("softmax", scores, axis=1), hs)
    rows = b("concat", b("reshape", x, shape=(1, HIDDEN)), mixed, axis=0)
    weights = b("softmax", b("matmul", rows, b.const(weight(HIDDEN, 1))), axis=0)
    h = b("reduce_sum", b("mul", weights, rows), axes=(0,), keep=False)
    h = b("tanh", b("linear", h, weight(HIDDEN, HIDDEN), weight(HIDDEN)))
    visits = Visits((MAIN, Visit("encode", 0, (walk,))), "main")
    return Recursion(visits, {("main", 0): classifier(), ("encode", 0): b.cell(h)}, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def folding(reverse: bool) -> Recursion:
    """Children are read one after the other by a recurrent cell; all of its states count."""
    walk = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), (Payload(WORD, "i64"),))
    b = Build("node", ("A",))
    A = Var("A")
    hs = b.returned(0, 0, A, HIDDEN)
    u = weight(HIDDEN, HIDDEN)

    def step(position: Value, state: Value) -> Value:
        return b("tanh", b("add", b("take_at", hs, position, axis=0), b("linear", state, u, None)))

    last, every = b.loop(A, b.embed(0), step, reverse)
    h = b("add", last, b("mul", b("reduce_sum", every, axes=(0,), keep=False), b.const(weight(HIDDEN))))
    visits = Visits((MAIN, Visit("encode", 0, (walk,))), "main")
    return Recursion(visits, {("main", 0): classifier(), ("encode", 0): b.cell(h)}, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def joined() -> Recursion:
    """A payload, the left state, a constant and the right state as one vector."""
    decision = Ask(Question(LEFT, "is_none"), 0, 1)
    node = Variant("node", calls=(Call("encode", LEFT), Call("encode", RIGHT)), payloads=(Payload(WORD, "i64"),))
    b = Build("leaf")
    cells = {("main", 0): classifier(), ("encode", 0): b.cell(b("full", shape=(HIDDEN,), value=0.5, dtype=F32))}
    b = Build("node")
    rows = b.rows(b.returned(0, 0), b.embed(0), b.returned(1, 0), b.const(weight(3)))
    h = b("linear", rows, weight(HIDDEN, 3 * HIDDEN + 3), weight(HIDDEN))
    rows = b("reshape", b.rows(b("tanh", h), b.embed(0)), shape=(1, 2 * HIDDEN))
    h = b("reshape", b("matmul", rows, b.const(weight(2 * HIDDEN, HIDDEN))), shape=(HIDDEN,))
    cells["encode", 1] = b.cell(h)
    visits = Visits((MAIN, Visit("encode", decision, (Variant("leaf"), node))), "main")
    return Recursion(visits, cells, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def shared_product() -> Recursion:
    """Both children go through one product, also on the way to a list that the cell's own extra result is collected in."""
    decision = Ask(Question(LEFT, "is_none"), 0, 1)
    node = Variant("node", calls=(Call("encode", LEFT), Call("encode", RIGHT)), collects=(Collect(0, 1, 1),))
    leaf = Variant("leaf", payloads=(Payload(WORD, "i64"),))
    b = Build("leaf")
    cells = {("main", 0): classifier(), ("encode", 0): b.cell(b.embed(0))}
    b = Build("node")
    w, bias = weight(HIDDEN, HIDDEN), weight(HIDDEN)
    left, right = (b("linear", b.returned(n, 0), w, bias) for n in range(2))
    h = b("tanh", b("mul", left, b("sigmoid", right)))
    cells["encode", 1] = b.cell(h, b("exp", left))
    visits = Visits((MAIN, Visit("encode", decision, (leaf, node))), "main")
    return Recursion(visits, cells, {"main": (TensorType(F32, (3,)),), "encode": (STATE,)})


def two_kinds() -> Recursion:
    """Expressions and lists of arguments call each other; the entry has two variants, with and without a structure."""
    kind = (Attribute("word"),)
    entry = Ask(Question((Item(0),), "is_none"), 1, 0)
    expression = Ask(Question(LEFT, "is_none"), 0, Ask(Question(kind, "less", WORDS // 2), 1, 2))
    visits = Visits(
        (
            Visit("main", entry, (Variant("some", calls=(Call("expression", (Item(0),)),)), Variant("none"))),
            Visit("expression", expression, (
                Variant("leaf", payloads=(Payload(WORD, "i64"),)),
                Variant("unary", calls=(Call("expression", LEFT),), collects=(Collect(0, 0, 1),)),
                Variant("call", calls=(Call("expression", LEFT), Call("arguments", RIGHT)), payloads=(Payload(WORD, "i64"),)),
            )),
            Visit("arguments", Ask(Question(LEFT, "is_none"), 0, 1), (
                Variant("empty"),
                Variant("more", calls=(Call("expression", LEFT), Call("arguments", RIGHT))),
            )),
        ),
        "main",
    )  # fmt: skip
    cells = {}
    b = Build("some")
    cells["main", 0] = b.cell(b("mul", b.returned(0, 0), b.const(weight(HIDDEN))))
    b = Build("none")
    cells["main", 1] = b.cell(b("full", shape=(HIDDEN,), value=0.5, dtype=F32))
    b = Build("leaf")
    cells["expression", 0] = b.cell(b.embed(0))
    b = Build("unary")
    cells["expression", 1] = b.cell(b("relu", b("linear", b.returned(0, 0), weight(HIDDEN, HIDDEN), None)))
    b = Build("call")
    both = b("add", b.returned(0, 0), b.returned(1, 0))
    early = b("tanh", b("linear", b.embed(0), weight(HIDDEN, HIDDEN), weight(HIDDEN)))
    cells["expression", 2] = b.cell(b("sigmoid", b("add", b("linear", both, weight(HIDDEN, HIDDEN), None), early)))
    b = Build("empty")
    cells["arguments", 0] = b.cell(b("full", shape=(HIDDEN,), value=0.0, dtype=F32))
    b = Build("more")
    cells["arguments", 1] = b.cell(b("tanh", b("add", b.returned(0, 0), b("linear", b.returned(1, 0), weight(HIDDEN, HIDDEN), None))))
    return Recursion(visits, cells, {"main": (STATE,), "expression": (STATE,), "arguments": (STATE,)})


def chain() -> Recursion:
    """A list by recursion: h = tanh(W x + U h(rest)); an encoder of another stage, of a constant, in front."""
    visits = Visits(
        (
            MAIN,
            Visit("encode", Ask(Question(LEFT, "is_none"), 0, 1), (Variant("end"), Variant("more", calls=(Call("look", ()), Call("encode", LEFT))))),
            Visit("look", 0, (Variant("look", payloads=(Payload(WORD, "i64"),)),)),
        ),
        "main",
    )  # fmt: skip
    b = Build("look")
    cells = {("main", 0): classifier(), ("look", 0): b.cell(b("gelu", b("linear", b.embed(0), weight(HIDDEN, HIDDEN), None)))}
    b = Build("end")
    start = b("tanh", b("full", shape=(HIDDEN,), value=0.25, dtype=F32))
    cells["encode", 0] = b.cell(b("linear", start, weight(HIDDEN, HIDDEN), None))
    b = Build("more")
    x = b("linear", b.returned(0, 0), weight(HIDDEN, HIDDEN), weight(HIDDEN))
    once = b("exp", b("full", shape=(HIDDEN,), value=-1.0, dtype=F32))
    h = b("linear", b("mul", b.returned(1, 0), once), weight(HIDDEN, HIDDEN), None)
    cells["encode", 1] = b.cell(b("tanh", b("add", x, h)))
    return Recursion(visits, cells, {"main": (TensorType(F32, (3,)),), "encode": (STATE,), "look": (STATE,)})


MODELS: dict[str, Callable[[], Recursion]] = {
    "joined": joined, "shared_product": shared_product, "labelled": labelled, "tree_rnn": tree_rnn, "child_sum": child_sum, "forwards": lambda: folding(False), "backwards": lambda: folding(True), "attention": attention, "two_kinds": two_kinds, "chain": chain,
}  # fmt: skip


def word(rng: np.random.Generator) -> int:
    return int(rng.integers(WORDS))


def binary(rng: np.random.Generator, leaves: int) -> Node:
    """A random binary tree."""
    if leaves == 1:
        return Node(word(rng))
    split = int(rng.integers(1, leaves))
    return Node(word(rng), binary(rng, split), binary(rng, leaves - split))


def wide(rng: np.random.Generator, size: int) -> Node:
    """A random tree of any arity, with `size` nodes below the root at most."""
    children: list[Node] = []
    while size > 0:
        part = int(rng.integers(0, size))
        children.append(wide(rng, part))
        size -= part + 1
    return Node(word(rng), children=children)


def expression(rng: np.random.Generator, size: int) -> Node:
    if size <= 1:
        return Node(word(rng))
    kind = word(rng)
    return Node(kind, expression(rng, size // 2), None if kind < WORDS // 2 else arguments(rng, size // 2))


def arguments(rng: np.random.Generator, size: int) -> Node:
    return Node(0, expression(rng, size // 2), arguments(rng, size // 2)) if size > 1 else Node(0)


def list_of(rng: np.random.Generator, size: int) -> Node:
    node = Node(0)
    for _ in range(size):
        node = Node(word(rng), node)
    return node


def samples(model: str) -> list[tuple[Any, ...]]:
    """A few structures of different shapes and depths, the smallest ones and shared nodes among them."""
    rng = np.random.default_rng(11)
    sizes = (5, 1, 9, 2, 1)
    match model:
        case "tree_rnn" | "joined" | "shared_product":
            shared = binary(rng, 3)
            return [*((binary(rng, n),) for n in sizes), (Node(0, Node(0, shared, shared), shared),)]
        case "two_kinds":
            return [*((expression(rng, 4 * n),) for n in sizes), (None,)]
        case "chain":
            return [(list_of(rng, n - 1),) for n in sizes]
        case _:
            shared = wide(rng, 2)
            return [*((wide(rng, n - 1),) for n in sizes), (Node(1, children=[shared, Node(2), Node(3, children=[shared])]),)]
