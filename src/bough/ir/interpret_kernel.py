"""What a kernel means: its body evaluated over the whole box of its axes with NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.bfloat import to_bf16
from bough.ir.dtypes import BF16
from bough.ir.evaluate import (
    Array,
    Evaluator,
    Precision,
    bind_sizes,
    clip_index,
    compute_type,
    extent_value,
    read_array,
    shape_value,
)
from bough.ir.expr import as_expr
from bough.ir.functions import FUNCTIONS, REDUCTION_FUNCTIONS, reduction_unit
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store

POINTS_AT_ONCE = 1 << 22

REDUCERS: dict[str, np.ufunc] = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum,
    "any": np.logical_or, "all": np.logical_and,
}  # fmt: skip
"""The NumPy functions whose `reduce` combines the elements of a reduction."""

Box = dict[str, range]


def run_kernel(
    kernel: Kernel,
    arrays: Mapping[str, Array],
    scalars: Mapping[str, int] | None = None,
    precision: Precision = "native",
) -> dict[str, Array]:
    """The outputs of `kernel`, as fresh arrays, for its operands in `arrays` and the scalars given from outside.

    Symbolic sizes that stand alone in an input's shape are read off its array. bf16 operands are uint16 bit patterns.
    With precision `float64` all floats are float64 (inputs of any float type, outputs float64, float casts do nothing):
    the reference. An output that `arrays` holds too starts as a copy of that, so elements not stored keep their value;
    else they are NaN or zero.
    Raises InternalError for arrays that do not fit and for indices outside.
    """
    sizes = {name: int(value) for name, value in (scalars or {}).items()}
    for operand in kernel.operands.values():
        if operand.name in arrays:
            bind_sizes(operand.shape, arrays[operand.name].shape, sizes)
    inputs = {o.name: _read(kernel, o, arrays, sizes, precision) for o in kernel.inputs}
    outputs = {}
    for o in kernel.outputs:
        if o.name in arrays:
            outputs[o.name] = _read(kernel, o, arrays, sizes, precision).copy()
        else:
            blank = np.nan if o.dtype.is_float else 0
            outputs[o.name] = np.full(shape_value(o.shape, sizes), blank, compute_type(o.dtype, precision))
    extents = {a.name: extent_value(a.extent, sizes) for a in kernel.axes if a not in kernel.ragged}
    run = _Run(kernel, inputs, outputs, {k: np.int64(v) for k, v in sizes.items()}, extents, precision)
    free = {a.name: range(extents[a.name]) for a in kernel.free}
    for a in kernel.ragged:
        extents[a.name] = int(np.max(run.ragged_extent(a, run.grids(free)), initial=0))
    with np.errstate(all="ignore"):
        run.box(free)
    narrow = {o.name for o in kernel.outputs if o.dtype == BF16 and precision == "native"}
    return {name: to_bf16(value) if name in narrow else value for name, value in outputs.items()}


def _read(
    kernel: Kernel, o: Operand, arrays: Mapping[str, Array], sizes: Mapping[str, int], precision: Precision
) -> Array:
    array = arrays.get(o.name)
    if array is None:
        raise InternalError(f"kernel {kernel.name} is run without an array for {o.name}")
    shape = shape_value(o.shape, sizes)
    if array.shape != shape:
        raise InternalError(f"kernel {kernel.name}: {o.name} has shape {array.shape}, not {shape}")
    if array.dtype != o.dtype.numpy and not (precision == "float64" and o.dtype.is_float and array.dtype.kind == "f"):
        raise InternalError(f"kernel {kernel.name}: {o.name} holds {array.dtype}, not {o.dtype}")
    return read_array(array, o.dtype, precision)


@dataclass(slots=True)
class _Run:
    kernel: Kernel
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    sizes: dict[str, Any]
    extents: dict[str, int]
    precision: Precision

    def box(self, free: Box) -> None:
        """Runs the body for the points of a box of the free axes, in parts where that would take too much memory."""
        points = prod(len(r) for r in free.values())
        if points == 0:
            return
        reduced = max((prod(self.extents[a] for a in r.axes) for _, r in self.kernel.reductions), default=1)
        longest = max(free, key=lambda name: len(free[name]), default=None)
        if longest is not None and points > 1 and points * reduced > POINTS_AT_ONCE:
            whole = free[longest]
            middle = len(whole) // 2
            self.box({**free, longest: whole[:middle]})
            self.box({**free, longest: whole[middle:]})
            return
        variables = {**self.sizes, **self.grids(free)}
        evaluator = Evaluator(variables, self.inputs, self.precision)
        shape = tuple(len(free[a.name]) if a.name in free else 1 for a in self.kernel.axes)
        for statement in self.kernel.body:
            match statement:
                case Store():
                    self.store(statement, evaluator, shape)
                case Let(name, value):
                    if isinstance(value, Reduce):
                        variables[name] = self.reduce(value, variables)
                    else:
                        variables[name] = evaluator.value(value)

    def grid(self, axis: str, values: range) -> Array:
        """The values of an axis along its own dimension of the box of all axes."""
        shape = [len(values) if a.name == axis else 1 for a in self.kernel.axes]
        return np.arange(values.start, values.stop, dtype=np.int64).reshape(shape)

    def grids(self, box: Box) -> dict[str, Array]:
        return {name: self.grid(name, r) for name, r in box.items()}

    def ragged_extent(self, axis: Axis, variables: Mapping[str, Any]) -> Array:
        """The extent of a ragged axis at each point of the free axes."""
        return np.asarray(Evaluator({**self.sizes, **variables}, self.inputs, self.precision).value(as_expr(axis.extent)))

    def reduce(self, reduce: Reduce, variables: dict[str, Any]) -> Array:
        first, *rest = reduce.axes
        inner = prod(self.extents[a] for a in rest)
        length = self.extents[first]
        step = max(1, POINTS_AT_ONCE // max(1, inner * self.points(variables)))
        combine = FUNCTIONS[REDUCTION_FUNCTIONS[reduce.op]].evaluate
        total: Any = None
        for start in range(0, max(length, 1), step):
            box = {a: range(self.extents[a]) for a in rest} | {first: range(start, min(start + step, length))}
            part = self.reduce_box(reduce, variables, box)
            total = part if total is None else combine(total, part)
        return np.asarray(total)

    def points(self, variables: dict[str, Any]) -> int:
        return prod(np.size(variables[a.name]) for a in self.kernel.axes if a.name in variables)

    def reduce_box(self, reduce: Reduce, variables: dict[str, Any], box: Box) -> Array:
        grids = self.grids(box)
        unit = reduction_unit(reduce.op, reduce.body.dtype)
        mask = self.inside(reduce, {**variables, **grids})
        body = np.asarray(Evaluator({**variables, **grids}, self.inputs, self.precision).value(reduce.body, mask))
        body = body if mask is None else np.where(mask, body, unit)
        names = [a.name for a in self.kernel.axes]
        shape = list(body.shape) if body.ndim else [1] * len(names)
        for name, r in box.items():
            shape[names.index(name)] = len(r)
        dtype = reduce.body.dtype
        return np.asarray(
            REDUCERS[reduce.op].reduce(
                np.broadcast_to(body, shape),
                axis=tuple(names.index(name) for name in reduce.axes),
                dtype=compute_type(dtype, self.precision),
                keepdims=True,
                initial=unit,
            )
        )

    def inside(self, reduce: Reduce, variables: Mapping[str, Any]) -> Any:
        """Where the points of ragged axes exist; None: everywhere."""
        mask: Any = None
        for a in self.kernel.ragged:
            if a.name in reduce.axes:
                here = variables[a.name] < self.ragged_extent(a, variables)
                mask = here if mask is None else mask & here
        return mask

    def store(self, store: Store, evaluator: Evaluator, shape: tuple[int, ...]) -> None:
        target = self.outputs[store.target]
        index = tuple(np.broadcast_to(evaluator.value(i), shape) for i in store.index)
        value = np.broadcast_to(evaluator.value(store.value), shape)
        target[clip_index(store.target, index, target.shape)] = value.reshape(-1)[-1] if not index else value
