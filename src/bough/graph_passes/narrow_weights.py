"""Weights of products in fewer bits: bf16, or i8 with a factor for each channel.

    s = sum(k) x[i, k] * w[j, k]   ->   s = sum(k) x[i, k] * f32(w.bf16[j, k])
                                   ->   s.i8 = sum(k) x[i, k] * f32(w.i8[j, k]);  s = s.i8 * w.scale[j]

Weights are constants that some sum multiplies with, in at least two dimensions: what a call reads most of. Activations stay as
they are and sums f32, so that the only error is that of rounding the weights, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, F32, I8, DType
from bough.ir.expr import Apply, Cast, Expr, Load, Var, loads, variables
from bough.ir.kernel import Kernel, Let, Operand, Reduce, Statement
from bough.ir.sequence import Sequence, expressions, host_loads, kernels, map_kernels, map_loads, map_statement

Array = np.ndarray[Any, Any]
LARGEST_I8 = 127
"""Symmetric: -128 is not used, so that -w rounds to the negative of what w does."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """What stands for a weight. `channels` are the dimensions over which the factors in `scale` differ."""

    operand: Operand
    data: Array
    channels: tuple[int, ...] = ()
    scale: Operand | None = None
    factors: Array | None = None

    def load(self, index: tuple[Expr, ...]) -> Expr:
        return Cast(Load(self.operand.name, index, self.operand.dtype), F32)

    def factor(self, index: tuple[Expr, ...]) -> Load | None:
        """What multiplies the element at the index."""
        return Load(self.scale.name, tuple(index[d] for d in self.channels), F32) if self.scale else None

    @property
    def constants(self) -> Iterator[tuple[Operand, Array]]:
        yield self.operand, self.data
        if self.scale is not None and self.factors is not None:
            yield self.scale, self.factors


def narrow_weights(sequence: Sequence, precision: str) -> Sequence:
    """The same sequence with its weights in `precision`, one of `PRECISIONS`."""
    narrow = PRECISIONS[precision]
    if narrow is None:
        return sequence
    made: dict[str, Narrow] = {}
    for name, summed in _weights(sequence).items():
        array = sequence.constants[name]
        if np.isfinite(array).all() and (found := narrow(name, array, summed)) is not None:
            made[name] = found
    constants, types = dict(sequence.constants), dict(sequence.constant_types)
    for name, new in made.items():
        del constants[name]
        types.pop(name, None)
        for operand, array in new.constants:
            constants[operand.name], types[operand.name] = array, operand.dtype
    steps = map_kernels(sequence.steps, lambda k: _rewritten(k, made))
    return replace(sequence, steps=steps, constants=constants, constant_types=types)


def _weights(sequence: Sequence) -> dict[str, set[int]]:
    """The constants that products multiply with, and the dimensions along which each of these sums runs."""
    kept = host_loads(sequence.steps) | set(sequence.results)
    found: dict[str, set[int]] = {}
    for kernel in kernels(sequence.steps):
        for _, reduce in kernel.reductions:
            for load in _factors(reduce):
                array = sequence.constants.get(load.source)
                if array is None or load.source in kept or load.dtype != F32 or array.ndim < 2 or array.ndim != len(load.index):
                    continue
                summed = _summed(load, reduce)
                if summed and len(summed) < array.ndim:
                    found[load.source] = found.get(load.source, summed) & summed
    return found


def _factors(reduce: Reduce) -> list[Load]:
    """The loads that a sum of products multiplies."""

    def of(e: Expr) -> Iterator[Load]:
        if isinstance(e, Apply) and e.function == "mul":
            for a in e.args:
                yield from of(a)
        elif isinstance(e, Load):
            yield e

    body = reduce.body
    return list(of(body)) if reduce.op == "sum" and isinstance(body, Apply) else []


def _summed(load: Load, reduce: Reduce) -> set[int]:
    """The dimensions whose index the sum runs over, whatever else it depends on."""
    return {d for d, i in enumerate(load.index) if variables(i) & set(reduce.axes)}


def _bf16(name: str, array: Array, summed: set[int]) -> Narrow | None:
    data = to_bf16(array)
    if not np.isfinite(from_bf16(data)).all():
        return None  # too large
    return Narrow(Operand(f"{name}.bf16", BF16, array.shape), data)


def _i8(name: str, array: Array, summed: set[int]) -> Narrow | None:
    """One factor for each channel: what all sums with this weight can take out of them."""
    if not summed:
        return None
    channels = tuple(d for d in range(array.ndim) if d not in summed)
    largest = np.abs(array).max(axis=tuple(summed), keepdims=True, initial=0.0)
    factors = np.where(largest > 0, largest / LARGEST_I8, 1.0).astype(np.float32)
    data = np.rint(array / factors).clip(-LARGEST_I8, LARGEST_I8).astype(np.int8)
    flat = np.ascontiguousarray(factors.reshape([array.shape[d] for d in channels]))
    return Narrow(Operand(f"{name}.i8", I8, array.shape), data, channels, Operand(f"{name}.scale", F32, flat.shape), flat)


PRECISIONS: Mapping[str, Callable[[str, Array, set[int]], Narrow | None] | None] = {
    "float32": None,
    "bfloat16": _bf16,
    "int8": _i8,
}
"""What `precision` may be, and how it narrows a weight."""
ROUNDED: Mapping[str, DType] = {"bfloat16": BF16}
"""What activations are rounded to where the target multiplies that."""


def _rewritten(kernel: Kernel, made: Mapping[str, Narrow]) -> Kernel:
    """The kernel on narrow weights. A factor that a sum does not run over multiplies its result."""
    if made.keys().isdisjoint(kernel.operands):
        return kernel
    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce):
            body += _reduction(s.name, s.value, made)
        else:
            body.append(map_statement(s, lambda e: map_loads(e, lambda load: _element(load, made))))
    inputs: list[Operand] = []
    for o in kernel.inputs:
        inputs += [new for new, _ in made[o.name].constants] if o.name in made else [o]
    read = {load.source for s in body for e in expressions(s) for load in loads(e)}
    inputs = [o for o in inputs if o.name in read or o in kernel.inputs]
    return replace(kernel, inputs=tuple(inputs), body=tuple(body))


def _reduction(name: str, reduce: Reduce, made: Mapping[str, Narrow]) -> list[Statement]:
    outside: list[Load] = []
    for load in _factors(reduce):
        factor = made[load.source].factor(load.index) if load.source in made else None
        if factor is not None and not any(variables(i) & set(reduce.axes) for i in factor.index):
            outside.append(load)

    def change(load: Load) -> Expr:
        return made[load.source].load(load.index) if load in outside else _element(load, made)

    inner = Reduce(reduce.op, reduce.axes, map_loads(reduce.body, change))
    if not outside:
        return [Let(name, inner)]
    result: Expr = Var(f"{name}.sum", reduce.body.dtype)
    for load in outside:
        factor = made[load.source].factor(load.index)
        assert factor is not None
        result = Apply("mul", (result, factor), F32)
    return [Let(f"{name}.sum", inner), Let(name, result)]


def _element(load: Load, made: Mapping[str, Narrow]) -> Expr:
    """The value of an element wherever it is read."""
    if load.source not in made:
        return load
    new = made[load.source]
    factor = new.factor(load.index)
    return new.load(load.index) if factor is None else Apply("mul", (new.load(load.index), factor), F32)
