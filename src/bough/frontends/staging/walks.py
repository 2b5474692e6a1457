"""Loops and comprehensions over lists whose length is not known: the body runs once, for the generic element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging import strands
from bough.frontends.staging.folds import Carried
from bough.frontends.staging.per_element import PerElement
from bough.frontends.staging.signals import Restart, here, refuse_source
from bough.frontends.staging.symbols import Elements, Number, Place, Position, Symbol, leaves
from bough.frontends.staging.templates import rebuild
from bough.frontends.staging.turns import Learned, Turns

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


def enter(run: Run, values: Elements) -> Any:
    """The generic element, as the body of a loop sees it."""
    if run.scope is not None:
        raise refuse_source(
            "a loop over a list stands in a loop over a list, both of unknown length",
            "a function walks over its own object's lists only",
            "put the inner loop into a function that is called for the element",
        )
    run.scope = values.each
    return inside(values)


def inside(values: Elements) -> Any:
    """The generic element, in its scope."""
    return rebuild(values.tree, lambda v: _inside(values.run, values.each, v))


def _inside(run: Run, each: int, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return run.of_element(each, value)
    if isinstance(value, Place):
        return run.at(value) if value.path else Symbol(run, value)  # an element may be a tensor here and a list there
    if isinstance(value, Number):
        return Number(run, run.of_element(each, value.tensor))
    return value


def leave(run: Run, each: int, value: Any) -> Elements:
    """What the body made of the generic element, for all elements. Run in the loop's scope."""

    def outside(v: Any) -> Any:
        if isinstance(v, PerElement):
            return v.stacked
        if isinstance(v, Symbol) and v._place.each == each:
            return v._place
        if isinstance(v, Number):
            return run.staging.number_elements(v, each)
        if isinstance(v, torch.Tensor):
            return v.expand(run.size(each), *v.shape)
        return v

    return Elements(run, each, rebuild(value, outside))


class Loop:
    """A `for` statement. `symbolic`: over a list of unknown length, with the rewritten code handing its names over; `getters`
    read those that the body assigns."""

    def __init__(
        self, run: Run, values: Any, pattern: Any, elements: Elements | None, getters: dict[str, Callable[[], Any]]
    ) -> None:
        self.run, self.values, self.pattern, self.elements = run, values, pattern, elements
        self.symbolic = elements is not None
        self.location = here()
        self.getters = {name: partial(_value, get) for name, get in getters.items()}
        self.before: dict[str, Any] = {}
        self.turns: Turns | None = None
        self.after: dict[str, Any] = {}
        self.grown: dict[int, tuple[list[Any], list[Any]]] = {}
        self.finished = False

    def __iter__(self) -> Iterator[Any]:
        if self.elements is None:
            for value in self.values:
                yield self.run.staging.shape(value, self.pattern)
            return
        run = self.run
        if self.location in run.world.learned.turns:
            self.turns = Turns(run, self.elements, self.location, self.getters)
            self.before = self.turns.begin(MISSING)
            run.turns = self.turns
        element = enter(run, self.elements)
        run.staging.loops.append(self)
        yield run.staging.shape(element, self.pattern)
        self._close()

    def _close(self) -> None:
        run, elements = self.run, self.elements
        assert elements is not None
        if self.grown and elements.reverse:
            raise run.staging.backwards()
        for owner, added in self.grown.values():
            if len(added) > 1 or owner:
                raise refuse_source(
                    "a list takes more than the results of one loop",
                    "its length would have no simple form",
                    "fill a list in each loop, and join them behind both",
                )
        if self.turns is not None:
            self._end_turns(self.turns)
        else:
            for name, getter in self.getters.items():
                self.after[name] = self._final(name, getter())
            for owner, added in self.grown.values():
                run.staging.gathered[id(owner)] = (owner, leave(run, elements.each, added[0]))
        run.staging.loops.pop()
        run.scope = None
        self.finished = True

    def _end_turns(self, turns: Turns) -> None:
        run, grown = self.run, list(self.grown.values())
        self.after, stacked = turns.end([added[0] for _, added in grown])
        run.turns = None
        for (owner, _), values in zip(grown, stacked, strict=True):
            run.staging.gathered[id(owner)] = (owner, Elements(run, turns.elements.each, values))

    def needs_turns(self) -> None:
        """Tries again with a loop that runs turn by turn."""
        known = self.run.world.learned.turns
        if self.location not in known:
            known[self.location] = Learned()
            raise Restart

    def enter(self, name: str) -> Any:
        """The value of a name at the start of the body: of what the loop carries on, something that notes how."""
        if self.turns is not None:
            return self.before.get(name, Gone(name))
        value = self.getters[name]()
        self.before[name] = list(value) if isinstance(value, list) else value
        if isinstance(value, (torch.Tensor, Number, int, float)) and not isinstance(value, bool):
            return Carried(self, name)
        return value if value is not MISSING else Gone(name)

    def _final(self, name: str, value: Any) -> Any:
        assert self.elements is not None
        if isinstance(value, Carried):
            return self.before[name] if value.function is None else value.folded(self.before[name])
        if isinstance(value, list) and isinstance(self.before[name], list) and len(value) > len(self.before[name]):
            if strands.only_pieces(value[len(self.before[name]) :]):
                return value
            strands.learn(self.run.world, self.run.function.base, strands.EVERYWHERE)
        if _of_element(value):
            if any(isinstance(v, torch.Tensor) for v in leaves(self.before[name])):
                self.needs_turns()
            return Gone(name)
        return value

    def leave(self, name: str) -> Any:
        if not self.finished:
            raise refuse_source(
                "a loop over a list of unknown length is left early",
                "what it does with the other elements would be lost",
                "go through the whole list, and let what is done depend on what was found so far",
            )
        return self.after.get(name, Gone(name))


MISSING = object()


def _value(getter: Callable[[], Any]) -> Any:
    try:
        return getter()
    except NameError:
        return MISSING


def _of_element(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_of_element(v) for v in value)
    if isinstance(value, dict):
        return any(_of_element(v) for v in value.values())
    return isinstance(value, (PerElement, Position)) or (isinstance(value, Symbol) and value._place.each is not None)


class Gone:
    """The value that a name has after the last element: there may be no last element."""

    _name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def _used(self, *_: Any, **__: Any) -> Any:
        raise refuse_source(
            f"`{self._name}` is used after the loop that sets it for each element of a list",
            "what it was for the last element is not kept",
            "collect the values in a list, or add them up",
        )

    __getattr__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = __call__ = __iter__ = __bool__ = _used
    __getitem__ = __truediv__ = __rtruediv__ = __neg__ = __matmul__ = __rmatmul__ = __len__ = _used

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        next(a for a in args if isinstance(a, Gone))._used()
