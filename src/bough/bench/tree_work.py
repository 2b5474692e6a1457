"""The arithmetic and the traffic that a recursive model needs at the least, counted while PyTorch runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bough.bench.problem import Traffic, Work

Key = tuple[int, int]
"""Where a matrix of weights lies, and how many elements it has."""
aten = torch.ops.aten
# Which operand of a product is summed over along its last axis.
PRODUCTS: dict[Any, int] = {
    aten.mm.default: 0,
    aten.addmm.default: 1,
    aten.mv.default: 0,
    aten.addmv.default: 1,
    aten.bmm.default: 0,
    aten.baddbmm.default: 1,
    aten.dot.default: 0,
    aten.linear.default: 0,
}
ZEROS = (aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default)


@dataclass(frozen=True, slots=True)
class Needs:
    """What one structure needs: `reads[w]` says how often the weights w must be read, however much runs at a time: as often as
    the longest chain of products with them of which each needs the one before. `bytes[w]` is their size."""

    flops: float
    reads: Mapping[Key, int]
    bytes: Mapping[Key, int]


def count(model: torch.nn.Module, structure: Any) -> Needs:
    """What the model needs at this structure. Only products count: each pair of operands once, and none of zeros."""
    counter = _Counter(model)
    with torch.no_grad(), counter:
        model(structure)
    return Needs(counter.flops, counter.reads, counter.bytes)


def mean_work(calls: Sequence[Sequence[Needs]]) -> Work:
    """The work of one call, on average, where the structures of each call run together, level by level: the products of all
    nodes, and each matrix of weights read once in every level of the highest structure, from where all of them fit."""
    flops = moved = held = 0.0
    for needs in calls:
        sizes = {key: size for need in needs for key, size in need.bytes.items()}
        flops += sum(need.flops for need in needs)
        moved += sum(size * max(need.reads.get(key, 0) for need in needs) for key, size in sizes.items())
        held += sum(sizes.values())
    return Work(flops / len(calls), (Traffic(moved / len(calls), held / len(calls)),))


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows for every tensor how long its chains of products are, by the storage that it lies in."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.chains: dict[int, dict[Key, int]] = {}
        self.alive: list[torch.Tensor] = []  # so that no storage takes the address of another
        self.zeros: set[int] = set()
        self.done: set[tuple[Any, ...]] = set()
        self.flops = 0.0
        self.reads: dict[Key, int] = {}
        self.bytes: dict[Key, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = _tensors(result)
        chain: dict[Key, int] = {}
        for tensor in _tensors(args):
            for key, length in self.chains.get(_storage(tensor), {}).items():
                chain[key] = max(length, chain.get(key, 0))
        if func in PRODUCTS:
            operands = args[PRODUCTS[func] :][:2]
            if not any(_storage(tensor) in self.zeros for tensor in operands):
                self._multiply(made[0], operands, chain)
        self.alive += made
        if func in ZEROS:
            self.zeros.add(_storage(result))
        for tensor in made:
            if _storage(tensor) not in self.weights:
                self.chains[_storage(tensor)] = chain
        return result

    def _multiply(self, product: torch.Tensor, operands: Sequence[torch.Tensor], chain: dict[Key, int]) -> None:
        """Counts a product, and adds the weights among its operands to the chain."""
        for tensor in operands:
            self._read(tensor, chain)
        pair = tuple((tensor.data_ptr(), tensor.shape, tensor.stride()) for tensor in operands)
        if pair not in self.done:
            self.done.add(pair)
            self.flops += 2.0 * product.numel() * operands[0].shape[-1]

    def _read(self, tensor: torch.Tensor, chain: dict[Key, int]) -> None:
        if _storage(tensor) in self.weights:
            key = tensor.data_ptr(), tensor.numel()
            chain[key] = chain.get(key, 0) + 1
            self.reads[key] = max(chain[key], self.reads.get(key, 0))
            self.bytes[key] = tensor.numel() * tensor.element_size()


def _tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in lists and tuples: operators take and give no other containers."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, list | tuple) else []


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
