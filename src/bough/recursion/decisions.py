"""Control on computed values inside a cell: an early end, a chosen child. Activations of a level part, and meet again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bough.base.errors import CompileError
from bough.control_flow.members import OverMembers, Scope
from bough.control_flow.regions import Region as Part
from bough.graph_passes.fuse import fuse
from bough.ir.dtypes import I64, DType
from bough.ir.expr import Expr, Extent, loads, variables
from bough.ir.kernel import Kernel, Operand
from bough.ir.sequence import Define, Run, Sequence, Step
from bough.recursion.arrays import Arrays
from bough.recursion.places import Place, Region, Walks


def fused(step: Step, lowered: Sequence, outside: set[str]) -> tuple[Step, ...]:
    """A step of control with the kernels inside it fused, while each is that of one activation. `outside` names what is read
    elsewhere."""
    return fuse(replace(lowered, steps=(step,), results=tuple(sorted(outside & set(lowered.temporaries))))).steps


class Decisions(OverMembers):
    """Steps of control of a cell for a region. `kernel_for` makes the kernel for the activations of a region, `rows` is how many
    there are at the most."""

    nominal = 16

    def __init__(
        self, region: Region, prefix: str, rows: Extent, arrays: Arrays, places: dict[str, Place], walks: Walks,
        operands: dict[str, Operand], kernel_for: Callable[[Kernel, Region], Kernel],
    ) -> None:  # fmt: skip
        super().__init__(arrays.decided, prefix)
        self.region, self.rows, self.arrays, self.places, self.walks = region, rows, arrays, places, walks
        self.operands, self.kernel_for = operands, kernel_for

    def steps(self, step: Step) -> list[Step]:
        return self.block((step,), Scope(Part(self.region.size)))

    def kernel(self, kernel: Kernel, scope: Scope) -> list[Step]:
        part = scope.region if scope.region.members is not None else None
        return [Run(self.kernel_for(kernel, replace(self.region, part=part)))]

    def splits(self, e: Expr) -> bool:
        return bool(loads(e)) or not variables(e).isdisjoint(self.walks.sizes)

    def of_one(self, name: str) -> Operand:
        return self.operands[name]

    def hold(self, target: Operand, region: Part | None) -> Operand:
        held = self.make(target.name, target.dtype, self.rows)
        self.places[target.name] = Place(held, "node", local=True, dense=region is not None)
        return held

    def make(self, name: str, dtype: DType, *shape: Extent) -> Operand:
        return self.arrays.temporary(name, dtype, shape)

    def make_list(self, name: str) -> Operand:
        return self.make(name, I64, self.rows)

    def define(self, s: Define, scope: Scope) -> list[Step]:
        raise CompileError(
            "a size that is computed in a recursion is not compiled",
            code="BGH-REC-008",
            because="arrays of all objects of a level have one shape",
            advice="compute with a mask instead, or after the recursion",
            location=s.location,
        )

    def bound(self, extent: Expr, scope: Scope) -> list[Step]:
        scope.bounds[extent] = self.walks.longest(extent)
        return []
