"""Networks whose way through depends on what they compute, by name, each with inputs that take several ways."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bough.bench.zoo.dynamic import (
    adaptive_time,
    blockdrop,
    captioning,
    early_bert,
    experts,
    gpt2,
    ranet,
    shallow_deep,
    shift_reduce,
    skipnet,
    translation,
)
from bough.bench.zoo.dynamic.backbones import CLASSES, Parts, mobilenet, resnet56, vgg, wide_resnet
from bough.bench.zoo.dynamic.calibrate import COUNT, FIRST
from bough.bench.zoo.dynamic.ending import set_end
from bough.bench.zoo.dynamic.inputs import by_topic, length, picture, pictures, text

EXITS = 6
PROMPT = 12
SPECIAL = 2
"""Words that stand for the start and the end of a text."""
Size = Literal["small", "usual", "large"]
"""Of a network: for tests; as it is measured first; with as many units and words as a paper's, so that no cache holds its
weights."""
Inputs = Callable[[int], tuple[Any, ...]]

CAPTIONERS: dict[Size, tuple[int, ...]] = {"small": (16, 32, 50, 6), "usual": (), "large": (512, 1800, 10000)}
"""Features, units, words, and the longest text; what is left out is the network's own. The authors' for COCO."""
TRANSLATORS: dict[Size, tuple[int, ...]] = {"small": (16, 50, 6), "usual": (), "large": (1000, 30000)}
"""Units, words, and the longest text. RNNsearch of the paper."""
BEAMS: dict[Size, tuple[int, ...]] = {"small": (24, 50, 6, 2), "usual": (), "large": (1000, 30000)}
"""The same, and how many texts."""
SURE = 12
"""How many times as far apart the scores of words are as with random weights, where thousands are as likely as the best: rounding
decided which of two texts was followed."""
PONDERING: dict[Size, tuple[int, ...]] = {"small": (8, 16, 4, 4), "usual": (), "large": (256, 1500, 256)}
"""Inputs, units, outputs, and the most steps. The paper's for the next character of Wikipedia."""
PARSERS: dict[Size, tuple[int, ...]] = {"small": (8, 4, 40), "usual": (), "large": (1024, 100, 8000)}
"""Units, those that choose actions, and words. The paper has 300, the weights of which stay in caches: more than that."""


@dataclass(frozen=True, slots=True)
class Network:
    """A module with random weights, in evaluation mode, and its inputs: the arguments of call number i.

    `path` names the way that a call took, from its outputs; where there are thousands of ways, the kind of way. `dynamic` is what
    `bough.compile` is told of sizes that differ from call to call.
    """

    module: nn.Module
    inputs: Inputs
    path: Callable[[Any], Hashable]
    dynamic: Mapping[str, Mapping[int, str]] | None = None


