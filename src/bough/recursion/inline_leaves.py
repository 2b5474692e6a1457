"""Base cases computed by their callers where that saves work: what a leaf returns may be a matrix that is a diagonal and a
product of low rank, and what its caller makes of it much less work by these parts.

    leaf: m = diag(d[word]) + t[word] @ v[word]     node: m = w @ concat(node(left).m, node(right).m)

Half of a tree's calls are of leaves. Nodes with two leaves call nothing any more, and are computed before the levels.
"""

from __future__ import annotations

from dataclasses import replace

from bough.base.visits import Stage, stages
from bough.ir.recursion import Recursion
from bough.recursion.factored import factored, work
from bough.recursion.inlining import Site, combine, inline, is_plain
from bough.recursion.regions import Member
from bough.recursion.tables import variants

MOST = 16
"""A variant becomes so many at most."""
SHARE = 0.75
"""Of the work, what may be left at most: each variant more is a level's rows in more and smaller products."""


def inline_leaves(recursion: Recursion) -> Recursion:
    """The recursion with such base cases computed by their callers."""
    for stage in stages(recursion.visits):
        sites = {site: ways for member in stage.step for site, ways in _worthwhile(recursion, stage, member).items()}
        if sites:
            recursion = _simplified(inline(recursion, stage, sites), stage)
    return recursion


def _worthwhile(recursion: Recursion, stage: Stage, member: Member) -> dict[Site, frozenset[int]]:
    """The calls of base variants that the caller had better compute, and which variants."""
    found: dict[Site, frozenset[int]] = {}
    if not is_plain(recursion, member):
        return found
    total = 1
    for n, call in enumerate(variants(recursion.visits)[member].calls):
        if call.function not in stage.functions or call.each is not None or call.parts:
            continue
        base = [m for m in stage.base if m[0] == call.function and is_plain(recursion, m)]
        ways = frozenset(number for _, number in base if _saves(recursion, member, n, number))
        if ways and total * (len(ways) + 1) <= MOST:
            found[member, n] = ways
            total *= len(ways) + 1
    return found


def _saves(recursion: Recursion, member: Member, call: int, way: int) -> bool:
    callee = variants(recursion.visits)[member].calls[call].function, way
    before = work(recursion.cells[member].function) + work(recursion.cells[callee].function)
    _, together = combine(recursion, member, {call: way})
    return work(factored(together.function)) < SHARE * before


def _simplified(recursion: Recursion, stage: Stage) -> Recursion:
    """With the cells of the stage by parts."""
    cells = {
        member: replace(cell, function=factored(cell.function)) if member[0] in stage.functions else cell
        for member, cell in recursion.cells.items()
    }
    return replace(recursion, cells=cells)
