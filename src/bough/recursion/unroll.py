"""Unrolling (Fegade et al., Cortex, MLSys 2021, section 3.1): an activation computes those that it calls itself, so that there
are half as many levels.

    node: h = cell(node(left), node(right))    ->    node, left is no leaf: h = cell(cell(node(left.left), node(left.right)), ...

A variant is left for each combination of ways that its callees take. Leaves stay activations: they are computed all at once.
"""

from __future__ import annotations

from bough.base.visits import Stage, stages
from bough.ir.recursion import Recursion
from bough.recursion.inlining import Site, inline, is_plain
from bough.recursion.regions import Member
from bough.recursion.tables import variants

MOST = 16
"""A variant becomes so many at most."""


def unroll(recursion: Recursion) -> Recursion:
    """The recursion with each call inside of a stage computed by its caller, once: those of variants that neither walk over
    lists nor collect, and that are passed nothing."""
    for stage in stages(recursion.visits):
        inlined = {site: ways for member in stage.step for site, ways in _inlined(recursion, stage, member).items()}
        recursion = inline(recursion, stage, inlined)
    return recursion


def _inlined(recursion: Recursion, stage: Stage, member: Member) -> dict[Site, frozenset[int]]:
    """The calls that are computed by the caller, and for which variants of the callee."""
    found: dict[Site, frozenset[int]] = {}
    if not is_plain(recursion, member):
        return found
    total = 1
    for n, call in enumerate(variants(recursion.visits)[member].calls):
        count = len(recursion.visits.function(call.function).variants)
        steps = [m for m in stage.step if m[0] == call.function]
        plain = call.each is None and not call.parts and all(is_plain(recursion, m) for m in steps)
        if steps and plain and total * count <= MOST:
            found[member, n] = frozenset(number for _, number in steps)
            total *= count
    return found
