"""The networks with control flow on computed values, on eager PyTorch: they run, and their inputs take several ways."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.utils import _pytree as pytree

from bough.bench.zoo.dynamic import DYNAMIC
from bough.bench.zoo.dynamic.calibrate import confidence, entropy, scale_for, threshold
from bough.bench.zoo.dynamic.inputs import KINDS, picture, text
from bough.bench.zoo.dynamic.registry import PROMPT
from bough.bench.zoo.dynamic.skipnet import RecurrentSkipNet
from bough.bench.zoo.dynamic.translation import END, BeamSearch, Translator

INPUTS = 100


@pytest.mark.parametrize("name", DYNAMIC)
def test_two_ways_are_taken_by_a_fifth_of_the_inputs_each(name: str) -> None:
    network = DYNAMIC[name].network("small")
    with torch.inference_mode():
        paths = Counter(network.path(network.module(*network.inputs(i))) for i in range(INPUTS))
    shares = sorted(paths.values())
    assert len(shares) >= 2 and shares[-2] >= 0.2 * INPUTS, paths


@pytest.mark.parametrize("name", ["skipnet-feedforward", "skipnet-recurrent", "blockdrop"])
def test_as_many_inputs_go_one_way_through_all_gates(name: str) -> None:
    network = DYNAMIC[name].network()
    with torch.inference_mode():
        paths = Counter(network.path(network.module(*network.inputs(i))) for i in range(60))
    assert sorted(paths.values())[-2] >= 0.2 * 60, paths


@pytest.mark.parametrize("name", DYNAMIC)
def test_the_same_seed_gives_the_same_network_and_inputs(name: str) -> None:
    one, other = (DYNAMIC[name].network("small") for _ in range(2))
    with torch.inference_mode():
        first, second = (pytree.tree_leaves(n.module(*n.inputs(5))) for n in (one, other))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_the_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    DYNAMIC["shift-reduce"].network("small")
    assert torch.equal(torch.rand(2), expected)


def test_inputs_are_of_several_kinds() -> None:
    assert torch.equal(picture(7), picture(7)) and not torch.equal(picture(7), picture(7 + KINDS))
    words = [text(i, 50, 2 + 10 * KINDS, first=2) for i in range(KINDS)]
    assert [(int(w.min()), int(w.max())) for w in words] == [(2 + 10 * k, 11 + 10 * k) for k in range(KINDS)]


def test_a_threshold_lies_in_the_widest_gap_near_the_share() -> None:
    values = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13, 14, 30])
    assert threshold(values, 0.6) == 6.5
    assert threshold(values, 0.5) == 6.5
    assert threshold(values, 0.2) == 22


def test_a_scale_brings_a_share_of_the_rows_to_a_level() -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 5)
    sure = confidence(scale_for(logits, confidence, 0.9, 0.3) * logits) >= 0.9
    assert 0.15 < sure.float().mean() < 0.45
    scale = scale_for(logits, lambda x: -entropy(x), -0.2, 0.5)
    assert 0.35 < (entropy(scale * logits) <= 0.2).float().mean() < 0.65


def test_speculation_writes_what_the_large_model_writes_alone() -> None:
    network = DYNAMIC["speculative"].network("small")
    generate = DYNAMIC["gpt2-generate"].network("small")
    generate.module.model, generate.module.limit = network.module.model, network.module.limit
    calls = words = 0
    with torch.inference_mode():
        for i in range(20):
            written, count = network.module(*network.inputs(i))
            alone = generate.module(*network.inputs(i))
            assert torch.equal(written[:, : alone.shape[1]], alone)
            calls, words = calls + count, words + alone.shape[1] - PROMPT
    assert calls < words


def test_a_beam_of_one_is_greedy() -> None:
    torch.manual_seed(1)
    beam = BeamSearch(8, 30, 7, beams=1).eval()
    assert isinstance(beam.network, Translator)
    with torch.inference_mode():
        for i in range(20):
            words = text(i, 6, 30, 2)
            best, total = beam(words)
            assert torch.equal(best, beam.network(words)) and total < 0
            assert (best[:-1] != END).all()


def test_the_gates_of_a_skipnet_start_anew_with_each_picture() -> None:
    model = RecurrentSkipNet(1).eval()
    with torch.inference_mode():
        once = model(picture(1))
        model(picture(2))
        again = model(picture(1))
    assert torch.equal(once[0], again[0])
