"""The staging functions that rewritten code calls: Python's own meaning for plain values, recording for symbolic ones."""

from __future__ import annotations

import builtins
import enum
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bough.base.errors import CompileError
from bough.base.spans import END, LISTS, bounds
from bough.base.visits import Item, Question, Slice
from bough.frontends.staging import calls, measures, members, refusals, rows_of, strands, walks
from bough.frontends.staging.deciding import Deciding
from bough.frontends.staging.effects import mutation
from bough.frontends.staging.examples import class_attribute, kind_of, positional_name
from bough.frontends.staging.facts import subclasses
from bough.frontends.staging.per_element import PerElement, indexed
from bough.frontends.staging.rewrite import original_of, rewrite
from bough.frontends.staging.run import LONGEST_UNROLLED, NOTHING, Run
from bough.frontends.staging.signals import Refused, Restart, here, refuse_source
from bough.frontends.staging.symbols import (
    Arithmetic,
    Elements,
    Identity,
    Length,
    Number,
    Place,
    Position,
    Rest,
    Spread,
    Symbol,
)  # fmt: skip
from bough.frontends.staging.templates import rebuild
from bough.frontends.staging.visiting import collected_in

_ELEMENT = object()
LONGEST_TABLE = 64
"""A table of constants that is indexed by what lies in a structure becomes one question per entry."""


