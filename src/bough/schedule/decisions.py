"""A schedule: the replayable list of decisions that turns one order-free kernel into loops.

Each decision is a line of text, `vectorize axis=j lanes=16 count=2`; a schedule prints and parses back to an equal one. It is
the tuning record, the bug report and the golden test at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Union

from bough.base.errors import InternalError


@dataclass(frozen=True, slots=True)
class Vectorize:
    """`count` vectors of `lanes` elements along `axis` make the register tile's width. At most one; none: scalar code.

    Along a free axis each lane owns its own reduction. Along a reduced axis the lanes are partial results, combined at the
    end by halving (lane i with lane i + n/2), which fixes the order of the sum.
    """

    axis: str
    lanes: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Tile:
    """`size` consecutive points of a free axis share a register tile (its rows); loads they share are done once."""

    axis: str
    size: int


@dataclass(frozen=True, slots=True)
class Even:
    """Tiles of the axis differ by one row at most, none above its size, and each number of rows has code of its own: where an
    extent is known at run time only, and small, no tile is left with few rows."""

    axis: str


@dataclass(frozen=True, slots=True)
class Block:
    """`tiles` consecutive tiles of a free axis stay on one thread."""

    axis: str
    tiles: int


@dataclass(frozen=True, slots=True)
class Order:
    """The loops over tiles, outermost first. Axes that are not named come before, in the kernel's order."""

    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unroll:
    """`factor` iterations of a reduced axis per loop iteration; the order of the reduction stays."""

    axis: str
    factor: int


@dataclass(frozen=True, slots=True)
class Use:
    """The named reduction runs on `instruction` of the target, found by instruction mapping. One that adds up several products
    takes the whole reduced axis `group` at once; `load` is the instruction that moves its vector operand to registers."""

    reduction: str
    instruction: str
    load: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Pack:
    """The kernel's load number `load` reads a copy laid out `[other axes, axis / width, reduced axes, width]`, zero-padded; a
    reduced axis `group` comes behind the width.

    Taken before the tiles: `bough.schedule.pack` rewrites the kernel. Copies of constants are made at compile time.
    """

    load: int
    axis: str
    width: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class Serpentine:
    """In odd iterations of the host loop over `loop`, the chunks of each segment (what one thread starts with) run backwards:
    what was read last is read first, while it is still in the cache. For operands larger than the caches, read anew in every
    iteration, such as the weights of a recurrent layer."""

    loop: str
    segment: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Where the axis, the innermost of the order, has at least `least` blocks, chunks that follow one another are of the same
    block: each thread has some rows whole, those that it had in the kernels before, not a part of the columns of all. For
    operands shared by rows that stay in each thread's cache."""

    axis: str
    least: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """While the tiles of rows of some vectors run, if there are at least `least`, each of them fetches a part of what sums read
    along the next vectors, of operands that are packed: weights that come from far are there when they are needed."""

    least: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Accumulators pass through scratch memory to an epilogue loop that is not unrolled: less code where it is long."""


@dataclass(frozen=True, slots=True)
class Serial:
    """The kernel runs on the calling thread: too little work to wake others."""


@dataclass(frozen=True, slots=True)
class Keep:
    """A chunk is one point of each of the axes `rows`, or `block` points of the last, and all points of the other axes. Of
    `arrays`, which have each row at a dimension of its own, a thread has only the rows of its chunk; kernels of a group that keep
    an array share it."""

    arrays: tuple[str, ...]
    rows: tuple[str, ...]
    block: int


Decision = Union[Vectorize, Tile, Even, Block, Order, Unroll, Use, Pack, Serpentine, Follow, Ahead, Stage, Serial, Keep]
_KINDS: dict[str, type] = {
    k.__name__.lower(): k
    for k in (Vectorize, Tile, Even, Block, Order, Unroll, Use, Pack, Serpentine, Follow, Ahead, Stage, Serial, Keep)
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Decisions in the order they were taken. An axis without one is a plain loop."""

    decisions: tuple[Decision, ...] = ()

    @property
    def vector(self) -> Vectorize | None:
        return next((d for d in self.decisions if isinstance(d, Vectorize)), None)

    @property
    def packs(self) -> tuple[Pack, ...]:
        return tuple(d for d in self.decisions if isinstance(d, Pack))

    @property
    def serpentine(self) -> Serpentine | None:
        return next((d for d in self.decisions if isinstance(d, Serpentine)), None)

    @property
    def follow(self) -> Follow | None:
        return next((d for d in self.decisions if isinstance(d, Follow)), None)

    def even(self, axis: str) -> bool:
        return any(isinstance(d, Even) and d.axis == axis for d in self.decisions)

    @property
    def ahead(self) -> Ahead | None:
        return next((d for d in self.decisions if isinstance(d, Ahead)), None)

    @property
    def staged(self) -> bool:
        return any(isinstance(d, Stage) for d in self.decisions)

    @property
    def keep(self) -> Keep | None:
        return next((d for d in self.decisions if isinstance(d, Keep)), None)

    @property
    def serial(self) -> bool:
        return any(isinstance(d, Serial) for d in self.decisions)

    def rows(self, axis: str) -> int:
        return next((d.size for d in self.decisions if isinstance(d, Tile) and d.axis == axis), 1)

    def block(self, axis: str) -> int:
        return next((d.tiles for d in self.decisions if isinstance(d, Block) and d.axis == axis), 1)

    def unroll(self, axis: str) -> int:
        return next((d.factor for d in self.decisions if isinstance(d, Unroll) and d.axis == axis), 1)

    def use(self, reduction: str) -> Use | None:
        return next((d for d in self.decisions if isinstance(d, Use) and d.reduction == reduction), None)

    def order(self, free: tuple[str, ...]) -> tuple[str, ...]:
        named = next((d.axes for d in self.decisions if isinstance(d, Order)), ())
        return (*(a for a in free if a not in named), *(a for a in named if a in free))

    def __str__(self) -> str:
        return "\n".join(_print(d) for d in self.decisions)


def _print(decision: Decision) -> str:
    words = [type(decision).__name__.lower()]
    for f in fields(decision):
        value = getattr(decision, f.name)
        if value == "":
            continue
        words.append(f"{f.name}={','.join(value) if isinstance(value, tuple) else value}")
    return " ".join(words)


def parse_schedule(text: str) -> Schedule:
    """The inverse of `str(schedule)`. Raises InternalError naming the line that is not a decision."""
    decisions: list[Decision] = []
    for line in filter(None, (raw.strip() for raw in text.splitlines())):
        name, *pairs = line.split()
        kind = _KINDS.get(name)
        if kind is None:
            raise InternalError(f"no decision is called {name!r}: {line!r}")
        given = dict(p.split("=", 1) for p in pairs)
        types = {f.name: f.type for f in fields(kind)}
        if set(given) - set(types):
            raise InternalError(f"{name} takes {', '.join(types)}: {line!r}")
        decisions.append(kind(**{k: _value(str(types[k]), v) for k, v in given.items()}))
    return Schedule(tuple(decisions))


def _value(kind: str, text: str) -> object:
    if kind == "int":
        return int(text)
    return tuple(filter(None, text.split(","))) if kind.startswith("tuple") else text
