"""Modules of torch.nn and small networks, against eager, at several batch sizes from one import."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from comparing import check, operators
from torch import nn

from bough.frontends import torch_export

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (3, 6)), "linear_without_bias": (lambda: nn.Linear(6, 4, bias=False), (3, 2, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 11)), "conv1d_dilated": (lambda: nn.Conv1d(4, 6, 3, dilation=2), (2, 4, 11)),
    "conv2d": (lambda: nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2)), (2, 3, 9, 10)), "conv_same": (lambda: nn.Conv2d(3, 8, 4, padding="same"), (2, 3, 9, 10)),
    "conv_groups": (lambda: nn.Conv2d(4, 8, 3, groups=2), (2, 4, 7, 7)), "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, bias=False), (2, 4, 7, 7)),
    "conv_transpose": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (2, 3, 5, 6)), "conv_transpose1d": (lambda: nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), (2, 4, 5)),
    "batch_norm1d": (lambda: nn.BatchNorm1d(5), (3, 5)), "batch_norm2d": (lambda: nn.BatchNorm2d(5), (2, 5, 4, 4)), "batch_norm_plain": (lambda: nn.BatchNorm2d(5, affine=False), (2, 5, 4, 4)),
    "batch_norm_of_batch": (lambda: nn.BatchNorm2d(5, track_running_stats=False), (2, 5, 4, 4)),
    "layer_norm": (lambda: nn.LayerNorm(6), (3, 4, 6)), "layer_norm2": (lambda: nn.LayerNorm((4, 6), elementwise_affine=False), (3, 4, 6)), "rms_norm": (lambda: nn.RMSNorm(6), (3, 4, 6)),
    "group_norm": (lambda: nn.GroupNorm(2, 6), (3, 6, 5)), "instance_norm": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 5)), "instance_norm_tracked": (lambda: nn.InstanceNorm1d(4, track_running_stats=True), (2, 4, 5)),
    "max_pool1d": (lambda: nn.MaxPool1d(3, 2), (2, 3, 9)), "max_pool2d": (lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 9, 8)), "max_pool_ceil": (lambda: nn.MaxPool2d(2, ceil_mode=True), (2, 3, 9, 7)),
    "avg_pool1d": (lambda: nn.AvgPool1d(2), (2, 3, 8)), "avg_pool2d": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 9, 8)), "adaptive_avg": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 7, 8)),
    "adaptive_one": (lambda: nn.AdaptiveAvgPool2d(1), (2, 3, 7, 8)), "adaptive_max": (lambda: nn.AdaptiveMaxPool2d(2), (2, 3, 7, 8)), "flatten": (lambda: nn.Flatten(), (2, 3, 4)), "softmax": (lambda: nn.Softmax(-1), (2, 5)),
    "softmax2d": (lambda: nn.Softmax2d(), (2, 3, 4, 4)), "prelu": (lambda: nn.PReLU(3), (2, 3, 4)), "glu": (lambda: nn.GLU(1), (2, 4, 3)), "dropout": (lambda: nn.Dropout(0.5), (2, 5)), "identity": (lambda: nn.Identity(), (2, 5)),
    "upsample": (lambda: nn.Upsample(scale_factor=2), (2, 3, 4, 5)), "pad": (lambda: nn.ReflectionPad2d(2), (2, 3, 5, 5)), "pixel_shuffle": (lambda: nn.PixelShuffle(2), (2, 8, 3, 3)), "rrelu": (lambda: nn.RReLU(), (2, 5)),
    "local_response_norm": (lambda: nn.LocalResponseNorm(2), (2, 4, 5, 5)), "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (4, 6)), "weight_norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_at_any_batch_size(name: str) -> None:
    make, shape = LAYERS[name]
    module = make()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    others = [(torch.randn(n, *shape[1:]),) for n in (1, shape[0] + 3)]
    name_of_input = next(iter(inspect.signature(module.forward).parameters))
    check(module, torch.randn(shape), dynamic={name_of_input: {0: "batch"}} if name not in ("pad", "unflatten") else None,
          also=others if name not in ("pad", "unflatten") else None)  # fmt: skip


class Residual(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.second = nn.Conv2d(2 * channels, 2 * channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * channels)
        self.short = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, stride, bias=False), nn.BatchNorm2d(2 * channels))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.norm(self.first(x)))
        y = self.norm2(self.second(y))
        y += self.short(x)
        return self.act(y)


class Inverted(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 3 * channels
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(inplace=True),
        )  # fmt: skip
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.ReLU(), nn.Conv2d(4, wide, 1), nn.Hardsigmoid())
        self.out = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return x + self.out(y * self.squeeze(y))


def test_residual_block_with_updates_in_place() -> None:
    x = torch.randn(2, 4, 8, 8)
    check(Residual(4, 2), x, dynamic={"x": {0: "batch"}}, also=[(x[:1],), (torch.randn(5, 4, 8, 8),)])


def test_inverted_residual_with_squeeze() -> None:
    check(Inverted(4), torch.randn(2, 4, 6, 6), dynamic={"x": {0: "batch"}}, also=[(torch.randn(1, 4, 6, 6),)])


def test_linear_layers_stay_single_operators() -> None:
    net = nn.Sequential(*(m for _ in range(10) for m in (nn.Linear(8, 8), nn.ReLU())))
    imported = check(net, torch.randn(4, 8), dynamic={"input": {0: "batch"}}, also=[(torch.randn(1, 8),)])
    assert operators(imported) == ["linear", "relu"] * 10


@pytest.mark.parametrize(
    ("make", "shape", "name"),
    [
        (lambda: nn.GRU(8, 8), (3, 2, 8), "input"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout()), (2, 3, 5, 5), "input"),
        (lambda: nn.TransformerEncoderLayer(8, 2, 8), (3, 2, 8), "src"),
        (lambda: Residual(4, 2), (2, 4, 8, 8), "x"),
    ],
    ids=["gru", "conv", "encoder", "residual"],
)
def test_common_layers_need_no_decomposition(
    make: Callable[[], nn.Module], shape: tuple[int, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would double the time of an import."""
    monkeypatch.setattr(torch_export, "_decompose", lambda exported: pytest.fail("decomposed"))
    check(make(), torch.randn(shape), dynamic={name: {0: "n"}})


