"""Which activations a variant's kernels run over: all, those of a level, one."""

from __future__ import annotations

from bough.base.visits import Names, Variant
from bough.ir.expr import Const, Expr, Var, add, as_extent, sub
from bough.ir.sequence import Define
from bough.recursion.places import Region
from bough.recursion.tables import entry

NOMINAL = 16
"""What the number of activations of a level counts as where a schedule is chosen."""

Member = tuple[str, int]


def everything(member: Member, variant: Variant) -> Region:
    """All activations."""
    walks = range(len(variant.each))
    return Region(
        Const(0), Var(Names.count(*member)), tuple(Const(0) for _ in walks), tuple(Var(Names.elements(*member, e)) for e in walks)
    )


def between(member: Member, variant: Variant, name: str, begin: Expr, size: Expr) -> tuple[tuple[Define, ...], Region]:
    """`size` activations from `begin` on, as numbers of the host that are called `name`.begin and so on."""
    start: Expr = begin if isinstance(begin, Const) else Var(f"{name}.begin")
    extent: Expr = size if isinstance(size, Const) else Var(f"{name}.size")
    defines = [Define(v.name, value, n) for v, value, n in ((start, begin, 0), (extent, size, NOMINAL)) if isinstance(v, Var)]
    firsts: list[Expr] = []
    elements: list[Expr] = []
    for e in range(len(variant.each)):
        first = Names.first(*member, e)
        here = Var(f"{name}.each{e}.begin")
        defines.append(Define(here.name, entry(first, start), 0))
        defines.append(Define(f"{name}.each{e}.size", sub(entry(first, add(start, extent)), here), NOMINAL))
        firsts.append(here)
        elements.append(Var(f"{name}.each{e}.size"))
    return tuple(defines), Region(start, as_extent(extent), tuple(firsts), tuple(elements))
