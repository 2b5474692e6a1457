"""Control on computed values for many at once: control on lists of those that take each way.

    if c[]          count and split the members by `c`; the first body for those that it holds for, the second for the others
    while c[]       a list of those still under way, from which those are dropped each turn for which `c` does not hold
    define n = s[]  each member has its own; the host knows the largest

Members that meet at a step run it together, as one kernel. Which kernel that is depends on what they are: samples of a call, or
activations of a level of a recursion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

from bough.base.source import Location
from bough.control_flow.regions import EndToEnd, Region, all_hold, copy_list, count, put, split
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Const, Expr, Extent, Load, Var, apply, as_expr, loads, maximum, sub
from bough.ir.kernel import Kernel, Operand, Store
from bough.ir.sequence import Branch, Check, Define, Repeat, Run, Step, Whilst, phase

NOMINAL = 64
"""What the number of members of a region counts as where a schedule is chosen."""


@dataclass(slots=True)
class Scope:
    """What is known where steps stand: the members that run them, numbers of which each has its own, bounds of extents that
    are worked out from these, and the lists of elements that lie end to end, by region and extent."""

    region: Region
    own: dict[str, Operand] = field(default_factory=dict)
    bounds: dict[Expr, Extent] = field(default_factory=dict)
    lists: dict[tuple[Region, Expr], EndToEnd] = field(default_factory=dict)

    def inside(self, region: Region | None = None) -> Scope:
        return Scope(region or self.region, dict(self.own), dict(self.bounds), dict(self.lists))


class OverMembers(ABC):
    """Makes steps for one into steps for all members of a region."""

    nominal = NOMINAL

    def __init__(self, taken: set[str], prefix: str = "") -> None:
        """`taken` are names that mean something else; new ones begin with the prefix."""
        self.taken, self.prefix = taken, prefix

    @abstractmethod
    def kernel(self, kernel: Kernel, scope: Scope) -> list[Step]:
        """The kernel for all members of the scope's region, behind the steps that it needs."""

    @abstractmethod
    def splits(self, e: Expr) -> bool:
        """Whether the value of an expression of the host differs between members."""

    @abstractmethod
    def of_one(self, name: str) -> Operand:
        """An array as the steps for one name it."""

    @abstractmethod
    def hold(self, target: Operand, region: Region | None) -> Operand:
        """Gives an array of one number an element for each member, in the order of a region (None: of all); that array."""

    @abstractmethod
    def make(self, name: str, dtype: DType, *shape: Extent) -> Operand:
        """An array that steps for all members name, of this shape."""

    @abstractmethod
    def make_list(self, name: str) -> Operand:
        """A list of as many members as there may be."""

    @abstractmethod
    def define(self, s: Define, scope: Scope) -> list[Step]:
        """A number of the host, or each member's and the largest of them."""

    @abstractmethod
    def bound(self, extent: Expr, scope: Scope) -> list[Step]:
        """Steps that bound an extent which differs between members; the scope knows the bound then."""

    def block(self, steps: tuple[Step, ...], scope: Scope) -> list[Step]:
        """The steps for the members of the scope's region. The scope gains what they define."""
        out: list[Step] = []
        for s in steps:
            match s:
                case Define():
                    out += self.define(s, scope)
                case Check():
                    out += self.check(s, scope)
                case Branch():
                    out += self.branch(s, scope)
                case Repeat():
                    out += self.repeat(s, scope)
                case Whilst():
                    out += self.whilst(s, scope)
                case _:
                    for k in phase(s):
                        out += self.kernel(k, scope)
        return out

    def check(self, s: Check, scope: Scope) -> list[Step]:
        if not self.splits(s.condition):
            return [s]
        holds, steps = self.condition(s.condition, scope)
        every = self.make(self.fresh("check.all"), BOOL)
        return [*steps, Run(all_hold(scope.region, holds, every)), replace(s, condition=Load(every.name, (), BOOL))]

    def branch(self, s: Branch, scope: Scope) -> list[Step]:
        if not self.splits(s.condition):
            return [replace(s, then=tuple(self.block(s.then, scope.inside())),
                            otherwise=tuple(self.block(s.otherwise, scope.inside())))]  # fmt: skip
        holds, steps = self.condition(s.condition, scope)
        parts, total, more = self.part(holds, scope)
        steps += more
        taken = Var(self.fresh("taken"))
        steps.append(Define(taken.name, Load(total.name, (), I64), self.nominal))
        steps += self.body(s.then, Region(taken, parts), scope, s.location)
        if s.otherwise:
            left = Var(self.fresh("left"))
            rest = maximum(sub(as_expr(scope.region.size), taken), 0)  # a number of its own to the code, however deep it stands
            steps.append(Define(left.name, rest, self.nominal))
            steps += self.body(s.otherwise, Region(left, parts, taken), scope, s.location)
        return steps

    def body(self, steps: tuple[Step, ...], region: Region, scope: Scope, location: Location | None) -> list[Step]:
        """The steps for a region, unless it is empty."""
        inner = tuple(self.block(steps, scope.inside(region)))
        return [Branch(apply("gt", as_expr(region.size), Const(0)), inner, location=location)] if inner else []

    def repeat(self, s: Repeat, scope: Scope) -> list[Step]:
        """A loop whose count differs goes to the largest; in each turn it is run by those that have not yet ended."""
        extent = as_expr(s.count)
        if not self.splits(extent):
            return [replace(s, body=tuple(self.block(s.body, scope.inside())))]
        steps = self.bound(extent, scope)
        going = Branch(apply("lt", Var(s.variable), extent), s.body, location=s.location)
        inner = tuple(self.branch(going, scope.inside()))
        return [*steps, replace(s, count=scope.bounds[extent], body=inner)]

    def whilst(self, s: Whilst, scope: Scope) -> list[Step]:
        if not self.splits(s.condition):
            around = scope.inside()
            return [replace(s, head=tuple(self.block(s.head, around)), body=tuple(self.block(s.body, around.inside())))]
        under_way, amount = self.make_list(self.fresh("going")), self.make(self.fresh("going.size"), I64)
        steps: list[Step] = [
            Run(copy_list(scope.region, under_way)),
            Run(put(as_expr(scope.region.size), amount)),
        ]
        size = Var(self.fresh("turn.size"))
        inside = scope.inside(Region(size, under_way))
        head: list[Step] = [Define(size.name, Load(amount.name, (), I64), self.nominal), *self.block(s.head, inside)]
        holds, more = self.condition(s.condition, inside)
        parts, total, then = self.part(holds, inside)
        head += [*more, *then]
        taken = Var(self.fresh("taken"))
        left = Region(taken, parts)
        body: list[Step] = [Define(taken.name, Load(total.name, (), I64), self.nominal), *self.block(s.body, inside.inside(left))]
        body += [Run(copy_list(left, under_way)), Run(put(taken, amount))]
        going = apply("gt", Load(total.name, (), I64), Const(0))
        return [*steps, Whilst(s.variable, tuple(head), going, tuple(body), s.location)]

    # Kernels of lists

    def condition(self, e: Expr, scope: Scope) -> tuple[Operand, list[Step]]:
        """A condition of the host at each member, in the region's order."""
        return self.each("holds", e, BOOL, scope, scope.region)

    def each(self, name: str, e: Expr, dtype: DType, scope: Scope, region: Region | None = None) -> tuple[Operand, list[Step]]:
        """A number of the host at each member, in the order of the region (None: of all)."""
        target = Operand(self.fresh(name), dtype, ())
        held = self.hold(target, region)
        read = tuple(dict.fromkeys(self.of_one(load.source) for load in loads(e)))
        kernel = Kernel(f"each.{target.name}", (), read, (target,), (Store(target.name, (), e),))
        return held, self.kernel(kernel, scope)

    def part(self, holds: Operand, scope: Scope) -> tuple[Operand, Operand, list[Step]]:
        """The list of the members split by a condition, and the number of those that it holds for."""
        total, parts = self.make(self.fresh(f"{holds.name}.count"), I64), self.make_list(self.fresh(f"{holds.name}.parts"))
        return parts, total, [Run(count(scope.region, holds, total)), Run(split(scope.region, holds, total, parts))]

    def fresh(self, wish: str) -> str:
        name, n = f"{self.prefix}{wish}", 1
        while name in self.taken:
            n += 1
            name = f"{self.prefix}{wish}{n}"
        self.taken.add(name)
        return name
