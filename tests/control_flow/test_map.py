"""`map` of compiled modules whose inputs take different ways: what calls one by one give, errors included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bough


class Deepening(nn.Module):
    """Goes on through its layers until it is sure; gives what it found, and how many layers that took."""

    def __init__(self, width: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        used = 0
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
            used = used + 1
            if torch.softmax(self.head(x), -1).max() > 0.6:
                break
        return self.head(x), used


class Writer(nn.Module):
    """Appends rows until one is small; raises where the first one is."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.step = nn.Linear(width, width)

    def forward(self, x: Tensor, most: Tensor) -> dict[str, Any]:
        if x[0, 0] > 100:
            raise ValueError("too large")
        rows = x
        while rows[-1].abs().max() > 0.3 and rows.shape[0] < int(most):
            rows = torch.cat([rows, torch.tanh(self.step(rows[-1:]))])
        return {"rows": rows, "count": rows.shape[0]}


class Reader(nn.Module):
    """Attends to its words until it is sure; gives what it made of each, which it attended to, and how often it looked."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.read, self.ask = nn.GRU(3, width, batch_first=True), nn.Linear(width, width)

    def forward(self, x: Tensor, notes: Tensor) -> tuple[Tensor, Tensor, int]:
        states = self.read(x[None])[0][0]
        state, looks = torch.zeros(states.shape[1]), 0
        while looks < 4:
            fit = torch.softmax(states @ self.ask(state), 0)
            state = state + fit @ states + notes.sum(0)
            looks = looks + 1
            if state.abs().max() > 1.2:
                break
        return states + state, fit, looks


class Looking(nn.Module):
    """Attends with several heads until it is sure; rows of words lie behind each other in what each head computes."""

    def __init__(self, width: int = 12, heads: int = 2) -> None:
        super().__init__()
        self.inner, self.heads = nn.Linear(width, 3 * width), heads

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            words, width = x.shape
            q, k, v = self.inner(x).view(words, 3, self.heads, width // self.heads).permute(1, 2, 0, 3)
            x = x + (torch.softmax(q @ k.transpose(1, 2), -1) @ v).transpose(0, 1).reshape(words, width)
            if x.abs().max() > 3:
                break
        return x


class Grid(nn.Module):
    """One of two layers at each place of a grid."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(self.one(x)) if x.sum() > 0 else self.other(x)
        return y, x


class Pairs(nn.Module):
    """Something of every word of one text with every word of another but the first."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.one, self.both = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if x.sum() > 0:
            x = torch.tanh(self.one(x))
        z: Tensor = self.both((x[:, None] + y[None, :])[:, 1:])
        return z


class Turned(nn.Module):
    """Columns for all words but the first."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = torch.tanh(self.one(x))
        return self.other(x[1:]).T


