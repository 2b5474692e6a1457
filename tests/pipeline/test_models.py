"""Whole models, as their authors write them, against eager PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_eager import Function, assert_eager, leaves
from torch import nn
from torch.nn import functional as F

import bough
from bough import Dim


def randomise(module: nn.Module) -> nn.Module:
    """Statistics and scales of normalisation that are not 0 and 1."""
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None:
            m.running_mean.normal_(std=0.2)
            m.running_var.uniform_(0.5, 2)
    for p in module.parameters():
        if p.dim() == 1:
            nn.init.normal_(p)
    return module


class Residual(nn.Module):
    def __init__(self, inner: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.shortcut = inner, shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.inner(x) + self.shortcut(x))


def residual(inputs: int, outputs: int, stride: int) -> nn.Module:
    inner = nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
    )  # fmt: skip
    return Residual(inner, nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else None)


class Excite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.SiLU(), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class Inverted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(6, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(),
            nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.Hardswish(), Excite(24),
            nn.Conv2d(24, 6, 1, bias=False), nn.BatchNorm2d(6),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.below = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.InstanceNorm2d(16, affine=True))
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.last = nn.Conv2d(32, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        b = self.below(a)
        return self.last(torch.cat([a, self.up(b), F.interpolate(b, scale_factor=2, mode="bilinear")], 1))


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(12, 12, 7, padding=3, groups=12), nn.LayerNorm(12, eps=1e-6)
        self.wide, self.narrow = nn.Linear(12, 48), nn.Linear(48, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)


class Llama(nn.Module):
    """RMS norms, rotary positions, grouped queries, a gated MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 64, bias=False), nn.Linear(32, 32, bias=False)
        self.gate, self.up, self.down = nn.Linear(32, 48), nn.Linear(32, 48), nn.Linear(48, 32)
        self.norms = nn.ModuleList([nn.RMSNorm(32), nn.RMSNorm(32)])
        self.register_buffer("rates", 1 / 10000 ** (torch.arange(0, 8, 2) / 8))

    def rotate(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, -1)
        return x * angles.cos() + torch.cat((-b, a), -1) * angles.sin()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(self.norms[0](x)).split([32, 16, 16], -1)
        q, k, v = (p.view(batch, tokens, -1, 8).transpose(1, 2) for p in parts)
        angles = torch.outer(torch.arange(tokens).to(x.dtype), self.rates).repeat(1, 2)
        k = self.rotate(k, angles).repeat_interleave(2, 1)
        v = v[:, :, None].expand(batch, 2, 2, tokens, 8).reshape(batch, 4, tokens, 8)
        y = F.scaled_dot_product_attention(self.rotate(q, angles), k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        y = self.norms[1](x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class GPT(nn.Module):
    """A causal block with a mask in a buffer, tied embeddings, and a choice of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 32), nn.Embedding(64, 32)
        self.norm, self.qkv, self.out = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU("tanh"), nn.Linear(64, 32))
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.words.weight
        self.register_buffer("mask", torch.ones(64, 64).tril())

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch, tokens = ids.size()
        x = self.words(ids) + self.places(torch.arange(tokens))
        q, k, v = (p.view(batch, tokens, 4, 8).transpose(1, 2) for p in self.qkv(self.norm(x)).split(32, 2))
        scores = (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(self.mask[:tokens, :tokens] == 0, float("-inf"))
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(batch, tokens, 32))
        logits = self.head(x + self.mlp(x))
        return logits, logits[:, -1].argmax(-1)


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.encoder = nn.Embedding(30, 12), nn.LSTM(12, 16, bidirectional=True, batch_first=True)
        self.score, self.decoder, self.out = nn.Linear(32, 1), nn.GRU(32, 16, batch_first=True), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        y, (h, _) = self.encoder(self.words(ids))
        context = (self.score(y).softmax(1) * y).sum(1, keepdim=True)
        return self.out(self.decoder(y + context, h[:1])[0])


class WaveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 8, 1)
        self.layers = nn.ModuleList([nn.Conv1d(8, 16, 2, dilation=2**k) for k in range(3)])
        self.mix = nn.Conv1d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for k, layer in enumerate(self.layers):
            a, b = layer(F.pad(x, (2**k, 0))).chunk(2, 1)
            x = x + self.mix(torch.tanh(a) * torch.sigmoid(b))
        return F.max_pool1d(x, 3, 1, 1)


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.weights = nn.Linear(8, 4), nn.Parameter(torch.randn(4, 8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, index = self.gate(x).softmax(-1).topk(2, -1)
        shares = torch.zeros(x.shape[0], 4, dtype=x.dtype).scatter(1, index, value / value.sum(-1, keepdim=True))
        return (shares[..., None] * torch.einsum("nd,edf->nef", x, self.weights)).sum(1)


class Masked(nn.Module):
    """torch's own layers, with masks of both kinds."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoderLayer(16, 2, 20, batch_first=True, activation="gelu")
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, padding: torch.Tensor) -> Any:
        memory = self.encoder(x, mask)
        y, weights = self.attention(x, memory, memory, key_padding_mask=padding)
        return self.decoder(y, memory, tgt_mask=mask), weights


def causal(size: int) -> torch.Tensor:
    return nn.Transformer.generate_square_subsequent_mask(size)


def ids(*shape: int) -> torch.Tensor:
    return torch.randint(0, 30, shape)


PADDING = torch.tensor([[False] * 5, [False, False, False, True, True]])
BOTH: dict[int, str | Dim] = {0: "batch", 1: "tokens"}
MODELS: dict[str, tuple[nn.Module, str, dict[int, str | Dim], list[tuple[int, ...]]]] = {
    "resnet": (nn.Sequential(residual(3, 8, 2), residual(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)), "input", {0: "n"}, [(2, 3, 13, 13), (1, 3, 13, 13), (5, 3, 13, 13)]),
    "mobilenet": (Inverted(), "x", {0: "n", 2: "rows"}, [(2, 6, 9, 8), (1, 6, 1, 8), (3, 6, 20, 8)]),
    "unet": (UNet(), "x", {0: "n"}, [(1, 3, 8, 12), (3, 3, 8, 12)]),
    "convnext": (ConvNeXt(), "x", {}, [(2, 12, 9, 7)]),
    "llama": (Llama(), "x", BOTH, [(2, 6, 32), (1, 1, 32), (3, 21, 32), (2, 64, 32)]),
    "wavenet": (WaveNet(), "x", {0: "r", 2: "t"}, [(2, 1, 12), (1, 1, 1), (2, 1, 50)]),
    "experts": (Experts(), "x", {0: "lane"}, [(6, 8), (1, 8), (33, 8)]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    torch.manual_seed(0)
    module, axis, sizes, shapes = MODELS[name]
    module = randomise(module).eval()
    compiled = bough.compile(module, (torch.randn(shapes[0]),), dynamic={axis: sizes} if sizes else None, threads=2)
    for shape in shapes:
        x = torch.randn(shape)
        assert_eager(compiled(x), module, (x,))


@pytest.mark.parametrize("module", [GPT(), Translator()], ids=["gpt", "translator"])
def test_models_on_tokens(module: nn.Module) -> None:
    torch.manual_seed(0)
    module.eval()
    sizes = {0: "t", 1: Dim("l", 1, 64)}
    compiled = bough.compile(module, (ids(2, 7),), dynamic={"ids": sizes}, threads=2)
    for shape in ((2, 7), (1, 1), (3, 31)):
        x = ids(*shape)
        assert_eager(compiled(x), module, (x,))


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layers_with_masks(norm_first: bool) -> None:
    torch.manual_seed(0)
    module = Masked(norm_first).eval()
    args = (torch.randn(2, 5, 16), causal(5), PADDING)
    compiled = bough.compile(module, args, threads=2)
    with torch.enable_grad():  # else torch takes another way through its encoder
        assert_eager(compiled(*args), module, args)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d, strides": (nn.Conv1d(4, 8, 3, stride=3, padding=2, dilation=2, groups=2), (2, 4, 19)),
    "conv2d, all": (nn.Conv2d(4, 8, 3, stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=2), (2, 4, 13, 11)),
    "conv2d same, circular": (nn.Conv2d(4, 6, (4, 3), padding="same", padding_mode="circular"), (2, 4, 9, 7)),
    "conv2d reflect": (nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect"), (2, 4, 9, 7)),
    "depthwise, multiplied": (nn.Conv2d(4, 12, 3, groups=4, padding=1, stride=2), (2, 4, 9, 7)),
    "conv without batch": (nn.Conv2d(3, 5, 3), (3, 8, 8)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=3, padding=2, output_padding=2, groups=2, dilation=2), (2, 4, 5, 5)),
    "pools": (nn.Sequential(nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)), (2, 3, 17, 17)),
    "adaptive pools": (nn.Sequential(nn.AdaptiveMaxPool2d((7, 5)), nn.AdaptiveAvgPool2d((3, None))), (2, 3, 13, 11)),
    "norms": (nn.Sequential(nn.GroupNorm(3, 6), nn.InstanceNorm1d(6), nn.BatchNorm1d(6), nn.LayerNorm((6, 7), bias=False)), (2, 6, 7)),
    "lstm, projected": (nn.LSTM(5, 9, proj_size=4, num_layers=2, bidirectional=True), (6, 2, 5)),
    "gru without bias, one step": (nn.GRU(5, 7, bias=False, batch_first=True), (2, 1, 5)),
    "rnn without batch": (nn.RNN(5, 7, num_layers=2, nonlinearity="relu"), (4, 5)),
    "activations": (nn.Sequential(nn.ELU(0.3), nn.Mish(), nn.Softplus(2.0, 1.0), nn.PReLU(6, 0.1), nn.GLU(1), nn.LogSigmoid()), (3, 6, 5)),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), (2, 4)),
    "bfloat16": (nn.Sequential(nn.Linear(6, 33), nn.GELU(), nn.LayerNorm(33)).bfloat16(), (4, 6)),
    "float64": (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8)).double(), (4, 6)),
    "no rows": (nn.Linear(4, 5), (0, 4)),
    "no features": (nn.Linear(0, 5), (3, 0)),
    "one number": (nn.Sequential(nn.Linear(1, 1), nn.Softmax(0)), (1,)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    torch.manual_seed(0)
    module, shape = LAYERS[name]
    module = randomise(module).eval()
    x = torch.randn(shape, dtype=next((p.dtype for p in module.parameters()), torch.float32))
    assert_eager(bough.compile(module, (x,), threads=2)(x), module, (x,))


X, Y = torch.randn(4, 6), torch.randn(4, 6)
I, J, B = torch.randint(-5, 6, (4, 6)), torch.randint(1, 5, (4, 6)), torch.rand(4, 6) > 0.5
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "choices": (lambda x: (x.topk(3), x.sort(0, descending=True), x.argmax(1), x.max(0)), X),
    "indexing": (lambda x, i: (x.index_select(1, i[0]), x.gather(1, i), x[i[0] % 4], x[:, i[0]], F.one_hot(i, 5)), X, J),
    "masks": (lambda x, b: (x.masked_fill(b, -1e9).softmax(-1), torch.where(b, x, 0.5), x[:, None] * b), X, B),
    "comparisons": (lambda x, y: ((x > 0) & (y < 1) | ~(x == y)) ^ (x >= y), X, Y),
    "bools": (lambda b, x: (b + b, b * b, b.sum(), b.any(0), b.all(1), b.int() - 1, b + x), B, X),
    "integers": (lambda i, j: (i // j, i % j, i / j, i**2, i.clamp(-2, 2), ~i & j, i << 1, i.sum(0, dtype=torch.int32)), I, J),
    "small integers": (lambda i, j: (i + 1, i.float(), j.sum(), j - 200, i // 2), I.to(torch.int8), J.to(torch.uint8)),
    "mixed types": (lambda x, i, b: (x + i, i * b, i + 1.5, torch.where(b, x, i)), X, I, B),
    "bfloat16": (lambda x: (x.exp(), x @ x.T, x.softmax(-1), x.sum(1), x * x[:, :1]), X.bfloat16()),
    "rank 0": (lambda x, s: (x * s, s.exp(), x.sum() + s, s.softmax(0), s.sort()), X, torch.tensor(1.5)),
    "inputs as results": (lambda x, y: (x, y, x, torch.ones(3), 2.5, None, {"a": [x.T]}), X, Y),
    "einsum": (lambda x, y: (torch.einsum("ij,kj->ik", x, y), torch.einsum("ij,ij->", x, y), torch.einsum("i,j->ij", x[0], y[1])), X, Y),
    "similarity": (lambda x, y: (F.cosine_similarity(x, y), F.bilinear(x, y, torch.ones(2, 6, 6)), torch.cdist(x, y)), X, Y),
    "loss": (lambda x, i: (F.cross_entropy(x, i[:, 0], label_smoothing=0.1), F.nll_loss(x[..., None], i[:, :1], reduction="none")), X, J),
    "empty": (lambda x: (x[:0] + 1, x[:0].sum(0), x[:, :0] @ x[:0, :3].expand(0, 3), torch.cat([x[:0], x])), X),
    "writes": (lambda x, y: (x.scatter(1, torch.tensor([[0], [2], [5], [1]]), y), x.index_add(0, torch.tensor([0, 0, 1, 3]), y)), X, Y),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    body, *given = FUNCTIONS[name]
    args = tuple(given)
    assert_eager(bough.compile(Function(body), args, threads=2)(*args), Function(body), args)


SPECIAL = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0, -2.0, 1e38, -1e38, 1e-40, -104.0, 0.5])


@pytest.mark.parametrize("function", [
    torch.exp, torch.log, torch.sqrt, torch.tanh, torch.sigmoid, torch.erf, torch.sin, torch.relu, torch.round, torch.log1p,
    torch.expm1, torch.reciprocal, torch.isnan, torch.sign, F.silu, F.softplus, F.elu, F.relu6,
])  # fmt: skip
def test_special_values(function: Any) -> None:
    compiled = bough.compile(Function(function), (SPECIAL,), threads=1)
    assert_eager(compiled(SPECIAL), Function(function), (SPECIAL,))


def test_hardswish_overflows_only_where_its_value_does() -> None:
    """Eager multiplies by 6 on the way."""
    compiled = bough.compile(Function(F.hardswish), (SPECIAL,), threads=1)(SPECIAL)
    large = SPECIAL == 1e38
    assert_eager(compiled[~large], Function(F.hardswish), (SPECIAL[~large],))
    assert torch.equal(compiled[large], SPECIAL[large])


def test_special_values_in_pairs_and_reductions() -> None:
    def pairs(x: torch.Tensor, y: torch.Tensor) -> Any:
        return torch.maximum(x, y), x / y, x * y, x == y, x < y, torch.atan2(x, y), x.clamp(-1, 1)

    def reductions(x: torch.Tensor) -> Any:
        return x.max(1), x.amin(0), x.softmax(1), x.argmax(1), F.max_pool1d(x, 3, 1, 1), x.sum(1), x @ x.T

    rows = SPECIAL[:, None].expand(12, 12).contiguous()
    for function, args in ((pairs, (rows, rows.T)), (reductions, (rows.T.roll(3, 1).tril(),))):
        assert_eager(bough.compile(Function(function), args, threads=2)(*args), Function(function), args)


def test_layouts_and_arrays_of_any_kind() -> None:
    module = Function(lambda x: x @ x.transpose(0, 1))
    compiled = bough.compile(module, (torch.randn(6, 4),), threads=2)
    for x in (torch.randn(4, 6).T, torch.randn(1, 4).expand(6, 4), torch.randn(12, 8)[::2, ::2], torch.randn(6, 4).requires_grad_()):
        assert_eager(compiled(x), module, (x,))
    array = np.asfortranarray(np.random.default_rng(0).standard_normal((6, 4), np.float32))
    want = compiled(torch.from_numpy(np.ascontiguousarray(array)))
    assert np.array_equal(compiled(array), want.numpy())
    assert np.array_equal(compiled(array.astype(np.float32)[::-1]), want.numpy()[::-1, ::-1])


class Keywords(nn.Module):
    def forward(self, x: torch.Tensor, scale: float = 1.0, *, extra: dict[str, Any], flag: bool = False) -> Any:
        y = x * scale + extra["bias"][0]
        return {"y": (y, [y.sum()]), "flag": flag} if flag else y


def test_keywords_and_nested_arguments() -> None:
    module, extra = Keywords(), {"bias": (Y, "unused")}
    compiled = bough.compile(module, (X, 2.0), kwargs={"extra": extra, "flag": True}, threads=1)
    got, want = compiled(X, 2.0, extra=extra, flag=True), module(X, 2.0, extra=extra, flag=True)
    assert got["flag"] is True and got.keys() == want.keys() and isinstance(got["y"], tuple)
    for a, b in zip(leaves(got), leaves(want), strict=True):
        torch.testing.assert_close(a, b)
    assert any("x * scale" in line for row in compiled.explain().rows for line in row.lines)


@pytest.mark.parametrize("name", ["chunk", "lane", "r", "v", "t", "k0", "i0", "total", "x", "x.tile"])
def test_sizes_may_have_any_name(name: str) -> None:
    module = Function(lambda x, y: (x @ y.T).softmax(-1) @ y * x.shape[0])
    compiled = bough.compile(module, (X, Y), dynamic={"x": {0: name}, "y": {0: "other"}}, threads=2)
    for n, m in ((1, 1), (9, 20)):
        args = (torch.randn(n, 6), torch.randn(m, 6))
        assert_eager(compiled(*args), module, args)


class Named(nn.Module):
    """Parameters called as loops call their own."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("acc", "staged", "a", "b"):
            self.add_module(name, nn.Module())
            getattr(self, name).total = nn.Parameter(torch.randn(6))
        self.chunk, self.lane, self.v = (nn.Parameter(torch.randn(6)) for _ in range(3))

    def forward(self, r: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        y = (r @ total.T).softmax(-1) @ total + self.acc.total * self.chunk
        return y.mean(1, keepdim=True) * self.a.total + self.b.total * self.staged.total + self.lane * self.v


def test_arguments_and_parameters_may_have_any_name() -> None:
    module = Named().eval()
    assert_eager(bough.compile(module, (X, Y), threads=2)(X, Y), module, (X, Y))
