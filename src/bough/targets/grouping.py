"""Instructions that add up several products of narrow numbers at once."""

from __future__ import annotations

from dataclasses import dataclass

from bough.ir.dtypes import F32, DType
from bough.ir.expr import Apply, Cast, Load
from bough.targets.description import Instruction, Target


@dataclass(frozen=True, slots=True)
class Grouping:
    """An instruction of the target adds up `size` products of `dtype` in `f32`, for each lane of a full vector."""

    dtype: DType
    size: int


def groupings(target: Target) -> tuple[Grouping, ...]:
    """All of a target, read off what its instructions mean."""
    found = (_grouping(i, target.lanes) for i in target.instructions if target.lanes > 1)
    return tuple(dict.fromkeys(g for g in found if g is not None))


def _grouping(instruction: Instruction, lanes: int) -> Grouping | None:
    axes, reductions = instruction.kernel.axes, instruction.kernel.reductions
    if len(axes) != 2 or len(reductions) != 1 or axes[0].extent != lanes:
        return None
    ((_, reduce),) = reductions
    body, size = reduce.body, axes[1].extent
    if reduce.op != "sum" or not isinstance(body, Apply) or body.function != "mul" or body.dtype != F32:
        return None
    types = {a.value.dtype for a in body.args if isinstance(a, Cast) and isinstance(a.value, Load)}
    return Grouping(types.pop(), size) if len(types) == 1 and isinstance(size, int) else None
