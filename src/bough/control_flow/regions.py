"""The samples that run the same steps together, and the kernels that keep their lists.

    split      [begin, begin + size) of a list into those that a condition holds for, in order, and behind them the others
    lists      whose element and which one each is, where as many elements as each sample has lie end to end
"""

from __future__ import annotations

from dataclasses import dataclass

from bough.ir.dtypes import BOOL, I64
from bough.ir.expr import Cast, Const, Expr, Extent, Load, Var, add, apply, as_expr, select, sub
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store

MEMBER = Var("member.n")
OTHER = Var("member.m")
"""With a dot, so that no symbolic size of the user's is called the same."""
START = Const(0)


@dataclass(frozen=True, slots=True)
class Region:
    """`size` samples: those that entries `begin` .. `begin + size - 1` of the list `members` name; all, if there is no list."""

    size: Extent
    members: Operand | None = None
    begin: Expr = START

    def sample(self, position: Expr) -> Expr:
        """The sample at a position of the region."""
        return position if self.members is None else Load(self.members.name, (add(self.begin, position),), I64)

    @property
    def tables(self) -> tuple[Operand, ...]:
        return () if self.members is None else (self.members,)


def count(region: Region, holds: Operand, total: Operand) -> Kernel:
    """`total[]`: for how many members of the region `holds[n]`."""
    one = Cast(Load(holds.name, (MEMBER,), BOOL), I64)
    body = (Let("count", Reduce("sum", (MEMBER.name,), one)), Store(total.name, (), Var("count")))
    return Kernel(f"count.{holds.name}", (Axis(MEMBER.name, region.size),), (holds,), (total,), body)


def split(region: Region, holds: Operand, total: Operand, parts: Operand) -> Kernel:
    """The list `parts`: first the members for which `holds[n]`, `total[]` in number, then the others, all in their order."""
    here, earlier = Load(holds.name, (MEMBER,), BOOL), Load(holds.name, (OTHER,), BOOL)
    before = Cast(apply("and", apply("lt", OTHER, MEMBER), earlier), I64)
    rank = Var("rank")
    place = select(here, rank, sub(add(Load(total.name, (), I64), MEMBER), rank))
    return Kernel(
        f"split.{holds.name}",
        (Axis(MEMBER.name, region.size), Axis(OTHER.name, region.size)),
        (holds, total, *region.tables),
        (parts,),
        (Let(rank.name, Reduce("sum", (OTHER.name,), before)), Store(parts.name, (place,), region.sample(MEMBER))),
    )


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """`count` elements, as many as each member of a region has, one member's behind the other's: element e is number
    `places[e]` of the member at position `positions[e]` of the region, which is sample `samples[e]`."""

    count: Extent
    positions: Operand
    samples: Operand
    places: Operand

    @property
    def tables(self) -> tuple[Operand, ...]:
        return self.positions, self.samples, self.places


def starts(region: Region, lengths: Operand, target: Operand) -> Kernel:
    """`target[n]`: how many elements lie in front of those of the member at position n, which has `lengths[n]`."""
    earlier = select(apply("lt", OTHER, MEMBER), Load(lengths.name, (OTHER,), I64), Const(0))
    body = (Let("before", Reduce("sum", (OTHER.name,), earlier)), Store(target.name, (MEMBER,), Var("before")))
    axes = (Axis(MEMBER.name, region.size), Axis(OTHER.name, region.size))
    return Kernel(f"starts.{target.name}", axes, (lengths,), (target,), body)


def total(region: Region, lengths: Operand, target: Operand) -> Kernel:
    """`target[]`: how many elements there are."""
    body = (Let("all", Reduce("sum", (MEMBER.name,), Load(lengths.name, (MEMBER,), I64))), Store(target.name, (), Var("all")))
    return Kernel(f"total.{target.name}", (Axis(MEMBER.name, region.size),), (lengths,), (target,), body)


def lay_end_to_end(region: Region, lengths: Operand, first: Operand, longest: Extent, lists: EndToEnd) -> Kernel:
    """Fills the lists, which have room for one element more than there may be: what is behind a member's last goes there."""
    here, spare = Load(lengths.name, (MEMBER,), I64), sub(as_expr(lists.places.shape[0]), 1)
    at = select(apply("lt", OTHER, here), add(Load(first.name, (MEMBER,), I64), OTHER), spare)
    values = {lists.positions: MEMBER, lists.samples: region.sample(MEMBER), lists.places: OTHER}
    return Kernel(
        f"end_to_end.{lists.places.name}",
        (Axis(MEMBER.name, region.size), Axis(OTHER.name, longest)),
        (lengths, first, *(region.tables if lists.samples != lists.positions else ())),
        tuple(values),
        tuple(Store(o.name, (at,), value) for o, value in values.items()),
    )


def copy_list(region: Region, target: Operand) -> Kernel:
    """The list `target` of the region's members."""
    store = Store(target.name, (MEMBER,), region.sample(MEMBER))
    return Kernel(f"list.{target.name}", (Axis(MEMBER.name, region.size),), region.tables, (target,), (store,))


def put(value: Expr, target: Operand) -> Kernel:
    """A number of the host into an array without dimensions."""
    return Kernel(f"put.{target.name}", (), (), (target,), (Store(target.name, (), value),))


def longest(region: Region, numbers: Operand, target: Operand) -> Kernel:
    """`target[]`: the largest of the members' numbers, none of which is negative."""
    most = Let("most", Reduce("max", (MEMBER.name,), Load(numbers.name, (region.sample(MEMBER),), I64)))
    store = Store(target.name, (), apply("max", Var("most"), Const(0)))
    return Kernel(
        f"longest.{numbers.name}", (Axis(MEMBER.name, region.size),), (numbers, *region.tables), (target,), (most, store)
    )


def all_hold(region: Region, holds: Operand, target: Operand) -> Kernel:
    """`target[]`: whether `holds[n]` for all members."""
    every = Let("every", Reduce("all", (MEMBER.name,), Load(holds.name, (MEMBER,), BOOL)))
    return Kernel(
        f"all.{holds.name}",
        (Axis(MEMBER.name, region.size),),
        (holds,),
        (target,),
        (every, Store(target.name, (), Var("every", BOOL))),
    )
