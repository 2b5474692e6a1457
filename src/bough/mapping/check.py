"""Prove a mapping on data: the interpreter runs the mapped kernels, with the instruction in place of the inner box."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Dictionary
from typing import Any

import numpy as np

from bough.ir.bfloat import to_bf16
from bough.ir.dtypes import BF16
from bough.ir.evaluate import shape_value
from bough.ir.functions import reduction_unit
from bough.ir.interpret_kernel import run_kernel
from bough.ir.interpret_loops import run_loops
from bough.ir.kernel import Kernel, Operand
from bough.ir.loops import Function
from bough.mapping.apply import MappedKernel, apply_mapping
from bough.mapping.lower_tiles import invoke_tiles
from bough.mapping.mapping import Mapping

Array = np.ndarray[Any, Any]
RunTiles = Callable[[Function, dict[str, Array]], object]


def check_mapping(kernel: Kernel, mapping: Mapping, rng: np.random.Generator, sizes: Dictionary[str, int] | None = None) -> bool:
    """Whether the mapped kernels compute what `kernel` computes, on small random integers, for which sums are exact."""
    sizes = dict(sizes or {})
    arrays = {o.name: random_integers(o, rng, sizes) for o in kernel.inputs}
    expected = run_kernel(kernel, arrays, sizes)
    mapped = apply_mapping(kernel, mapping)
    instructions = {mapping.instruction.name: mapping.instruction.kernel}
    got = run_mapped(mapped, arrays, sizes, invoke_tiles(mapped), lambda f, b: run_loops(f, b, sizes, instructions))
    return all(np.array_equal(got[name], value, equal_nan=value.dtype.kind == "f") for name, value in expected.items())


def random_integers(o: Operand, rng: np.random.Generator, sizes: Dictionary[str, int]) -> Array:
    """An array for an operand: integers between -4 and 4, or 0 and 4 where negative ones have no place."""
    low = 0 if o.dtype.kind in ("uint", "bool") else -4
    values = rng.integers(low, 2 if o.dtype.kind == "bool" else 5, shape_value(o.shape, sizes))
    return to_bf16(values) if o.dtype == BF16 else np.asarray(values, o.dtype.numpy)


def run_mapped(
    mapped: MappedKernel, arrays: Dictionary[str, Array], sizes: Dictionary[str, int], tiles: Function, run_tiles: RunTiles
) -> dict[str, Array]:
    """The outputs of the original kernel, by the mapped kernels, with `tiles` for the one in the middle.

    `run_tiles` runs that function on buffers that it changes in place; results start with the reduction's unit.
    """
    known = dict(arrays)
    for pack in mapped.packs:
        known |= run_kernel(pack, known, sizes)
    ops = {name: reduce.op for name, reduce in mapped.tiled.reductions}
    for part in mapped.parts:
        result = part.result.source
        unit = reduction_unit(ops[part.reduction], result.dtype)
        known[result.name] = np.full(shape_value(result.shape, sizes), unit, result.dtype.numpy)
    run_tiles(tiles, {b.name: known[b.name] for b in tiles.params})
    return run_kernel(mapped.unpack, known, sizes)
