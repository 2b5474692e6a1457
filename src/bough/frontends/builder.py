"""Builds the body of a Program's function: one method per way in which values come to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import numpy as np

from bough import ops
from bough.base.source import Location
from bough.frontends.promotion import Number
from bough.ir.bfloat import to_bf16
from bough.ir.dtypes import BF16, F32, I64, DType
from bough.ir.expr import Expr, Extent
from bough.ir.program import Assign, Loop, Node, TensorType, Value

Operand = Union[Value, Expr, Number]
"""A tensor, a symbolic number (`i64`), or a Python number."""


class Unsupported(Exception):
    """The program that is being imported uses something that the operator table cannot express."""


class Builder:
    """Appends nodes to the innermost open body. `sizes` are those of the example.

    Set per operator of the imported program: the `location` and the name (`hint`) of the values made for it, and the
    types that its results must have (`expected`).
    """

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self.sizes = sizes or {}
        self.constants: dict[Value, np.ndarray[Any, Any]] = {}
        self.bodies: list[list[Node]] = [[]]
        self.location: Location | None = None
        self.hint = "v"
        self.expected: tuple[TensorType, ...] = ()
        self._names: dict[str, int] = {}
        self._numbers: dict[tuple[str, DType], Value] = {}

    def value(self, type: TensorType, hint: str | None = None) -> Value:
        """A new value with a unique name made from `hint`."""
        base = re.sub(r"\W", "_", hint or self.hint)
        if not base or base[0].isdigit():
            base = f"v{base}"
        count = self._names.get(base)
        self._names[base] = 0 if count is None else count + 1
        name = base if count is None else f"{base}.{count + 1}"
        return Value(name, type, self.location)

    def emit(self, op: str, *args: Value | None, **attributes: Any) -> Value:
        """One assignment with one result, of the type that the operator's rule gives."""
        (result,) = self.assign(op, args, attributes)
        return result

    def assign(self, op: str, args: Sequence[Value | None], attributes: dict[str, Any]) -> tuple[Value, ...]:
        if op not in ops.OPERATORS:
            raise Unsupported(f"the operator table has no `{op}`")
        types = ops.infer(op, [None if a is None else a.type for a in args], attributes)
        results = tuple(self.value(t) for t in types)
        self.bodies[-1].append(Assign(results, op, tuple(args), attributes, self.location))
        return results

    def constant(self, array: np.ndarray[Any, Any], dtype: DType, hint: str) -> Value:
        result = self.value(TensorType(dtype, array.shape), hint)
        self.constants[result] = array
        return result

    def number(self, number: Number, dtype: DType) -> Value:
        """A rank-0 constant; equal ones are one value."""
        key = (repr(number), dtype)
        if key not in self._numbers:
            array = to_bf16(number) if dtype == BF16 else np.asarray(number).astype(dtype.numpy)
            self._numbers[key] = self.constant(array, dtype, "c")
        return self._numbers[key]

    def symbolic(self, size: Extent) -> Value:
        """A rank-0 `i64` value with the value of an extent."""
        if isinstance(size, int):
            return self.number(size, I64)
        return self.emit("full", shape=(), value=size, dtype=I64)

    def operand(self, operand: Operand, dtype: DType) -> Value:
        """Any operand as a tensor of this type."""
        if isinstance(operand, Value):
            return self.cast(operand, dtype)
        if isinstance(operand, (bool, int, float)):
            return self.number(operand, dtype)
        return self.cast(self.symbolic(operand), dtype)

    def cast(self, value: Value, dtype: DType) -> Value:
        return value if value.type.dtype == dtype else self.emit("cast", value, dtype=dtype)

    def reshape(self, value: Value, shape: Sequence[Extent]) -> Value:
        return value if value.type.shape == tuple(shape) else self.emit("reshape", value, shape=tuple(shape))

    def permute(self, value: Value, order: Sequence[int]) -> Value:
        return value if list(order) == list(range(value.type.rank)) else self.emit("permute", value, order=tuple(order))

    def slice(self, value: Value, axis: int, start: Extent, stop: Extent, step: int = 1) -> Value:
        if start == 0 and step == 1 and stop == value.type.shape[axis]:
            return value
        return self.emit("slice", value, axis=axis, start=start, stop=stop, step=step)

    def select(self, value: Value, axis: int, position: int) -> Value:
        """One position of an axis, which goes away."""
        shape = value.type.shape
        return self.reshape(self.slice(value, axis, position, position + 1), (*shape[:axis], *shape[axis + 1 :]))

    def loop(
        self,
        count: Extent,
        initial: Sequence[Value],
        step: Callable[..., tuple[Sequence[Value], Sequence[Value]]],
        *,
        reverse: bool = False,
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """`step(index, *states) -> (next states, collected)`, run `count` times; gives (final states, stacked)."""
        index = self.value(TensorType(I64, ()), "t")
        carried = tuple(self.value(v.type, "state") for v in initial)
        self.bodies.append([])
        updated, collected = step(index, *carried)
        body = self.bodies.pop()
        final = tuple(self.value(v.type, "final") for v in initial)
        stacked = tuple(self.value(TensorType(v.type.dtype, (count, *v.type.shape)), "steps") for v in collected)
        self.bodies[-1].append(
            Loop(
                index, count, carried, tuple(initial), tuple(updated), final, tuple(collected), stacked,
                body, reverse, self.location,
            )
        )  # fmt: skip
        return final, stacked


def compute_dtype(dtype: DType) -> DType:
    """The type in which a real-valued function of this type computes: integers go to float32."""
    return dtype if dtype.is_float else F32
