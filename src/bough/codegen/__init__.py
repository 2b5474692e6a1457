"""Loops to LLVM: one object of native code for all functions of a model."""

from __future__ import annotations

from bough.codegen.compile import compile_functions, emit_assembly, emit_ir

__all__ = ["compile_functions", "emit_assembly", "emit_ir"]
