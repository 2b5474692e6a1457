"""What instruction mapping answers: how an instruction embeds in a kernel, or why it does not."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from math import ceil, prod

from bough.ir.evaluate import extent_value
from bough.ir.expr import Expr, Extent
from bough.ir.kernel import Kernel
from bough.targets.description import Instruction


@dataclass(frozen=True, slots=True)
class Binding:
    """An operand of the instruction stands for `value`, an expression of the program that uses `axes`.

    `strides` are the distances in elements between neighbours along the operand's dimensions, None for a dimension that has
    no single one. `obstacle` says why the instruction cannot read the value where it is; then it reads a packed copy with
    the operand's dimensions innermost. It is empty where no copy is needed.
    """

    operand: str
    value: Expr
    axes: tuple[str, ...]
    strides: tuple[Extent | None, ...]
    obstacle: str

    @property
    def packed(self) -> bool:
        return bool(self.obstacle)


@dataclass(frozen=True, slots=True)
class Part:
    """One reduction of the kernel, computed by the instruction."""

    reduction: str
    bindings: tuple[Binding, ...]

    def binding(self, operand: str) -> Binding:
        return next(b for b in self.bindings if b.operand == operand)


@dataclass(frozen=True, slots=True)
class Mapping:
    """An embedding of `instruction` in a kernel.

    `axes` gives each axis of the instruction the axes of the kernel that are fused into it, last fastest; none where the
    kernel has no fitting axis (the instruction then works on one row of it). Several `parts` share tiles and loops.
    Every other axis of the kernel is a loop around. Where a fused extent is no multiple of the instruction's, the rest is
    padding: in a reduced axis it does not change the result, in a free axis it is not stored.
    """

    instruction: Instruction
    parts: tuple[Part, ...]
    axes: tuple[tuple[str, tuple[str, ...]], ...]

    def fused(self, axis: str) -> tuple[str, ...]:
        return dict(self.axes)[axis]

    @property
    def mapped(self) -> frozenset[str]:
        """The kernel's axes that are inside the instruction."""
        return frozenset(a for _, group in self.axes for a in group)

    def extents(self, kernel: Kernel, sizes: Dictionary[str, int] | None = None) -> dict[str, int]:
        """The fused extent of each axis of the instruction, for these symbolic sizes."""
        return {t: prod(extent_value(kernel.axis(a).extent, sizes or {}) for a in group) for t, group in self.axes}

    def utilization(self, kernel: Kernel, sizes: Dictionary[str, int] | None = None) -> float:
        """The share of the instruction's work that is not padding, between 0 and 1."""
        share = 1.0
        for t, extent in self.extents(kernel, sizes).items():
            width = lanes(self.instruction, t)
            share *= extent / (ceil(extent / width) * width) if extent else 0.0
        return share

    def fills(self, kernel: Kernel, sizes: Dictionary[str, int] | None = None) -> bool:
        """Whether each fused extent is at least as long as the instruction's axis."""
        return all(e >= lanes(self.instruction, t) for t, e in self.extents(kernel, sizes).items())

    def __str__(self) -> str:
        axes = ", ".join(f"{t} = {'*'.join(group) or '1'}" for t, group in self.axes)
        return f"{self.instruction.name} on {', '.join(p.reduction for p in self.parts)} with {axes}"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why an instruction does not embed: `what` differs, `where` in the kernel, `because` of what. `stage` is how far it got."""

    what: str
    where: str
    because: str
    stage: int = 0

    def __str__(self) -> str:
        return f"{self.where}: {self.what}, because {self.because}"


def lanes(instruction: Instruction, axis: str) -> int:
    """The extent of an instruction's axis."""
    extent = instruction.kernel.axis(axis).extent
    assert isinstance(extent, int), "an instruction's extents are constant"
    return extent
