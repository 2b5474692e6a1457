"""Static networks by name: each at its published size, and small for tests, with arguments for any batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bough.bench.zoo.dynamic.calibrate import settle
from bough.bench.zoo.dynamic.gpt2 import GPT2, initialize
from bough.bench.zoo.static import resnet
from bough.bench.zoo.static.bert import Bert
from bough.bench.zoo.static.convnext import convnext
from bough.bench.zoo.static.diffusion import DiffusionUNet
from bough.bench.zoo.static.dlrm import DLRM
from bough.bench.zoo.static.llama import Llama
from bough.bench.zoo.static.mobilenet import efficientnet_b0, mobilenet_v1, mobilenet_v2, mobilenet_v3
from bough.bench.zoo.static.swin import Swin
from bough.bench.zoo.static.t5 import T5
from bough.bench.zoo.static.unet import UNet, autoencoder
from bough.bench.zoo.static.vision_transformers import Mixer, ViT
from bough.bench.zoo.static.wavenet import WaveNet

CLASSES = 10
"""Of small networks."""
SETTLED_ON, SMALL_SETTLED_ON = 4, 64
"""Inputs that normalisations take their statistics from; more where few places are left of a small picture."""
Arguments = Callable[[int], tuple[Any, ...]]
"""Random ones for so many inputs together."""


@dataclass(frozen=True, slots=True)
class StaticEntry:
    """`full` and `small` build the network, `arguments` and `small_arguments` what it is called with. `quick`: among the
    networks of a quick run."""

    name: str
    full: Callable[[], nn.Module]
    arguments: Arguments
    small: Callable[[], nn.Module]
    small_arguments: Arguments
    quick: bool = False

    def network(self, small: bool = False, seed: int = 0) -> nn.Module:
        """With random weights that depend on the seed alone, in evaluation mode."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            module = (self.small if small else self.full)()
            _keep_the_scale(module)
            if any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
                settle(module, *(self.small_arguments(SMALL_SETTLED_ON) if small else self.arguments(SETTLED_ON)))
        return module.eval().requires_grad_(False)

    def inputs(self, batch: int, small: bool = False, seed: int = 1) -> tuple[Any, ...]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return (self.small_arguments if small else self.arguments)(batch)


