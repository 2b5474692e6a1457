"""`torch.compile(backend="bough")` computes what eager mode does: values, aliasing, updates, sizes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from against_eager import assert_eager, leaves
from torch import nn

import bough

STRICT = {"threads": 1, "fallback": False}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def compiled(module: Callable[..., Any], dynamic: bool | None = None, **options: Any) -> Any:
    return torch.compile(module, backend="bough", dynamic=dynamic, options={**STRICT, **options})


def check(module: Callable[..., Any], *calls: tuple[Any, ...], dynamic: bool | None = None) -> Any:
    """The compiled module agrees with eager on each call; gives the compiled one."""
    fast = compiled(module, dynamic)
    for args in calls:
        assert_eager(fast(*args), module, args)
    return fast


def graphs() -> int:
    """How often the backend was called since the last reset."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def mlp(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(l for a, b in zip(widths, widths[1:]) for l in (nn.Linear(a, b), nn.GELU()))).eval()


class Block(nn.Module):
    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.before(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.mlp(self.after(x))


class Convolutions(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.5),
            nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        )  # fmt: skip
        self.eval()


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.layers = kind(6, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x)[0][:, -1])


@pytest.mark.parametrize(
    "module, shape",
    [(mlp(8, 16, 4), (3, 8)), (Convolutions(), (2, 3, 10, 10)), (Block().eval(), (2, 5, 16)), (Recurrent(), (2, 7, 6))],
    ids=["mlp", "convolutions", "transformer", "lstm"],
)
def test_networks(module: nn.Module, shape: tuple[int, ...]) -> None:
    check(module, (torch.randn(shape),), (torch.randn(shape),))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@torch._dynamo.config.patch(allow_rnn=True)
def test_recurrent_layers_are_one_graph_where_dynamo_may_trace_them(kind: type[nn.RNNBase]) -> None:
    module = Recurrent(kind).eval()
    fast = torch.compile(module, backend="bough", fullgraph=True, options=STRICT)
    for batch in (2, 3, 5):
        x = torch.randn(batch, 4, 6)
        assert_eager(fast(x), module, (x,))
    assert graphs() == 2


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layers_which_torch_runs_as_one_operator(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first, activation="gelu").eval()
    masks = {"src_key_padding_mask": torch.tensor([[False] * 3, [False, True, True]])} if norm_first else {}
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(compiled(layer)(x, **masks), layer(x, **masks))
    torch.testing.assert_close(bough.compile(layer, (x,), kwargs=masks, threads=1)(x, **masks), layer(x, **masks))


def test_inference_mode() -> None:
    module = mlp(4, 4)
    fast = compiled(module)
    with torch.inference_mode():
        x = torch.randn(2, 4)
        assert_eager(fast(x), module, (x,))
        fast(x).mul_(2)


def test_a_graph_break_leaves_two_graphs() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x) * 2
        torch._dynamo.graph_break()
        return y.exp() - 1

    check(f, (torch.randn(5),))
    assert graphs() == 2


def test_a_branch_on_values_leaves_graphs_for_each_side() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        y = x * 3
        return y.exp() if y.sum() > 0 else y.sigmoid()

    check(f, (torch.ones(5),), (-torch.ones(5),), (torch.full((5,), 2.0),))
    assert graphs() == 3


def test_a_symbolic_batch_is_compiled_once() -> None:
    check(mlp(8, 16, 4), *((torch.randn(n, 8),) for n in (4, 7, 2, 33)), dynamic=True)
    assert graphs() == 1


def test_a_size_that_changes_becomes_symbolic() -> None:
    check(Block().eval(), *((torch.randn(2, n, 16),) for n in (4, 7, 3, 12, 40)))
    assert graphs() == 2


def test_a_size_in_a_range() -> None:
    x = torch.randn(6, 8)
    torch._dynamo.mark_dynamic(x, 0, min=2, max=64)
    check(mlp(8, 4), (x,), (torch.randn(64, 8),), (torch.randn(2, 8),))
    assert graphs() == 1


def test_conditions_on_sizes_become_guards() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x.relu() if x.shape[0] % 2 == 0 else x.sigmoid()

    check(f, *((torch.randn(n, 3),) for n in (4, 6, 8, 3, 5, 9)), dynamic=True)
    assert graphs() == 2


def test_sizes_that_depend_on_each_other() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = torch.cat([x, y])
        return joined.flip(0)[: x.shape[0] * 2 - 1], joined.view(-1, 2).sum(1)

    check(f, *((torch.randn(n, 4), torch.randn(n + 1, 4)) for n in (7, 5, 9)), dynamic=True)
    assert graphs() == 1


