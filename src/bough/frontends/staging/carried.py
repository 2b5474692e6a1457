"""Loops of the compiled function: what they carry from turn to turn is found by trying the body until nothing else changes."""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bough.base.errors import CompileError
from bough.frontends import markers
from bough.frontends.staging import layouts
from bough.frontends.staging.branches import Thunk, learn
from bough.frontends.staging.choices import Choice, question
from bough.frontends.staging.layouts import Fixed, Layout
from bough.frontends.staging.outcomes import CONTINUE, NEVER
from bough.frontends.staging.remembered import OUTCOME, Hidden, Site, State, found, recalled
from bough.frontends.staging.rewrite import assigned_outside
from bough.frontends.staging.scopes import MISSING, AttributeOf, Cell, Content, Elements, Place, Scope

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

MOST_TRIES = 24
MOST_FORMS = 16


@dataclass(slots=True)
class Loop:
    """One loop: its test, its body, and the names that are needed when a turn begins or behind it."""

    staging: DataStaging
    test: Thunk
    turn: Thunk
    needed: frozenset[str]
    cells: list[Cell]
    extra: list[Place]
    site: Site
    count: markers.Size | None = None
    """How many turns there are, if none ends it."""
    state: State = field(default_factory=State)
    dead: dict[Hashable, Cell] = field(default_factory=dict)
    endless: bool = False
    """Whether only a jump ends it."""
    expected: set[Hashable] = field(default_factory=set)
    """What was expected to change, before a try has shown that it does."""
    begun: dict[Hashable, Any] = field(default_factory=dict)
    """What of it places have when a turn begins."""


def carry(
    staging: DataStaging, test: Thunk, turn: Thunk, head: Sequence[str], live: Sequence[str], counter: Any = None,
    thunks: Sequence[Any] = (), count: markers.Size | None = None,
) -> Any:  # fmt: skip
    """Traces a loop whose test, or whose early end, is computed. Gives its outcome. `count`: how many turns it has, if it has no
    early end."""
    extra: list[Place] = [] if counter is None else [AttributeOf(counter, "value")]
    site = staging.site.next((test, turn, *thunks))
    loop = Loop(staging, test, turn, frozenset((*head, *live)), staging.cells([test, turn, *thunks]), extra, site, count)
    if not _recall(loop):
        _expect_changes(loop, frozenset(head), (turn, *thunks))
    around, staging.site = staging.site, site
    try:
        for _ in range(MOST_TRIES):
            site.position = 0
            done, outcome = _attempt(loop)
            if done:
                return outcome
    finally:
        staging.site = around
    raise _refused(staging)


def _refused(staging: DataStaging) -> CompileError:
    return staging.refused(
        "a loop changes the kind of what it computes from turn to turn",
        f"after {MOST_TRIES} tries, or for {MOST_FORMS} kinds, there was still something that it carries in a new form",
        "keep tensors of one type and rank, and numbers, in the names that the loop changes",
    )


def _recall(loop: Loop) -> bool:
    """Begins with what the loop carried when it was last traced."""
    known = loop.site.found
    state = None if known is None or not loop.staging.recalls else recalled(loop.staging, (*loop.cells, *loop.extra), known)
    if state is None:
        return False
    loop.state = state
    loop.expected.update(k for k, place in state.places.items() if isinstance(place, (Cell, AttributeOf)))
    loop.staging.has_recalled = True
    return True


def _expect_changes(loop: Loop, head: frozenset[str], turns: Sequence[Any]) -> None:
    """What the body assigns and the next turn needs most likely changes: to begin with it saves a try."""
    assigned = frozenset(n for t in turns if isinstance(t, types.FunctionType) for n in assigned_outside(t.__code__))
    places = [c for c in loop.cells if c.name in head & assigned]
    for place in (*places, *loop.extra):
        form = layouts.layout_of(loop.staging, place.read())
        if isinstance(form, layouts.Number):
            form = layouts.Number(form.kind, mixed=form.mixed)
        if not isinstance(form, Fixed):
            loop.state.forms[place.key], loop.state.places[place.key] = form, place
            loop.expected.add(place.key)


