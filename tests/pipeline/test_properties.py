"""What holds for every compiled function: threads, company, runs, callers and processes do not change a bit."""

from __future__ import annotations

import os
import threading

import pytest
import torch
from against_eager import Function, assert_eager
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import bough


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(6, 20, batch_first=True, bidirectional=True), nn.Linear(40, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0].mean(1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "mlp": (nn.Sequential(nn.Linear(13, 70), nn.GELU(), nn.LayerNorm(70), nn.Linear(70, 9), nn.Softmax(-1)), (13,)),
    "classifier": (Classifier(), (7, 6)),
    "attention": (Attention(), (9, 16)),
    "convolutions": (nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8), nn.AvgPool2d(2)), (3, 13, 11)),
    "sums": (Function(lambda x: (x * x).sum((1, 2), keepdim=True) / x.std(1, keepdim=True) + x.cumsum(2)), (33, 19)),
}  # fmt: skip


def axis_name(module: nn.Module) -> str:
    return "input" if isinstance(module, nn.Sequential) else "x"


def compiled(name: str, batch: int = 4, threads: int = 2, dynamic: bool = True) -> bough.Compiled:
    module, shape = MODULES[name]
    sizes = {axis_name(module): {0: "batch"}} if dynamic else None
    return bough.compile(module.eval(), (torch.randn(batch, *shape),), dynamic=sizes, threads=threads)


@pytest.mark.parametrize("name", MODULES)
def test_threads_and_runs_change_nothing(name: str) -> None:
    x = torch.randn(37, *MODULES[name][1])
    functions = [compiled(name, threads=n) for n in (1, 2, 3, 4)]
    want = functions[0](x)
    for f in functions:
        for _ in range(5):
            assert torch.equal(f(x), want)


@pytest.mark.parametrize("name", MODULES)
def test_rows_do_not_notice_their_company(name: str) -> None:
    function, alone = compiled(name), compiled(name, 1, dynamic=False)
    many = compiled(name, 21, threads=3, dynamic=False)
    x = torch.randn(21, *MODULES[name][1])
    together = function(x)
    assert torch.equal(many(x), together)
    for row in (0, 1, 7, 15, 16, 20):
        for f in (function, alone):
            assert torch.equal(f(x[row : row + 1]), together[row : row + 1])
    x[3] = float("nan")
    rest = [r for r in range(21) if r != 3]
    assert torch.equal(function(x)[rest], together[rest])


def test_map_is_calling_one_by_one() -> None:
    function = compiled("classifier")
    xs = [torch.randn(n, t, 6) for n, t in ((1, 7), (5, 7), (2, 7))]
    for y, x in zip(function.map(xs), xs, strict=True):
        assert torch.equal(y, function(x))


def test_many_callers_at_once() -> None:
    function = compiled("mlp", threads=3)
    inputs = [torch.randn(n, 13) for n in range(1, 9)]
    wants = [function(x) for x in inputs]
    wrong: list[int] = []

    def call(n: int) -> None:
        for _ in range(100):
            if not torch.equal(function(inputs[n]), wants[n]):
                wrong.append(n)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(len(inputs))]
    for c in callers:
        c.start()
    for c in callers:
        c.join(60)
    assert not wrong and not any(c.is_alive() for c in callers)


def test_children_go_on_with_what_their_parents_compiled() -> None:
    function, x = compiled("mlp", threads=2), torch.randn(300, 13)
    want = function(x).numpy().tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if all(function(x).numpy().tobytes() == want for _ in range(3)) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert function(x).numpy().tobytes() == want


def test_results_are_new_and_arguments_stay() -> None:
    function, x = compiled("mlp"), torch.randn(3, 13)
    before, first = x.clone(), function(x)
    kept = first.clone()
    function(x + 1)
    assert torch.equal(x, before) and torch.equal(first, kept)


def test_compilations_side_by_side() -> None:
    got: dict[str, torch.Tensor] = {}
    inputs = {name: torch.randn(2, *shape) for name, (_, shape) in MODULES.items()}

    def work(name: str) -> None:
        got[name] = compiled(name)(inputs[name])

    workers = [threading.Thread(target=work, args=(name,)) for name in ("mlp", "sums", "convolutions")]
    for w in workers:
        w.start()
    for w in workers:
        w.join(120)
    for name in ("mlp", "sums", "convolutions"):
        assert torch.equal(got[name], compiled(name)(inputs[name]))


