"""Numbers computed from the length of one container of the structure, which stay questions and indices of that container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bough.base.spans import END, Index
from bough.base.visits import Each, Path, Slice
from bough.frontends.staging.symbols import Length, Measure, Place

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


def index_of(value: Any, place: Place) -> Index | None:
    """The value as an index into the container at a place; None for what is neither a number nor computed from its length."""
    if type(value) is int:
        return Index(plus=value)
    if isinstance(value, Length):
        return END if value._place == place else None
    return value.index if isinstance(value, Measure) and value.place == place else None


def combined(name: str, *operands: Any) -> Measure | None:
    """The operator of that name, where it gives a number that is computed from one length."""
    known = next((o for o in operands if isinstance(o, (Length, Measure))), None)
    if known is None:
        return None
    place = known.place if isinstance(known, Measure) else known._place
    indices = [index_of(o, place) for o in operands]
    found = _apply(name, [i for i in indices if i is not None]) if None not in indices else None
    return None if found is None else Measure(known._run, place, found)


def _apply(name: str, operands: list[Index]) -> Index | None:
    a, b = operands[0], operands[-1]
    match name:
        case "pos":
            return a
        case "neg":
            return _negated(a)
        case "add":
            return _added(a, b)
        case "sub":
            return _added(a, _negated(b))
        case "mul" if a.over == b.over == 1 and not (a.times and b.times):
            return Index(a.times * b.plus + b.times * a.plus, a.plus * b.plus)
        case "floordiv" if not b.times and b.of(0) > 0:
            return Index(a.times, a.plus, a.over * b.of(0))
        case "rshift" if not b.times and 0 <= b.of(0) < 63:
            return Index(a.times, a.plus, a.over << b.of(0))
    return None


def _negated(a: Index) -> Index:
    """-(x // n) is -x / n, rounded up."""
    return Index(-a.times, -a.plus + a.over - 1, a.over)


def _added(a: Index, b: Index) -> Index | None:
    if a.over == 1:
        a, b = b, a
    if b.over != 1:
        return None
    return Index(a.times + b.times * a.over, a.plus + b.plus * a.over, a.over)


def holds(test: str, measure: Measure, number: int) -> bool:
    """The answer to a comparison with a number, as a question about the length."""
    match test:
        case "at_most":
            return _at_most(measure, number)
        case "less":
            return _at_most(measure, number - 1)
        case "more":
            return not _at_most(measure, number)
        case "at_least":
            return not _at_most(measure, number - 1)
    index = measure.index
    if (index.times, index.over) == (1, 1):
        equal = number >= index.plus and measure._run.ask(measure.place, "equals", number - index.plus, True)
    else:
        equal = _at_most(measure, number) and not _at_most(measure, number - 1)
    return equal if test == "equals" else not equal


def _at_most(measure: Measure, number: int) -> bool:
    index, run = measure.index, measure._run
    room = (number + 1) * index.over - 1 - index.plus  # times * length may be as large as that
    if index.times > 0:
        return room >= 0 and run.ask(measure.place, "at_most", room // index.times, True)
    if index.times == 0:
        return room >= 0
    least = -(room // -index.times)
    return least <= 0 or not run.ask(measure.place, "at_most", least - 1, True)


def walk_over(path: Path) -> Each:
    """The walk over the list at a path; a part of one that leaves out so many elements is a walk over the others."""
    skip = leave = 0
    while path and isinstance(part := path[-1], Slice) and (ends := part.left_out()) is not None:
        path, skip, leave = path[:-1], skip + ends[0], leave + ends[1]
    return Each(path, skip, leave)


def walked(each: Each) -> Place:
    """Where the list lies that a walk is over."""
    part = (Slice(Index(plus=each.skip), Index(plus=-each.leave) if each.leave else END),) if each.skip or each.leave else ()
    return Place((*each.path, *part))


def of_part(run: Run, place: Place, test: str, value: Any, length: bool) -> bool | None:
    """The answer to a question about a part of a list, as one about the length of the whole; None where that does not say it."""
    part = place.path[-1] if place.path else None
    if not isinstance(part, Slice):
        return None
    if test == "is_none":
        return False
    left_out, counted = part.left_out(), length or test == "is_true"
    if left_out is None or not counted or type(value) not in (int, type(None)):
        return None
    whole, count = Place(place.path[:-1], place.each), sum(left_out)

    def at_most(number: int) -> bool:
        return number >= 0 and run.ask(whole, "at_most", number + count, True)

    match test:
        case "is_true":
            return not at_most(0)
        case "at_most":
            return at_most(value)
        case "less":
            return at_most(value - 1)
        case "equals":
            return at_most(0) if value == 0 else value > 0 and run.ask(whole, "equals", value + count, True)
    return None
