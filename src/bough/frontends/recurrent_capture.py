"""Keeps recurrent layers whole while torch traces: torch itself would unroll them over the example's time steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from bough.frontends.errors import in_training

_LIBRARY = torch.library.Library("bough", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "recurrent(str kind, Tensor x, Tensor[] states, Tensor[] weights, bool bias, bool projection, bool bidirectional)"
    " -> Tensor[]"
)

_KINDS: dict[Any, str] = {
    torch.lstm: "lstm", torch.gru: "gru", torch.rnn_tanh: "rnn_tanh", torch.rnn_relu: "rnn_relu",
}  # fmt: skip


@torch.library.register_fake("bough::recurrent", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _(
    kind: str,
    x: torch.Tensor,
    states: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    bias: bool,
    projection: bool,
    bidirectional: bool,
) -> list[torch.Tensor]:
    width = states[0].shape[2] * (2 if bidirectional else 1)
    return [x.new_empty((x.shape[0], x.shape[1], width)), *(torch.empty_like(s) for s in states)]


def _compute(
    kind: str,
    x: torch.Tensor,
    states: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    bias: bool,
    projection: bool,
    bidirectional: bool,
) -> list[torch.Tensor]:
    """By torch's own layer: what other compilers leave to PyTorch runs there."""
    (layer,) = [f for f, name in _KINDS.items() if name == kind]
    count = len(weights) // (2 + 2 * bias + projection) // (2 if bidirectional else 1)
    hidden = list(states) if kind == "lstm" else states[0]
    return list(layer(x, hidden, list(weights), bias, count, 0.0, False, bidirectional, False))


_LIBRARY.impl("recurrent", _compute, "CPU")  # type: ignore[no-untyped-call]


class KeepRecurrentLayers(TorchFunctionMode):
    """While active, torch's recurrent layers are calls of `bough::recurrent`. Packed sequences are left as they are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.compiler.is_dynamo_compiling():  # it reads this too, inside torch.cond and its kin
            return func(*args, **(kwargs or {}))
        kind = _KINDS.get(func)
        if kind is None or kwargs or not isinstance(args[1 if kind == "lstm" else 2], (tuple, list)):
            return func(*args, **(kwargs or {}))
        x, states, weights, bias, layers, dropout, training, bidirectional, batch_first = args
        if training and dropout > 0 and layers > 1:
            raise in_training(f"the dropout of a recurrent layer ({kind})")
        directions = 2 if bidirectional else 1
        projection = len(weights) == layers * directions * (5 if bias else 3)
        states = list(states) if kind == "lstm" else [states]
        x = x.transpose(0, 1) if batch_first else x
        y, *last = torch.ops.bough.recurrent(kind, x, states, list(weights), bias, projection, bidirectional)
        return (y.transpose(0, 1) if batch_first else y), *last
