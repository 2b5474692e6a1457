"""All embeddings of an instruction in a kernel.

An embedding binds the instruction's operands to expressions of the program and gives each of its axes the axes of the
program with the same access structure: used by the same operands, and reduced or not alike. (AMOS, Zheng et al., ISCA 2022,
states this with access matrices.) Several program axes may be fused into one axis of the instruction. Nothing more is asked:
extents that do not fit are padded, values that lie otherwise in memory are packed. A sum of products may embed an instruction
that rounds product and sum once; the order of a sum is the mapping's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

from bough.ir.expr import Expr, loads, variables
from bough.ir.kernel import Kernel
from bough.mapping.layout import bind, divisible
from bough.mapping.mapping import Mapping, Mismatch, Part
from bough.mapping.match import Bindings, deepest, describe, match
from bough.mapping.normalize import Accumulation, Update, accumulation, padding, updates, uses
from bough.targets.description import Instruction

Signature = tuple[bool, frozenset[str]]
Fused = tuple[tuple[str, tuple[str, ...]], ...]


def enumerate_mappings(
    kernel: Kernel, instruction: Instruction, *, partial: bool = False, all_orders: bool = False
) -> list[Mapping]:
    """Every embedding of the instruction in a reduction of the kernel, and jointly in those over the same axes.

    With `partial`, axes of the instruction that no axis of the kernel fits are left with extent 1, for instance a product
    of a matrix and a vector on a matrix unit. Axes are fused in the kernel's order, or in each order with `all_orders`.
    Empty where there is none; `explain_mismatch` then says why.
    """
    found = _search(kernel, instruction, partial, all_orders)
    return [] if isinstance(found, Mismatch) else found


def explain_mismatch(kernel: Kernel, instruction: Instruction, *, partial: bool = False) -> Mismatch | None:
    """Why the instruction does not embed: the mismatch of the attempt that came furthest. None where it does embed."""
    found = _search(kernel, instruction, partial, False)
    return found if isinstance(found, Mismatch) else None


def _search(kernel: Kernel, instruction: Instruction, partial: bool, all_orders: bool) -> list[Mapping] | Mismatch:
    pattern = accumulation(instruction)
    if isinstance(pattern, Mismatch):
        return pattern
    here = updates(kernel)
    if not here:
        return Mismatch("it reduces nothing", f"kernel {kernel.name}", f"{instruction.name} accumulates a {pattern.update.op}")
    found: list[Mapping] = []
    wrong: list[Mismatch] = []
    for update in here:
        answer = _search_update(kernel, instruction, pattern, update, partial, all_orders)
        if isinstance(answer, Mismatch):
            wrong.append(answer)
        else:
            found.extend(answer)
    return [*found, *_joint(here, found)] if found else deepest(wrong)


def _search_update(
    kernel: Kernel, instruction: Instruction, pattern: Accumulation, update: Update, partial: bool, all_orders: bool
) -> list[Mapping] | Mismatch:
    where = f"reduction {update.name} of kernel {kernel.name}"
    if update.op != pattern.update.op:
        return Mismatch(f"it is a {update.op}", where, f"{instruction.name} accumulates a {pattern.update.op}")
    bindings = match(pattern.update.body, update.body, where)
    if isinstance(bindings, Mismatch):
        return bindings
    found: list[Mapping] = []
    wrong: list[Mismatch] = []
    for values in bindings:
        answer = _Attempt(kernel, instruction, pattern, update, values, where).mappings(partial, all_orders)
        if isinstance(answer, Mismatch):
            wrong.append(answer)
        else:
            found.extend(answer)
    return found or deepest(wrong)


class _Attempt:
    """One reduction with one binding of the operands."""

    def __init__(
        self, kernel: Kernel, instruction: Instruction, pattern: Accumulation, update: Update, values: Bindings, where: str
    ) -> None:
        self.kernel, self.instruction, self.pattern, self.update = kernel, instruction, pattern, update
        self.values, self.where = values, where
        own = (*(a.name for a in kernel.free), *update.reduced)
        self.axes = tuple(a.name for a in kernel.axes if a.name in own)
        self.dims = {s: pattern.axes_of(instruction, s) for s in pattern.sources}

    def mappings(self, partial: bool, all_orders: bool) -> list[Mapping] | Mismatch:
        """All axis assignments for this binding."""
        results = {name for name, _ in self.kernel.reductions}
        for source, value in self.values.items():
            late = variables(value) & results
            if late:
                because = f"its operand {source} would need the result of reduction {', '.join(sorted(late))}"
                return Mismatch(f"`{describe(value)}` is not known before", self.where, because, 3)
        groups: dict[Signature, list[str]] = {}
        for axis in self.instruction.kernel.axes:
            groups.setdefault(self.signature_of_instruction(axis.name), []).append(axis.name)
        fitting = {s: [a for a in self.axes if self.signature(a) == s] for s in groups}
        for signature, targets in groups.items():
            if len(fitting[signature]) < len(targets) and not partial:
                return self.no_axis(targets[len(fitting[signature])], signature)
        if not any(fitting.values()):
            return self.no_axis(self.instruction.kernel.axes[0].name, next(iter(groups)))
        found: list[Mapping] = []
        unpaddable: Mismatch | None = None
        for choice in product(*(list(_distribute(groups[s], fitting[s], all_orders)) for s in groups)):
            fused = {t: group for part in choice for t, group in part.items()}
            wrong = self.check_padding(fused)
            if wrong is None:
                found.append(self.mapping(fused))
            else:
                unpaddable = unpaddable or wrong
        if not found:
            assert unpaddable is not None
            return unpaddable
        return found

    def signature_of_instruction(self, axis: str) -> Signature:
        return axis in self.pattern.update.reduced, frozenset(s for s, dims in self.dims.items() if axis in dims)

    def signature(self, axis: str) -> Signature:
        return axis in self.update.reduced, frozenset(s for s, v in self.values.items() if axis in variables(v))

    def mapping(self, fused: dict[str, tuple[str, ...]]) -> Mapping:
        bindings = tuple(
            bind(self.kernel, self.instruction, s, self.dims[s], v, uses(v, self.axes), fused)
            for s, v in sorted(self.values.items(), key=lambda item: self.pattern.sources.index(item[0]))
        )
        axes: Fused = tuple((a.name, fused[a.name]) for a in self.instruction.kernel.axes)
        return Mapping(self.instruction, (Part(self.update.name, bindings),), axes)

    def check_padding(self, fused: dict[str, tuple[str, ...]]) -> Mismatch | None:
        for t in self.pattern.update.reduced:
            if divisible(self.kernel, self.instruction, t, fused[t]) or padding(self.pattern.update, self.dims, t) is not None:
                continue
            because = f"no value of its operands leaves a {self.update.op} as it is, and the extent does not fit"
            return Mismatch(f"axis {t} of {self.instruction.name} cannot be padded", self.where, because, 4)
        return None

    def no_axis(self, target: str, signature: Signature) -> Mismatch:
        reduced, used = signature
        kind = "reduced" if reduced else "free"
        wanted = f"by {' and '.join(sorted(used))} only" if used else "by no operand"
        names = ", ".join(f"{s} = `{describe(v)}`" for s, v in self.values.items())
        have = "; ".join(f"{a} ({self.kind(a)})" for a in self.axes)
        return Mismatch(
            f"no axis fits axis {target} of {self.instruction.name}, which is {kind} and used {wanted}",
            self.where, f"with {names} the axes are {have}", 3,
        )  # fmt: skip

    def kind(self, axis: str) -> str:
        reduced, used = self.signature(axis)
        return f"{'reduced' if reduced else 'free'}, used by {' and '.join(sorted(used)) or 'none'}"


def _distribute(targets: list[str], axes: list[str], all_orders: bool) -> Iterator[dict[str, tuple[str, ...]]]:
    """Every way to give disjoint groups of `axes` to `targets`, as many of them not empty as can be."""
    filled = min(len(targets), len(axes))
    for owners in product((None, *targets), repeat=len(axes)):
        groups = {t: tuple(a for a, o in zip(axes, owners) if o == t) for t in targets}
        if sum(map(bool, groups.values())) < filled:
            continue
        if not all_orders:
            yield groups
            continue
        for orders in product(*(permutations(g) for g in groups.values())):
            yield dict(zip(groups, orders))


def _joint(here: tuple[Update, ...], found: list[Mapping]) -> Iterator[Mapping]:
    """Mappings of several reductions over the same axes at once, with one assignment of axes for all."""
    by_axes: dict[tuple[str, ...], list[str]] = {}
    for update in here:
        by_axes.setdefault(update.reduced, []).append(update.name)
    for names in by_axes.values():
        if len(names) < 2:
            continue
        for axes in dict.fromkeys(m.axes for m in found):
            parts = [[m.parts[0] for m in found if m.axes == axes and m.parts[0].reduction == n] for n in names]
            for choice in product(*parts):
                yield Mapping(found[0].instruction, choice, axes)


def pairs_are_independent(mapping: Mapping) -> bool:
    """AMOS's condition, under which it counts mappings: each axis fused into one group has a partner in every other group it
    shares an operand with, such that no index of that operand adds both up.

    `x[p + r]` with p the only row and r the only column holds no matrix of its own, but a vector read many times. Packing
    makes it one, so such mappings are right, and are found here too.
    """
    groups = [group for _, group in mapping.axes]
    bindings = [b for part in mapping.parts for b in part.bindings]
    related = {pair for b in bindings for pair in product(b.axes, b.axes)}
    added = {pair for b in bindings for pair in _added(b.value)}
    for mine, other in permutations(groups, 2):
        for a in mine:
            partners = [b for b in other if (a, b) in related]
            if partners and all((a, b) in added for b in partners):
                return False
    return True


def _added(value: Expr) -> set[tuple[str, str]]:
    """Pairs of variables that one index of a load holds."""
    return {pair for load in loads(value) for i in load.index for pair in permutations(sorted(variables(i)), 2)}
