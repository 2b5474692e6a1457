"""The meaning of a Sequence: its kernels one after the other, control of the host unrolled in time."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from bough.ir.evaluate import evaluate, extent_value
from bough.ir.expr import Expr
from bough.ir.interpret_kernel import run_kernel
from bough.ir.sequence import Apart, Branch, Check, Define, Failure, Repeat, Sequence, Step, Whilst, phase

Array = np.ndarray[Any, Any]


class Failed(Exception):
    """A check of the sequence does not hold."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.error}: {failure.message}")
        self.failure = failure


def run_sequence(
    sequence: Sequence, inputs: list[Array], scalars: dict[str, int] | None = None,
    precision: Literal["native", "float64"] = "native",
) -> tuple[Array, ...]:  # fmt: skip
    """The results for these inputs, or `Failed`. "float64" computes float32 arrays in float64: the reference."""
    wide = precision == "float64"

    def held(array: Array) -> Array:
        return array.astype(np.float64) if wide and array.dtype == np.float32 else array

    arrays: dict[str, Array] = {n: held(a) for n, a in sequence.constants.items()}
    arrays.update({o.name: held(np.asarray(a)) for o, a in zip(sequence.inputs, inputs, strict=True)})
    sizes = dict(scalars or {})
    for name, o in sequence.temporaries.items():
        shape = tuple(extent_value(e, sizes) for e in o.shape)
        arrays[name] = held(np.zeros(shape, o.dtype.numpy))

    def value(e: Expr, at: dict[str, int]) -> Any:
        return evaluate(e, {n: np.int64(v) for n, v in at.items()}, arrays)

    def run(steps: tuple[Step, ...], at: dict[str, int]) -> dict[str, int]:
        at = dict(at)
        for s in steps:
            match s:
                case Define():
                    at[s.name] = int(value(s.value, at))
                case Repeat():
                    for n in range(extent_value(s.count, at)):
                        run(s.body, {**at, s.variable: n})
                case Branch():
                    run(s.then if value(s.condition, at) else s.otherwise, at)
                case Whilst():
                    inside, turn = run(s.head, {**at, s.variable: 0}), 0
                    while value(s.condition, inside):
                        run(s.body, inside)
                        turn += 1
                        inside = run(s.head, {**at, s.variable: turn})
                case Check():
                    if not value(s.condition, at):
                        raise Failed(s.failure)
                case Apart():
                    for n in range(extent_value(s.count, at)):
                        run(s.steps, {**at, s.variable: n})
                case _:
                    for kernel in phase(s):
                        for name, result in _run_kernel(kernel, arrays, at, precision).items():
                            arrays[name] = result.reshape(arrays[name].shape)
        return at

    run(sequence.steps, sizes)
    return tuple(arrays[r] for r in sequence.results)


def _run_kernel(kernel: Any, arrays: dict[str, Array], at: dict[str, int], precision: Any) -> dict[str, Array]:
    """Runs a kernel whose operands may be reshaped views of the arrays, and whose stores may cover a part of an output."""
    given = {
        o.name: arrays[o.name].reshape(tuple(extent_value(e, at) for e in o.shape))
        for o in (*kernel.inputs, *kernel.outputs)
    }
    return run_kernel(kernel, given, at, precision)
