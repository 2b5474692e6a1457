"""Functions of a recursion that decide by computed values: control and numbers are done as in `data`, what lies in the structure
as in `primitives`.

Which functions are visited is known before any arithmetic, so calls of the recursion on either side of a decision are made
whatever it comes to; what is decided is which results count.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging import calls, data_loops, refusals, walks
from bough.frontends.staging.choices import Choice, each_alternative, settled
from bough.frontends.staging.data import DataStaging
from bough.frontends.staging.data_items import checked, resolved
from bough.frontends.staging.effects import mutation
from bough.frontends.staging.outcomes import CONTINUE, Return
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.rewrite import assigned_outside
from bough.frontends.staging.run import Bound, ContainerMethod
from bough.frontends.staging.scalars import DTYPES, Scalar, cast
from bough.frontends.staging.scopes import MISSING, Cell, Scope
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import SYMBOLIC, Elements, Measure, Number, Symbol, as_tensor
from bough.frontends.staging.torch_calls import Watch

if TYPE_CHECKING:
    from bough.frontends.staging.primitives import Primitives


class Deciding(DataStaging):
    """Of one run, beside its Primitives, which do what this leaves to them."""

    def __init__(self, plain: Primitives) -> None:
        super().__init__()
        self.plain = plain
        self.around = self.scope
        """That of the innermost loop over a list of unknown length."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While active, it knows which tensors are made and written."""
        try:
            with Watch(self) if self.plain.run.world.learned.deciding else nullcontext():
                yield
        finally:
            scope: Scope | None = self.scope
            while scope is not None:
                scope.undo()
                scope = scope.parent

    @property
    def is_decided(self) -> bool:
        """Whether what runs may not be what runs in every call."""
        return self.scope.parent is not None

    # -- values of the two worlds ----------------------------------------------------------------------------------------

    def is_structural(self, value: Any) -> bool:
        if isinstance(value, (*SYMBOLIC, Bound, ContainerMethod)):
            return True
        if isinstance(value, (list, tuple)):
            return self.is_gathered(value) or any(map(self.is_structural, value))
        if isinstance(value, slice):
            return any(map(self.is_structural, (value.start, value.stop, value.step)))
        if isinstance(value, (dict, set)):
            return self.is_gathered(value) or any(map(self.is_structural, value.values() if isinstance(value, dict) else value))
        return False

    def is_gathered(self, value: Any) -> bool:
        """Whether a container holds what functions of the recursion, or a loop over a list of theirs, put into it."""
        effects = self.plain.run.world.effects
        return id(value) in self.plain.gathered or id(value) in effects.filled

    def as_number(self, value: Any) -> Any:
        """A computed number as the structure's side knows it."""
        if isinstance(value, Scalar):
            return Number(self.plain.run, value.tensor)
        if type(value) in (list, tuple) and any(isinstance(v, (Scalar, list, tuple)) for v in value):
            return type(value)(map(self.as_number, value)) if not self.is_own(value) else value
        return value

    def as_scalar(self, value: Any) -> Any:
        """A number of the structure's side as one that control can be decided by."""
        if isinstance(value, Number) and not isinstance(value, Measure) and not isinstance(value.tensor, PerElement):
            tensor = as_tensor(value.tensor)
            kind = bool if tensor.dtype is torch.bool else float if tensor.dtype.is_floating_point else int
            return Scalar(self, cast(tensor, DTYPES[kind]))
        if type(value) is tuple:
            return tuple(map(self.as_scalar, value))
        return value

    def as_result(self, value: Any) -> Any:
        """What a function returns, as the structure's side knows it."""
        value = settled(value)
        if type(value) not in (tuple, list, dict):
            return self.as_number(value)
        parts = list(value.values() if isinstance(value, dict) else value)
        made = [self.as_result(p) for p in parts]
        if not any(map(operator.is_not, made, parts)):
            return value
        return dict(zip(value, made, strict=True)) if isinstance(value, dict) else type(value)(made)

    # -- what runs -------------------------------------------------------------------------------------------------------

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        function, args, kwargs = settled(function), tuple(map(settled, args)), {k: settled(v) for k, v in kwargs.items()}
        values = (function, *args, *kwargs.values())
        if any(isinstance(v, Choice) and any(map(self.is_structural, v.alternatives)) for v in values):
            names = list(kwargs)

            def plainly(inner: Any, *given: Any) -> Any:
                return self.call(inner, *given[: len(args)], **dict(zip(names, given[len(args) :], strict=True)))

            return each_alternative(self, plainly, *values)
        owner = getattr(function, "__self__", None)
        if isinstance(owner, (list, dict, set)):
            return self.method(owner, function, args, kwargs)
        if not any(map(self.is_structural, values)):
            return super().call(function, *args, **kwargs)
        given, named = map(self.as_number, args), {k: self.as_number(v) for k, v in kwargs.items()}
        return self.as_scalar(calls.call(self.plain, function, tuple(given), named))

    def method(self, owner: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of a list, dictionary or set."""
        changes = function.__name__ in calls._CHANGES
        if changes and self.plain.loops and self.is_own(owner):
            if self.scope is not self.around:
                raise mutation(f"a {type(owner).__name__} with `{function.__name__}`, where a computed value decides it,")
            return calls.call(self.plain, function, tuple(map(self.as_number, args)), kwargs)
        plainly = self.is_gathered(owner) or (changes and not self.is_own(owner))
        if plainly or (not isinstance(owner, list) and any(isinstance(a, (Symbol, PerElement)) for a in args)):
            self.expect_undecided(f"a {type(owner).__name__} with `{function.__name__}`, where a computed value decides it,")
            return calls.call(self.plain, function, tuple(map(self.as_number, args)), kwargs)
        return super().call(function, *args, **kwargs)

    def expect_undecided(self, what: str) -> None:
        if self.is_decided:
            raise mutation(what)

    def refuse(self, exception: Callable[[], Any]) -> None:
        if self.is_decided:
            super().refuse(exception)
        self.plain.refuse(exception)

    def check(self, test: Any, message: Callable[[], Any] | None) -> None:
        truth = self.truth(test)
        if truth is False and not self.is_decided:
            self.plain.refuse(lambda: AssertionError(message() if message is not None else ""))
        super().check(truth, message)

    def returned(self, value: Any) -> Any:
        if isinstance(value, Return):
            value.value = self.plain.returned(value.value)
        return value if isinstance(value, Return) or value is None else self.plain.returned(value)

    def each(
        self, values: Any, turn: Callable[[Any], Any], otherwise: Callable[[], Any] | None, rest: Callable[[], Any] | None,
        head: Sequence[str], live: Sequence[str], leaves: bool, end: Sequence[str] | None = None,
        leave: Sequence[str] = (), again: Sequence[str] = (),
    ) -> Any:  # fmt: skip
        """A `for`; the body of one over a list of unknown length is code for the generic element."""
        values = self.plain.opened(settled(values))
        elements = self.plain.symbolic_elements(values)
        if elements is None:
            known = self.plain.known_elements(values) if isinstance(values, Symbol) else values
            return super().each(known, turn, otherwise, rest, head, live, leaves, end, leave, again)
        first = functools.partial(self.over_elements, elements, turn)
        return data_loops.followed(self, first, otherwise, rest, end, leave, again)

    def over_elements(self, elements: Elements, turn: Callable[[Any], Any]) -> None:
        changed = assigned_outside(turn.__code__)
        cells = {c.name: c for c in self.cells([turn]) if c.name in changed}
        loop = walks.Loop(self.plain.run, None, None, elements, {n: functools.partial(self.content, c) for n, c in cells.items()})
        before, self.around = self.around, self.scope
        for element in loop:
            for name, cell in cells.items():
                self.touch(cell)
                cell.write(self.as_scalar(loop.enter(name)))
            outcome = self.alone(turn, element)
            if outcome is not None and outcome is not CONTINUE:
                raise refuse_source(
                    "a loop over a list of unknown length is left early",
                    "what it does with the other elements would be lost",
                    "go through the whole list, and let what is done depend on what was found so far",
                )
        self.around = before
        for name, cell in cells.items():
            self.touch(cell)
            cell.write(self.as_scalar(loop.leave(name)))

    def content(self, cell: Cell) -> Any:
        value = cell.read()
        if value is MISSING:
            raise NameError(cell.name)
        return self.as_number(settled(value))

    def comprehend(
        self, kind: str, values: Any, body: Callable[[Any], Any], conditions: Sequence[Callable[[Any], Any]], flat: bool
    ) -> Any:
        values = self.plain.opened(settled(values))
        elements = self.plain.symbolic_elements(values)
        if elements is not None and kind in ("list", "generator") and not conditions and not flat:
            made = self.fresh([])
            self.over_elements(elements, lambda element: self.call(made.append, body(element)))
            return made
        if elements is not None:
            return self.plain.comprehend(kind, values, body, conditions, flat)
        return super().comprehend(kind, self.listed(values, "a comprehension"), body, conditions, flat)

    def listed(self, values: Any, what: str) -> Any:
        """What is walked over, where its length is known."""
        values = self.plain.opened(settled(values))
        if self.plain.symbolic_elements(values) is not None:
            raise refuse_source(
                f"{what} over a list of unknown length in a function that decides by computed values",
                "its body would be the same for all elements",
                "put the loop, or the decision, into a function of its own",
            )
        return self.plain.known_elements(values) if isinstance(values, Symbol) else values

    # -- conditions ------------------------------------------------------------------------------------------------------

    def truth(self, value: Any) -> bool | Scalar:
        value = settled(value)
        if isinstance(value, (Symbol, Elements)) or self.is_gathered(value):
            return bool(self.plain.truth(value))
        if isinstance(value, PerElement):
            self.plain.ask_in_a_function()
            if self.plain.loops:
                self.plain.loops[-1].needs_turns()
            raise refusals.decided_for_each()
        return super().truth(self.as_scalar(value))

    def is_same(self, a: Any, b: Any) -> Any:
        a, b = settled(a), settled(b)
        if isinstance(a, Choice) or isinstance(b, Choice):
            return super().is_same(a, b) if not self.is_structural((a, b)) else each_alternative(self, self.is_same, a, b)
        return self.plain.is_same(a, b)

    def contains(self, container: Any, value: Any) -> Any:
        if self.is_structural(container) or self.is_structural(value):
            return self.plain.contains(container, value)
        return super().contains(container, value)

    # -- parts of values -------------------------------------------------------------------------------------------------

    def attribute(self, owner: Any, name: str) -> Any:
        owner = settled(owner)
        return self.plain.attribute(owner, name) if self.is_structural(owner) else super().attribute(owner, name)

    def item(self, owner: Any, key: Any) -> Any:
        owner, key = settled(owner), self.as_scalar(settled(key))
        if isinstance(owner, Choice) or isinstance(key, Choice):
            return each_alternative(self, self.item, owner, key)
        if isinstance(owner, Symbol) and isinstance(key, (Scalar, torch.Tensor)):
            return self.chosen(owner, key)
        if self.is_structural(owner) or self.is_structural(key):
            return self.as_scalar(self.plain.item(owner, key))
        return super().item(owner, key)

    def chosen(self, owner: Symbol, key: Any) -> Any:
        """A part of the structure at a computed position of a list."""
        position = self.call(key.item) if isinstance(key, torch.Tensor) else key
        values = self.plain.known_elements(owner)
        if values is None:
            self.plain.elements(owner)  # tells that it matters how many there are
            raise refuse_source(
                f"an element of `{owner!r}`, a list of unknown length, is chosen by a computed value",
                "which objects are visited is decided before any arithmetic",
                "store the chosen part in the object when the structure is built, or give an example whose lists are short",
                code="BGH-REC-002",
            )
        if not values:
            raise self.python_error(IndexError("list index out of range"))
        return resolved(self, Choice(self, checked(self, position, len(values), "list index out of range"), values))

    def store_item(self, owner: Any, key: Any, value: Any) -> None:
        owner, key = settled(owner), settled(key)
        if isinstance(owner, (torch.Tensor, Choice)) or (self.is_own(owner) and not self.is_structural(key)):
            super().store_item(owner, key, value)
            return
        self.expect_undecided(f"`{type(owner).__name__}[...]`, where a computed value decides it,")
        self.plain.store_item(owner, key, value)

    def store_attribute(self, owner: Any, name: str, value: Any) -> None:
        owner = settled(owner)
        if isinstance(owner, Choice) or self.is_own(owner):
            super().store_attribute(owner, name, value)
            return
        self.expect_undecided(f"`{type(owner).__name__}.{name}`, where a computed value decides it,")
        self.plain.store_attribute(owner, name, value)

    def update(self, name: str, a: Any, b: Any) -> Any:
        if self.is_gathered(a):
            self.expect_undecided("a list, where a computed value decides it,")
            return self.plain.added(a, b)
        return self.as_scalar(super().update(name, a, b))

    def fresh(self, value: Any) -> Any:
        return self.plain.fresh(super().fresh(value))

    def shape(self, value: Any, pattern: Any) -> Any:
        value = settled(value)
        return self.plain.shape(value, pattern) if self.is_structural(value) else super().shape(value, pattern)

    def rest(self, values: list[Any]) -> Any:
        return self.plain.rest(values)

    def between(self, values: Any, before: int, behind: int) -> Any:
        return self.plain.between(settled(values), before, behind)

    def spread(self, value: Any) -> Any:
        value = settled(value)
        return self.plain.spread(value) if self.is_structural(value) else super().spread(value)

    def elements(self, value: Any) -> Any:
        value = settled(value)
        return self.listed(value, "a library function") if self.is_structural(value) else super().elements(value)
