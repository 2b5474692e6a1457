"""What the table holds for an operator: its type rule, its meaning and its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.kernel import Kernel, Operand
from bough.ir.program import TensorType

Array = np.ndarray[Any, Any]
Attributes = Mapping[str, Any]
Types = Sequence[TensorType | None]
Arrays = Sequence[Array | None]
Operands = Sequence[Operand | None]

Infer = Callable[[Types, Attributes], tuple[TensorType, ...]]
Evaluate = Callable[[Arrays, Attributes, tuple[TensorType, ...]], tuple[Array, ...]]
Lower = Callable[[Operands, Sequence[Operand], Attributes], tuple[Kernel, ...]]


@dataclass(frozen=True)
class Operator:
    """One row of the table.

    `infer` gives the types of the results; it raises InternalError for arguments that the front end must not produce.
    `evaluate` is the meaning in NumPy, computed in the type of the arrays (float64 in: the float64 reference). It gets the
    result types with concrete shapes, and never sees 16-bit floats: `ops.evaluate` widens them.
    `lower` gives kernels that run in order; intermediates are operands named `<result>.<stage>`.
    `signature` and `summary` are for the reader: arguments with attributes, and one sentence.
    """

    name: str
    signature: str
    summary: str
    infer: Infer
    evaluate: Evaluate
    lower: Lower


def present(value: Any, op: str = "operator") -> Any:
    """The argument itself, which must not be absent."""
    if value is None:
        raise InternalError(f"{op}: a required argument is absent")
    return value