def _keep_the_scale(module: nn.Module) -> None:
    """Weights of convolutions with which what they give is about as large as what they take (He et al., ICCV 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=math.sqrt(2 / part.weight[0].numel()))


def pictures(side: int) -> Arguments:
    return lambda batch: (torch.randn(batch, 3, side, side),)


def texts(words: int, vocabulary: int) -> Arguments:
    return lambda batch: (torch.randint(vocabulary, (batch, words)),)


def padded_texts(words: int, vocabulary: int) -> Arguments:
    """The second half of every other text is padding."""

    def make(batch: int) -> tuple[Tensor, Tensor]:
        there = torch.ones(batch, words, dtype=torch.long)
        there[1::2, words // 2 :] = 0
        return torch.randint(vocabulary, (batch, words)), there

    return make


def translations(source: int, target: int, vocabulary: int) -> Arguments:
    return lambda batch: (torch.randint(vocabulary, (batch, source)), torch.randint(vocabulary, (batch, target)))


def next_word(past: int, layers: int, heads: int, size: int, vocabulary: int) -> Arguments:
    """One word, and the keys and values of those before."""

    def make(batch: int) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        shape = (batch, heads, past, size)
        return torch.randint(vocabulary, (batch, 1)), [(torch.randn(shape), torch.randn(shape)) for _ in range(layers)]

    return make


def noisy(side: int) -> Arguments:
    return lambda batch: (torch.randn(batch, 3, side, side), torch.randint(1000, (batch,)).float())


def visits(numbers: int, tables: int, rows: int, count: int) -> Arguments:
    return lambda batch: (torch.randn(batch, numbers), torch.randint(rows, (tables, batch, count)))


def gpt2(small: bool) -> GPT2:
    model = GPT2(16, 2, 2, 50, 40) if small else GPT2(768, 12, 12, 50257, 1024)
    initialize(model, 0.2 if small else 0.04)
    return model


def small_bert(kinds: int) -> Bert:
    return Bert(24, 2, 2, 50, 20, kinds)


def small_llama() -> Llama:
    return Llama(24, 4, 2, 40, 2, 50)


IMAGE, SMALL_IMAGE = pictures(224), pictures(32)
STATIC: dict[str, StaticEntry] = {
    entry.name: entry
    for entry in (
        StaticEntry("mobilenet-v1", mobilenet_v1, IMAGE, lambda: mobilenet_v1(0.25, CLASSES), SMALL_IMAGE),
        StaticEntry("mobilenet-v2", mobilenet_v2, IMAGE, lambda: mobilenet_v2(0.25, CLASSES, 4), SMALL_IMAGE, quick=True),
        StaticEntry("mobilenet-v3", mobilenet_v3, IMAGE, lambda: mobilenet_v3(0.25, CLASSES, 7), SMALL_IMAGE),
        StaticEntry(
            "efficientnet-b0", efficientnet_b0, IMAGE, lambda: efficientnet_b0(0.25, CLASSES, 4), SMALL_IMAGE, quick=True
        ),
        StaticEntry(
            "resnet-18",
            lambda: resnet.resnet(resnet.basic, (2, 2, 2, 2)), IMAGE,
            lambda: resnet.resnet(resnet.basic, (1, 1, 1, 1), 8, CLASSES), SMALL_IMAGE,
        ),
        StaticEntry(
            "resnet-50",
            lambda: resnet.resnet(resnet.bottleneck(1), (3, 4, 6, 3)), IMAGE,
            lambda: resnet.resnet(resnet.bottleneck(1), (1, 2, 1, 1), 8, CLASSES), SMALL_IMAGE, quick=True,
        ),
        StaticEntry(
            "wide-resnet-50",
            lambda: resnet.resnet(resnet.bottleneck(2), (3, 4, 6, 3)), IMAGE,
            lambda: resnet.resnet(resnet.bottleneck(2), (1, 1, 1, 1), 8, CLASSES), SMALL_IMAGE,
        ),
        StaticEntry("vgg-16", resnet.vgg16, IMAGE, lambda: resnet.vgg16(8, 32, 32, CLASSES), SMALL_IMAGE, quick=True),
        StaticEntry(
            "convnext-t", convnext, IMAGE,
            lambda: convnext((1, 1, 2, 1), (8, 16, 24, 32), CLASSES), SMALL_IMAGE, quick=True,
        ),
        StaticEntry("unet", UNet, pictures(256), lambda: UNet(4), SMALL_IMAGE, quick=True),
        StaticEntry(
            "swin-t", Swin, IMAGE,
            lambda: Swin(32, 4, 12, (2, 2), (2, 3), 4, CLASSES), SMALL_IMAGE, quick=True,
        ),
        StaticEntry("vit-b", ViT, IMAGE, lambda: ViT(32, 8, 24, 2, 2, CLASSES), SMALL_IMAGE, quick=True),
        StaticEntry("mixer-b", Mixer, IMAGE, lambda: Mixer(32, 8, 24, 20, 48, 2, CLASSES), SMALL_IMAGE),
        StaticEntry("bert-base", Bert, padded_texts(128, 30522), lambda: small_bert(2), padded_texts(11, 50), quick=True),
        StaticEntry(
            "distilbert", lambda: Bert(layers=6, kinds=0), padded_texts(128, 30522), lambda: small_bert(0), padded_texts(11, 50)
        ),
        StaticEntry("gpt2-prefill", lambda: gpt2(False), texts(128, 50257), lambda: gpt2(True), texts(11, 50)),
        StaticEntry(
            "gpt2-decode",
            lambda: gpt2(False), next_word(256, 12, 12, 64, 50257),
            lambda: gpt2(True), next_word(13, 2, 2, 8, 50), quick=True,
        ),
        StaticEntry("t5-small", T5, translations(128, 64, 32128), lambda: T5(24, 2, 8, 40, 2, 50), translations(21, 11, 50)),
        StaticEntry("llama-prefill", Llama, texts(128, 49152), small_llama, texts(11, 50)),
        StaticEntry("llama-decode", Llama, next_word(256, 30, 3, 64, 49152), small_llama, next_word(13, 2, 2, 6, 50), quick=True),
        StaticEntry("wavenet", WaveNet, texts(4096, 256), lambda: WaveNet(6, 10, 3, 2, 20), texts(37, 20)),
        StaticEntry(
            "dlrm", DLRM, visits(13, 26, 20000, 4),
            lambda: DLRM(3, 4, 30, 8, (8,), (8,)), visits(3, 4, 30, 5), quick=True,
        ),
        StaticEntry("autoencoder", autoencoder, pictures(64), lambda: autoencoder(4, 6, 32), SMALL_IMAGE),
        StaticEntry("diffusion-unet", lambda: DiffusionUNet(128), noisy(32), lambda: DiffusionUNet(8), noisy(16), quick=True),
    )
}  # fmt: skip
