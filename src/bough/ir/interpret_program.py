"""What a program means: its assignments run in order, each operator by the meaning it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bough.base.errors import BoughError, InternalError
from bough.base.source import Location
from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import BF16
from bough.ir.evaluate import Array, Precision, bind_sizes, extent_value, shape_value
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.program import Assign, Check, Function, If, Loop, Node, Program, Size, TensorType, Value, While

Evaluate = Callable[[str, Sequence[Array | None], Mapping[str, Any], tuple[TensorType, ...]], tuple[Array, ...]]
"""(operator, arguments, attributes, result types) -> results; the sizes in attributes and types are numbers."""


TURNS = 1 << 20
"""How often a `While` turns before it counts as one that never ends."""


class CheckFailed(BoughError):
    """A call ended by a `Check` or `Size`: `error` is the class of Python's exception, `message` its text."""

    def __init__(self, error: str, message: str, location: Location | None = None) -> None:
        self.error, self.message, self.location = error, message, location
        super().__init__(f"{error}: {message}" + ("" if location is None else f"\n  at {location}"))


def run_program(
    program: Program, args: Sequence[Array], evaluate: Evaluate, precision: Precision = "native",
    given: Mapping[str, int] | None = None, turns: int = TURNS,
) -> tuple[Array, ...]:  # fmt: skip
    """The results of the entry function; `evaluate` is the meaning of the operators.

    Symbolic sizes are `given` or read off the arguments' shapes. bf16 values are uint16 bit patterns. With precision
    `float64` the arguments and constants that are floats are float64: the reference.
    Raises InternalError for arguments that do not fit, CheckFailed where a check of the program fails, a computed size is
    outside its bounds or a `While` turns more than `turns` times.
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
    run = _Run(function, evaluate, sizes, turns, {v: _held(a, v, precision) for v, a in known.items()})
    run.nodes(function.body)
    return tuple(run.value(v) for v in function.results)


def _held(array: Array, value: Value, precision: Precision) -> Array:
    if precision == "native" or not value.type.dtype.is_float:
        return array
    return (from_bf16(array) if value.type.dtype == BF16 and array.dtype == np.uint16 else array).astype(np.float64)


class _Run:
    def __init__(
        self, function: Function, evaluate: Evaluate, sizes: dict[str, int], turns: int, values: dict[Value, Array]
    ) -> None:
        self.function, self.evaluate, self.sizes, self.turns, self.values = function, evaluate, sizes, turns, values

    def value(self, v: Value) -> Array:
        try:
            return self.values[v]
        except KeyError:
            raise InternalError(f"{self.function.name}: {v.name} has no value yet") from None

    def nodes(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            match node:
                case Assign():
                    self.assign(node)
                case Loop():
                    self.loop(node)
                case If():
                    self.branches(node)
                case While():
                    self.whilst(node)
                case Size():
                    self.size(node)
                case Check():
                    if not self.holds(node.condition):
                        raise CheckFailed(node.error, node.message, node.location)

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

    def holds(self, condition: Value) -> bool:
        return bool(self.value(condition))

    def branches(self, node: If) -> None:
        taken = self.holds(node.condition)
        self.nodes(node.then if taken else node.otherwise)
        results = node.then_results if taken else node.otherwise_results
        self.values.update(zip(node.results, [self.value(v) for v in results], strict=True))

    def whilst(self, node: While) -> None:
        states = [self.value(v) for v in node.initial]
        for _ in range(self.turns + 1):
            self.values.update(zip(node.carried, states, strict=True))
            self.nodes(node.head)
            if not self.holds(node.condition):
                self.values.update(zip(node.final, states, strict=True))
                return
            self.nodes(node.body)
            states = [self.value(v) for v in node.updated]
        raise CheckFailed("RuntimeError", f"a loop did not end within {self.turns} turns", node.location)

    def size(self, node: Size) -> None:
        size = int(self.value(node.value))
        high = None if node.high is None else extent_value(node.high, self.sizes)
        if size < node.low or (high is not None and size > high):
            bounds = f"{node.low}.." + ("" if high is None else str(high))
            raise CheckFailed("RuntimeError", f"the computed size {size} is not in {bounds}", node.location)
        self.sizes[node.name] = size
