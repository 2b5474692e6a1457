"""Base cases computed by their callers where that saves work: what a caller makes of a leaf's result may be much less work if it
knows what the leaf is made of.

    leaf: m = diag(d[word]) + t[word] @ v[word]     node: m = w @ concat(node(left).m, node(right).m)
    leaf: h = tanh(e[word])                         node: h = tanh(linear(concat(node(left).h, node(right).h), w, b))

The first leaf's matrix has parts that are less work to multiply by (`factored`), the second leaf's products are known for each
word (`tabulate`). Half of a tree's calls are of leaves. Nodes with two leaves call nothing any more, and are computed before the
levels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from bough.base.visits import Names, Stage, Visits, stages
from bough.ir.recursion import Recursion
from bough.recursion.factored import Weights, factored, work
from bough.recursion.inlining import Site, combine, inline, is_plain
from bough.recursion.regions import Member
from bough.recursion.tables import variants
from bough.recursion.tabulate import left_out
from bough.runtime.linearize import Linearized, linearize

MOST = 16
"""A variant becomes so many at most."""
OFTEN = 0.25
"""Of a call's targets, how many must take a variant."""
SHARE = 0.75
"""Of the work, what may be left at most: each variant more is a level's rows in more and smaller products."""


def inline_leaves(recursion: Recursion, args: tuple[Any, ...] | None = None) -> Recursion:
    """The recursion with such base cases computed by their callers. `args` are those of a call like the ones to come, of which
    enough calls must be of base cases."""
    shares = None if args is None else _Shares(recursion.visits, args)
    for stage in stages(recursion.visits):
        sites = {site: ways for member in stage.step for site, ways in _worthwhile(recursion, stage, member, shares).items()}
        if sites:
            inlined = _simplified(inline(recursion, stage, sites), stage)
            if left_out(inlined) <= left_out(recursion):
                recursion = inlined
    return recursion


class _Shares:
    """How many of a call's targets take a variant, in an example."""

    def __init__(self, visits: Visits, args: tuple[Any, ...]) -> None:
        self.visits, self.args = visits, args

    @cached_property
    def found(self) -> Linearized:
        return linearize(self.visits, [self.args])

    def of(self, site: Site, way: int) -> float:
        (f, v), n = site
        callee = self.visits.function(f).variants[v].calls[n].function
        counts = [self.found.sizes[Names.count(callee, number)] for number in range(way + 1)]
        targets = self.found.arrays[Names.target(f, v, n)]
        here = (targets >= sum(counts[:way])) & (targets < sum(counts))
        return float(here.mean()) if here.size else 0.0


def _worthwhile(recursion: Recursion, stage: Stage, member: Member, shares: _Shares | None) -> dict[Site, frozenset[int]]:
    """The calls of base variants that the caller had better compute, and which variants."""
    found: dict[Site, frozenset[int]] = {}
    if not is_plain(recursion, member):
        return found
    total = 1
    for n, call in enumerate(variants(recursion.visits)[member].calls):
        if call.function not in stage.functions or call.each is not None or call.parts:
            continue
        base = [number for f, number in stage.base if f == call.function and is_plain(recursion, (f, number))]
        better = [number for number in base if _saves(recursion, member, n, number)]
        ways = frozenset(number for number in better if shares is None or shares.of((member, n), number) >= OFTEN)
        if ways and total * (len(ways) + 1) <= MOST:
            found[member, n] = ways
            total *= len(ways) + 1
    return found


def _saves(recursion: Recursion, member: Member, call: int, way: int) -> bool:
    callee = variants(recursion.visits)[member].calls[call].function, way
    before = work(recursion.cells[member].function) + work(recursion.cells[callee].function)
    _, together = combine(recursion, member, {call: way})
    return work(factored(together.function, Weights())) < SHARE * before


def _simplified(recursion: Recursion, stage: Stage) -> Recursion:
    """With the cells of the stage by parts: first those that give a reason, then the others with the same weights."""
    weights, cells = Weights(), dict(recursion.cells)
    inside = {member: cell for member, cell in recursion.cells.items() if member[0] in stage.functions}
    for _ in range(2):
        cells.update({member: replace(cell, function=factored(cell.function, weights)) for member, cell in inside.items()})
    return replace(recursion, cells=cells)