@dataclass(frozen=True, slots=True)
class DynamicEntry:
    """`build` makes the network of a size; of all, if it is `large`, too. `bound` says what its time goes into: reading "weights"
    or "arithmetic"."""

    name: str
    build: Callable[[Size], Network]
    bound: str = field(default="arithmetic")
    large: bool = field(default=False)

    def network(self, size: Size = "usual", seed: int = 0) -> Network:
        """With random weights that depend on the seed alone, and decisions that depend on the input."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            network = self.build(size)
        network.module.eval().requires_grad_(False)
        return network


def on_pictures(number: int) -> tuple[Tensor]:
    return (picture(number),)


def second(outputs: Any) -> Hashable:
    """The number of an exit or a layer, the second of the outputs."""
    return int(outputs[1])


def gates(outputs: Any) -> Hashable:
    """Which gates were open, the second of the outputs."""
    return tuple(bool(gate) for gate in torch.as_tensor(outputs[1]).flatten())


def shallow(backbone: Callable[[bool], Parts]) -> Callable[[Size], Network]:
    def build(size: Size) -> Network:
        layers, head = backbone(size == "small")
        model = shallow_deep.ShallowDeep(layers, shallow_deep.spread(EXITS, len(layers)), head, CLASSES)
        shallow_deep.calibrate(model.eval(), pictures(COUNT, FIRST))
        return Network(model, on_pictures, second)

    return build


def feed_forward_skipnet(size: Size) -> Network:
    model = skipnet.FeedForwardSkipNet(2 if size == "small" else 6).eval()
    skipnet.calibrate_feed_forward(model, pictures(COUNT, FIRST))
    return Network(model, on_pictures, gates)


def recurrent_skipnet(size: Size) -> Network:
    model = skipnet.RecurrentSkipNet(2 if size == "small" else 12).eval()
    skipnet.calibrate_recurrent(model, pictures(COUNT, FIRST))
    return Network(model, on_pictures, gates)


def block_drop(size: Size) -> Network:
    model = blockdrop.BlockDrop(2 if size == "small" else 18).eval()
    blockdrop.calibrate(model, pictures(COUNT, FIRST))
    return Network(model, on_pictures, gates)


def resolution_adaptive(size: Size) -> Network:
    model = ranet.RANet(scales=2, layers=2, channels=8, growth=4) if size == "small" else ranet.RANet()
    ranet.calibrate(model.eval(), pictures(COUNT, FIRST))
    return Network(model, on_pictures, second)


def ended(end: int, words: Callable[[Any], Tensor]) -> Callable[[Any], Hashable]:
    """Whether a text came to its end, or to the limit of its length."""
    return lambda outputs: bool(words(outputs).flatten()[-1] == end)


def captioner(size: Size) -> Network:
    model = captioning.Captioner(*CAPTIONERS[size])
    set_end(model.eval().output, captioning.END, lambda i: model(picture(FIRST + i)), COUNT)
    return Network(model, on_pictures, ended(captioning.END, lambda outputs: outputs[0]))


def sentences(vocabulary: int) -> Inputs:
    """Of 5 to 20 words."""
    return lambda number: (text(number, length(number, 5, 20), vocabulary, SPECIAL),)


def translator(size: Size) -> Network:
    model = translation.Translator(*TRANSLATORS[size])
    inputs = sentences(model.embedding.num_embeddings)
    by_topic(model.embedding.weight, SPECIAL)
    set_end(model.eval().decoder.output, translation.END, lambda i: model(*inputs(FIRST + i)), COUNT)
    return Network(model, inputs, ended(translation.END, lambda words: words), {"words": {0: "words"}})


def beam_search(size: Size) -> Network:
    model = translation.BeamSearch(*BEAMS[size])
    network = model.eval().network
    inputs = sentences(network.embedding.num_embeddings)
    by_topic(network.embedding.weight, SPECIAL)
    network.decoder.output.weight *= SURE
    set_end(network.decoder.output, translation.END, lambda i: model(*inputs(FIRST + i)), COUNT, row=0, share=0.35)
    return Network(model, inputs, ended(translation.END, lambda outputs: outputs[0]), {"words": {0: "words"}})


def bert(size: Size) -> Network:
    words, vocabulary = (8, 50) if size == "small" else (64, 8000)
    model = early_bert.EarlyBert(16, 2, 3, vocabulary, words) if size == "small" else early_bert.EarlyBert()
    by_topic(model.words.weight)
    texts = torch.stack([text(FIRST + i, words, vocabulary) for i in range(COUNT)])
    early_bert.calibrate(model.eval(), texts)
    return Network(model, lambda number: (text(number, words, vocabulary)[None],), second)


def mixture(size: Size) -> Network:
    words, vocabulary = 4, 40 if size == "small" else 8000
    model = experts.MixtureOfExperts(16, 2, 24, 4, 2, 2, vocabulary) if size == "small" else experts.MixtureOfExperts()
    by_topic(model.embedding.weight, spread=0.2)
    return Network(model, lambda number: (text(number, words, vocabulary),), used_experts)


def used_experts(outputs: Any) -> Hashable:
    """Which experts were used in the first layer."""
    return tuple(bool(count) for count in outputs[1][0])


def prompts(vocabulary: int) -> Inputs:
    return lambda number: (text(number, PROMPT, vocabulary, SPECIAL)[None],)


def gpt(size: Size, layers: int = 4) -> gpt2.GPT2:
    """Four layers of GPT-2's smallest size, and a third of its words."""
    model = gpt2.GPT2(16, 2, 2, 50, 40) if size == "small" else gpt2.GPT2(768, 12, layers, 16384, 64)
    gpt2.initialize(model, 0.2 if size == "small" else 0.04)
    return model.eval()


