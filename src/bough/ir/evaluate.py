"""The value of a scalar expression, over NumPy arrays: the meaning that the interpreters of all levels share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16, to_bf16
from bough.ir.dtypes import BF16, BOOL, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var
from bough.ir.functions import FUNCTIONS

Array = np.ndarray[Any, Any]
Precision = Literal["native", "float64"]


def compute_type(dtype: DType, precision: Precision = "native") -> np.dtype[Any]:
    """The NumPy type that values of `dtype` are computed in: f32 for bf16 (rounded after each step), else its own;
    with precision `float64`, float64 for every float."""
    if dtype.is_float and precision == "float64":
        return np.dtype(np.float64)
    return np.dtype(np.float32) if dtype == BF16 else dtype.numpy


def read_array(array: Array, dtype: DType, precision: Precision = "native") -> Array:
    """An operand's array as the values it stands for."""
    if dtype == BF16 and array.dtype == np.uint16:
        array = from_bf16(array)
    return array.astype(compute_type(dtype, precision), copy=False)


def convert(value: Any, source: DType, target: DType, precision: Precision = "native") -> Any:
    """The meaning of `Cast`."""
    if target == BOOL:
        return np.not_equal(value, 0)
    if target == BF16 and precision == "native":
        return from_bf16(to_bf16(np.asarray(value).astype(np.float32)))
    if source.is_float and target.is_integer:
        value = np.trunc(value)
    return np.asarray(value).astype(compute_type(target, precision))


@dataclass(slots=True)
class Evaluator:
    """Evaluates expressions with `variables` (arrays that broadcast together, or scalars) and `arrays` to load from.

    A load outside its array raises InternalError, except at points where a `select` does not take the branch it is in.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    precision: Precision = "native"

    def value(self, e: Expr, mask: Any = None) -> Any:
        """The value of `e`; only where `mask` (None: everywhere) need its loads be inside."""
        match e:
            case Const(value, dtype):
                return compute_type(dtype, self.precision).type(value)
            case Var(name, _):
                try:
                    return self.variables[name]
                except KeyError:
                    raise InternalError(f"no value for variable {name}") from None
            case Load(source, index, _):
                return self._load(source, tuple(self.value(i, mask) for i in index), mask)
            case Cast(value, dtype):
                return convert(self.value(value, mask), value.dtype, dtype, self.precision)
            case Apply("select", (condition, a, b), _):
                return self._select(condition, a, b, mask)
            case Apply(function, args, dtype):
                result = FUNCTIONS[function].evaluate(*(self.value(a, mask) for a in args))
                return convert(result, dtype, dtype, self.precision) if dtype == BF16 else result

    def _select(self, condition: Expr, a: Expr, b: Expr, mask: Any) -> Any:
        chosen = self.value(condition, mask)
        if np.ndim(chosen) == 0:
            return self.value(a if chosen else b, mask)
        then, otherwise = (chosen, ~chosen) if mask is None else (mask & chosen, mask & ~chosen)
        return np.where(chosen, self.value(a, then), self.value(b, otherwise))

    def _load(self, source: str, index: tuple[Any, ...], mask: Any) -> Any:
        array = self.arrays[source]
        if not index:
            return array[()]
        inside = clip_index(source, index, array.shape, mask)
        if 0 in array.shape:
            return np.zeros(np.broadcast_shapes(*(np.shape(i) for i in index)), array.dtype)
        return array[inside]


def clip_index(source: str, index: tuple[Any, ...], shape: tuple[int, ...], mask: Any = None) -> tuple[Any, ...]:
    """The index with its parts clipped into `shape`. Raises InternalError where one that `mask` holds is outside."""
    if len(index) != len(shape):
        raise InternalError(f"{source} has {len(shape)} dimensions and is indexed by {len(index)}")
    clipped = []
    for position, (i, size) in enumerate(zip(index, shape, strict=True)):
        outside = (i < 0) | (i >= size)
        if np.any(outside):
            wrong = outside if mask is None else outside & mask
            if np.any(wrong):
                first = np.broadcast_to(i, np.shape(wrong))[wrong].flat[0] if np.ndim(wrong) else i
                raise InternalError(f"index {first} is outside dimension {position} of {source}, of size {size}")
            i = np.clip(i, 0, max(size - 1, 0))
        clipped.append(i)
    return tuple(clipped)


def evaluate(e: Expr, variables: Mapping[str, Any] | None = None, arrays: Mapping[str, Array] | None = None) -> Any:
    """The value of `e`, vectorised over the variables' values."""
    with np.errstate(all="ignore"):
        return Evaluator(variables or {}, arrays or {}).value(e)


def extent_value(extent: Extent, scalars: Mapping[str, int]) -> int:
    """The size that an extent has for these symbolic sizes."""
    return extent if isinstance(extent, int) else int(evaluate(extent, {k: np.int64(v) for k, v in scalars.items()}))


def shape_value(shape: tuple[Extent, ...], scalars: Mapping[str, int]) -> tuple[int, ...]:
    """The sizes that a shape has for these symbolic sizes."""
    return tuple(extent_value(e, scalars) for e in shape)


def bind_sizes(shape: tuple[Extent, ...], actual: tuple[int, ...], scalars: dict[str, int]) -> None:
    """Adds the symbolic sizes that stand alone in `shape` to `scalars`, from an array's shape."""
    for extent, size in zip(shape, actual, strict=False):
        if isinstance(extent, Var):
            scalars.setdefault(extent.name, size)
