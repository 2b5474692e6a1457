"""How a kernel walks through memory: every load and store with its stride along each axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bough.ir.expr import Apply, Const, Expr, Extent, Load, Var, add, as_expr, children, loads, mul, variables
from bough.ir.kernel import Kernel, Let, Reduce, Store
from bough.ir.sequence import expressions

LARGE = 1 << 50
"""Stands for a stride that is not known."""


@dataclass(frozen=True, slots=True)
class Access:
    """`strides[axis]` in elements (absent: 0, `LARGE`: unknown, because it depends on a symbolic size, on what an index
    loads, on bounds or on a quotient); None where the address is not affine in the axes."""

    operand: str
    index: tuple[Expr, ...]
    strides: dict[str, int] | None
    reduction: str | None
    """The reduction in whose body it stands; None for the epilogue and for stores."""

    def stride(self, axis: str) -> int | None:
        return None if self.strides is None else self.strides.get(axis, 0)


def load_accesses(kernel: Kernel) -> list[Access]:
    """The distinct loads of a kernel in order of occurrence; schedules number them so."""
    found: dict[tuple[str, tuple[Expr, ...]], Access] = {}
    axes = {a.name for a in kernel.axes}
    for s in kernel.body:
        reduction = s.name if isinstance(s, Let) and isinstance(s.value, Reduce) else None
        for e in expressions(s):
            for load in loads(e):
                key = (load.source, load.index)
                if key not in found:
                    shape = kernel.operands[load.source].shape
                    found[key] = Access(load.source, load.index, strides(shape, load.index, axes), reduction)
    for a in kernel.ragged:
        for load in loads(as_expr(a.extent)):
            shape = kernel.operands[load.source].shape
            known = strides(shape, load.index, axes)
            found.setdefault((load.source, load.index), Access(load.source, load.index, known, None))
    return list(found.values())


def store_accesses(kernel: Kernel) -> list[Access]:
    axes = {a.name for a in kernel.axes}
    return [
        Access(s.target, s.index, strides(kernel.operands[s.target].shape, s.index, axes), None)
        for s in kernel.body
        if isinstance(s, Store)
    ]


def strides(shape: tuple[Extent, ...], index: tuple[Expr, ...], axes: set[str]) -> dict[str, int] | None:
    """Stride of the row-major address along each axis; None where it is not affine in them."""
    total: dict[str, int] = {}
    step: Expr | int = 1
    for size, i in reversed(list(zip(shape, index))):
        coefficients = affine_in(i, axes, indirect=True, divided=True)
        if coefficients is None:
            return None
        for axis, c in coefficients.items():
            total[axis] = total.get(axis, 0) + (c * step if isinstance(step, int) else LARGE)
        product = mul(step, size)
        step = int(product.value) if isinstance(product, Const) else product
    return {a: c for a, c in total.items() if c}


def affine_in(e: Expr, axes: set[str], indirect: bool = False, divided: bool = False) -> dict[str, int] | None:
    """The coefficients of `axes` in an index expression; None where it is not affine in them. With `indirect`, axes in what is
    loaded, or held inside bounds, have the coefficient `LARGE`; with `divided`, those in quotients and remainders."""
    if isinstance(e, Const):
        return {}
    if isinstance(e, Var):
        return {e.name: 1} if e.name in axes else {}
    if isinstance(e, Load):
        return dict.fromkeys(variables(e) & axes, LARGE) if indirect else None
    if isinstance(e, Apply):
        if indirect and e.function not in ("add", "sub", "mul") and not _outside_loads(e) & axes:
            return dict.fromkeys(variables(e) & axes, LARGE)
        if indirect and e.function in ("min", "max"):
            return dict.fromkeys(variables(e) & axes, LARGE)
        if divided and e.function in ("floordiv", "mod"):
            return dict.fromkeys(variables(e) & axes, LARGE)
        parts = [affine_in(a, axes, indirect, divided) for a in e.args]
        if any(p is None for p in parts):
            return None
        known = [p or {} for p in parts]
        if not any(known):
            return {}
        match e.function:
            case "add":
                return _sum(known[0], known[1], 1)
            case "sub":
                return _sum(known[0], known[1], -1)
            case "mul":
                for this, other in ((0, 1), (1, 0)):
                    factor = e.args[other]
                    if not known[other]:
                        scale = int(factor.value) if isinstance(factor, Const) else LARGE
                        return {a: c * scale for a, c in known[this].items()}
                return None
            case _:
                return None
    return None


def _outside_loads(e: Expr) -> set[str]:
    if isinstance(e, Load):
        return set()
    return {e.name} if isinstance(e, Var) else {n for k in children(e) for n in _outside_loads(k)}


def _sum(a: dict[str, int], b: dict[str, int], sign: int) -> dict[str, int]:
    out = dict(a)
    for axis, c in b.items():
        out[axis] = out.get(axis, 0) + sign * c
    return out


def address(shape: tuple[Extent, ...], index: tuple[Expr, ...]) -> Expr:
    """The row-major address of an element."""
    flat: Expr = Const(0)
    for size, i in zip(shape, index):
        flat = add(mul(flat, size), i)
    return flat


def row_places(kernel: Kernel, rows: Iterable[str], name: str) -> dict[int, str] | None:
    """Dimension -> row of an array that has each of the rows at one dimension in all accesses of a kernel; None where it has
    not."""
    found: dict[int, str] | None = None
    rows = frozenset(rows)
    stores = [s.index for s in kernel.body if isinstance(s, Store) and s.target == name]
    reads = [x.index for s in kernel.body for e in expressions(s) for x in loads(e) if x.source == name]
    for index in (*stores, *reads):
        here = {n: i.name for n, i in enumerate(index) if isinstance(i, Var) and i.name in rows}
        used = [v for i in index for v in variables(i) if v in rows]
        if sorted(used) != sorted(here.values()) or len(set(used)) < len(used) or here != (found or here):
            return None
        found = here
    return found


def lies_across(access: Access, vector: str, row: str) -> bool:
    """Whether neighbouring points of `row` lie side by side in memory, and those of `vector` do not."""
    along = access.stride(vector)
    return along is not None and 1 < along < LARGE and access.stride(row) == 1
