"""The Kernel level: order-free index notation. Programs' operators and hardware instructions are both written in it.

    kernel linear(x: f32[batch, 300], w: f32[512, 300], b: f32[512]) -> (y: f32[batch, 512])
      axes i: batch, j: 512, k: 300
      s = sum(k) x[i, k] * w[j, k]
      y[i, j] = b[j] + s

Meaning: the *free* axes are those that no reduction names. For every point of the free axes, in any order, the body runs
from top to bottom; a reduction runs over its own axes inside. All stores happen after all loads of *other* points, except
that an operand that is also an output (an accumulator) is read and written at the same point only, or `apart`.

The extent of a reduced axis may hold loads of `i64` inputs at indices over free axes (a *ragged* axis):

      axes n: nodes, j: 512, k: first[n + 1] - first[n]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Union

from bough.base.source import Location
from bough.ir.dtypes import DType
from bough.ir.expr import Expr, Extent, as_expr, loads, variables

Reduction = Literal["sum", "prod", "max", "min", "any", "all"]


@dataclass(frozen=True, slots=True)
class Axis:
    name: str
    extent: Extent


def axes_over(shape: Iterable[Extent], *beside: Expr) -> tuple[Axis, ...]:
    """Axes over all of a shape, called i0, i1, ... unless a size in it is, or a variable of what stands `beside` them."""
    shape = tuple(shape)
    taken: set[str] = set().union(*(variables(as_expr(e)) for e in (*shape, *beside)))
    names = (f"i{d}" for d in range(len(shape)))
    return tuple(Axis(f"{n}.axis" if n in taken else n, e) for n, e in zip(names, shape, strict=True))


@dataclass(frozen=True, slots=True)
class Operand:
    """A dense row-major array. `place` names a memory of the target; programs' operands live in `memory`."""

    name: str
    dtype: DType
    shape: tuple[Extent, ...]
    place: str = "memory"


@dataclass(frozen=True, slots=True)
class Reduce:
    """`op` over the box of `axes`; the value for an empty box is the unit of `op` (0, 1, -inf, inf, false, true).

    The order of combination is in the order of `axes`, last fastest, unless a schedule fixes another one.
    max and min give NaN where any element is NaN.
    """

    op: Reduction
    axes: tuple[str, ...]
    body: Expr


@dataclass(frozen=True, slots=True)
class Let:
    """A scalar local to one point of the free axes: `name = value`. Later statements name it by `Var(name, dtype)`."""

    name: str
    value: Union[Expr, Reduce]

    @property
    def dtype(self) -> DType:
        return self.value.body.dtype if isinstance(self.value, Reduce) else self.value.dtype


@dataclass(frozen=True, slots=True)
class Store:
    """`target[index] = value`, once per point of the free axes; distinct points store to distinct places."""

    target: str
    index: tuple[Expr, ...]
    value: Expr


Statement = Union[Let, Store]


@dataclass(frozen=True, slots=True)
class Kernel:
    """See the module's text. `inputs` and `outputs` may share an operand (then it is an accumulator, read and written).

    Variables that are neither axes nor locals are scalars given from outside (symbolic sizes, the time step).
    """

    name: str
    axes: tuple[Axis, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    body: tuple[Statement, ...]
    location: Location | None = field(default=None, compare=False)
    origins: tuple[Location, ...] = field(default=(), compare=False)
    """The user's lines that the kernel computes, in order; more than one after fusion."""
    apart: tuple[str, ...] = ()
    """Inputs of which no element that this kernel reads is written by it, nor by another kernel of the same straight run of
    kernels (the steps of a loop's body): a state whose rows of earlier levels are read where rows of this level are written.
    Nor do two kernels of the run write one element of it. A promise of who makes the kernel."""
    order: tuple[str, int] | None = None
    """How reductions combine: in so many vectors of partial results along this reduced axis; ("", 0): one element after the
    other. None: as the schedule has it, by strides and the sizes of reduced axes."""

    @property
    def operands(self) -> dict[str, Operand]:
        return {o.name: o for o in (*self.inputs, *self.outputs)}

    @property
    def reduced(self) -> tuple[str, ...]:
        """Names of the axes that some reduction names, in the order of `axes`."""
        names = {a for s in self.body if isinstance(s, Let) and isinstance(s.value, Reduce) for a in s.value.axes}
        return tuple(a.name for a in self.axes if a.name in names)

    @property
    def free(self) -> tuple[Axis, ...]:
        reduced = set(self.reduced)
        return tuple(a for a in self.axes if a.name not in reduced)

    def axis(self, name: str) -> Axis:
        return next(a for a in self.axes if a.name == name)

    @property
    def ragged(self) -> tuple[Axis, ...]:
        """The axes whose extents are loaded."""
        return tuple(a for a in self.axes if not isinstance(a.extent, int) and loads(a.extent))

    @property
    def reductions(self) -> tuple[tuple[str, Reduce], ...]:
        return tuple((s.name, s.value) for s in self.body if isinstance(s, Let) and isinstance(s.value, Reduce))

    @property
    def stores(self) -> tuple[Store, ...]:
        return tuple(s for s in self.body if isinstance(s, Store))
