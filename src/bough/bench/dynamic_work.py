"""The arithmetic and the reading of weights on the way that an input takes, counted while PyTorch runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bough.bench.problem import Traffic, Work


@dataclass(frozen=True, slots=True)
class Needs:
    """Operations of one input, bytes of the weights that it reads, each as often as it is used, and bytes of all that it uses."""

    flops: float
    read: float
    used: Mapping[int, int]


def needs(module: torch.nn.Module, args: tuple[Any, ...]) -> Needs:
    """Only products and convolutions count: their operations, and the weights among their operands."""
    counter = _Counter(module)
    with torch.no_grad(), counter:
        module(*args)
    return Needs(counter.flops, counter.read, counter.used)


def mean_work(inputs: Sequence[Needs], calls: int) -> Work:
    """The work of one of so many calls that share the inputs evenly. Inputs of one call need their weights once together, at
    the least: as often as the one that reads most."""
    flops = sum(need.flops for need in inputs) / calls
    each = -(-len(inputs) // calls)
    groups = [inputs[i : i + each] for i in range(0, len(inputs), each)]
    read = sum(max(need.read for need in group) for group in groups) / calls
    held = {key: size for need in inputs for key, size in need.used.items()}
    return Work(flops, (Traffic(read, sum(held.values())),))


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
        self.flops = self.read = 0.0
        self.used: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=result)
            for tensor in args:
                self._read(tensor)
        return result

    def _read(self, operand: Any) -> None:
        if isinstance(operand, torch.Tensor) and operand.untyped_storage().data_ptr() in self.weights:
            size = operand.numel() * operand.element_size()
            self.read += size
            self.used[operand.data_ptr()] = size