def generate(size: Size) -> Network:
    model = gpt(size)
    writer = gpt2.Generate(model, PROMPT + (8 if size == "small" else 24))
    inputs = prompts(model.words.num_embeddings)
    set_end(model.head, gpt2.END, lambda i: writer(*inputs(FIRST + i)), COUNT // 4)
    return Network(writer, inputs, ended(gpt2.END, lambda words: words))


def speculate(size: Size) -> Network:
    """Two decoders with the same words: one layer guesses, all layers judge. Later layers change so little that guesses are often
    right."""
    model = gpt(size)
    width, heads = (16, 2) if size == "small" else (768, 12)
    draft = gpt2.GPT2(width, heads, 1, model.words.num_embeddings, model.places.num_embeddings)
    draft.load_state_dict({name: value for name, value in model.state_dict().items() if name in draft.state_dict()})
    for name, parameter in model.blocks[1:].named_parameters():
        if "attended" in name or "down" in name:
            parameter.mul_(0.1)
    limit = PROMPT + (8 if size == "small" else 24)
    inputs = prompts(model.words.num_embeddings)
    set_end(model.head, gpt2.END, lambda i: gpt2.Generate(model, limit)(*inputs(FIRST + i)), COUNT // 4)
    draft.words.weight.copy_(model.words.weight)
    ahead = 2 if size == "small" else 4
    return Network(gpt2.Speculate(model, draft.eval(), limit, ahead), inputs, ended(gpt2.END, lambda outputs: outputs[0]))


def pondering(size: Size) -> Network:
    frames = 2 if size == "small" else 6
    model = adaptive_time.AdaptiveTime(*PONDERING[size])
    width = model.cell.input_size - 1
    adaptive_time.calibrate(model.eval(), [signal(FIRST + i, frames, width) for i in range(COUNT)], 0.5)
    return Network(model, lambda number: (signal(number, frames, width),), lambda outputs: int(outputs[1].max()))


def signal(number: int, frames: int, width: int) -> Tensor:
    """Frames of one kind: strong ones or weak ones, about one of two means."""
    generator = torch.Generator().manual_seed(number)
    kind = number % 4
    return (0.3 + kind % 2) * (torch.randn(frames, width, generator=generator) + (1 if kind < 2 else -1))


def parser(size: Size) -> Network:
    model, words = shift_reduce.Parser(*PARSERS[size]), 4 if size == "small" else 8
    vocabulary = model.embedding.num_embeddings
    by_topic(model.embedding.weight)
    shift_reduce.calibrate(model.eval(), [text(FIRST + i, words, vocabulary) for i in range(COUNT)], 0.5)
    return Network(model, lambda number: (text(number, words, vocabulary),), gates)


DYNAMIC: dict[str, DynamicEntry] = {
    entry.name: entry
    for entry in (
        *(
            DynamicEntry(f"shallow-deep-{name}", shallow(backbone))
            for name, backbone in (("mobilenet", mobilenet), ("vgg", vgg), ("resnet56", resnet56), ("wideresnet", wide_resnet))
        ),
        DynamicEntry("skipnet-feedforward", feed_forward_skipnet),
        DynamicEntry("skipnet-recurrent", recurrent_skipnet),
        DynamicEntry("blockdrop", block_drop),
        DynamicEntry("ranet", resolution_adaptive),
        DynamicEntry("captioning", captioner, "weights", large=True),
        DynamicEntry("seq2seq", translator, "weights", large=True),
        DynamicEntry("beam-search", beam_search, "weights", large=True),
        DynamicEntry("early-bert", bert),
        DynamicEntry("mixture-of-experts", mixture, "weights"),
        DynamicEntry("gpt2-generate", generate, "weights"),
        DynamicEntry("speculative", speculate, "weights"),
        DynamicEntry("adaptive-time", pondering, "weights", large=True),
        DynamicEntry("shift-reduce", parser, "weights", large=True),
    )
}
