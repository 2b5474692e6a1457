"""Branches that only choose between a few elements become kernels that do: there is nothing to decide, and nothing to wait for.

    if some[]                                        kernel one(x, at, some) -> (y)
      kernel one(x, at) -> (y)                         y[j] = select(some[], x[at[], j], 0.0)
        y[j] = x[at[], j]                    ->
    else
      kernel other() -> (y)
        y[j] = 0.0

What a select does not take is not read, so a check of `at` stays in front: `check not some[] or fits[]`. For many samples, whose
lists a branch splits, this is all that their ways have in common again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from math import prod

from bough.ir.dtypes import I64
from bough.ir.expr import Cast, Const, Expr, Load, Var, apply, divides, loads, substitute, variables
from bough.ir.kernel import Kernel, Let, Operand, Reduce, Store
from bough.ir.sequence import Branch, Check, Run, Sequence, Step, host_expressions, map_bodies, outer_scalars, phase, walk

MOST = 1 << 12
"""Elements of an array that is better chosen than branched for."""
FEW = 16
"""Elements that may as well be worked out whether they are needed or not."""


def choose(sequence: Sequence) -> Sequence:
    """The sequence with fewer branches; itself where none can go."""
    if not any(isinstance(s, Branch) for s in walk(sequence.steps)):
        return sequence
    choice = _Choice(sequence)
    steps = choice.block(sequence.steps)
    return replace(sequence, steps=steps) if choice.found else sequence


class _Choice:
    def __init__(self, sequence: Sequence) -> None:
        self.everywhere = _mentions(sequence.steps) + Counter(sequence.results)
        self.temporaries = sequence.temporaries
        self.found = False

    def block(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        for s in steps:
            inner = map_bodies(s, self.block)
            chosen = self.chosen(inner, s) if isinstance(inner, Branch) and isinstance(s, Branch) else None
            self.found |= chosen is not None
            out += [inner] if chosen is None else chosen
        return tuple(out)

    def chosen(self, branch: Branch, before: Branch) -> list[Step] | None:
        """Steps for both ways, of a branch that was another one before its bodies changed; None where it has to stay."""
        given = [o for load in loads(branch.condition) if (o := self.temporaries.get(load.source)) is not None]
        if not given or len(given) < len(loads(branch.condition)) or any(o.shape for o in given):
            return None
        out: list[Step] = []
        gives: list[dict[tuple[str, ...], Kernel]] = []
        denied = apply("not", branch.condition)
        for steps, old, other in ((branch.then, before.then, denied), (branch.otherwise, before.otherwise, branch.condition)):
            here = _mentions(old)
            gives.append({})
            for s in steps:
                if isinstance(s, Check):
                    out.append(replace(s, condition=apply("or", other, s.condition)))
                    continue
                if not isinstance(s, Run):
                    return None
                names = tuple(sorted(o.name for o in s.kernel.outputs))
                if _harmless(s.kernel) and all(n in self.temporaries and self.everywhere[n] == here[n] for n in names):
                    out.append(s)
                elif names not in gives[-1]:
                    gives[-1][names] = s.kernel
                else:
                    return None
        then, otherwise = gives
        read = _reads(out, [*then.values(), *otherwise.values()])
        if then.keys() != otherwise.keys() or not read.isdisjoint(n for names in then for n in names):
            return None
        merged = [_merged(branch.condition, given, then[names], otherwise[names], self.temporaries) for names in then]
        kernels = [k for k in merged if k is not None]
        return [*out, *map(Run, kernels)] if len(kernels) == len(merged) else None


def _mentions(steps: tuple[Step, ...]) -> Counter[str]:
    """How often kernels and the host name arrays."""
    found = Counter(n for s in walk(steps) for k in phase(s) for n in k.operands)
    found.update(load.source for s in walk(steps) for e in host_expressions(s) for load in loads(e))
    return found


def _reads(steps: list[Step], kernels: list[Kernel]) -> set[str]:
    """The arrays that are read in steps and kernels."""
    found = {load.source for s in steps for e in host_expressions(s) for load in loads(e)}
    return found | {i.name for k in (*kernels, *(k for s in steps for k in phase(s))) for i in k.inputs}


def _harmless(kernel: Kernel) -> bool:
    """Whether a kernel may run where nobody needs it: it is short, and everything that it reads exists."""
    single = all(set(o.shape) <= {1} for o in kernel.inputs)
    return single and _size(kernel) <= FEW and not kernel.reductions and not any(map(divides, _values(kernel)))


def _size(kernel: Kernel) -> int:
    """How many points a kernel has; more than any limit where that is not known."""
    extents = [a.extent for a in kernel.axes if isinstance(a.extent, int)]
    return prod(extents) if len(extents) == len(kernel.axes) else MOST + 1


def _values(kernel: Kernel) -> list[Expr]:
    return [s.value.body if isinstance(s.value, Reduce) else s.value for s in kernel.body]


def _merged(condition: Expr, given: list[Operand], a: Kernel, b: Kernel, kept: Collection[str]) -> Kernel | None:
    """One kernel that stores what `a` stores where the condition holds, and what `b` stores where it does not. None where either
    stores elements of an array of those `kept` where they were: both arrays may become one."""
    if any(k.reductions or k.apart or _size(k) > MOST for k in (a, b)) or a.outputs != b.outputs:
        return None
    first, second = _stores(a), _stores(b)
    if first is None or second is None:
        return None
    places: dict[str, Expr] = {}
    for name, store in first.items():
        for i, j in zip(store.index, second[name].index, strict=True):
            if not (i == j == Const(0) or (isinstance(i, Var) and isinstance(j, Var) and places.setdefault(j.name, i) == i)):
                return None
    extents = {x.name: x.extent for x in a.axes if x.extent != 1}
    others = {x.name: x.extent for x in b.axes if x.extent != 1}
    if places.keys() != others.keys() or any(extents.get(i.name) != others[j] for j, i in places.items() if isinstance(i, Var)):
        return None
    if len(extents) != len(others) or not extents.keys().isdisjoint(outer_scalars(b) | variables(condition)):
        return None
    body: list[Store] = []
    for name, store in first.items():
        value = substitute(second[name].value, places)
        if _size(a) > FEW and any(_keeps(store, v, kept) for v in (store.value, value)):
            return None
        body.append(Store(name, store.index, apply("select", condition, store.value, value)))
    read = {load.source for s in body for load in loads(s.value)}
    inputs = {o.name: o for o in (*a.inputs, *b.inputs, *given) if o.name in read}
    axes = tuple(x for x in a.axes if x.extent != 1)
    return Kernel(a.name, axes, tuple(inputs.values()), a.outputs, tuple(body), a.location, (*a.origins, *b.origins))


def _stores(kernel: Kernel) -> dict[str, Store] | None:
    """What a kernel stores to each array, as expressions of its axes alone; those of one point are at 0."""
    values: dict[str, Expr] = {a.name: Const(0, I64) for a in kernel.axes if a.extent == 1}
    found: dict[str, Store] = {}
    for s in kernel.body:
        if isinstance(s, Let):
            assert not isinstance(s.value, Reduce)
            values[s.name] = substitute(s.value, values)
        elif s.target in found:
            return None
        else:
            found[s.target] = Store(s.target, tuple(substitute(i, values) for i in s.index), substitute(s.value, values))
    return found


def _keeps(store: Store, value: Expr, kept: Collection[str]) -> bool:
    while isinstance(value, Cast):
        value = value.value
    return isinstance(value, Load) and value.index == store.index and value.source in kept
