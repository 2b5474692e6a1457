"""The operator table: shape rule, NumPy meaning and kernels of each operator of the Program level."""

from __future__ import annotations

from bough.ops.names import symbols
from bough.ops.operator import Operator
from bough.ops.table import OPERATORS, evaluate, infer, lower

__all__ = ["OPERATORS", "Operator", "evaluate", "infer", "lower", "symbols"]
