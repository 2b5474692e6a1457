"""The staging functions for control on computed values, which rewritten code calls while torch traces it."""

from __future__ import annotations

import builtins
import functools
import operator
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bough.base.errors import CompileError
from bough.frontends import markers
from bough.frontends.locations import is_internal
from bough.frontends.staging import (
    branches,
    caught,
    conditions,
    data_calls,
    data_items,
    data_loops,
    generators,
    growing,
    layouts,
    texts,
    torch_calls,
)
from bough.frontends.staging.aliases import Aliases
from bough.frontends.staging.branches import Thunk, run
from bough.frontends.staging.choices import Choice, each_alternative, is_there, question, settled
from bough.frontends.staging.chosen_containers import ChosenContainers
from bough.frontends.staging.examples import positional_name
from bough.frontends.staging.generators import Walk
from bough.frontends.staging.host_functions import Stays
from bough.frontends.staging.left import NOTHING, Left
from bough.frontends.staging.outcomes import BREAK, CONTINUE, NEVER, Entry, Needed, Return, Unreachable
from bough.frontends.staging.remembered import Site
from bough.frontends.staging.rewrite import home_of, is_rewritten
from bough.frontends.staging.scalars import DTYPES, Scalar, convert
from bough.frontends.staging.scopes import MISSING, AttributeOf, Cell, Content, Elements, Entries, Items, Place, Scope
from bough.frontends.staging.signals import here
from bough.frontends.staging.special_methods import SpecialMethods
from bough.frontends.staging.spreading import Spread, spread_out
from bough.frontends.staging.state import State

_IMMUTABLE = (str, int, float, bool, bytes, tuple, frozenset, type(None), torch.Tensor)