# Random stacks of layers, each of which keeps [batch, channels, width].


class Turned(nn.Module):
    """A layer that works on [batch, width, channels]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x.transpose(1, 2))
        return (y[0] if isinstance(y, tuple) else y).transpose(1, 2)


class Joined(nn.Module):
    """Two branches of one input, put together in one of several ways."""

    def __init__(self, left: nn.Module, right: nn.Module, how: str) -> None:
        super().__init__()
        self.left, self.right, self.how = left, right, how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.left(x), self.right(x)
        match self.how:
            case "add":
                return a + b
            case "gate":
                return torch.sigmoid(a) * b
            case "share":
                return a * b.mean(2, keepdim=True)
            case "concat":
                return torch.cat([a, b], 1)[:, ::2]
            case _:
                return torch.where(a > b, a, b.roll(1, 2))


def layer(kind: str, channels: int, k: int) -> nn.Module:
    c = channels
    match kind:
        case "conv":
            return nn.Conv1d(c, c, 2 * k + 1, padding=k)
        case "depthwise":
            return nn.Conv1d(c, c, 3, padding=k, dilation=k, groups=c)
        case "linear":
            return Turned(nn.Linear(c, c))
        case "layer norm":
            return Turned(nn.LayerNorm(c))
        case "batch norm":
            return nn.BatchNorm1d(c)
        case "softmax":
            return nn.Softmax(k % 2 + 1)
        case "gru":
            return Turned(nn.GRU(c, c, batch_first=True))
        case "attention":
            return Turned(nn.TransformerEncoderLayer(c, 1, c + k, batch_first=True, norm_first=k == 1))
        case "pool":
            return nn.MaxPool1d(3, 1, 1)
        case "pointwise":
            return (nn.GELU(), nn.Tanh(), nn.SiLU())[k - 1]
        case "sum":
            return Function(lambda x: x - x.cumsum(2) / x.shape[2])
        case "flip":
            return Function(lambda x: x.flip(2) * 0.5 + x)
        case _:
            return Function(lambda x: F.pad(x, (k, k))[:, :, : -2 * k] + x)


KINDS = (
    "conv", "depthwise", "linear", "layer norm", "batch norm", "softmax", "gru", "attention", "pool", "pointwise", "sum", "flip",
    "shift",
)  # fmt: skip
STEPS = st.recursive(
    st.tuples(st.sampled_from(KINDS), st.integers(1, 3)),
    lambda inner: st.tuples(inner, inner, st.sampled_from(("add", "gate", "share", "concat", "where"))),
    max_leaves=3,
)


def build(step: tuple[object, ...], channels: int) -> nn.Module:
    if len(step) == 2:
        return layer(str(step[0]), channels, int(str(step[1])))
    left, right, how = step
    assert isinstance(left, tuple) and isinstance(right, tuple)
    return Joined(build(left, channels), build(right, channels), str(how))


@settings(max_examples=int(os.environ.get("BOUGH_TEST_EXAMPLES", "12")), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(STEPS, min_size=1, max_size=4), channels=st.sampled_from((1, 2, 5, 16, 17)), width=st.sampled_from((1, 4, 9, 33)),
    batch=st.integers(1, 5), sizes=st.sampled_from(((), (0,), (2,), (0, 2))), threads=st.integers(1, 3),
)  # fmt: skip
def test_random_networks(
    steps: list[tuple[object, ...]], channels: int, width: int, batch: int, sizes: tuple[int, ...], threads: int
) -> None:
    torch.manual_seed(channels)
    module = nn.Sequential(*(build(s, channels) for s in steps)).eval()
    names = {0: "batch", 2: "width"}
    x = torch.randn(batch, channels, width)
    dynamic = {"input": {axis: names[axis] for axis in sizes}} if sizes else None
    function = bough.compile(module, (x,), dynamic=dynamic, threads=threads, cache=False)
    for shape in (x.shape, (batch + 2 if 0 in sizes else batch, channels, width + 5 if 2 in sizes else width)):
        x = torch.randn(shape)
        assert_eager(function(x), module, (x,))