def _attempt(loop: Loop) -> tuple[bool, Any]:
    """One try. (True, outcome) where it counts."""
    staging, state = loop.staging, loop.state
    markers.attempt_begin()
    initial = _initial(loop)
    staging.aliases.use(initial)
    scope = staging.enter()
    scope.stale.update(dict.fromkeys(state.stale, True))
    for place in (*loop.cells, *loop.extra, *(p for p in state.places.values() if not isinstance(p, Elements))):
        staging.touch(place)
    outcome, carried = _begun(loop, initial)
    outcome = _turn(loop, scope, outcome)
    staging.aliases.refresh_all()
    updated, fits = _updated(loop, scope, outcome, carried)
    if fits and not _learn_aliases(loop, scope, initial, updated):
        return True, _finished(loop, scope, initial, updated)
    staging.undo(scope)
    staging.leave(scope)
    markers.attempt_abort()
    return False, None


def _initial(loop: Loop) -> list[torch.Tensor]:
    state = loop.state
    made: list[torch.Tensor] = []
    for key, form in state.forms.items():
        made += _first_leaves(loop, key, form, None if key == OUTCOME else _value_of(state.places[key]))
    return [*made, torch.full((), False)]


def _first_leaves(loop: Loop, key: Hashable, form: Layout, value: Any) -> Iterator[torch.Tensor]:
    """The tensors of what a place has before the loop."""
    for n, (leaf, dtype) in enumerate(zip(layouts.encode(loop.staging, form, value), layouts.dtypes(form), strict=True)):
        if leaf is None or isinstance(leaf, layouts.Empty):
            shape = tuple(0 if markers.is_computed(s) else s for s in loop.state.shapes[key, n])
            leaf = torch.zeros((0, *shape[1:]) if leaf is not None else shape, dtype=dtype)
        yield leaf if isinstance(leaf, torch.Tensor) else torch.full((), leaf, dtype=dtype)


def _value_of(place: Place) -> Any:
    return place.owner if isinstance(place, Elements) else place.read()


def _begun(loop: Loop, initial: list[torch.Tensor]) -> tuple[Any, list[torch.Tensor]]:
    """The loop's beginning: places have what a turn finds in them."""
    staging, state = loop.staging, loop.state
    carried = markers.while_begin(initial, state.growths)
    staging.made_here(carried)
    _note_aliases(loop, initial, carried)
    leaves, outcome = iter(carried), None
    for key, form in state.forms.items():
        value = layouts.build(staging, form, leaves)
        if key == OUTCOME:
            outcome = value
        else:
            if isinstance(state.places[key], Elements):
                staging.touch(state.places[key])
            if key in loop.expected:
                loop.begun[key] = value
            with staging.aliases.quiet():
                state.places[key].write(value)
    return outcome, carried


def _turn(loop: Loop, scope: Scope, outcome: Any) -> Any:
    """The test and one turn. The new outcome."""
    staging = loop.staging

    def noted(test: Any) -> Any:
        known = staging.truth(test)
        loop.endless = known is True
        return known

    loop.endless = False
    if outcome is None:
        known = staging.truth(loop.test())
    else:
        going = question(outcome, lambda o: o is None) if isinstance(outcome, Choice) else False
        known = staging.all_true(False, going, lambda: noted(loop.test()))
    if isinstance(known, bool):
        markers.while_test(torch.full((), known, dtype=torch.bool))
    else:
        markers.while_test(known.tensor)
        learn(staging, known, True)
    result = staging.alone(staging.ending, loop.turn)
    return _carried_on(result)


def _carried_on(outcome: Any) -> Any:
    """The outcome of a turn: `continue` goes on like the end of the body."""
    if isinstance(outcome, Choice):
        mapped = [_carried_on(o) for o in outcome.alternatives]
        return None if all(m is None for m in mapped) else Choice(outcome.staging, outcome.selector, mapped)
    return None if outcome is CONTINUE or outcome is NEVER else outcome