def test_numbers_as_arguments() -> None:
    def f(x: torch.Tensor, n: int, scale: float) -> tuple[torch.Tensor, int, torch.Tensor]:
        return x * n + scale, n * x.shape[0], torch.arange(n) * 2

    calls = [(torch.randn(a, 4), n, s) for a, n, s in ((3, 4, 0.5), (5, 6, 1.5), (8, 9, -2.5), (4, 17, 3.0))]
    check(f, *calls, dynamic=True)
    assert graphs() == 1


def test_negative_numbers_as_arguments() -> None:
    check(lambda x, n: x * n, *((torch.randn(3), n) for n in (4, -3, -8, 5)), dynamic=True)


def test_slices_counted_from_the_back_by_a_symbolic_number() -> None:
    def f(x: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
        return x[-n:].sum(0), x[:-n] * 2, x[-n] + 1

    check(f, *((torch.randn(a, 4), n) for a, n in ((5, 3), (6, 2), (9, 4), (9, 7))))


def test_floats_beside_integer_tensors() -> None:
    check(lambda x, f: (x * f, x + f, x > f), *((torch.arange(4), f) for f in (2.5, 1.5, 0.25)), dynamic=True)


def test_numbers_that_are_only_returned() -> None:
    fast = compiled(lambda x: (x.shape[0] * 2, x.shape[1]), dynamic=True)
    assert fast(torch.randn(3, 5)) == (6, 5) and fast(torch.randn(4, 5)) == (8, 5)


class Aliases(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x: torch.Tensor) -> tuple[Any, ...]:
        y = x * 2
        a, b = y.chunk(2, -1)
        return x, x.t(), x[1:], self.weight, self.weight.t(), y, y.view(-1), a, b, y + 1, None, 3


@pytest.mark.parametrize("dynamic", [False, True])
def test_outputs_share_memory_as_in_eager_mode(dynamic: bool) -> None:
    module = Aliases()
    fast = compiled(module, dynamic)
    x = torch.randn(3, 4)
    got, want = fast(x), module(x)
    assert got[0] is x and got[3] is module.weight
    for a, b in zip(got, want, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b)
            assert a.stride() == b.stride()
            shared = [isinstance(o, torch.Tensor) and o.untyped_storage().data_ptr() == a.untyped_storage().data_ptr() for o in got]
            assert shared == [
                isinstance(o, torch.Tensor) and o.untyped_storage().data_ptr() == b.untyped_storage().data_ptr() for o in want
            ]
        else:
            assert a is b or a == b


def test_inputs_are_updated() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x[:, 0] = 1
        y.mul_(2).add_(x.sum())
        return x.abs_(), y.view(-1) + 1

    fast = compiled(f)
    x, y = torch.randn(3, 4), torch.randn(2, 2)
    for _ in range(2):
        x2, y2 = x.clone(), y.clone()
        got, want = fast(x, y), f(x2, y2)
        for a, b in zip((*got, x, y), (*want, x2, y2), strict=True):
            torch.testing.assert_close(a, b)
        assert got[0].data_ptr() == x.data_ptr()


def test_inputs_that_share_memory_are_not_taken_for_separate_ones() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return x * y

    fast = torch.compile(f, backend="bough", options={"threads": 1})
    base = torch.ones(8)
    assert torch.equal(fast(base[:4], base[4:].clone()), torch.full((4,), 2.0))
    assert torch.equal(fast(base[:4], base[:4].view(4)), torch.full((4,), 9.0))
    torch._dynamo.reset()
    with pytest.warns(UserWarning, match="BGH-MUT-002"):
        assert torch.equal(fast(base[:4], base[:4].view(4)), torch.full((4,), 16.0))


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return self.norm(x) * self.count


def test_buffers_are_updated() -> None:
    module = Counter()
    other = copy.deepcopy(module)
    fast = compiled(module)
    for _ in range(3):
        x = torch.randn(4, 3)
        torch.testing.assert_close(fast(x), other(x))
    for a, b in zip(module.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.weight.mul_(2),
        lambda m: m.bias.detach().zero_(),
        lambda m: setattr(m.weight, "data", m.weight.data + 1),
        lambda m: setattr(m, "weight", nn.Parameter(torch.randn_like(m.weight))),
        lambda m: m.load_state_dict({"weight": torch.randn(4, 4), "bias": torch.randn(4)}),
    ],
    ids=["updated", "through a detached tensor", "other memory", "another parameter", "loaded"],
)
@pytest.mark.parametrize("freeze", [False, True])
def test_results_follow_the_parameters(change: Callable[[nn.Linear], Any], freeze: bool) -> None:
    module = nn.Linear(4, 4).eval()
    fast = compiled(module, freeze=freeze)
    for _ in range(5):
        x = torch.randn(3, 4)
        assert_eager(fast(x), module, (x,))
        change(module)