def test_tied_weights_are_one_constant() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.out = nn.Linear(4, 7, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.out(self.embed(tokens))

    imported = check(Tied(), torch.tensor([[1, 2, 3]]))
    assert len(imported.program.functions["main"].constants) == 1


def test_unused_weights_are_left_out() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    imported = check(Half(), torch.randn(2, 4))
    assert [v.name for v in imported.program.functions["main"].constants] == ["used_weight"]


def test_bfloat16_weights_are_bit_patterns() -> None:
    module = nn.Sequential(nn.Linear(16, 8), nn.ReLU()).bfloat16()
    imported = check(module, torch.randn(3, 16).bfloat16(), tolerance=2e-2)
    arrays = list(imported.program.functions["main"].constants.values())
    assert {a.dtype.name for a in arrays} == {"uint16"}


def test_buffers_and_grad_modes() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]), persistent=False)
            self.plain = torch.tensor([0.5, 0.25, 1.0])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                y = x * self.scale
            return y + self.plain

    check(Net(), torch.randn(2, 3))


def test_nested_arguments_and_results() -> None:
    class Net(nn.Module):
        def forward(self, x: dict, pair: tuple, flag: bool = True, scale: float = 2.0, none: None = None) -> dict:
            y = x["a"] * scale + pair[0]
            return {"y": y, "parts": [x["b"], (pair[1], None, 3)], "n": y.shape[0]}

    args = ({"a": torch.randn(3, 2), "b": torch.randn(2)}, (torch.randn(3, 2), torch.arange(3)), True)
    other = ({"a": torch.randn(1, 2), "b": torch.randn(2)}, (torch.randn(1, 2), torch.arange(3)), True)
    imported = check(Net(), *args, kwargs={"scale": 3.0}, dynamic={"x.a": {0: "n"}, "pair.0": {0: "n"}}, also=[other])
    assert imported.names == ("x.a", "x.b", "pair.0", "pair.1")


def test_without_tensor_arguments() -> None:
    class Table(nn.Module):
        def forward(self, rows: int) -> torch.Tensor:
            return torch.ones(rows, 2)

    check(Table(), 3)


def test_functions_and_what_they_close_over() -> None:
    layer, plain = nn.Linear(4, 4), torch.randn(4, 4)
    check(lambda x: layer(x).relu() @ plain, torch.randn(3, 4, requires_grad=True))


def test_the_module_is_left_as_it_was() -> None:
    layer = nn.GRU(4, 4).eval()
    before = dict(layer.named_parameters())
    torch_export.export(layer, (torch.randn(3, 2, 4),))
    assert all(before[n] is p for n, p in layer.named_parameters())
    assert layer._flat_weights[0] is layer.weight_ih_l0


def test_values_carry_the_users_line() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.relu(x)  # the line
            return y

    imported = check(Net(), torch.randn(2, 3))
    (node,) = imported.program.functions["main"].body
    assert node.location is not None
    assert node.location.file == __file__
    assert node.location.text.endswith("# the line")
    assert node.location.function == "forward"
