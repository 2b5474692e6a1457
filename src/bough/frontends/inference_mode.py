"""Tracing where PyTorch's inference mode is on, or was when the weights were made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

F = TypeVar("F", bound=Callable[..., Any])


def outside_inference_mode(trace: F) -> F:
    """A function of a module, for one that runs with inference mode off: its tensors do not count their writes, which tells
    tracing what a model changes, and torch stands in for none of them that asks for gradients."""

    @functools.wraps(trace)
    def outside(module: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        weights = module.parameters() if isinstance(module, nn.Module) else ()
        made_inside = [p for p in weights if p.is_inference()]
        if not made_inside and not torch.is_inference_mode_enabled():
            return trace(module, *args, **kwargs)
        with _without_gradients(made_inside), torch.inference_mode(False), torch.no_grad():
            return trace(module, *args, **kwargs)

    return outside  # type: ignore[return-value]


@contextmanager
def _without_gradients(weights: list[nn.Parameter]) -> Iterator[None]:
    asking = [p for p in weights if p.requires_grad]
    with torch.inference_mode():
        for p in asking:
            p.requires_grad_(False)
    try:
        yield
    finally:
        with torch.inference_mode():
            for p in asking:
                p.requires_grad_(True)
