"""The levels of the IR: programs, sequences of kernels, kernels, loops; each with its text, its checks and its meaning."""

from __future__ import annotations

from bough.ir.interpret_kernel import run_kernel
from bough.ir.interpret_loops import run_loops
from bough.ir.interpret_program import run_program
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.ir.loops_text import parse_loops, print_loops
from bough.ir.program_text import parse_program, print_program, same_program
from bough.ir.sequence_text import parse_sequence, print_sequence
from bough.ir.text import ParseError, parse_expr, print_expr
from bough.ir.verify_kernel import verify_kernel
from bough.ir.verify_loops import verify_loops
from bough.ir.verify_program import verify_program
from bough.ir.verify_sequence import verify_sequence

__all__ = [
    "ParseError", "parse_expr", "parse_kernel", "parse_loops", "parse_program", "parse_sequence", "print_expr",
    "print_kernel", "print_loops", "print_program", "print_sequence", "run_kernel", "run_loops", "run_program",
    "run_sequence", "same_program", "verify_kernel", "verify_loops", "verify_program", "verify_sequence",
]  # fmt: skip
