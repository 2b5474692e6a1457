"""Recurrent layers of DeepBench's inference sets: one layer, as many inputs as hidden units, biases, zero initial state."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils import _pytree as pytree

from bough.bench.onnx_models import write_rnn
from bough.bench.problem import Array, Case, Form, Problem, Traffic, Work, largest_error
from bough.bench.suites.deepbench import RNN_DEVICE, RNN_SERVER, Rnn

MODULES: dict[str, Callable[[int, int], nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "vanilla": nn.RNN}
GATES = {"lstm": 4, "gru": 3, "vanilla": 1}
QUICK = {(512, 1, 25, "lstm"), (1024, 4, 25, "lstm"), (512, 1, 1, "gru"), (1536, 1, 187, "gru"), (64, 1, 96, "vanilla")}


def cases() -> tuple[Case[Problem], ...]:
    sets = (("server", RNN_SERVER), ("device", RNN_DEVICE))
    return tuple(
        Case(f"{name}/{size[3]}-{size[0]}-b{size[1]}-t{size[2]}", functools.partial(build, size), size in QUICK)
        for name, sizes in sets
        for size in sizes
    )


def build(size: Rnn) -> Problem:
    """The layer on random inputs."""
    hidden, batch, steps, kind = size
    torch.manual_seed(hidden + batch + steps)
    module = MODULES[kind](hidden, hidden).eval().requires_grad_(False)
    x = torch.rand(steps, batch, hidden) * 2 - 1

    def forms() -> Iterator[Form]:
        yield module, (x,)

    def write_onnx(folder: Path) -> Path:
        return write_rnn(folder, module, steps, batch)

    def error(outputs: Sequence[Array]) -> float:
        return largest_error(reference(), outputs)

    @functools.cache
    def reference() -> list[Array]:
        with torch.inference_mode():
            return [t.numpy() for t in pytree.tree_leaves(copy.deepcopy(module).double()(x.double()))]

    return Problem(module, (x,), work(size), forms, write_onnx, error, 2.0**-16)


def work(size: Rnn) -> Work:
    """The recurrent weights are read in every step, all else once; a step's activations stay near."""
    hidden, batch, steps, kind = size
    weights = 4.0 * GATES[kind] * hidden * hidden
    once = weights + 4.0 * 2 * steps * batch * hidden
    flops = 2.0 * 2 * GATES[kind] * hidden * hidden * batch * steps
    return Work(flops, (Traffic(once, once + weights), Traffic(weights * steps, weights)))