def test_modules_that_share_a_graph_keep_their_own_weights() -> None:
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))).eval()
    want = copy.deepcopy(layers)
    for layer in layers:
        layer.compile(backend="bough", options=STRICT)
    for _ in range(3):
        x = torch.randn(2, 4)
        assert_eager(layers(x), want, (x,))


def test_weights_that_change_cost_a_bounded_number_of_compilations(monkeypatch: pytest.MonkeyPatch) -> None:
    from bough.pipeline import torch_backend

    made: list[Any] = []
    build = torch_backend.compile_program
    monkeypatch.setattr(torch_backend, "compile_program", lambda *a: made.append(a) or build(*a))
    module = nn.Linear(4, 4)
    fast = compiled(module)
    for _ in range(8):
        fast(torch.randn(2, 4))
        module.weight.add_(1)
    assert len(made) == 3


class KeyValueCache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(2, 8, 4))
        self.project = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        self.keys.index_copy_(1, at, self.project(x))
        return F.scaled_dot_product_attention(x, self.keys, self.keys, attn_mask=(torch.arange(8) <= at)[None, None])


def test_decoding_with_a_cache_in_a_buffer() -> None:
    module = KeyValueCache()
    other, fast = copy.deepcopy(module), compiled(module)
    for step in range(4):
        x, at = torch.randn(2, 1, 4), torch.tensor([step])
        torch.testing.assert_close(fast(x, at), other(x, at))
        torch.testing.assert_close(module.keys, other.keys)
    assert graphs() == 1


def test_views_and_updates_inside_a_graph() -> None:
    def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = x.clone()
        y[1:3, ::2] += 1
        y.t()[0] = 5
        y.view(-1)[3] = 9
        return y.unsqueeze_(0).squeeze_(0).transpose_(0, 1), torch.add(x, 1, out=torch.empty(4, 4))

    check(f, (torch.randn(4, 4),))


def test_transformations_of_functions() -> None:
    check(lambda x, y: torch.func.vmap(lambda row: row @ y)(x), (torch.randn(3, 4), torch.randn(4, 5)))


class Svd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(x) + 1


def test_what_has_no_operator_runs_in_eager_mode_with_a_warning() -> None:
    fast = torch.compile(Svd(), backend="bough")
    x = torch.randn(3, 3)
    with pytest.warns(UserWarning, match="linalg_svd"):
        got = fast(x)
    assert torch.equal(got, Svd()(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(x)


def test_what_has_no_operator_is_an_error_where_asked_for() -> None:
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="BGH-OP-001"):
        compiled(Svd())(torch.randn(3, 3))


def test_gradients_come_from_eager_mode() -> None:
    module = mlp(4, 4)
    fast = torch.compile(module, backend="bough")
    x = torch.randn(2, 4)
    with torch.enable_grad(), pytest.warns(UserWarning, match=r"no_grad"):
        fast(x).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert_eager(fast(x), module, (x,))


def test_autocast_runs_in_eager_mode() -> None:
    fast = torch.compile(mlp(4, 4), backend="bough")
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match="autocast"):
        assert fast(torch.randn(2, 4)).dtype is torch.bfloat16


@pytest.mark.parametrize(
    "options, match",
    [({"freez": True}, "BGH-OPT-007"), ({"precision": "float8"}, "BGH-OPT-001"), ({"threads": 0}, "BGH-OPT-006")],
)
def test_options_are_checked(options: dict[str, Any], match: str) -> None:
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match=match):
        torch.compile(mlp(4, 4), backend="bough", options=options)(torch.randn(2, 4))


def test_results_are_those_of_bough_compile() -> None:
    module, x = Block().eval(), torch.randn(2, 5, 16)
    assert torch.equal(compiled(module)(x), bough.compile(module, (x,), threads=1)(x))


def test_inputs_that_are_not_contiguous() -> None:
    module = Convolutions()
    x = torch.randn(2, 3, 12, 12)
    check(module, (x.to(memory_format=torch.channels_last),), (x.transpose(2, 3),), (x[:, :, ::2, ::2],))


def test_the_key_of_the_cache_is_the_same_in_every_process() -> None:
    from bough.pipeline.options import make_options

    assert " at 0x" not in repr(make_options(None, 1))


def test_the_backend_is_registered() -> None:
    assert "bough" in torch._dynamo.list_backends()
    assert leaves(compiled(lambda x: {"a": [x + 1]})(torch.zeros(1)))[0].item() == 1
