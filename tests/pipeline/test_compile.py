"""Modules through the whole pipeline: compiled answers are PyTorch's, for every size in the range, bit for bit the same
whatever the threads and the company of other rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bough
from bough.ir.program import Dim
from bough.targets import TARGETS, host


class Function(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *args):
        return self.body(*args)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 20, batch_first=True)
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Separable(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 20, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x).flatten(1)


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


MODULES = {
    "mlp": (nn.Sequential(nn.Linear(13, 40), nn.GELU(), nn.Linear(40, 7), nn.Softmax(-1)), [(5, 13)]),
    "layer norm": (nn.Sequential(nn.LayerNorm(19), nn.Linear(19, 33), nn.SiLU(), nn.LayerNorm(33)), [(4, 3, 19)]),
    "gru": (nn.GRU(6, 17), [(9, 3, 6)]),
    "lstm, deep, both directions": (nn.LSTM(5, 8, num_layers=2, bidirectional=True, batch_first=True), [(3, 7, 5)]),
    "rnn": (nn.RNN(5, 6, nonlinearity="relu"), [(4, 2, 5)]),
    "classifier": (Classifier(), [(3, 8, 6)]),
    "convolutions": (Separable(), [(2, 3, 17, 15)]),
    "conv1d": (nn.Sequential(nn.Conv1d(4, 6, 5, dilation=2, padding=3), nn.Tanh(), nn.MaxPool1d(3, 2)), [(2, 4, 31)]),
    "transposed conv": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), [(2, 3, 5, 6)]),
    "pooling": (nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.Flatten()), [(2, 3, 16, 16)]),
    "attention": (Function(attention), [(2, 2, 9, 8)] * 3),
    "encoder layer": (nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, norm_first=True), [(2, 7, 16)]),
    "products": (Function(lambda a, b: (a @ b, a.transpose(-1, -2) @ a)), [(2, 6, 5), (2, 5, 20)]),
    "reductions": (Function(lambda x: (x.sum(0), x.mean(-1), x.amax(1), x.std(1), x.argmax(1), x.cumsum(1))), [(4, 9)]),
    "views": (Function(lambda x: torch.cat([x.transpose(0, 1).reshape(6, 4), x.flip(0)[:, 1:5].T[:, :4].repeat(2, 1)[:6]], 1)), [(4, 6)]),
    "pointwise": (Function(lambda x, y: torch.where(x > y, x.exp().log1p(), (x * y).clamp(-1, 1)) / (y.abs() + 1)), [(3, 1, 5), (4, 5)]),
    "same thing twice": (Function(lambda x: (x, x, x + 1, {"a": [x * 2]})), [(3,)]),
}  # fmt: skip


def inputs_of(shapes: list[tuple[int, ...]], seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(s, generator=generator) for s in shapes)


def check_same(got: object, want: object, exact: bool = False) -> None:
    a, b = torch.utils._pytree.tree_flatten(got), torch.utils._pytree.tree_flatten(want)
    assert a[1] == b[1]
    for x, y in zip(a[0], b[0], strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        if exact:
            assert torch.equal(x, y)
        else:
            torch.testing.assert_close(x, y, rtol=2e-5, atol=2e-6)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BOUGH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", MODULES)
def test_answers_are_eager_ones(name: str):
    module, shapes = MODULES[name]
    module = module.eval()
    args = inputs_of(shapes)
    compiled = bough.compile(module, args, threads=2)
    for seed in (0, 1):
        args = inputs_of(shapes, seed)
        with torch.no_grad():
            check_same(compiled(*args), module(*args))


@pytest.mark.parametrize("name", ["mlp", "classifier", "convolutions", "layer norm"])
def test_one_function_for_every_batch_and_rows_do_not_notice_company(name: str):
    module, (shape,) = MODULES[name]
    module = module.eval()
    axis = "input" if isinstance(module, nn.Sequential) else "x"
    compiled = bough.compile(module, inputs_of([shape]), dynamic={axis: {0: Dim("batch", 0)}}, threads=2)
    alone = bough.compile(module, inputs_of([(1, *shape[1:])]), threads=1)
    for batch in (1, 2, 3, 5, 8, 13, 21):
        (x,) = inputs_of([(batch, *shape[1:])], batch)
        y = compiled(x)
        with torch.no_grad():
            check_same(y, module(x))
        for row in range(batch):
            check_same(y[row : row + 1], compiled(x[row : row + 1]), exact=True)
            check_same(y[row : row + 1], alone(x[row : row + 1]), exact=True)
    assert compiled(torch.zeros(0, *shape[1:])).shape[0] == 0


def test_threads_do_not_change_a_bit():
    module, _ = MODULES["mlp"]
    args = inputs_of([(200, 13)])
    results = [bough.compile(module.eval(), args, threads=n)(*args) for n in (1, 2, 3, 4)]
    for r in results[1:]:
        check_same(r, results[0], exact=True)


def test_dynamic_sequence_length():
    module = nn.GRU(6, 17).eval()
    compiled = bough.compile(module, inputs_of([(9, 3, 6)]), dynamic={"input": {0: "time"}}, threads=2)
    for time in (1, 2, 30):
        (x,) = inputs_of([(time, 3, 6)], time)
        with torch.no_grad():
            check_same(compiled(x), module(x))


def test_numpy_in_numpy_out_and_map():
    module, shapes = MODULES["mlp"]
    compiled = bough.compile(module.eval(), inputs_of(shapes), threads=2)
    xs = [inputs_of(shapes, seed)[0] for seed in range(3)]
    ys = compiled.map(xs)
    for x, y in zip(xs, ys):
        array = compiled(x.numpy())
        assert isinstance(array, np.ndarray)
        assert np.array_equal(array, y.numpy())


def test_cache_gives_the_same_function_and_notices_changed_weights(tmp_path):
    module = nn.Linear(4, 3).eval()
    (x,) = inputs_of([(2, 4)])
    first = bough.compile(module, (x,))
    again = bough.compile(module, (x,))
    check_same(first(x), again(x), exact=True)
    with torch.no_grad():
        module.weight += 1
    changed = bough.compile(module, (x,))
    with torch.no_grad():
        check_same(changed(x), module(x))
    assert not torch.equal(changed(x), first(x))


def test_corrupt_cache_entry_is_made_anew(tmp_path):
    module = nn.Linear(4, 3).eval()
    (x,) = inputs_of([(2, 4)])
    want = bough.compile(module, (x,))(x)
    for file in (tmp_path / "cache").iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    check_same(bough.compile(module, (x,))(x), want, exact=True)


def test_explanation_names_every_line_and_its_kernel():
    module, shapes = MODULES["classifier"]
    text = str(bough.compile(module.eval(), inputs_of(shapes), target="avx2", threads=2).explain())
    assert "self.head(self.rnn(x)" in text and "avx2.fma" in text and "% of the time" in text and "limit:" in text


@pytest.mark.parametrize("target", ["x86-64", "avx2", "avx512"])
def test_targets_agree(target: str):
    module, shapes = MODULES["classifier"]
    args = inputs_of(shapes)
    if not set(TARGETS[target].features) <= set(host().features):
        pytest.skip("this processor lacks the target's features")
    with torch.no_grad():
        check_same(bough.compile(module.eval(), args, target=target)(*args), module(*args))


def test_kernels_that_read_a_weight_alike_share_its_packed_form():
    embedding = nn.Linear(48, 48, bias=False).eval()

    def twice(x, y):
        return embedding(torch.relu(embedding(x))), embedding(y).tanh()

    x, y = torch.randn(3, 48), torch.randn(3, 48)
    compiled = bough.compile(twice, (x, y), cache=False)
    for got, expected in zip(compiled(x, y), twice(x, y), strict=True):
        torch.testing.assert_close(got, expected)
    assert sum(a.size for a in compiled.executable.constants.values()) == embedding.weight.numel()