def _updated(loop: Loop, scope: Scope, outcome: Any, carried: list[torch.Tensor]) -> tuple[list[torch.Tensor], bool]:
    """The carried values behind a turn, and whether the loop was begun with the right ones."""
    staging, state = loop.staging, loop.state
    if unchanged := [k for k in loop.expected if state.places[k].read() is loop.begun[k]]:
        for key in unchanged:  # a name that keeps its tensor, which may have been written in place
            del state.forms[key], state.places[key]
        loop.expected.difference_update(unchanged)
        state.growths, state.hidden = (), {}
        return [], False
    now: dict[Hashable, Any] = {k: (outcome if k == OUTCOME else state.places[k].read()) for k in state.forms}
    before: dict[Hashable, Any] = {}
    if outcome is not None:
        now[OUTCOME] = outcome
    for key, (place, old, new) in scope.changes().items():
        if isinstance(place, Cell) and place.name not in loop.needed and staging.is_local(place):
            loop.dead[key] = place
            continue
        if key not in now:
            now[key], before[key] = new, (place.owner if isinstance(place, Elements) else old)
            state.places[key] = place
    forms: dict[Hashable, Layout] = {}
    for key, value in now.items():
        known = state.forms.get(key) or layouts.layout_of(staging, before.get(key))
        forms[key] = layouts.unify(known, layouts.layout_of(staging, value), True)
    if any(isinstance(f, layouts.Choices) and len(f.parts) > MOST_FORMS for f in forms.values()):
        raise _refused(staging)
    if forms != state.forms:
        _learn_shapes(loop, forms, now)
        growths: tuple[markers.Growth, ...] = ()
        if all(forms[k] == f for k, f in state.forms.items()):
            more = [t for k in forms if k not in state.forms for t in _first_leaves(loop, k, forms[k], before.get(k))]
            growths = markers.growths(_leaves(loop, forms, now, [*carried[:-1], *more]), more)
        state.forms, state.growths = forms, growths
        return [], False
    updated = _leaves(loop, forms, now, carried)
    growths = markers.growths(updated)
    if growths != tuple(state.growths):
        state.growths = growths
        return [], False
    return updated, True


def _leaves(
    loop: Loop, forms: dict[Hashable, Layout], now: dict[Hashable, Any], carried: list[torch.Tensor]
) -> list[torch.Tensor]:
    """The tensors of values in these forms, and that a turn has ended."""
    updated: list[torch.Tensor] = []
    for key, form in forms.items():
        for leaf, dtype in zip(layouts.encode(loop.staging, form, now[key]), layouts.dtypes(form), strict=True):
            before = carried[len(updated)]
            if isinstance(leaf, layouts.Empty):
                leaf = before.new_zeros((0, *before.shape[1:]))
            if leaf is None:
                leaf = before
            updated.append(leaf if isinstance(leaf, torch.Tensor) else torch.full((), leaf, dtype=dtype))
    return [*updated, torch.full((), True)]


def _learn_shapes(loop: Loop, forms: dict[Hashable, Layout], now: dict[Hashable, Any]) -> None:
    for key, form in forms.items():
        for n, leaf in enumerate(layouts.encode(loop.staging, form, now[key])):
            if isinstance(leaf, torch.Tensor):
                loop.state.shapes[key, n] = tuple(leaf.shape)
            elif leaf is not None and not isinstance(leaf, layouts.Empty):
                loop.state.shapes[key, n] = ()


def _note_aliases(loop: Loop, initial: list[torch.Tensor], carried: list[torch.Tensor]) -> None:
    """What is carried is the very tensor from before the loop, as long as no turn has ended; the last of it tells."""
    for number in _of_names(loop):
        _note_alias(loop, initial[number], carried[number], carried[-1], loop.state.hidden.get(number))


