"""Keeps sizes symbolic where torch's own one-dimensional pooling would take them for fixed while it traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_MAX_POOLS = (torch.max_pool1d, functional.max_pool1d)
_AVERAGES = (torch.adaptive_avg_pool1d, functional.adaptive_avg_pool1d)
_WHOLE = ((1,), ((1,),), ([1],))
"""The arguments after the tensor with which an adaptive pooling gives one number."""


class PoolSymbolicSizes(TorchFunctionMode):
    """While active, over a symbolic size, `max_pool1d` is `max_pool2d` with windows of one row, and averaging it whole a mean."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.compiler.is_dynamo_compiling():  # it reads this too, inside torch.cond and its kin
            return func(*args, **(kwargs or {}))
        kwargs = dict(kwargs or {})
        symbolic = bool(args) and isinstance(args[0], torch.Tensor) and isinstance((0, *args[0].shape)[-1], torch.SymInt)
        if symbolic and func in _AVERAGES and args[1:] in _WHOLE and not kwargs:
            return args[0].mean(-1, keepdim=True)
        if symbolic and func in _MAX_POOLS and len(args) < 7:
            if not kwargs.pop("return_indices", False):
                return _max_pool(*args, **kwargs)
            kwargs["return_indices"] = True
        return func(*args, **kwargs)


def _max_pool(
    x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> torch.Tensor:
    def of(value: Any, row: int) -> tuple[int, int]:
        return (row, *value) if isinstance(value, (tuple, list)) else (row, value)

    steps = of(kernel_size if stride is None or stride == [] else stride, 1)
    y = torch.max_pool2d(x.unsqueeze(-2), of(kernel_size, 1), steps, of(padding, 0), of(dilation, 1), ceil_mode)
    return y.squeeze(-2)
