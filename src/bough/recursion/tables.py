"""The arrays and sizes of a linearized structure as operands and dimensions of kernels."""

from __future__ import annotations

from bough.base.visits import Names, Variant, Visits, stages
from bough.ir.dtypes import DTYPES, I64
from bough.ir.expr import Expr, Extent, Load, Var, add
from bough.ir.kernel import Operand
from bough.ir.program import Dim


def tables(visits: Visits) -> dict[str, Operand]:
    """All arrays of `Names` by their names."""
    found: dict[str, Operand] = {}

    def table(name: str, *shape: Extent, dtype: str = "i64") -> None:
        found[name] = Operand(name, DTYPES[dtype], shape)

    for stage in stages(visits):
        for f, v in stage.step:
            table(Names.start(f, v), add(Var(Names.levels(stage.number)), 1))
    for function in visits.functions:
        f = function.name
        for v, variant in enumerate(function.variants):
            count = Var(Names.count(f, v))
            for e in range(len(variant.each)):
                table(Names.first(f, v, e), add(count, 1))
                table(Names.parent(f, v, e), Var(Names.elements(f, v, e)))
                if variant.each[e].list is not None:
                    table(Names.member(f, v, e), Var(Names.elements(f, v, e)))
            for c, call in enumerate(variant.calls):
                table(Names.target(f, v, c), rows(f, v, call.each))
            for p, payload in enumerate(variant.payloads):
                table(Names.payload(f, v, p), rows(f, v, payload.each), *payload.shape, dtype=payload.dtype)
            table(Names.root(f, v), count)
            for c in range(len(variant.collects)):
                table(Names.place(f, v, c), count)
    table(Names.roots, Var(Names.samples))
    return found


def rows(f: str, v: int, each: int | None) -> Expr:
    """How many activations a variant has, or elements in a walk of it."""
    return Var(Names.count(f, v) if each is None else Names.elements(f, v, each))


def dimensions(visits: Visits) -> tuple[Dim, ...]:
    """All sizes of `Names`. There may be none of anything but samples and levels."""
    found = [Dim(Names.samples)]
    found += [Dim(Names.levels(stage.number)) for stage in stages(visits)]
    for function in visits.functions:
        f = function.name
        for v, variant in enumerate(function.variants):
            found += [Dim(Names.count(f, v), 0), Dim(Names.widest(f, v), 0)]
            for e in range(len(variant.each)):
                names = (Names.elements(f, v, e), Names.widest_elements(f, v, e), Names.longest(f, v, e))
                found += [Dim(name, 0) for name in names]
    return tuple(found)


def entry(table: str, *index: Expr) -> Load:
    """One element of an index array."""
    return Load(table, index, I64)


def variants(visits: Visits) -> dict[tuple[str, int], Variant]:
    """All variants by function and number."""
    return {(f.name, n): v for f in visits.functions for n, v in enumerate(f.variants)}
