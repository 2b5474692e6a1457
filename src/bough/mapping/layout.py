"""Whether an instruction can read a value where it is, or needs a packed copy of it."""

from __future__ import annotations

from bough.ir.expr import Const, Expr, Extent, Load, as_expr, as_extent, mul
from bough.ir.kernel import Kernel
from bough.mapping.mapping import Binding, lanes
from bough.mapping.match import describe
from bough.rewrite.affine import affine
from bough.schedule.access import address
from bough.targets.description import Instruction


def bind(
    kernel: Kernel,
    instruction: Instruction,
    operand: str,
    dims: tuple[str, ...],
    value: Expr,
    axes: tuple[str, ...],
    fused: dict[str, tuple[str, ...]],
) -> Binding:
    """The binding of an operand with the axes `dims` to a value, when the instruction's axes are `fused` from the kernel's."""
    if not isinstance(value, Load):
        return Binding(operand, value, axes, (None,) * len(dims), f"`{describe(value)}` is computed")
    at = address(kernel.operands[value.source].shape, value.index)
    walk = affine(at, {a for group in fused.values() for a in group})  # the other axes are loops around
    if walk is None:
        return Binding(operand, value, axes, (None,) * len(dims), f"the index of {value.source} is not affine")
    strides = tuple(_stride(kernel, walk[0], fused[t]) for t in dims)
    return Binding(operand, value, axes, strides, _obstacle(kernel, instruction, dims, strides, fused))


def _stride(kernel: Kernel, strides: dict[str, Extent], group: tuple[str, ...]) -> Extent | None:
    """The distance between neighbours along fused axes; None where it is not the same everywhere."""
    if not group:
        return 0
    step = strides.get(group[-1], 0)
    across: Extent = step
    for outer, inner in zip(group[-2::-1], group[:0:-1]):
        across = as_extent(mul(as_expr(across), as_expr(kernel.axis(inner).extent)))
        if strides.get(outer, 0) != across:
            return None
    return step


def _obstacle(
    kernel: Kernel,
    instruction: Instruction,
    dims: tuple[str, ...],
    strides: tuple[Extent | None, ...],
    fused: dict[str, tuple[str, ...]],
) -> str:
    for t, stride in zip(dims, strides):
        if stride is None:
            return f"{'*'.join(fused[t])}, fused into {t}, have no common stride"
    if dims and strides[-1] != 1:
        return f"neighbours along {dims[-1]} are {describe(as_expr(strides[-1] or 0))} elements apart"
    for t in dims:
        if not divisible(kernel, instruction, t, fused[t]):
            return f"the extent of {'*'.join(fused[t]) or '1'} is no multiple of {lanes(instruction, t)}: the rest is padded"
    return ""


def divisible(kernel: Kernel, instruction: Instruction, axis: str, group: tuple[str, ...]) -> bool:
    """Whether the fused extent is known to be a multiple of the instruction's."""
    extent = fused_extent(kernel, group)
    return isinstance(extent, int) and extent % lanes(instruction, axis) == 0


def fused_extent(kernel: Kernel, group: tuple[str, ...]) -> Extent:
    """The product of the extents of some axes."""
    total: Expr = Const(1)
    for a in group:
        total = mul(total, as_expr(kernel.axis(a).extent))
    return as_extent(total)
