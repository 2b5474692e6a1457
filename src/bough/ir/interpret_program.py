"""What a program means: its assignments run in order, each operator by the meaning it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import BF16
from bough.ir.evaluate import Array, Precision, bind_sizes, extent_value, shape_value
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.program import Assign, Function, Loop, Node, Program, TensorType, Value

Evaluate = Callable[[str, Sequence[Array | None], Mapping[str, Any], tuple[TensorType, ...]], tuple[Array, ...]]
"""(operator, arguments, attributes, result types) -> results; the sizes in attributes and types are numbers."""


def run_program(
    program: Program, args: Sequence[Array], evaluate: Evaluate, precision: Precision = "native",
    given: Mapping[str, int] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """The results of the entry function; `evaluate` is the meaning of the operators.

    Symbolic sizes are `given` or read off the arguments' shapes. bf16 values are uint16 bit patterns. With precision
    `float64` the arguments and constants that are floats are float64: the reference.
    Raises InternalError for arguments that do not fit.
    """
    function = program.functions[program.entry]
    if len(args) != len(function.params):
        raise InternalError(f"{function.name} takes {len(function.params)} arguments, not {len(args)}")
    sizes = dict(given or {})
    for param, array in zip(function.params, args, strict=True):
        bind_sizes(param.type.shape, array.shape, sizes)
    for param, array in zip(function.params, args, strict=True):
        expected = shape_value(param.type.shape, sizes)
        if array.shape != expected:
            raise InternalError(f"{function.name}: {param.name} has shape {array.shape}, not {expected}")
    known = {**dict(zip(function.params, args, strict=True)), **function.constants}
    run = _Run(function, evaluate, sizes, {v: _held(a, v, precision) for v, a in known.items()})
    run.nodes(function.body)
    return tuple(run.value(v) for v in function.results)


def _held(array: Array, value: Value, precision: Precision) -> Array:
    if precision == "native" or not value.type.dtype.is_float:
        return array
    return (from_bf16(array) if value.type.dtype == BF16 and array.dtype == np.uint16 else array).astype(np.float64)


class _Run:
    def __init__(
        self, function: Function, evaluate: Evaluate, sizes: dict[str, int], values: dict[Value, Array]
    ) -> None:
        self.function, self.evaluate, self.sizes, self.values = function, evaluate, sizes, values

    def value(self, v: Value) -> Array:
        try:
            return self.values[v]
        except KeyError:
            raise InternalError(f"{self.function.name}: {v.name} has no value yet") from None

    def nodes(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node, Assign):
                self.assign(node)
            else:
                self.loop(node)

    def assign(self, node: Assign) -> None:
        args = [None if a is None else self.value(a) for a in node.args]
        attributes = {name: self.resolve(value) for name, value in node.attributes.items()}
        types = tuple(TensorType(r.type.dtype, shape_value(r.type.shape, self.sizes)) for r in node.results)
        results = self.evaluate(node.op, args, attributes, types)
        self.values.update(zip(node.results, results, strict=True))

    def resolve(self, attribute: Any) -> Any:
        """An attribute with its symbolic sizes as numbers."""
        if isinstance(attribute, tuple):
            return tuple(self.resolve(a) for a in attribute)
        return extent_value(attribute, self.sizes) if isinstance(attribute, Const | Var | Load | Apply | Cast) else attribute

    def loop(self, node: Loop) -> None:
        count = extent_value(node.count, self.sizes)
        states = [self.value(v) for v in node.initial]
        stacked = []
        for v in node.stacked:
            stacked.append(np.zeros(shape_value(v.type.shape, self.sizes), v.type.dtype.numpy))
        for index in reversed(range(count)) if node.reverse else range(count):
            self.values[node.index] = np.array(index, np.int64)
            self.values.update(zip(node.carried, states, strict=True))
            self.nodes(node.body)
            states = [self.value(v) for v in node.updated]
            for position, v in enumerate(node.collected):
                element = self.value(v)
                if stacked[position].dtype != element.dtype:
                    stacked[position] = stacked[position].astype(element.dtype)
                stacked[position][index] = element
        self.values.update(zip(node.final, states, strict=True))
        self.values.update(zip(node.stacked, stacked, strict=True))
