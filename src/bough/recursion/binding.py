"""Binding times: what a cell can compute once, what for all objects before the levels, what needs results of a level, and what
can wait until after the levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from bough.graph_passes.absorb import is_view
from bough.ir.expr import variables
from bough.ir.kernel import Kernel
from bough.ir.sequence import Branch, Check, Define, Step, Whilst, host_expressions, host_loads, kernels, outer_scalars, walk


class Time(IntEnum):
    """When a value is known."""

    ONCE = 0
    """It depends on no object."""
    EARLY = 1
    """It depends on payloads and on results of earlier stages alone."""
    LEVEL = 2
    """It depends on results of its own stage."""


def kernels_of(step: Step) -> tuple[Kernel, ...]:
    """The kernels of a step, those inside of a loop or a branch included."""
    return tuple(kernels((step,)))


def decides(step: Step) -> bool:
    """Whether a step is control on computed values, or holds some."""
    return any(isinstance(s, (Branch, Whilst, Check, Define)) for s in walk((step,)))


def reads(step: Step) -> set[str]:
    return {i.name for k in kernels_of(step) for i in k.inputs} | host_loads((step,))


def writes(step: Step) -> set[str]:
    return {o.name for k in kernels_of(step) for o in k.outputs}


def binding_times(steps: Iterable[Step], given: Mapping[str, Time], lengths: Iterable[str]) -> dict[str, Time]:
    """The time of each array that steps write, for those of the parameters. A loop is known as a whole, and what names
    the length of a walk depends on the object."""
    times = dict(given)
    symbols = set(lengths)
    listed = tuple(steps)
    changed = True
    while changed:
        changed = False
        for step in listed:
            touched = reads(step) | writes(step)
            time = max((times.get(name, Time.ONCE) for name in touched), default=Time.ONCE)
            if time == Time.ONCE and (decides(step) or _names(step, symbols)):
                time = Time.EARLY
            for name in writes(step):
                changed |= times.get(name) != time
                times[name] = time
    return times


def _names(step: Step, symbols: set[str]) -> bool:
    """Whether a step names lengths."""
    named = {name for s in walk((step,)) for e in host_expressions(s) for name in variables(e)}
    return not symbols.isdisjoint(named.union(*(outer_scalars(k) for k in kernels_of(step))))


def worth_hoisting(steps: Iterable[Step], times: Mapping[str, Time]) -> set[str]:
    """Arrays that are better computed for all activations before the levels: early ones with a sum in their history, and all
    that those need. Views and cheap arithmetic on payloads stay where they are used."""
    early = [s for s in steps if _time(s, times) == Time.EARLY]
    chosen: set[str] = set()
    for step in early:
        members = kernels_of(step)
        if any(k.reductions for k in members) or (reads(step) & chosen and not all(map(is_view, members))):
            chosen |= writes(step)
    for step in reversed(early):
        if writes(step) & chosen:
            chosen |= writes(step) | {name for name in reads(step) if any(name in writes(s) for s in early)}
    return chosen


def after_levels(steps: Iterable[Step], wanted: Iterable[str], lasting: set[str]) -> set[str]:
    """Arrays that are better computed for all activations after the levels: those that no array `wanted` in the levels needs,
    where they come from what is `lasting` or never written. Other arrays are not kept for every activation."""
    listed = tuple(steps)
    written = set().union(*map(writes, listed))
    inside = set(wanted)
    while True:
        for step in reversed(listed):
            if writes(step) & inside or not writes(step):  # a check
                inside |= reads(step) | writes(step)
        late = [s for s in listed if writes(s) and not writes(s) & inside]
        made = set().union(*map(writes, late))
        stuck = [s for s in late if reads(s) & written - made - lasting]
        if not stuck:
            return made
        inside |= set().union(*map(writes, stuck))


def _time(step: Step, times: Mapping[str, Time]) -> Time:
    return max((times[name] for name in writes(step)), default=Time.ONCE)