class Filtered(nn.Module):
    """One of two convolutions."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(channels, 8, 4), nn.Conv2d(channels, 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x[None])[0] if x.mean() > 0 else -self.other(x[None] * 2)[0]


class Answering(nn.Module):
    """A number, a text and a tensor, or numbers that are computed."""

    def forward(self, x: Tensor) -> Any:
        if x.sum() > 0:
            return int(x.argmax()), {"sum": float(x.sum()), "large": bool(x.max() > 1)}
        return "small", 2 * x


def same(a: Any, b: Any) -> bool:
    one, other = torch.utils._pytree.tree_flatten(a), torch.utils._pytree.tree_flatten(b)
    return str(one[1]) == str(other[1]) and all(
        torch.equal(x, y) if isinstance(x, Tensor) else np.array_equal(x, y) and type(x) is type(y) for x, y in zip(one[0], other[0])
    )


@pytest.fixture(scope="module")
def deepening() -> Any:
    torch.manual_seed(0)
    module = Deepening().eval()
    return module, bough.compile(module, (torch.randn(1, 24),), dynamic={"x": {0: "batch"}}, threads=2, cache=False)


def test_ways_and_shapes_may_differ(deepening: Any, tmp_path: Path) -> None:
    module, compiled = deepening
    torch.manual_seed(1)
    xs = [torch.randn(1 + n % 2, 24) * (0.2 + n / 8) for n in range(17)]
    alone = [compiled(x) for x in xs]
    assert len({used for _, used in alone}) > 1
    with torch.no_grad():
        for x, (found, used) in zip(xs, alone, strict=True):
            right, layers = module(x)
            assert used == layers and torch.allclose(found, right, atol=1e-5)
    assert all(map(same, compiled.map(xs), alone))
    arrays = [x.numpy() for x in xs]
    assert all(map(same, compiled.map(arrays), [compiled(x) for x in arrays]))
    assert all(map(same, compiled.map([*arrays[:3], *xs[:3]]), [*(compiled(x) for x in arrays[:3]), *alone[:3]]))
    compiled.save(tmp_path / "deepening.bough")
    assert all(map(same, bough.load(tmp_path / "deepening.bough").map(xs), alone))
    assert compiled.map([]) == []


def test_sizes_of_inputs_differ() -> None:
    torch.manual_seed(0)
    reader = Reader().eval()
    example = (torch.randn(5, 3), torch.randn(4, 12))
    compiled = bough.compile(reader, example, dynamic={"x": {0: "words"}, "notes": {0: "notes"}}, threads=2, cache=False)
    inputs = [(torch.randn(1 + n * 7 % 11, 3), 0.1 * torch.randn(1 + n * 5 % 4, 12)) for n in range(21)]
    alone = [compiled(*x) for x in inputs]
    assert len({looks for _, _, looks in alone}) > 1
    assert all(map(same, compiled.map(inputs), alone))
    arrays = [tuple(t.numpy() for t in x) for x in inputs]
    assert all(map(same, compiled.map(arrays), [compiled(*x) for x in arrays]))
    with pytest.raises(bough.InputError, match="input 2: "):
        compiled.map([*inputs[:2], (torch.randn(3, 2), inputs[0][1]), *inputs[2:]])


def test_sizes_inside_of_arrays_differ() -> None:
    """Where kernels see an array in several shapes, the rows of a smaller input lie where those of its own call do."""
    torch.manual_seed(0)
    looking, grid = Looking().eval(), Grid().eval()
    look = bough.compile(looking, (torch.randn(5, 12),), dynamic={"x": {0: "words"}}, threads=2, cache=False)
    texts = [torch.randn(1 + n * 5 % 7, 12) * (1 + n % 3) for n in range(21)]
    assert all(map(same, look.map(texts), map(look, texts)))
    for axes, shapes in (({0: "h", 1: "w"}, [(2, 5), (3, 4), (1, 1), (3, 5), (2, 4)]), ({1: "w"}, [(3, w) for w in (5, 4, 1, 3, 5)])):
        place = bough.compile(grid, (torch.randn(3, 4, 8),), dynamic={"x": axes}, threads=2, cache=False)
        inputs = [torch.randn(*shape, 8) for shape in shapes * 3]
        alone = [place(x) for x in inputs]
        assert len({bool(x.sum() > 0) for x in inputs}) == 2
        with torch.no_grad():
            assert all(torch.allclose(y, grid(x)[0], atol=1e-5) for (y, _), x in zip(alone, inputs, strict=True))
        assert all(map(same, place.map(inputs), alone))


class Attending(nn.Module):
    """Looks at words until it is sure, and says how much of each it saw at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.step = nn.Linear(8, 8), nn.GRUCell(8, 8)

    def forward(self, words: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        keys, state, seen = self.key(words), torch.zeros(1, 8), []
        for _ in range(6):
            weights = torch.softmax((keys @ state[0]) * 2 + words[:, 0], 0)
            seen.append(weights)
            state = self.step((weights[:, None] * words).sum(0, keepdim=True), state)
            if state.amax() > 0.45:
                break
        if state.sum() > 0:
            table = torch.tanh(table) + 1
        return torch.stack(seen), table * 2


def test_lists_of_rows_and_tables_of_sizes_of_their_own() -> None:
    """Inputs of all sizes are computed together: nobody sees the rows of such an array as lying end to end."""
    torch.manual_seed(0)
    dynamic = {"words": {0: "n"}, "table": {0: "height", 1: "width"}}
    inputs = [(torch.randn(1 + n * 5 % 7, 8) * (1 + n % 3), torch.randn(1 + n % 4, 2 + n * 3 % 5)) for n in range(24)]
    module = Attending().eval()
    compiled = bough.compile(module, inputs[3], dynamic=dynamic, threads=2, cache=False)
    alone = [compiled(*x) for x in inputs]
    assert len({len(seen) for seen, _ in alone}) > 2
    assert all(map(same, compiled.map(inputs), alone))
    assert compiled.executable.samples.differ == ["n", "height", "width"]
    with torch.no_grad():
        for x, (seen, table) in zip(inputs, alone, strict=True):
            right = module(*x)
            torch.testing.assert_close((seen, table), right, rtol=1e-4, atol=1e-5)


def test_what_torch_keeps_beside_the_elements() -> None:
    """Gradients are left out, and arguments that are returned are returned as they came; arrays of other kinds are refused."""
    torch.manual_seed(0)
    place = bough.compile(Grid().eval(), (torch.randn(3, 4, 8),), dynamic={"x": {0: "h", 1: "w"}}, threads=2, cache=False)
    inputs = [torch.randn(2 + n, 5 - n % 2, 8, requires_grad=n % 2 > 0) for n in range(4)]
    inputs.append(torch.randn(8, 4, 3).permute(2, 1, 0))
    assert all(map(same, place.map(inputs), [place(x) for x in inputs]))
    x = inputs[0].detach()
    for other in (torch.randn(()), x.to_sparse(), x[0].to_sparse_csr(), x.to("meta"), x.double(), x.to_mkldnn()):
        for wrong, number in (([other] * 3, 0), ([x, x, other], 2), ([other, x, x[:1]], 0)):
            with pytest.raises(bough.InputError, match=f"input {number}: "):
                place.map(wrong)
    with pytest.raises(bough.InputError, match="BGH-IN-013"):
        torch.func.vmap(lambda t: place.map([t, t, t])[0][0])(torch.randn(2, 3, 4, 8))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("width", [24, 64])
def test_narrow_weights(precision: str, width: int) -> None:
    """Instructions that add up several products at once round them otherwise: who runs on them does so in a batch, too, whatever
    its rows are looked up by."""
    torch.manual_seed(0)
    deepening = bough.compile(Deepening(width).eval(), (torch.randn(width),), precision=precision, threads=2, cache=False)
    xs = [torch.randn(width) * (0.2 + n / 8) for n in range(17)]
    alone = [deepening(x) for x in xs]
    assert len({used for _, used in alone}) > 1
    assert all(map(same, deepening.map(xs), alone))


WORDS = bough.Dim("words", 2, 64)
SIDES = {1: bough.Dim("h", 4, 64), 2: bough.Dim("w", 4, 64)}
NARROW: dict[str, tuple[nn.Module, dict[str, Any], list[tuple[tuple[int, ...], ...]]]] = {
    "pairs": (Pairs(), {"x": {0: WORDS}, "y": {0: bough.Dim("others", 2, 64)}}, [((4, 24), (3, 24)), ((2, 24), (8, 24)), ((5, 24), (2, 24))]),
    "turned": (Turned(), {"x": {0: WORDS}}, [((4, 24),), ((2, 24),), ((7, 24),)]),
    "filtered": (Filtered(), {"x": SIDES}, [((4, 6, 6),), ((4, 5, 9),), ((4, 4, 4),)]),
}  # fmt: skip


@pytest.mark.parametrize("name", NARROW)
def test_products_of_bfloat16_where_sizes_differ(name: str) -> None:
    torch.manual_seed(0)
    module, dynamic, shapes = NARROW[name]
    inputs = [tuple(torch.randn(shape) + n % 3 - 1 for shape in shapes[n % 3]) for n in range(15)]
    compiled = bough.compile(module.eval(), inputs[0], dynamic=dynamic, precision="bfloat16", threads=2, cache=False)
    assert len({bool(x[0].sum() > 0) for x in inputs}) == 2
    given = [x if len(x) > 1 else x[0] for x in inputs]
    assert all(map(same, compiled.map(given), [compiled(*x) for x in inputs]))


def test_loops_of_different_length_and_the_first_to_fail() -> None:
    torch.manual_seed(0)
    writer = Writer().eval()
    compiled = bough.compile(writer, (torch.randn(1, 8), torch.tensor(9)), threads=2, cache=False)
    inputs = [(torch.randn(1, 8) * (n % 4), torch.tensor(n)) for n in range(1, 14)]
    alone = [compiled(*x) for x in inputs]
    assert len({one["count"] for one in alone}) > 2
    assert all(map(same, compiled.map(inputs), alone))
    bad = (torch.full((1, 8), 200.0), torch.tensor(3))
    with pytest.raises(ValueError, match="input 5: ValueError: too large"):
        compiled.map([*inputs[:5], bad, *inputs[5:], bad])
    with pytest.raises(bough.InputError, match=r"input 1: .*element type"):
        compiled.map([inputs[0], (torch.randn(1, 8).double(), torch.tensor(3)), inputs[1]])


def test_numbers_are_those_of_python() -> None:
    inputs = [torch.randn(4, generator=torch.Generator().manual_seed(n)) for n in range(16)]
    f = bough.compile(Answering(), (inputs[0],), cache=False)
    for x, y in zip(inputs, f.map(inputs), strict=True):
        if x.sum() > 0:
            assert y == (int(x.argmax()), {"sum": f(x)[1]["sum"], "large": bool(x.max() > 1)})
            assert [type(value) for value in (y[0], *y[1].values())] == [int, float, bool]
        else:
            assert y[0] == "small"
            assert torch.equal(y[1], 2 * x)


class Summing(nn.Module):
    """One of two sums of each row, of two arguments."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).sum(1) if x.mean() > 0 else (x - y).sum(1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [2, 40, 300])
def test_tensors_are_read_as_they_are(threads: int, count: int) -> None:
    """Many at once where they are alike; else what a call of its own makes of each, errors included."""
    generator = torch.Generator().manual_seed(count)
    pairs = [(torch.randn(7, 300, generator=generator), torch.randn(7, 300, generator=generator)) for _ in range(count)]
    f = bough.compile(Summing(), pairs[0], dynamic={"x": {0: "n"}, "y": {0: "n"}}, threads=threads, cache=False)
    assert all(map(torch.equal, f.map(pairs), [f(*pair) for pair in pairs]))
    odd = [
        pairs[0][0].T.contiguous().T,
        pairs[0][0].requires_grad_(),
        nn.Parameter(pairs[0][0].detach()),
        torch.randn(21, 300)[::3],
        torch.complex(torch.zeros(7, 300), pairs[0][0].detach()).conj().imag,
        pairs[0][0].detach().numpy(),
        torch.randn(4, 300),
    ]
    for x in odd:
        mixed = [*pairs[:-1], (x, x), pairs[1]]
        assert all(map(same, f.map(mixed), [f(*pair) for pair in mixed]))
    with pytest.raises(bough.InputError, match="float64"):
        f.map([*pairs[:-1], (pairs[1][0].double(), pairs[1][1])])
    with pytest.raises(bough.InputError):
        f.map([*pairs[:-1], (pairs[1][0], pairs[1][1][:5])])
    with pytest.raises(bough.InputError):
        f.map([*pairs[:-1], (pairs[1][0][:, :5], pairs[1][1][:, :5])])