class DataStaging:
    """Of one trace."""

    rewrites_control = True
    Return, BREAK, CONTINUE = staticmethod(Return), BREAK, CONTINUE

    def __init__(self, windows: bool = False, stays: Stays | None = None, site: Site | None = None) -> None:
        """`windows`: slices of known length at a computed start are taken to lie inside their axis, and this is checked. `stays`:
        functions that cannot be traced stay in Python. `site`: what is remembered of loops; None: nothing is."""
        self.windows, self.met_window = windows, False
        self.stays = stays
        self.site, self.recalls, self.has_recalled = site or Site(), site is not None, False
        self.site.position = 0
        self.serial = 1
        self.births: dict[int, tuple[Any, int]] = {}
        """Tensors and containers made during the trace, by id, with when they were made."""
        self.widest: dict[int, tuple[Any, torch.Tensor]] = {}
        """The first view of a tensor that was made inside of torch, where the trace does not know it, by that one's id."""
        self.aliases, self.chosen_containers = Aliases(self), ChosenContainers()
        self.special = SpecialMethods(self.call)
        self.scope = Scope(None, 0)
        self.state = State(self.scope)
        self.seen = NOTHING
        """Of the side of a branch whose values are being joined."""
        self.offered: tuple[Entry, ...] = ()
        self.frames: list[tuple[types.CodeType, int]] = []
        """The functions of the user's that are running, with when they were called."""
        self.walks: list[Walk] = []
        """The loops over generators that are running."""
        self.tries = self.branches = 0
        self.raised: BaseException | None = None
        """The last exception that Python raises as well."""
        self.jumps: dict[tuple[type, str], caught.Raised] = {}
        """To handlers, by the exception: one for what is raised alike."""
        self.varied: dict[int, tuple[Any, Any]] = {}
        """The content of lists and dictionaries of which only the call decides it, by id."""
        self.lenient = False
        self.warned = False

    # -- what was made when ----------------------------------------------------------------------------------------------

    def made_here(self, values: Sequence[Any]) -> None:
        self.serial += 1
        for value in values:
            if id(value) not in self.births:
                self.births[id(value)] = (value, self.serial)
                if isinstance(value, torch.Tensor) and value._is_view() and not self.is_own(base := value._base):
                    self.widest.setdefault(id(base), (base, value))

    def fresh(self, value: Any) -> Any:
        if isinstance(value, list) and any(isinstance(v, Spread) for v in value):
            return self.fresh(spread_out(self, value))
        self.made_here([value])
        return value

    def varied_content(self, value: Any) -> Any:
        """What is in a list of which only the call decides it; None for all else."""
        if id(value) in self.seen.contents:
            content = self.seen.contents[id(value)]
            return None if isinstance(content, (Items, Entries)) else content
        found = self.varied.get(id(value))
        return None if found is None else found[1]

    def born(self, value: Any) -> int:
        known = self.births.get(id(value))
        return 0 if known is None else known[1]

    def is_own(self, value: Any) -> bool:
        return id(value) in self.births

    # -- scopes ----------------------------------------------------------------------------------------------------------

    def enter(self) -> Scope:
        self.serial += 1
        self.scope = Scope(self.scope, self.serial, self.tries, markers.supposed())
        return self.scope

    def leave(self, scope: Scope) -> None:
        assert scope.parent is not None
        self.scope = scope.parent
        markers.suppose_first(scope.supposed)

    def undo(self, scope: Scope) -> None:
        """Takes back what has been changed in a scope."""
        with self.aliases.quiet():
            scope.undo()

    @contextmanager
    def seen_from(self, left: Left) -> Iterator[None]:
        """While active, values are taken apart as a side of a branch has left them."""
        self.seen, before = left, self.seen
        try:
            yield
        finally:
            self.seen = before

    def touch(self, place: Place) -> None:
        """Notes a place that is about to be changed, in all scopes that it is older than."""
        self.chosen_containers.expect_others(place.owner)
        born, scope, key, value = self.born(place.owner), self.scope, place.key, None
        while scope is not None and key not in scope.journal and born < max(scope.start, 1):
            value = value or (place.read(),)
            scope.journal[key] = (place, *value)
            scope = scope.parent  # type: ignore[assignment]

    def cells(self, thunks: Sequence[Any]) -> list[Cell]:
        """The local names that inner functions of the user's share, also those that functions of ours close over."""
        found: dict[int, Cell] = {}
        seen: set[int] = set()
        work = [*thunks, *(w.turn for w in self.walks)]
        while work:
            value = work.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Entry):
                work.append(value.run)
            elif isinstance(value, (tuple, list)):
                work.extend(value)
            elif isinstance(value, types.FunctionType):
                cells = self.cells_of(value)
                if is_rewritten(value):
                    found.update((id(c.cell), c) for c in cells)
                else:
                    work.extend(v for c in cells if isinstance(v := c.read(), (types.FunctionType, Entry, tuple)))
        return list(found.values())

    def cells_of(self, function: types.FunctionType) -> list[Cell]:
        """What a function closes over. Cells are as old as the call that they belong to."""
        code = function.__code__
        found = [Cell(c, n) for n, c in zip(code.co_freevars, function.__closure__ or (), strict=True)]
        for cell in found:
            if id(cell.cell) not in self.births:
                home = home_of(code, cell.name)
                started = next((serial for c, serial in reversed(self.frames) if c is home), 0)
                self.births[id(cell.cell)] = (cell.cell, started)
        return found

    def in_frame(self, function: types.FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a rewritten function."""
        self.serial += 1
        self.frames.append((function.__code__, self.serial))
        try:
            return self.alone(function, *args, **kwargs)
        finally:
            self.frames.pop()

    def is_local(self, cell: Cell) -> bool:
        """Whether a cell belongs to the function that is running."""
        return bool(self.frames) and self.born(cell.cell) == self.frames[-1][1]

    def taken(self, tail: bool) -> tuple[Entry, ...]:
        """What was offered to the statement at the end of a block."""
        return self.offered if tail else ()

    def alone(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a function to which nothing is offered."""
        before, self.offered = self.offered, ()
        try:
            return function(*args, **kwargs)
        finally:
            self.offered = before

    def ending(self, thunk: Thunk) -> Any:
        """The outcome of one side of a branch; NEVER where it ends the call with an error."""
        try:
            return thunk()
        except Unreachable:
            return NEVER
        except Exception as error:
            if not self.is_pythons(error):
                raise
            self.fail(error)
            return NEVER

    def is_pythons(self, error: Exception) -> bool:
        """Whether eager Python raises the same exception there."""
        if isinstance(error, CompileError):
            return False
        if error is self.raised:
            return True
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        return trace is not None and not is_internal(trace.tb_frame.f_code.co_filename)

    def fail(self, error: Exception) -> None:
        self.forbid_in_try()
        markers.check(torch.full((), False, dtype=torch.bool), type(error).__name__, str(error))

    def forbid_in_try(self) -> None:
        if self.tries > 0:
            raise self.refused(
                "an error that depends on computed values is raised inside `try`",
                "compiled code ends at an error, and runs no handler",
                "test the condition with `if` in place of `try`",
            )

    # -- complaints ------------------------------------------------------------------------------------------------------

    def refused(self, what: str, because: str, advice: str) -> CompileError:
        return CompileError(what, code="BGH-CTRL-001", because=because, advice=advice, location=here())

    def refused_use(self, value: Any) -> CompileError:
        return self.refused(
            f"{value!r}, a value that only the call decides, is used where it must be known",
            "the function that needs it is not traced",
            "use it in conditions, arithmetic and calls of torch's functions",
        )

    def python_error(self, error: Exception) -> Exception:
        """An exception that Python raises at this place, too."""
        self.raised = error
        return error

    def text(self, value: Any) -> str:
        if self.lenient:
            return repr(value)
        raise self.refused(
            "a computed value is turned into text", "compiled code makes no text", "leave that to Python code around the model"
        )

    def unsupported(self, what: str) -> None:
        raise self.refused(
            f"`{what}` where control depends on computed values",
            "the front end has no rule for it",
            "write it in other words, or in a function that decides nothing",
        )

    # -- control ---------------------------------------------------------------------------------------------------------

    def function(self, body: Thunk) -> Any:
        """The body of a function with jumps out of its statements."""
        return conditions.returned(run(self, body))

    def generator(self, body: Thunk) -> Any:
        """What a call of a generator function with this body gives."""
        return generators.made(self, body)

    def yielded(self, value: Any) -> Any:
        return generators.yielded(self, value)

    @property
    def leaves_walk(self) -> bool:
        """Whether a `yield` may be the last."""
        return bool(self.walks) and self.walks[-1].leaves

    def branch(
        self,
        test: Any,
        then: Thunk | None,
        otherwise: Thunk | None,
        rest: Thunk | None,
        live: Sequence[str],
        end: Sequence[str] | None = None,
        leave: Sequence[str] = (),
        again: Sequence[str] = (),
    ) -> Any:
        return branches.branch(self, test, then, otherwise, rest, live, end, leave, again)

    def then(self, outcome: Any, rest: Thunk | None, end: tuple[str, ...], leave: tuple[str, ...], again: tuple[str, ...]) -> Any:
        """What follows a `try` or a `with` whose body may jump."""
        offered = self.taken(True)
        return outcome if rest is None else branches.go_on(self, outcome, Entry(rest, Needed(end, leave, again)), offered)

    def repeat(self, *args: Any) -> Any:
        return data_loops.repeat(self, *args)

    def each(self, *args: Any) -> Any:
        return data_loops.each(self, *args)

    def jump(self, exception: Thunk) -> Any:
        """`raise` inside of the `try` that may catch it."""
        found = self.leniently(exception)
        return caught.jump(self, found() if isinstance(found, type) else found)

    def handled(self, body: Thunk, handlers: caught.Handlers, otherwise: Thunk | None, inside: bool) -> Any:
        return caught.handled(self, body, handlers, otherwise, inside)

    @contextmanager
    def trying(self) -> Iterator[None]:
        self.tries += 1
        try:
            yield
        finally:
            self.tries -= 1

    def check(self, test: Any, message: Thunk | None) -> None:
        """`assert`."""
        truth = self.truth(test)
        if truth is True:
            return
        text = "" if message is None else self.leniently(lambda: str(message()))
        if truth is False:
            raise self.python_error(AssertionError(text))
        self.check_that(truth, "AssertionError", text)

    def check_that(self, condition: Any, error: str, message: str) -> None:
        """The call ends with an error where a computed condition does not hold."""
        condition = self.truth(condition)
        if condition is True:
            return
        if condition is False:
            kinds = vars(builtins)
            raise self.python_error(kinds[error](message) if error in kinds else RuntimeError(message))
        self.forbid_in_try()
        markers.check(condition.tensor, error, message)
        branches.learn(self, condition, True)

    def refuse(self, exception: Callable[[], Any]) -> None:
        """`raise`."""
        made = self.leniently(exception)
        raise self.python_error(made() if isinstance(made, type) else made)

    def leniently(self, function: Thunk) -> Any:
        before, self.lenient = self.lenient, True
        try:
            return function()
        finally:
            self.lenient = before

    # -- conditions ------------------------------------------------------------------------------------------------------

    def truth(self, value: Any) -> bool | Scalar:
        return conditions.truth(self, value)

    def negated(self, value: Any) -> Any:
        return conditions.negated(self, value)

    def choose(self, test: Any, then: Thunk, otherwise: Thunk) -> Any:
        return conditions.choose(self, test, then, otherwise)

    def conjunction(self, simple: bool, first: Any, *others: Thunk) -> Any:
        return conditions.chain(self, True, first, others)

    def disjunction(self, simple: bool, first: Any, *others: Thunk) -> Any:
        return conditions.chain(self, False, first, others)

    def all_true(self, simple: bool, first: Any, *others: Thunk) -> Any:
        return conditions.truths(self, True, simple, first, others)

    def any_true(self, simple: bool, first: Any, *others: Thunk) -> Any:
        return conditions.truths(self, False, simple, first, others)

    def chained(self, simple: bool, names: Sequence[str], first: Any, *others: Thunk) -> Any:
        return conditions.chained(self, simple, names, first, others)

    compared = conditions.compared

    def only(self, choice: Any, holds: Callable[[Any], bool]) -> Any:
        """A choice of which these alternatives are left."""
        found = settled(choice)
        if not isinstance(found, Choice):
            return found
        left = [v for n, v in enumerate(found.alternatives) if n in self.left(found)]
        assert all(map(holds, left))
        return found

    def left(self, choice: Choice) -> list[int]:
        return self.scope.possible(choice.selector.tensor, len(choice.alternatives))

    # -- values ----------------------------------------------------------------------------------------------------------

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.state.use(*args)
        return data_calls.call(self, function, args, kwargs)

    def torch_call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return torch_calls.torch_call(self, function, args, kwargs)

    def formatted(self, *parts: Any) -> Any:
        """An f-string."""
        return texts.formatted(self, parts)

    def add(self, a: Any, b: Any) -> Any:
        """`a + b`, which may be lists."""
        if self.varied_content(a) is None and self.varied_content(b) is None:
            made = a + b
            return self.fresh(made) if isinstance(made, list) else made
        made = self.fresh([])
        for part in (a, b):
            self.call(made.extend, part)
        return made

    def multiply(self, a: Any, b: Any) -> Any:
        """`a * b`, which may be a list and a number."""
        if (isinstance(a, (list, tuple)) and isinstance(b, Scalar)) or (isinstance(b, (list, tuple)) and isinstance(a, Scalar)):
            raise self.refused("a list is repeated a computed number of times", "there is no rule for it", "append in a loop")
        made = a * b
        return self.fresh(made) if isinstance(made, list) else made

    def operator(self, name: str, *operands: Any) -> Any:
        return getattr(operator, name)(*operands)

    def update(self, name: str, a: Any, b: Any) -> Any:
        """`a += b` and its like; the result is what `a` becomes."""
        if isinstance(a, Choice) or isinstance(b, Choice):
            return each_alternative(self, lambda x, y: self.update(name, x, y), a, b)
        if isinstance(a, list) and name == "iadd":
            data_calls.call(self, a.extend, (b,), {})
            return a
        if isinstance(a, (set, dict)):
            self.touch(Content(a, self.varied))
        return getattr(operator, name)(a, b)

    def attribute(self, owner: Any, name: str) -> Any:
        owner = settled(owner)
        if isinstance(owner, Choice):
            return each_alternative(self, lambda v: self.attribute(v, name), owner)
        if isinstance(owner, torch.Tensor):
            return torch_calls.attribute(self, owner, name)
        found = getattr(owner, name)
        self.special.follow(type(found), data_calls.is_rewritable)
        if isinstance(owner, nn.Module):
            self.state.read(owner, name, found)
        elif isinstance(owner, (list, dict)):
            self.state.method(owner, name, everywhere=self.scope is self.state.call)
        if isinstance(found, Choice) and MISSING in found.alternatives:
            self.check_that(is_there(found), "AttributeError", f"{type(owner).__name__!r} object has no attribute {name!r}")
        return found

    def item(self, owner: Any, key: Any) -> Any:
        self.state.use(owner)
        return data_items.item(self, owner, key)

    def slice(self, start: Any, stop: Any, step: Any) -> builtins.slice:
        return builtins.slice(start, stop, step)

    def store_item(self, owner: Any, key: Any, value: Any) -> None:
        if isinstance(owner, (list, dict)):
            self.state.method(owner, "__setitem__", everywhere=False)
        data_items.store(self, owner, key, value)

    def delete_item(self, owner: Any, key: Any) -> None:
        data_items.delete(self, owner, key)

    def store_attribute(self, owner: Any, name: str, value: Any) -> None:
        owner = settled(owner)
        if isinstance(owner, Choice):
            each_alternative(self, lambda v: self.store_attribute(v, name, value), owner)
            return
        if not isinstance(owner, _IMMUTABLE):
            if getattr(type(owner), "__setattr__", None) is object.__setattr__:
                data_calls.store_own(self, owner, name, value)
                return
            place = AttributeOf(owner, name)
            self.touch(place)
            if isinstance(owner, nn.Module):
                self.state.write(owner, name, everywhere=self.scope is self.state.call)
                if not isinstance(getattr(type(owner), name, None), property):
                    place.write(value)
                    return
        setattr(owner, name, value)

    def delete_attribute(self, owner: Any, name: str) -> None:
        self.touch(AttributeOf(owner, name))
        delattr(owner, name)

    def wrote(self, tensor: torch.Tensor) -> None:
        """Notes that a tensor is about to be written in place."""
        self.touch(Elements(self.base_of(tensor)))

    def base_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor that the trace knows whose elements these are."""
        base = tensor._base if tensor._base is not None else tensor
        return self.widest[id(base)][1] if not self.is_own(base) and id(base) in self.widest else base

    def is_same(self, a: Any, b: Any) -> Any:
        for x, y in ((a, b), (b, a)):
            if isinstance(x, Choice):
                if isinstance(y, Choice):
                    return each_alternative(self, self.is_same, x, y)
                return question(x, functools.partial(operator.is_, y))
        return a is b

    def contains(self, container: Any, value: Any) -> Any:
        return data_items.contains(self, container, value)

    def shape(self, value: Any, pattern: Any) -> Any:
        """A value as the target of an assignment unpacks it."""
        return data_items.unpacked(self, value, pattern)

    def rest(self, values: list[Any]) -> Any:
        """What the star of an assignment has taken."""
        return values

    def between(self, values: Any, before: int, behind: int) -> Any:
        """The elements that the star of a pattern takes."""
        found = settled(values)
        if not isinstance(found, (list, tuple)):
            raise self.refused("a pattern with a star fits a value that only the call knows", "no rule says how", "index it")
        return self.fresh(list(found[before : len(found) - behind]))

    def spread(self, value: Any) -> Any:
        """`*value`."""
        value = generators.collected(self, settled(value))
        return [Spread(value)] if self.varied_content(value) is not None else data_items.elements_of(self, value)

    def dictionary(self, *parts: Any) -> Any:
        """`{**a, key: value}`."""
        known = (growing.as_argument(self, settled(p)) for p in parts)
        return each_alternative(self, lambda *found: self.fresh({k: v for f in found for k, v in f.items()}), *known)

    def named(self, value: Any) -> Any:
        """`**value` in a call."""
        value = settled(value)
        if isinstance(value, Choice) or self.varied_content(value) is not None:
            what = "only the call decides which arguments are passed by name"
            raise self.refused(what, "there is no rule for it", "pass them one by one")
        return value

    def elements(self, value: Any) -> Any:
        """What a function that needs each element may iterate over."""
        return data_items.elements_of(self, value)

    def comprehend(
        self, kind: str, values: Any, body: Callable[[Any], Any], conditions: Sequence[Callable[[Any], Any]], flat: bool
    ) -> Any:
        return data_loops.comprehend(self, kind, values, body, conditions, flat)

    def returned(self, value: Any) -> Any:
        return value

    def positional(self, value: Any, cls: type, index: int) -> Any:
        if cls in (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple):
            return value
        return self.attribute(value, positional_name(cls, index))

    def number(self, value: Any, kind: type) -> Any:
        """`int(value)` and its like for a computed number."""
        return convert(value, kind)

    def rows_of(self, tensor: torch.Tensor) -> Any:
        """The numbers of a tensor of computed length as a list."""
        if tensor.dim() != 1:
            raise self.refused("a tensor of computed length is turned into nested lists", "there is no rule for it", "index it")
        floating, boolean = tensor.dtype.is_floating_point, tensor.dtype is torch.bool
        kind = float if floating else bool if boolean else int
        return growing.new_list(self, growing.Rows(self, layouts.Number(kind), [tensor.to(DTYPES[kind], copy=True)]))

    def merged(self, choice: Choice, numbers: list[int]) -> Any:
        """Some alternatives of one form as one value."""
        first, *others = numbers
        value = choice.alternatives[first]
        for n in others:
            test = Scalar(self, choice.selector.tensor == n)
            value = self.choose(test, lambda n=n: choice.alternatives[n], lambda value=value: value)  # type: ignore[misc]
        return value