class Primitives:
    """Bound to one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.staging = self
        self.created: dict[int, Any] = {}
        """What the run made itself, by id, and so may change."""
        self.gathered: dict[int, tuple[Any, Elements]] = {}
        """Lists that took one value per element of a walk."""
        self.memo: dict[tuple[int, Place], Any] = {}
        self.loops: list[walks.Loop] = []
        self.shared: list[list[Any]] = []
        """Lists of the run's own that functions of the recursion append to."""
        self.frames: list[calls.Frame] = []
        self.deciding = Deciding(self)
        self.decides = False
        """Whether the function that is running decides by computed values."""

    def invoke(self, function: types.FunctionType, *args: Any, **kwargs: Any) -> Any:
        """Calls a function of the user's, rewritten; one that decides by computed values runs under `deciding`."""
        original = original_of(function.__code__)
        decides = function.__code__ in self.run.world.learned.deciding if original is None else original[1]
        new = rewrite(function, self.deciding if decides else self)
        assert new is not None
        self.decides, before = decides, self.decides
        try:
            return self.deciding.in_frame(new, args, kwargs) if decides else new(*args, **kwargs)
        finally:
            self.decides = before

    # -- expressions -----------------------------------------------------------------------------------------------------

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return calls.call(self, function, args, kwargs)

    def attribute(self, owner: Any, name: str) -> Any:
        if name == "__class__" and isinstance(owner, Symbol):
            return Symbol(self.run, owner._place.attribute("__class__"))
        return getattr(owner, name)

    def item(self, owner: Any, key: Any) -> Any:
        if isinstance(owner, Symbol) and self.defines(owner, "__getitem__"):
            return self.call(self.run.attribute(owner, "__getitem__"), key)
        if isinstance(owner, (Symbol, Elements)):
            return self.run.item(owner, key)
        if strands.has_pieces(owner) or id(owner) in self.run.world.effects.lists:
            return self.element(self.elements(owner), key)
        if id(owner) in self.gathered:
            return self.element(self.gathered[id(owner)][1], key)
        if isinstance(owner, (torch.Tensor, PerElement)):
            return self.run.torch_call(indexed, (owner, key), {})
        elif isinstance(key, (Symbol, Identity)):
            return self.looked_up(owner, key)
        elif isinstance(key, (Number, Position)):
            raise refusals.computed_choice()
        return owner[key]

    def ask_in_a_function(self) -> None:
        """A question about an element of a list: the function that was called with the element becomes a visit."""
        for frame in self.frames:
            if frame.place is not None and frame.place.each is not None:
                self.run.world.visits.add(frame.base)
                raise Restart

    def length_at_most(self, values: Elements, count: int) -> bool:
        """Whether a list of unknown length has at most so many elements."""
        each = self.run.record.eaches[values.each]
        if each.list is not None:
            raise refusals.use_of_filled()
        return self.run.ask(Place(each.path), "at_most", count + each.skip + each.leave, True)

    def looked_up(self, table: Any, key: Symbol | Identity) -> Any:
        """An entry of a table of constants, by what lies in the structure: one question per entry."""
        place = key.place if isinstance(key, Identity) else key._place
        if (id(table), place) in self.memo:
            return self.memo[id(table), place]
        entries = self.entries(table, key)
        for entry, value in entries:
            if key == entry:
                return value
        raise Refused(f"`{key!r}` is no key of the table", here())

    def entries(self, table: Any, key: Any) -> list[tuple[Any, Any]]:
        if isinstance(table, (dict, nn.ModuleDict, nn.ParameterDict)):
            found = list(table.items())
        elif isinstance(table, (list, tuple, nn.ModuleList, nn.ParameterList)):
            found = list(enumerate(table))
        else:
            raise refuse_source(
                f"a {type(table).__name__} is indexed by `{key!r}`",
                "no rule says what this means",
                "index lists by numbers and dictionaries by keys of the structure",
            )
        if len(found) > LONGEST_TABLE or isinstance(key, Identity):
            raise refuse_source(
                f"a table of {len(found)} entries is indexed by `{key!r}`",
                f"each entry is a way of its own, and at most {LONGEST_TABLE} are tried",
                "look the word up when the structure is built, and store its number",
            )
        return found

    def slice(self, start: Any, stop: Any, step: Any) -> builtins.slice:
        return builtins.slice(start, stop, step)

    def shape(self, value: Any, pattern: Any) -> Any:
        """A value as the target of an assignment unpacks it; what a star takes that is called `rest` is a `Rest` then."""
        if not isinstance(pattern, tuple) or not isinstance(value, (Symbol, Elements)):
            return value
        place = value._place if isinstance(value, Symbol) else None
        if place is None or "*" in pattern or ("rest" in pattern and place.each is not None):
            raise refusals.misused(value, "is unpacked, though its length is not known")
        before = pattern.index("rest") if "rest" in pattern else len(pattern)
        behind = pattern[before + 1 :]
        if place.each is None:
            test, count = ("equals", len(pattern)) if before == len(pattern) else ("more", before + len(behind) - 1)
            wanted = f"{len(pattern)} parts" if test == "equals" else f"{count + 1} parts at least"
            self.require_length(place, test, count, f"`{place}` does not have {wanted} to unpack")
        parts = [self.shape(self.run.item(value, i), p) for i, p in enumerate(pattern[:before])]
        if before < len(pattern):
            parts.append(Rest(self.run.item(value, builtins.slice(before, -len(behind) if behind else None))))
        return (*parts, *(self.shape(self.run.item(value, i - len(behind)), p) for i, p in enumerate(behind)))

    def require_length(self, place: Place, test: str, count: int, otherwise: str) -> None:
        """Objects with a list of another length are refused."""
        fits = self.run.ask(place, "equals", count, True) if test == "equals" else not self.run.ask(place, "at_most", count, True)
        if not fits:
            raise Refused(otherwise, here())

    def rest(self, values: list[Any]) -> Any:
        """What the star of an assignment has taken."""
        return values[0].values if len(values) == 1 and isinstance(values[0], Rest) else values

    def between(self, values: Any, before: int, behind: int) -> Any:
        """The elements that the star of a pattern takes."""
        found = self.item(values, builtins.slice(before, -behind if behind else None))
        return list(found) if isinstance(found, tuple) else found

    def spread(self, value: Any) -> Any:
        value = self.opened(value)
        if isinstance(value, Symbol):
            known = self.known_elements(value)
            return known if known is not None else [Spread(self.elements(value))]
        if isinstance(value, Elements) or id(value) in self.gathered:
            return [Spread(self.elements(value))]
        return value

    def is_same(self, a: Any, b: Any) -> bool:
        if a is None or isinstance(a, (bool,)):
            a, b = b, a
        if isinstance(a, Symbol):
            if b is None:
                return self.run.is_none(a._place)
            if isinstance(b, Symbol) and a._place == b._place:
                return True
            if isinstance(b, type) and a._place.path and a._place.path[-1] == calls.CLASS:
                return self.is_exactly(Place(a._place.path[:-1], a._place.each), b)
            single = isinstance(b, (bool, enum.Enum)) and not isinstance(a, Length)
            return (not single or members.is_kind(self.run, a._place, type(b))) and bool(a == b)
        if isinstance(a, (torch.Tensor, PerElement)) and b is None:
            place = self.run.place_of(a)
            return place is not None and self.run.is_none(place)
        return a is b

    def is_exactly(self, place: Place, cls: type) -> bool:
        below = subclasses(cls)[1:]
        members.expect(self.run, cls, "")
        return self.run.is_instance(place, [cls]) and not (below and self.run.is_instance(place, below))

    def contains(self, container: Any, value: Any) -> bool:
        if isinstance(container, Symbol):
            if self.defines(container, "__contains__"):
                return bool(self.call(self.run.attribute(container, "__contains__"), value))
            if isinstance(value, (str, int)) and self.is_mapping(container):
                return self.run.ask(container._place, "has_key", value)
            raise refuse_source(
                f"`in` asks about `{container!r}`",
                "only keys of dictionaries can be asked for",
                "compare in a loop, or store the answer in the object when the structure is built",
            )
        if isinstance(value, (Symbol, Identity)):
            if isinstance(value, Identity) or (isinstance(container, (dict, set)) and self.is_object(value)):
                place = value.place if isinstance(value, Identity) else value._place
                return (id(container), place) in self.memo
            return any(bool(value == v) for v in container)
        return value in container

    def defines(self, value: Symbol, name: str) -> bool:
        """Whether a class of objects met at a place has a special method of the user's."""
        return any(class_attribute(type(v), name) is not None for v in self.run.values_of_all(value._place))

    def opened(self, values: Any) -> Any:
        """What a user's `__iter__` gives."""
        if isinstance(values, Symbol) and self.defines(values, "__iter__"):
            return self.call(self.run.attribute(values, "__iter__"))
        return values

    def is_container(self, value: Symbol) -> bool:
        return any(isinstance(v, (*LISTS, dict)) for v in self.run.values(value._place))

    def listed_numbers(self, value: Symbol) -> list[Any] | None:
        return self.known_elements(value) if self.is_container(value) else None

    def is_mapping(self, value: Symbol) -> bool:
        return any(isinstance(v, dict) for v in self.run.values(value._place))

    def is_object(self, value: Symbol) -> bool:
        return any(kind_of(v) == "object" for v in self.run.values(value._place))

    def fresh(self, value: Any) -> Any:
        self.created[id(value)] = value
        return value

    def positional(self, value: Any, cls: type, index: int) -> Any:
        if cls in (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple):
            return value
        return self.attribute(value, positional_name(cls, index))

    def comprehend(
        self, kind: str, values: Any, body: Callable[[Any], Any], conditions: Sequence[Callable[[Any], Any]], flat: bool
    ) -> Any:
        """A comprehension; `flat`: the body gives a list of elements."""
        values = self.opened(values)
        if strands.has_pieces(values) and kind in ("list", "generator") and not conditions and self.copies(body):
            return self.fresh(list(values))
        elements = self.symbolic_elements(values)
        if elements is None:
            chosen = (v for v in self.known(values) if all(c(v) for c in conditions))
            made = (x for v in chosen for x in body(v)) if flat else (body(v) for v in chosen)
            match kind:
                case "generator":
                    return made
                case "dict":
                    return self.fresh(dict(made))
            return self.fresh(list(made) if kind == "list" else set(made))
        if flat and kind in ("list", "generator") and not conditions:
            return self.joined(elements, body)
        if kind in ("dict", "set") or flat:
            raise refuse_source(
                f"a {kind} comprehension over a list of unknown length" if not flat else "two loops in one comprehension",
                "its result has no form that tensors could take",
                "make a list with one value per element",
            )
        if elements.reverse:
            raise self.backwards()
        if kind != "dict" and not conditions and rows_of.are_collected(self.run, elements):
            return rows_of.collected(self, elements, body)
        element = walks.enter(self.run, elements)
        if conditions and not all(c(element) for c in conditions):
            raise refuse_source(
                "a condition in a comprehension is false for all elements",
                "nothing would be left of the list",
                "leave the loop out, or give an example in which some element meets the condition",
            )
        made_elements = walks.leave(self.run, elements.each, body(element))
        self.run.scope = None
        return made_elements

    def backwards(self) -> CompileError:
        return refuse_source(
            "a list of unknown length is taken from its end, other than by a loop that carries a state",
            "its elements have the order of the list",
            "go over it in its own order",
        )

    def copies(self, body: Callable[[Any], Any]) -> bool:
        """Whether a comprehension's body gives its elements as they are; not asked where they can be computed with."""
        try:
            return self.run.function is not self.run.world.entry and body(_ELEMENT) is _ELEMENT
        except Exception:
            return False

    def joined(self, elements: Elements, body: Callable[[Any], Any]) -> Any:
        """The lists that calls return for each element, joined."""
        made = body(walks.enter(self.run, elements))
        self.run.scope = None
        if not strands.only_pieces(made):
            strands.learn(self.run.world, self.run.function.base, strands.EVERYWHERE)
            raise refusals.use_of_filled()
        return made

    # -- statements ------------------------------------------------------------------------------------------------------

    def loop(self, values: Any, pattern: Any, getters: dict[str, Callable[[], Any]]) -> walks.Loop:
        values = self.opened(values)
        elements = self.symbolic_elements(values)
        return walks.Loop(self.run, self.known(values) if elements is None else None, pattern, elements, getters)

    def store_attribute(self, owner: Any, name: str, value: Any) -> None:
        if isinstance(owner, Symbol):
            raise refusals.stored_attribute(owner, name)
        if id(owner) in self.created:
            setattr(owner, name, value)
        else:
            self.run.world.effects.overlay(self, owner, name, value)

    def remember(self, table: Any, key: Symbol | Identity, value: Any) -> None:
        """An entry of the user's memo: each object is computed once anyway, but lists are not filled again either."""
        place = key.place if isinstance(key, Identity) else key._place
        self.memo[id(table), place] = value
        if place == Place(()):
            self.run.record.remembers = True

    def store_item(self, owner: Any, key: Any, value: Any) -> None:
        if isinstance(key, (Symbol, Identity)) and isinstance(owner, dict):
            self.remember(owner, key, value)
        elif isinstance(owner, (torch.Tensor, PerElement)) or id(owner) in self.created:
            owner[key] = value
        else:
            raise mutation(f"`{type(owner).__name__}[...]`")

    def added(self, owner: Any, value: Any) -> Any:
        """`owner += value`."""
        if isinstance(owner, list) and id(owner) in self.run.world.effects.lists:
            self.run.world.effects.collect(self, owner, "extend", (value,))
            return owner
        owner += value
        return owner

    def refuse(self, exception: Callable[[], Any]) -> None:
        """A `raise` or a failed `assert`."""
        self.run.lenient = True
        made = exception()
        text = str(made) if isinstance(made, BaseException) and made.args else ""
        self.run.lenient = False
        name = made.__name__ if isinstance(made, type) else type(made).__name__
        raise Refused(f"the model refuses it with {name}" + (f": {text}" if text else ""), here())

    def returned(self, value: Any) -> Any:
        """The value of a `return`; the last one is the function's own."""
        self.run.returned = here()
        return self.run.number(value) if self.run.is_tensor(value) else value

    def unsupported(self, what: str) -> None:
        raise refuse_source(
            f"`{what}` in a function that runs on the structure",
            "the function is run once for all objects that take the same way, so its effects must be in its result",
            "leave it out, or move it to Python code around the model",
        )

    # -- lists of unknown length -----------------------------------------------------------------------------------------

    def known_elements(self, value: Symbol) -> list[Any] | None:
        """The elements of a container whose length the questions have settled."""
        place = value._place
        if self.is_mapping(value):
            return None
        if self.is_taken_for_empty(place):
            return []
        if place.path and isinstance(place.path[-1], Slice):
            whole = self.known_elements(Symbol(self.run, Place(place.path[:-1], place.each)))
            if whole is not None:
                first, last = bounds(len(whole), place.path[-1].first, place.path[-1].last)
                return whole[first:last]
        if place.each is None and self.run.function.name in self.run.world.learned.unrolled:
            return self.unrolled(value)
        if place.each is None:
            if self.run.facts.implied(Question(place.path, "at_most", 0, True)):
                return []
            for question, answer in self.run.facts.answers:
                if answer and question.path == place.path and question.length and question.test == "equals":
                    assert isinstance(question.value, int)
                    return [self.run.item(value, i) for i in range(question.value)]
        return None

    def is_taken_for_empty(self, place: Place) -> bool:
        if not self.run.provisional or place.each is not None:
            return False
        return self.run.example is NOTHING or self.run.values(place) in ([[]], [()], [{}])

    def unrolled(self, value: Symbol) -> list[Any]:
        """The elements, after asking for the length: as many as in the example at most."""
        run, place = self.run, value._place
        longest = max((len(v) for v in run.values_of_all(place) if isinstance(v, LISTS)), default=0)
        if longest > LONGEST_UNROLLED:
            raise run.world.learned.unrolled[run.function.name]
        for length in range(longest + 1):
            if run.ask(place, "equals", length, True):
                return [run.item(value, i) for i in range(length)]
        raise Refused(f"`{place}` has more than {longest} elements, which is the most that the example has", here(), unseen=True)

    def known(self, values: Any) -> Iterable[Any]:
        if isinstance(values, Symbol):
            return self.known_elements(values) or []
        return values  # type: ignore[no-any-return]

    def symbolic_elements(self, values: Any) -> Elements | None:
        effects = self.run.world.effects
        if id(values) in effects.filled:
            if id(values) not in effects.lists:
                raise refusals.use_of_filled()
            return collected_in(self.run, effects.lists[id(values)])
        if strands.has_pieces(values):
            return strands.elements(self.run, values)
        if isinstance(values, Symbol) and not isinstance(values, Length):
            return None if self.known_elements(values) is not None else self.elements(values)
        if isinstance(values, Elements):
            return values
        return self.gathered[id(values)][1] if id(values) in self.gathered else None

    def truth(self, value: Any) -> Any:
        """What `if` and its like ask: a list that a loop has filled answers by the structure."""
        elements = self.symbolic_elements(value) if isinstance(value, list) else None
        return value if elements is None else elements

    def elements(self, values: Any) -> Elements:
        if isinstance(values, Elements):
            return values
        if not isinstance(values, Symbol):
            known = self.symbolic_elements(values)
            assert known is not None
            return known
        place = values._place
        if place.each is not None:
            self.ask_in_a_function()
            raise refuse_source(
                f"a list in each element of a list is walked over: `{values!r}`",
                "a function walks over its own object's lists only",
                "put the loop into a function that is called for the element",
            )
        kinds = self.other_kinds(place)
        if kinds:
            raise refuse_source(
                f"`{values!r}`, a {min(kinds)}, is walked over",
                "only lists, tuples and the values of dictionaries are, since what a walk meets must have an order",
                "keep the objects in a list",
            )
        return self.every(place)

    def other_kinds(self, place: Place) -> set[str]:
        """What the example has at a place that is no list."""
        return {type(v).__name__ for v in self.run.values(place) if not isinstance(v, LISTS)}

    def every(self, place: Place) -> Elements:
        each = self.run.each(place.path)
        return Elements(self.run, each, Place((), each))

    def require_some(self, values: Elements, what: str) -> None:
        """Refuses objects whose list is empty, as Python would."""
        each = self.run.record.eaches[values.each]
        if each.list is not None:
            self.run.record.eaches[values.each] = replace(each, some=True)
            return
        if self.length_at_most(values, 0):
            path = Place(self.run.record.eaches[values.each].path)
            raise Refused(f"`{path}` is empty, and {what} needs at least one element", here())

    def element(self, values: Elements, key: Any) -> Any:
        if isinstance(key, Position) and key.each == values.each and not key.start:
            return walks.inside(values)
        if values.reverse:
            raise self.backwards()
        if not isinstance(key, int):
            raise refuse_source(
                "a part of what was made of a list of unknown length is chosen", "no rule says what this means",
                "walk over all of it, or choose the part of the list before",
            )  # fmt: skip
        each = self.run.record.eaches[values.each]
        if each.list is not None:
            return self.collected_element(values, key)
        if self.length_at_most(values, key if key >= 0 else -key - 1):
            raise Refused(f"`{Place(each.path)}` has no element {key}", here())

        def at(v: Any) -> Any:
            if isinstance(v, Place):
                number = key + each.skip if key >= 0 else key - each.leave
                return self.run.at(Place((*each.path, Item(number), *v.path)))
            return v[key] if isinstance(v, torch.Tensor) else v

        return rebuild(values.tree, at)

    def collected_element(self, values: Elements, key: int) -> Any:
        """The first or the last of what the call has collected."""
        if key not in (0, -1):
            raise refusals.use_of_filled()
        self.require_some(values, "an element of it")
        return rebuild(values.tree, lambda v: v[key] if isinstance(v, torch.Tensor) else Number(self.run, v.tensor[key]))

    def symbolic_item(self, owner: Symbol, key: Any) -> Any:
        if isinstance(key, builtins.slice):
            return self.part(owner, key)
        over = self.run.record.eaches[key.each] if isinstance(key, Position) and not key.start else None
        if over is not None and over == measures.walk_over(owner._place.path):
            return self.run.at(Place((), key.each))
        index = measures.index_of(key, owner._place)
        if index is not None:
            return self.run.at(owner._place.item(index))
        raise refuse_source(
            f"a part of the structure is chosen by a computed value: `{owner!r}[...]`",
            "which objects are visited is decided before any arithmetic",
            "store the chosen part in the object when the structure is built",
            code="BGH-REC-002",
        )

    def part(self, owner: Symbol, key: builtins.slice) -> Any:
        """`values[first:last]`, or `values[::-1]`."""
        place = owner._place
        kinds = self.other_kinds(place)
        if kinds:
            raise refuse_source(
                f"a part of `{owner!r}`, a {min(kinds)}, is taken",
                "parts are taken of lists and tuples only",
                "take it when the structure is built",
            )
        if (key.start, key.stop, key.step) == (None, None, -1):
            return self.call(reversed, owner)
        first = measures.index_of(0 if key.start is None else key.start, place)
        last = END if key.stop is None else measures.index_of(key.stop, place)
        if first is None or last is None or key.step not in (None, 1):
            raise refuse_source(
                f"a slice of `{owner!r}` has bounds that no rule covers",
                "which objects are visited is decided before any arithmetic, by numbers and the length of the list itself",
                "write bounds like [1:], [:-1] or [len(xs) // 2 :], without a step",
            )
        return Symbol(self.run, place.part(first, last))

    def stacked(self, value: Any, each: int) -> Any:
        """A value of the generic element as one tensor for all elements."""
        if isinstance(value, PerElement):
            return value.stacked
        if isinstance(value, Arithmetic):
            return self.stacked(self.run.number(value), each)
        size = self.run.size(each)
        if isinstance(value, torch.Tensor):
            return value.expand(size, *value.shape)
        return torch.full((size,), value)

    def number_elements(self, value: Number, each: int) -> Any:
        return Number(self.run, self.stacked(value, each))
