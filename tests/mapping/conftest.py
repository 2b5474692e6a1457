"""Lets the tests of this folder share `mapping_kernels`, and use the native runner of the tests of code generation."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "codegen")]
