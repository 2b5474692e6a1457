"""Where the arrays of a cell lie once all activations are computed together, and which activations a kernel runs over.

    array of the cell              by           one array for all activations
    x[d, j]                        node         x[activation, d, j]
    x[d, A, j], A a walk's length  element      x[element, d, j]
    w[d, j], of no object          once         w[d, j]

A second dimension over a walk, or one whose size is computed from a walk's length, has the size that it would have for the
longest walk; what is behind an activation's own end is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bough.base.visits import Names
from bough.control_flow.regions import Region as Part
from bough.ir.expr import Const, Expr, Extent, Load, Var, add, as_expr, as_extent, sub, substitute
from bough.ir.kernel import Operand
from bough.recursion.tables import entry

START = Const(0)


@dataclass(frozen=True, slots=True)
class Place:
    """`operand` holds a cell's array for all activations. By element, dimension `dimension` of the cell's array is along
    `walk`. `local`: counted from the first activation of the level. With `target`, the rows are those that this index
    array points to; they begin at `offset`. `dense`: rows are in the order of the part of the region that runs the kernel."""

    operand: Operand
    by: Literal["once", "node", "element"]
    walk: int = 0
    dimension: int = 0
    local: bool = False
    target: str | None = None
    offset: Expr = START
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Region:
    """Activations `begin` .. `begin + size - 1` of a variant, and their elements in each walk. With `part`, those of them alone
    that took a way, counted from the first activation of the region."""

    begin: Expr
    size: Extent
    first_elements: tuple[Expr, ...] = ()
    elements: tuple[Extent, ...] = ()
    part: Part | None = None

    def member(self, position: Expr) -> Expr:
        """The activation, counted from the first, at a position of those that run a kernel."""
        return position if self.part is None else self.part.sample(position)


@dataclass(frozen=True, slots=True)
class Walks:
    """The walks of a variant. `sizes` gives the number of each by the name that its length has in the cell."""

    function: str
    variant: int
    sizes: Mapping[str, int]

    def first(self, walk: int, activation: Expr) -> Load:
        return entry(Names.first(self.function, self.variant, walk), activation)

    def length(self, walk: int, activation: Expr) -> Expr:
        return sub(self.first(walk, add(activation, 1)), self.first(walk, activation))

    def parent(self, walk: int, element: Expr) -> Load:
        return entry(Names.parent(self.function, self.variant, walk), element)

    def lengths(self, activation: Expr) -> dict[str, Expr]:
        """What the cell's names for lengths stand for at an activation."""
        return {name: self.length(walk, activation) for name, walk in self.sizes.items()}

    def longest(self, extent: Extent) -> Extent:
        """The extent with the longest walk's length for every length."""
        longest: dict[str, Expr] = {
            name: Var(Names.longest(self.function, self.variant, walk)) for name, walk in self.sizes.items()
        }
        return as_extent(substitute(as_expr(extent), longest))

    def along(self, extent: Extent) -> int | None:
        """The walk that a dimension of this size goes along."""
        return self.sizes.get(extent.name) if isinstance(extent, Var) else None


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a batched kernel: the activation or, with `walk`, the element that `axis` of the kernel names."""

    walks: Walks
    region: Region
    axis: str
    walk: int | None = None

    @property
    def extent(self) -> Extent:
        if self.walk is not None:
            return self.region.elements[self.walk]
        return self.region.size if self.region.part is None else self.region.part.size

    @property
    def element(self) -> Expr:
        """The element that the point is."""
        assert self.walk is not None
        return add(self.region.first_elements[self.walk], Var(self.axis))

    @property
    def activation(self) -> Expr:
        """The activation that the point is at."""
        if self.walk is None:
            return add(self.region.begin, self.region.member(Var(self.axis)))
        return self.walks.parent(self.walk, self.element)

    @property
    def position(self) -> Expr:
        """The position of the element in its walk."""
        assert self.walk is not None
        return sub(self.element, self.walks.first(self.walk, self.activation))

    def row(self, place: Place, position: Expr | None = None) -> Expr:
        """The first index into the place's operand; `position` is that in the walk, None for the element of the point."""
        if place.dense:
            return Var(self.axis)
        if place.by == "node":
            if place.local and self.walk is None:
                return self.region.member(Var(self.axis))
            return sub(self.activation, self.region.begin) if place.local else self.through(place, self.activation)
        if position is None:
            return Var(self.axis) if place.local else self.through(place, self.element)
        element = add(self.walks.first(place.walk, self.activation), position)
        return sub(element, self.region.first_elements[place.walk]) if place.local else self.through(place, element)

    def through(self, place: Place, row: Expr) -> Expr:
        return add(place.offset, row) if place.target is None else entry(place.target, row)

    def stands_for(self, place: Place, index: tuple[Expr, ...]) -> bool:
        """Whether this index into the cell's array names the element that the point is."""
        return place.by == "element" and self.walk == place.walk and index[place.dimension] == Var(self.axis)

    def index(self, place: Place, index: tuple[Expr, ...], own: bool) -> tuple[Expr, ...]:
        """The index into the place's operand for an index into the cell's array; `own`: at the point's own element."""
        if place.by == "once":
            return index
        if place.by == "node":
            return (self.row(place), *index)
        position = None if own else index[place.dimension]
        return (self.row(place, position), *index[: place.dimension], *index[place.dimension + 1 :])
