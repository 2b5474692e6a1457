"""Loops to LLVM: one object of native code for all functions of a model."""

from __future__ import annotations

from bough.codegen.compile import compile_functions, emit_assembly, emit_ir
from bough.codegen.math_check import MathReport, check_math
from bough.codegen.walk import emit_reader, emit_walk

__all__ = ["MathReport", "check_math", "compile_functions", "emit_assembly", "emit_ir", "emit_reader", "emit_walk"]
