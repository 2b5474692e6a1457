"""One form for both sides: a reduction of a program and an accumulating instruction become the same `Update`."""

from __future__ import annotations

from dataclasses import dataclass

from bough.ir.evaluate import evaluate
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var, children, loads, rebuild, substitute, variables
from bough.ir.functions import REDUCTION_FUNCTIONS, reduction_unit
from bough.ir.kernel import Kernel, Let, Reduce, Reduction, Store
from bough.mapping.mapping import Mismatch
from bough.targets.description import Instruction


@dataclass(frozen=True, slots=True)
class Update:
    """`accumulator = accumulator op body`, over the box of `reduced` at each point of the free axes."""

    name: str
    op: Reduction
    reduced: tuple[str, ...]
    body: Expr


@dataclass(frozen=True, slots=True)
class Accumulation:
    """An instruction as an update of `accumulator`, which it indexes by `index`, from the operands `sources`."""

    update: Update
    accumulator: str
    index: tuple[str, ...]
    sources: tuple[str, ...]

    def axes_of(self, instruction: Instruction, source: str) -> tuple[str, ...]:
        """The axes that index an operand, in the order of its dimensions."""
        found = next(x for x in loads(self.update.body) if x.source == source)
        return tuple(i.name for i in found.index if isinstance(i, Var))


def normal(e: Expr) -> Expr:
    """The form in which expressions are compared: fused multiply-adds apart, casts to the own type dropped."""
    e = rebuild(e, tuple(normal(k) for k in children(e)))
    match e:
        case Apply("fma", (a, b, c), dtype):
            return Apply("add", (Apply("mul", (a, b), dtype), c), dtype)
        case Cast(value, dtype) if value.dtype == dtype:
            return value
        case _:
            return e


def updates(kernel: Kernel) -> tuple[Update, ...]:
    """The kernel's reductions, with the locals in their bodies written out.

    A body that needs the result of another reduction still names it as a variable.
    """
    known: dict[str, Expr] = {}
    found = []
    for s in kernel.body:
        if not isinstance(s, Let):
            continue
        if isinstance(s.value, Reduce):
            found.append(Update(s.name, s.value.op, s.value.axes, normal(substitute(s.value.body, known))))
        else:
            known[s.name] = substitute(s.value, known)
    return tuple(found)


def accumulation(instruction: Instruction) -> Accumulation | Mismatch:
    """The instruction as an update, or what keeps it from being one."""
    kernel = instruction.kernel
    values: dict[str, Expr] = {}
    reduces: dict[str, Reduce] = {}
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce):
            reduces[s.name] = s.value
        elif isinstance(s, Let):
            assert not isinstance(s.value, Reduce)
            values[s.name] = substitute(s.value, values)
    wrong = Mismatch("it does not accumulate", f"instruction {kernel.name}", "it does not add to an operand that it also reads")
    if len(kernel.stores) != 1 or len(reduces) > 1:
        return wrong
    store = kernel.stores[0]
    split = _split(store, normal(substitute(store.value, values)))
    if split is None:
        return wrong
    function, term = split
    if isinstance(term, Var) and term.name in reduces:
        reduce = reduces[term.name]
        op, reduced, body = reduce.op, reduce.axes, normal(substitute(reduce.body, values))
    else:
        op, reduced, body = "sum", (), term
    sources = tuple(dict.fromkeys(x.source for x in loads(body)))
    if REDUCTION_FUNCTIONS[op] != function or store.target in sources:
        return wrong
    if not all(isinstance(i, Var) for index in (store.index, *(x.index for x in loads(body))) for i in index):
        return Mismatch("an operand is not indexed by axes", f"instruction {kernel.name}", "an index is computed")
    at = tuple(i.name for i in store.index if isinstance(i, Var))
    return Accumulation(Update(kernel.name, op, reduced, body), store.target, at, sources)


def _split(store: Store, value: Expr) -> tuple[str, Expr] | None:
    """(function, term) where the stored value is `target function term`."""
    if isinstance(value, Apply) and len(value.args) == 2:
        for own, term in (value.args, value.args[::-1]):
            if isinstance(own, Load) and own.source == store.target and own.index == store.index:
                return value.function, term
    return None


def padding(update: Update, axes: dict[str, tuple[str, ...]], axis: str) -> float | int | None:
    """The value that operands indexed by a reduced axis take in its padding so that the result stays; None: there is none.

    `axes` are the axes of each operand. Operands without this axis hold anything there, a NaN included.
    """
    unit = reduction_unit(update.op, update.body.dtype)
    for value in (0, unit):
        if evaluate(_fill(update.body, {s for s, own in axes.items() if axis in own}, value)) == unit:
            return value
    return None


def _fill(e: Expr, padded: set[str], value: float | int) -> Expr:
    if isinstance(e, Load):
        other = float("nan") if e.dtype.is_float else 1
        return Const(value if e.source in padded else other, e.dtype)
    return rebuild(e, tuple(_fill(k, padded, value) for k in children(e)))


def uses(e: Expr, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `axes` that an expression depends on, in their order."""
    found = variables(e)
    return tuple(a for a in axes if a in found)