def _note_alias(loop: Loop, first: torch.Tensor, now: torch.Tensor, ended: torch.Tensor, hidden: Hidden | None) -> None:
    aliases = loop.staging.aliases

    def read() -> torch.Tensor:
        return torch.where(ended, now, first)

    def write_back() -> None:
        aliases.overwrite(first, torch.where(ended, first, now))

    if hidden is not None or not markers.same_shape(first, now):
        aliases.derived(now, [first, *(() if hidden is None else hidden.others.values())])
    else:
        aliases.stands_for(now, [first], read, write_back)


def _of_names(loop: Loop) -> Iterator[int]:
    """The numbers of the tensors among what is carried that names and containers have."""
    number = 0
    for key, form in loop.state.forms.items():
        whole = layouts.count(form)
        if key != OUTCOME and not isinstance(loop.state.places[key], Elements) and not isinstance(form, layouts.Number):
            yield from range(number, number + whole)
        number += whole


def _learn_aliases(loop: Loop, scope: Scope, initial: list[torch.Tensor], updated: list[torch.Tensor]) -> bool:
    """Whether a turn has told more about what shares its elements with what is older than the loop."""
    aliases, state = loop.staging.aliases, loop.state
    stale = {k for k, is_stale in scope.stale.items() if is_stale}
    more = not stale <= state.stale
    state.stale |= stale
    for number in _of_names(loop):
        found = {id(t): t for t in aliases.older_sources(updated[number], scope.start)}
        if not found:
            continue
        firsts = {id(t) for t in aliases.sources(initial[number]).values()}
        known = state.hidden.setdefault(number, Hidden(False, {}))
        others = {k: t for k, t in found.items() if k not in firsts}
        first = not firsts.isdisjoint(found)
        more = more or not others.keys() <= known.others.keys() or first > known.first
        known.first, known.others = known.first or first, {**known.others, **others}
    return more


def _finished(loop: Loop, scope: Scope, initial: list[torch.Tensor], updated: list[torch.Tensor]) -> Any:
    """Ends the loop; places have what it leaves in them."""
    staging, state = loop.staging, loop.state
    surely = loop.count is not None and OUTCOME not in state.forms and markers.at_least(loop.count) >= 0
    sizes = markers.counted_sizes(updated, loop.count) if surely and loop.count is not None else []
    finals = markers.while_end(updated)
    for number, axis, size in sizes:
        finals[number] = markers.narrow(finals[number], axis, 0, size)
    for place, before in reversed(scope.journal.values()):
        if not isinstance(place, Elements):
            place.write(before)
    loop.site.found = found(staging, (*loop.cells, *loop.extra), state)
    staging.leave(scope)
    staging.aliases.leave(scope)
    markers.attempt_keep()
    staging.made_here(finals)
    _note_aliases(loop, initial, finals)
    leaves, outcome = iter(finals), None
    for key, form in state.forms.items():
        value = layouts.build(staging, form, leaves)
        if key == OUTCOME:
            outcome = value
            if isinstance(value, Choice) and loop.endless:
                jumps = frozenset(n for n, o in enumerate(value.alternatives) if o is not None)
                staging.scope.restrict(value.selector.tensor, jumps)
        else:
            staging.touch(state.places[key])
            with staging.aliases.quiet():
                state.places[key].write(value)
    for key, name in loop.dead.items():
        if key not in state.forms:
            staging.touch(name)
            name.write(MISSING)
    return outcome


def attempt(staging: DataStaging, thunks: Sequence[Any], body: Callable[[], tuple[bool, Any]]) -> tuple[bool, Any]:
    """Traces something that counts only where it says so."""
    markers.attempt_begin()
    scope = staging.enter()
    kept = True
    try:
        for cell in staging.cells(thunks):
            staging.touch(cell)
        kept, result = body()
        return kept, result
    finally:
        if kept:
            markers.attempt_keep()
        else:
            staging.undo(scope)
        staging.leave(scope)
        if kept:
            staging.aliases.leave(scope)
        else:
            markers.attempt_abort()


__all__ = ["Content", "Fixed", "attempt", "carry"]
