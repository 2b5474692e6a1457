"""`if` and its like on computed conditions: both sides are traced, one after the other, and what they change is joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.frontends import markers
from bough.frontends.staging import layouts
from bough.frontends.staging.choices import Choice, question, settled
from bough.frontends.staging.left import NOTHING, Left, left_by
from bough.frontends.staging.outcomes import NEVER, Entry, Needed, Return, Unreachable, comes
from bough.frontends.staging.scalars import DTYPES, Scalar
from bough.frontends.staging.scopes import MISSING, Cell, Elements, Place
from bough.frontends.staging.signals import here

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

Thunk = Callable[[], Any]
MOST_BRANCHES = 2000
"""In one trace, those of tries of loops included: about half a minute."""


@dataclass(slots=True)
class Side:
    """What one side of a branch gave. `dead`: it ends the call with an error."""

    outcome: Any
    changes: dict[Any, tuple[Place, Any, Any]] = field(default_factory=dict)
    left: Left = NOTHING

    @property
    def dead(self) -> bool:
        return self.outcome is NEVER


def run(staging: DataStaging, thunk: Thunk, own: Sequence[Entry] = (), offered: Sequence[Entry] = ()) -> Any:
    """Runs a block and then `own`, where it falls through. A branch at the end of the block may do that itself, and go on with
    `offered`."""
    before, staging.offered = staging.offered, (*own, *offered)
    try:
        outcome = thunk()
        for position, entry in enumerate(own):
            if not entry.done:
                outcome = go_on(staging, outcome, entry, (*own[position + 1 :], *offered))
    finally:
        staging.offered = before
    return outcome


def go_on(staging: DataStaging, outcome: Any, entry: Entry, later: Sequence[Entry]) -> Any:
    """Runs an entry where the outcome leads to it."""
    coming = comes(entry, outcome)
    if coming is None:
        assert isinstance(outcome, Choice)
        left = question(outcome, lambda o: not entry.follows(o))
        if isinstance(left, Scalar):
            leaving: Thunk = lambda: staging.only(outcome, lambda o: not entry.follows(o))  # noqa: E731
            entry.done = True
            return symbolic(staging, left, leaving, entry.run, (), later, entry.needed)
        coming = not left
    if coming:
        entry.done = True
        return run(staging, entry.run, (), later)
    return outcome


def branch(
    staging: DataStaging, test: Any, then: Thunk | None, otherwise: Thunk | None, rest: Thunk | None, live: Sequence[str],
    end: Sequence[str] | None, leave: Sequence[str], again: Sequence[str],
) -> Any:  # fmt: skip
    """An `if`. `rest`: what follows in its block. `live`, `end`, `leave` and `again`: the names that are needed behind it, behind
    the block, behind the loop around it, and in its next turn; without `end` its outcome is not that of the block."""
    offered = staging.taken(end is not None)
    own = (Entry(rest, Needed(tuple(end or ()), tuple(leave), tuple(again))),) if rest is not None else ()
    truth = staging.truth(test)
    if isinstance(truth, bool):
        chosen = then if truth else otherwise
        return run(staging, chosen or _nothing, own, offered)
    needed = Needed(tuple(live), tuple(leave), tuple(again))
    return symbolic(staging, truth, then or _nothing, otherwise or _nothing, own, offered, needed)


def _nothing() -> None:
    return None


def symbolic(
    staging: DataStaging,
    condition: Scalar,
    first: Thunk,
    second: Thunk,
    own: Sequence[Entry],
    offered: Sequence[Entry] = (),
    needed: Needed | None = None,
) -> Any:
    """Both sides, joined, and then `own`. What only the second side leads to is run inside it."""
    _count(staging)
    start = staging.serial
    cells = staging.cells((first, second, *own, *offered))
    markers.if_begin(condition.tensor)
    one = side(staging, first, cells, condition, True)
    chain = [e for e in (*own, *offered) if not e.done]
    inside: list[Entry] = []
    for entry in () if one.dead else chain:
        if comes(entry, one.outcome) is not False:
            break
        inside.append(entry)
    markers.if_else()
    two = side(staging, lambda: run(staging, second, inside), cells, condition, False)
    for entry in inside:
        entry.done = True
        needed = entry.needed
    outcome = _joined(staging, condition, one, two, start, needed)
    if one.dead or two.dead:
        learn(staging, condition, two.dead)
    left = [e for e in own if not e.done]
    for position, entry in enumerate(left):
        if not entry.done:
            outcome = go_on(staging, outcome, entry, (*left[position + 1 :], *offered))
    return outcome


def _count(staging: DataStaging) -> None:
    """Refuses a model in which branches lead to branches without end, or to twice as many at every level."""
    staging.branches += 1
    if staging.branches > MOST_BRANCHES:
        raise CompileError(
            f"there are more than {MOST_BRANCHES} branches on computed values",
            code="BGH-CTRL-003",
            because="both sides of each become code, with all that they call",
            advice="where both sides go on with the same, let it stand behind the branch, once",
            location=here(),
        )


def side(staging: DataStaging, thunk: Thunk, cells: Sequence[Cell], condition: Scalar, holds: bool) -> Side:
    """Traces one side of a branch; afterwards all is as it was before."""
    scope = staging.enter()
    try:
        for cell in cells:
            staging.touch(cell)
        learn(staging, condition, holds)
        outcome = narrowed(staging.alone(staging.ending, thunk))
        if outcome is not NEVER:
            staging.aliases.refresh_all()
        changes = {k: (place, before, narrowed(now)) for k, (place, before, now) in scope.changes().items()}
        left = left_by(staging, scope, outcome)
        staging.undo(scope)
    finally:
        staging.leave(scope)
    if outcome is NEVER:
        return Side(outcome)
    staging.aliases.leave(scope)
    return Side(outcome, changes, left)


def narrowed(value: Any) -> Any:
    """A value with what is known of its choices in the scope that is about to end."""
    value = settled(value) if not isinstance(value, Choice) or MISSING not in value.alternatives else value
    if isinstance(value, Return):
        return type(value)(narrowed(value.value))
    if type(value) is tuple:
        return tuple(map(narrowed, value))
    return value


def learn(staging: DataStaging, condition: Scalar, holds: bool) -> None:
    """Notes what a condition says about later ones."""
    scope = staging.scope
    scope.know(condition.tensor, holds)
    if condition.opposite is not None:
        scope.know(condition.opposite, not holds)
    markers.suppose(condition.says[not holds])
    if condition.about is not None:
        selector, yes, no = condition.about
        scope.restrict(selector, yes if holds else no)


def _joined(staging: DataStaging, condition: Scalar, one: Side, two: Side, start: int, needed: Needed | None) -> Any:
    places: dict[Any, Place] = {}
    befores: dict[Any, Any] = {}
    for s in (one, two):
        for key, (place, before, _) in s.changes.items():
            places[key] = place
            befores[key] = place.owner if isinstance(place, Elements) else before
    joint = Join(staging, condition, start, one.left, two.left)
    if one.dead and two.dead:
        joint.finish()
        raise Unreachable
    outcome = joint.value(one.outcome, two.outcome, one.dead, two.dead)
    made = {}
    for key, place in places.items():
        absent = [s.dead or not is_needed(staging, place, s.outcome, needed) for s in (one, two)]
        if not all(absent):
            first, second = (s.changes[key][2] if key in s.changes else befores[key] for s in (one, two))
            join = joint.elements if isinstance(place, Elements) else joint.value
            made[key] = join(first, second, *absent)
    results = joint.finish()
    values = {key: make(results) for key, make in made.items()}
    with staging.aliases.quiet():
        for key, place in places.items():
            staging.touch(place)
            place.write(values.get(key, MISSING))
    return outcome(results)


def is_needed(staging: DataStaging, place: Place, outcome: Any, needed: Needed | None) -> bool:
    """Whether what is in a place matters where control goes."""
    if needed is None or not isinstance(place, Cell) or not staging.is_local(place):
        return True
    return any(place.name in names for names in needed.behind(outcome))


class Join:
    """Collects the tensors in which two sides differ, ends the branch with them, and gives the values behind it."""

    def __init__(self, staging: DataStaging, condition: Scalar, start: int, first: Left, second: Left) -> None:
        self.staging, self.condition, self.start, self.first, self.second = staging, condition, start, first, second
        self.pairs: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []

    def finish(self) -> list[torch.Tensor]:
        results = markers.if_end([a for a, _ in self.pairs], [b for _, b in self.pairs])
        self.staging.made_here(results)
        return results

    def value(self, a: Any, b: Any, no_first: bool = False, no_second: bool = False) -> Callable[[list[torch.Tensor]], Any]:
        """What gives the joined value from the results; `no_first`: the first side never ends."""
        if a is b and not self.is_inner(a):
            return lambda _: a
        staging = self.staging
        if no_first or no_second:
            form = self.form(b, self.second) if no_first else self.form(a, self.first)
        else:
            form = layouts.unify(self.form(a, self.first), self.form(b, self.second), False)
        count = layouts.count(form)
        firsts = [None] * count if no_first else self.leaves(form, a, self.first)
        seconds = [None] * count if no_second else self.leaves(form, b, self.second)
        leaves = [self.leaf(x, y, d) for x, y, d in zip(firsts, seconds, layouts.dtypes(form), strict=True)]

        def made(results: list[torch.Tensor]) -> Any:
            value = layouts.build(staging, form, iter([leaf(results) for leaf in leaves]))
            if not no_first and not no_second:
                staging.chosen_containers.note(staging, value, a, b, self.start)
            return value

        return made

    def elements(
        self, a: torch.Tensor, b: torch.Tensor, no_first: bool, no_second: bool
    ) -> Callable[[list[torch.Tensor]], torch.Tensor]:
        """The same for what is in a tensor, which nobody else ever has."""
        return self.paired(None if no_first else a, None if no_second else b)

    def form(self, value: Any, left: Left) -> layouts.Layout:
        with self.staging.seen_from(left):
            return layouts.layout_of(self.staging, value)

    def leaves(self, form: layouts.Layout, value: Any, left: Left) -> Sequence[layouts.Leaf]:
        with self.staging.seen_from(left):
            return layouts.encode(self.staging, form, value)

    def is_inner(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and self.staging.born(value) >= self.start

    def leaf(self, first: layouts.Leaf, second: layouts.Leaf, dtype: torch.dtype) -> Callable[[list[torch.Tensor]], Any]:
        """What gives one tensor or number of the joined value."""
        a, b = _without_rows(first, second, dtype), _without_rows(second, first, dtype)
        if a is b or b is None or a is None:
            known = b if a is None else a
            if not self.is_inner(known):
                return lambda _: known
            assert isinstance(known, torch.Tensor)
            get = self.paired(known if a is not None else None, known if b is not None else None)
            hidden = self.hidden(known)
            return lambda results: self.derived(get(results), hidden)
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return self.standing_for(a, b)
        if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor) and a == b and type(a) is type(b):
            return lambda _: a
        condition, x, y = self.condition.tensor, self.side(a, True, dtype), self.side(b, False, dtype)
        return lambda results: torch.where(condition, x(results), y(results))

    def standing_for(self, a: torch.Tensor, b: torch.Tensor) -> Callable[[list[torch.Tensor]], Any]:
        """The joined tensor. Eager Python has the very tensor of one side: what is written to the one is written to the other."""
        get, condition, staging = self.paired(a, b), self.condition.tensor, self.staging
        older = [(t, first) for t, first in ((a, True), (b, False)) if not self.is_inner(t)]
        hidden = [*self.hidden(a), *self.hidden(b)]

        def joined(results: list[torch.Tensor]) -> torch.Tensor:
            made: torch.Tensor = get(results)
            if hidden or not older or not markers.same_shape(a, b):
                return self.derived(made, [*hidden, *(t for t, _ in older)])

            def chosen(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
                return torch.where(condition, first, second)

            def read() -> torch.Tensor:
                return chosen(made if self.is_inner(a) else a, made if self.is_inner(b) else b)

            def write_back() -> None:
                for tensor, first in older:
                    staging.aliases.overwrite(tensor, chosen(made, tensor) if first else chosen(tensor, made))

            staging.aliases.stands_for(made, [t for t, _ in older], read, write_back)
            return made

        return joined

    def hidden(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The older tensors that one which was made inside is a part of: nothing behind the branch tells which part."""
        return self.staging.aliases.older_sources(tensor, self.start) if self.is_inner(tensor) else []

    def derived(self, made: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        if tensors:
            self.staging.aliases.derived(made, tensors)
        return made

    def side(self, leaf: torch.Tensor | float, first: bool, dtype: torch.dtype) -> Callable[[list[torch.Tensor]], Any]:
        """What gives the tensor of one side behind the branch, where the other side has a known number."""
        if not isinstance(leaf, torch.Tensor):
            return lambda _: torch.full((), leaf, dtype=dtype)
        if not self.is_inner(leaf):
            return lambda _: leaf
        return self.paired(leaf, None) if first else self.paired(None, leaf)

    def paired(self, a: torch.Tensor | None, b: torch.Tensor | None) -> Callable[[list[torch.Tensor]], Any]:
        number = len(self.pairs)
        self.pairs.append((self.first.tensors.get(id(a), a), self.second.tensors.get(id(b), b)))
        return lambda results: results[number]


def _without_rows(leaf: layouts.Leaf, other: layouts.Leaf, dtype: torch.dtype) -> torch.Tensor | bool | int | float | None:
    """An empty sequence's rows: none, shaped like the other side's."""
    if not isinstance(leaf, layouts.Empty):
        return leaf
    return torch.zeros((0, *other.shape[1:]), dtype=dtype) if isinstance(other, torch.Tensor) else None


__all__ = ["DTYPES", "Elements", "branch", "go_on", "run", "symbolic"]
