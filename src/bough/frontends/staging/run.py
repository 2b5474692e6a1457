"""One run of a rewritten function on symbolic values: the questions it asks, and the calls, walks and payloads it needs."""

from __future__ import annotations

import enum
import operator
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from bough.base.errors import InputError
from bough.base.reading import describe, holds
from bough.base.source import Location
from bough.base.spans import END, LISTS, Index
from bough.base.visits import Ask, Attribute, Path, Payload, Question
from bough.frontends.promotion import TO_TORCH
from bough.frontends.staging import examples, measures, members, refusals
from bough.frontends.staging.facts import Answer, Facts, subclasses
from bough.frontends.staging.per_element import PerElement, per_element_call
from bough.frontends.staging.record import Record
from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.signals import Refused, here, refuse_source
from bough.frontends.staging.symbols import (
    Arithmetic,
    Elements,
    Length,
    Measure,
    Number,
    Piece,
    Place,
    Position,
    Symbol,
    leaves,
)  # fmt: skip
from bough.frontends.staging.turns import Turns
from bough.frontends.staging.ways import Trail
from bough.ir.dtypes import DTYPES
from bough.ir.recursion import Collected, Given, Read, Returned, Source

NOTHING = object()
"""In place of an example object: there is none on this way."""
MOST_QUESTIONS = 64
LONGEST_UNROLLED = 8
"""Lists up to this length may have a way of their own for each length."""
SIZES = (5, 7, 11, 13, 17, 19, 23, 29)
"""Stand-ins for the number of elements of walks: no two are equal, so that mixing them up shows."""
LIST_SIZES = (1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049)
"""The same for walks over lists that are collected, by the number of the list; no size of a model's own is like them."""


class Run:
    """`answers` are given to the first questions; then `example` answers, where there is one, and No where there is none.

    `known`: what is known of the object from the start. `inputs`: the tensors to take for parameters, where the run repeats an
    earlier one that found out which there are.
    """

    def __init__(
        self,
        world: Any,
        function: Any,
        answers: Sequence[bool] = (),
        example: Any = NOTHING,
        inputs: dict[Source, torch.Tensor] | None = None,
        known: Sequence[Answer] = (),
    ) -> None:
        self.world, self.function, self.given, self.example, self.inputs = world, function, answers, example, inputs
        self.facts = Facts(world.classes, known)
        self.trail: Trail = []
        self.record = Record()
        self.scope: int | None = None
        self.turns: Turns | None = None
        """The loop that is run turn by turn."""
        self.staging: Any = None
        self.lenient = False
        self.provisional = False
        """Whether lists that are empty in the example are taken for empty."""
        self.collected: list[Any] = []
        self.passed: list[torch.Tensor] = []
        self.handed: list[tuple[torch.Tensor, int]] = []
        """What came down, with how often it had been changed then."""
        self.pieces: list[Piece] = []
        """Lists that calls have returned and that have found no place yet."""
        self.outer_strands = 0
        self.returned: Location | None = None

    def invoke(self) -> Any:
        """Runs the function; gives what it returns."""
        try:
            with self.staging.deciding.watching():
                return self.staging.deciding.as_result(self.function.invoke(self.staging, Symbol(self, Place(()))))
        finally:
            if self.turns is not None:
                self.turns.abandon()

    # -- questions -------------------------------------------------------------------------------------------------------

    def ask(self, place: Place, test: Any, value: Any = None, length: bool = False) -> bool:
        if place.each is not None:
            self.staging.ask_in_a_function()
            raise refuse_source(
                f"a question about `{place}` of a list whose length is not known",
                "the body of a loop over such a list is the same for all of its elements",
                "ask in the function that is called for the element",
            )
        of_part = measures.of_part(self, place, test, value, length)
        if of_part is not None:
            return of_part
        question = Question(place.path, test, value, length)
        implied = self.facts.implied(question)
        if implied is not None:
            return implied
        location = here()
        if length and self.example is NOTHING and self.is_longer_than_any(place):
            raise Refused(f"`{place}` is longer than in the example, and each length is a way of its own", location, unseen=True)
        if len(self.trail) < len(self.given):
            answer = self.given[len(self.trail)]
        elif self.example is not NOTHING:
            answer = holds(Ask(question, 0, 0, location), self.example)
        else:
            answer = False
        self.facts.add(question, answer)
        self.trail.append((question, answer, location))
        if len(self.trail) > MOST_QUESTIONS:
            raise self.world.too_many(location)
        return answer

    def is_longer_than_any(self, place: Place) -> bool:
        """Whether a container is known to be longer than those of the example, and than what is worth a way of its own."""
        lengths = [len(v) for v in self.values_of_all(place) if isinstance(v, (*LISTS, dict))]
        bound = max((*lengths, LONGEST_UNROLLED))
        return self.facts.implied(Question(place.path, "at_most", bound, True)) is False

    def require(self, place: Place, test: Any, value: Any, length: bool, otherwise: str) -> None:
        """Objects of which this does not hold are refused."""
        if not self.ask(place, test, value, length):
            raise Refused(otherwise, here())

    def is_none(self, place: Place) -> bool:
        return self.ask(place, "is_none")

    def is_instance(self, place: Place, classes: Sequence[type]) -> bool:
        for c in classes:
            self.world.classes[examples.class_name(c)] = c
        return self.ask(place, "is_instance", tuple(map(examples.class_name, classes)))

    def truth(self, value: Symbol | Elements) -> bool:
        if isinstance(value, Elements):
            return not self.staging.length_at_most(value, 0)
        place = value._place
        if isinstance(value, Length):
            return self.ask(place, "is_true", length=True)
        values = [v for v in self.values_of_all(place) if v is not None]
        for name in ("__bool__", "__len__"):
            if values and any(examples.class_attribute(type(v), name) is not None for v in values):
                for cls in {type(v) for v in values} if name == "__len__" else ():
                    members.expect(self, cls, "__bool__")
                return not self.is_none(place) and bool(self.staging.call(self.attribute(value, name)) != 0)
        return self.ask(place, "is_true")

    def compare(self, test: str, value: Symbol, other: Any) -> Any:
        if isinstance(other, (torch.Tensor, PerElement)):
            return self.torch_call(_COMPARISONS[test], (value, other), {})
        if isinstance(other, Scalar):
            return self.compare_numbers(test, value, other)
        if isinstance(other, (Number, Symbol)):
            if isinstance(other, Symbol) and test == "equals" and other._place == value._place and type(other) is type(value):
                return True
            raise refuse_source(
                f"`{value!r}` is compared with another value of the structure",
                "which way an object takes is decided by comparing its parts with constants",
                "store the outcome in the object when it is built",
            )
        place, length = value._place, isinstance(value, Length)
        if other is None:
            return test == "equals" and self.is_none(place)
        if isinstance(other, enum.Enum) and not isinstance(other, (int, str)):
            if not members.is_kind(self, place, type(other)):
                return False
            place, other = place.attribute("_name_"), other.name
        elif isinstance(other, enum.Enum):
            other = other.value
        if not isinstance(other, (bool, int, float, str)):
            raise refuse_source(
                f"`{value!r}` is compared with a {type(other).__name__}",
                "what lies in a structure is compared with numbers, strings and members of an Enum only",
                "compare an attribute of it",
            )
        match test:
            case "equals" | "less" | "at_most":
                return self.ask(place, test, other, length)
            case "more":
                return not self.ask(place, "at_most", other, length)
        return not self.ask(place, "less", other, length)

    def compare_numbers(self, test: str, a: Any, b: Any) -> Any:
        """A comparison whose outcome is computed, but for one of a length."""
        if isinstance(a, Measure) and type(b) is int:
            return measures.holds(test, a, b)
        if not isinstance(b, (Arithmetic, Scalar, bool, int, float)):
            return NotImplemented
        numbers = self.scalar(a), self.scalar(b)
        if any(isinstance(n, Number) for n in numbers):
            raise refusals.decided_for_each()
        return _COMPARED[test](*numbers)

    @staticmethod
    def negated(value: Any) -> Any:
        if isinstance(value, PerElement):
            return per_element_call(torch.logical_not, (value,), {})
        return torch.logical_not(value) if isinstance(value, torch.Tensor) else not value

    # -- reading ---------------------------------------------------------------------------------------------------------

    def values(self, place: Place) -> list[Any]:
        """Example values at a place: the run's own object's, or those of all objects that may go this way."""
        each = None if place.each is None else self.record.eaches[place.each]
        if self.example is not NOTHING:
            found = list(examples.values_at([self.example], each, place.path))
            if found:
                return found
        others = self.function.examples
        fitting = [o for o in others if self._fits(o)]
        found = list(examples.values_at(fitting, each, place.path)) or list(examples.values_at(others, each, place.path))
        return [v for v in found if self._may_be(place, v)] or self.stand_ins(place)

    def stand_ins(self, place: Place) -> list[Any]:
        """For a place where no example object has anything: other objects of the class that it was found to have, what such
        objects have there, and what their annotations say; zeros for numbers, and no words."""
        if place.each is not None:
            return []
        classes = [
            self.world.classes[n] for q, a in self.facts.answers if a and q.path == place.path and q.test == "is_instance"
            for n in (q.value if isinstance(q.value, tuple) else ())
        ]  # fmt: skip
        found = [v for c, v in self.world.known.items() if any(issubclass(c, wanted) for wanted in classes)]
        found = found or [c() for c in classes if c in (bool, int, float, str)]
        if found or not place.path:
            return found
        *above, step = place.path
        owners = self.values(Place(tuple(above)))
        found = list(examples.values_at(owners, None, (step,)))
        if not found and isinstance(step, Attribute):
            found = examples.declared(dict.fromkeys(map(type, owners)), step.name, self.world.known)
        return [v for v in found if self._may_be(place, v)]

    def _fits(self, value: Any) -> bool:
        try:
            return all(holds(Ask(q, 0, 0), value) == a for q, a in self.facts.answers)
        except InputError:
            return False

    def _may_be(self, place: Place, value: Any) -> bool:
        """Whether the answers about the place itself hold for a value that lies there."""
        if place.each is not None:
            return True
        try:
            about = [(q, a) for q, a in self.facts.answers if q.path == place.path]
            return all(holds(Ask(Question((), q.test, q.value, q.length), 0, 0), value) == a for q, a in about)
        except InputError:
            return False

    def values_of_all(self, place: Place) -> list[Any]:
        """Example values at a place in the order in which the objects were met."""
        each = None if place.each is None else self.record.eaches[place.each]
        return list(examples.values_at(self.function.examples, each, place.path))

    def _ever_none(self, place: Place) -> bool:
        return any(v is None for v in self.values_of_all(place))

    def attribute(self, owner: Symbol, name: str) -> Any:
        place = owner._place
        if self.is_tensor(owner):
            return getattr(self.at(place), name)
        values = [v for v in self.values(place) if v is not None]
        if any(isinstance(getattr(type(v), name, None), types.MethodDescriptorType) for v in values):
            return ContainerMethod(self, owner, name)
        classes = self.candidates(place, name, values)
        if place.each is not None or not any(examples.class_attribute(c, name) for c in classes):
            methods = {examples.class_attribute(c, name) for c in [*map(type, values)] or classes}
            if len(methods) == 1 and isinstance(method := methods.pop(), types.FunctionType):
                members.expect_of_elements(self, place, method, name, classes)
                return Bound(method, owner)
            return self.at(place.attribute(name))
        return self.member(owner, name, classes)

    def candidates(self, place: Place, name: str, values: list[Any]) -> list[type]:
        """The classes that an object at a place may have, those met there first; later ones always stand behind earlier ones."""
        found: list[type] = self.function.candidates.setdefault((place, name), [])
        met = [v for v in (*self.values_of_all(place), *values) if v is not None]
        for value in met:
            self.world.known.setdefault(type(value), value)
        others = [c for c in self.world.known if examples.class_attribute(c, name) is not None]
        found += [c for c in dict.fromkeys((*map(type, met), *others)) if c not in found]
        return found

    def member(self, owner: Symbol, name: str, classes: Sequence[type]) -> Any:
        """A property or method, of the class that the object is found to have."""
        cls = next((c for c in classes if self.is_instance(owner._place, [c])), None)
        if cls is None:
            raise Refused(f"`{owner._place}` is of a class that no example object has", here(), unseen=True)
        found = examples.class_attribute(cls, name)
        members.expect(self, cls, name)
        for below in reversed(subclasses(cls)[1:]):
            other = examples.class_attribute(below, name)
            if other is not found and self.is_instance(owner._place, [below]):
                found = other
                break
        if found is None:
            return self.at(owner._place.attribute(name))
        if isinstance(found, property):
            return self.staging.call(found.fget, owner)
        if isinstance(found, staticmethod):
            return found.__func__
        if isinstance(found, classmethod):
            return Bound(found.__func__, cls)
        return Bound(found, owner) if isinstance(found, types.FunctionType) else self.staging.call(found.func, owner)

    def item(self, owner: Any, key: Any) -> Any:
        if isinstance(owner, Elements):
            return self.staging.element(owner, key)
        if isinstance(key, (Position, Elements, slice, Symbol, Number, PerElement, torch.Tensor)):
            return self.staging.symbolic_item(owner, key)
        if not isinstance(key, (int, str)):
            raise refuse_source(
                f"`{owner!r}` is indexed by a {type(key).__name__}",
                "indices are numbers and strings",
                "use a number or a string that the structure holds",
            )
        return self.at(owner._place.item(key))

    def at(self, place: Place) -> Any:
        """The value at a place: a tensor of the cell for what is a tensor, a symbol for all else."""
        values = self.values(place)
        tensors = [v for v in values if examples.kind_of(v) == "tensor"]
        if not tensors or any(examples.kind_of(v) not in ("tensor", "none") for v in values):
            if not values and self.example is not NOTHING and not self._exists(place):
                raise refuse_source(f"the example has no `{place}`", "reading it there fails", "give objects that have it")
            return Symbol(self, place)
        if place.each is None:
            where = (None, place.path)
            if self._ever_none(place):
                self.world.learn(self.function.optional, where)
            if where in self.function.optional and self.is_none(place):
                return None
        found = {examples.tensor_type(v) for v in tensors}
        if len(found) > 1:
            shown = " and ".join(f"{d}{list(s)}" for d, s in sorted(found)[:2])
            raise refuse_source(
                f"the tensors at `{place}` differ: {shown}",
                "activations are computed together, so they need one shape and type",
                "pad or convert them when the structure is built",
            )
        ((dtype, shape),) = found
        return self.payload(place, dtype, shape)

    def _exists(self, place: Place) -> bool:
        if place.each is not None:
            return True
        return bool(list(examples.values_at([self.example], None, place.path)))

    # -- parameters ------------------------------------------------------------------------------------------------------

    def payload(self, place: Place | int, dtype: str, shape: tuple[int, ...] = ()) -> Any:
        """The tensor at a place; a number instead of a place: the positions of the elements of that walk."""
        where = Place((), place) if isinstance(place, int) else place
        path = None if isinstance(place, int) else place.path
        wanted = Payload(path, dtype, shape, where.each, here())
        if wanted not in self.record.payloads:
            self.record.payloads.append(wanted)
        number = self.record.payloads.index(wanted)
        return self.parameter(Read(number), TO_TORCH[DTYPES[dtype]], shape, where.each)

    def parameter(self, source: Source, dtype: torch.dtype, shape: tuple[int, ...], each: int | None) -> Any:
        tensor = self.stacked_parameter(source, dtype, shape, each)
        if each is None:
            return tensor
        if each != self.scope:
            raise refuse_source(
                "an element of a list is used outside of the loop over it",
                "a list without a fixed length has no such element",
                "use it inside of the loop, or take the element by its position, as `xs[0]` or `xs[-1]`",
            )
        return self.of_element(each, tensor)

    def of_element(self, each: int, stacked: torch.Tensor) -> Any:
        """The generic element of a walk whose body is run: for all elements at once, or in its turn."""
        if self.turns is not None and self.turns.elements.each == each:
            return self.turns.row(stacked)
        return PerElement(self, each, stacked)

    def stacked_parameter(self, source: Source, dtype: torch.dtype, shape: tuple[int, ...], each: int | None) -> torch.Tensor:
        if source not in self.record.params:
            full = shape if each is None else (self.stand_in(each), *shape)
            self.record.params[source] = torch.empty(full, dtype=dtype) if self.inputs is None else self.inputs[source]
        return self.record.params[source]

    def stand_in(self, each: int) -> int:
        """What the number of elements of a walk counts as where shapes are worked out."""
        number = self.record.eaches[each].list
        return SIZES[each] if number is None else LIST_SIZES[number % len(LIST_SIZES)]

    def list_of(self, each: int) -> int | None:
        """The list that a walk is over, if it is over one that is collected."""
        return self.record.eaches[each].list

    def size(self, each: int) -> Any:
        """The number of elements of a walk, as the shapes of the cell have it."""
        for source, tensor in self.record.params.items():
            if self.each_of(source) == each:
                return tensor.shape[0]
        wanted = Payload(None, "i64", (), each, here())
        self.record.payloads.append(wanted)
        return self.stacked_parameter(Read(len(self.record.payloads) - 1), torch.int64, (), each).shape[0]

    def each_of(self, source: Source) -> int | None:
        if isinstance(source, Read):
            return self.record.payloads[source.payload].each
        if isinstance(source, Collected):
            return source.walk
        return self.record.calls[source.call].each if isinstance(source, Returned) else None

    def each(self, path: Path) -> int:
        wanted = measures.walk_over(path)
        if wanted not in self.record.eaches:
            if len(self.record.eaches) == len(SIZES):
                raise refuse_source(
                    f"more than {len(SIZES)} lists are walked over in one function",
                    "there is a bound on them",
                    "walk over some of them in functions of their own",
                )
            kinds = {isinstance(v, dict) for v in self.values(Place(wanted.path)) if isinstance(v, (*LISTS, dict))}
            self.record.eaches.append(replace(wanted, dictionary=kinds.pop() if len(kinds) == 1 else None))
        return self.record.eaches.index(wanted)

    def place_of(self, tensor: Any) -> Place | None:
        """Where a tensor was read from the activation's object, if it was."""
        for source, known in self.record.params.items():
            if known is tensor and isinstance(source, Read):
                payload = self.record.payloads[source.payload]
                return None if payload.path is None or payload.each is not None else Place(payload.path)
        return None

    def handed_down(self, argument: int, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        """A tensor that the function's caller passes down. A copy, to tell whether it is changed in place."""
        made = torch.clone(self.stacked_parameter(Given(argument), dtype, shape, None))
        self.handed.append((made, made._version))
        return made

    # -- arithmetic ------------------------------------------------------------------------------------------------------

    def number(self, value: Any, wide: bool = False) -> Any:
        """A symbolic number as tensor code takes it: a tensor of rank 0, or a size."""
        if isinstance(value, Number):
            return value.tensor
        if isinstance(value, Position):
            position = self.payload(value.each, "i64")
            return per_element_call(torch.add, (position, value.start), {}) if value.start else position
        if isinstance(value, Length):
            return self.measured(value._place, END)
        place = value._place
        each = None if place.each is None else self.record.eaches[place.each]
        values = [v for v in self.values(place) if v is not None]
        if self.is_tensor(value):
            return self.at(place)
        if not values:
            raise Refused(f"no example shows what `{place}` is", here(), unseen=True)
        if any(examples.kind_of(v) != "number" for v in values):
            shown = next(describe(v) for v in values if examples.kind_of(v) != "number")
            raise refuse_source(
                f"`{place}`, {shown}, is used in arithmetic",
                "only numbers and tensors can be computed with",
                "store a number or a tensor there, or ask about it with `==`, `in` or `isinstance`",
            )
        real = (each, place.path) in self.function.real and not self._is_whole(place)
        dtype = "f32" if real else examples.number_type(values)
        if dtype == "f32":
            self.world.learn(self.function.real, (each, place.path))
        return self.payload(place, "f64" if wide and dtype == "f32" else dtype)

    def _is_whole(self, place: Place) -> bool:
        """Whether this way is taken only where there is no float at the place, whatever other ways find there."""
        return place.each is None and any(
            set(q.value) <= {"builtins.bool", "builtins.int"} if answer else "builtins.float" in q.value
            for q, answer in self.facts.answers
            if q.path == place.path and q.test == "is_instance" and isinstance(q.value, tuple)
        )

    def measured(self, place: Place, index: Index) -> Any:
        """An index into the container at a place, as the shapes of the cell have it."""
        total = self.size(self.each(place.path)) * index.times + index.plus
        return total if index.over == 1 else total // index.over

    def scalar(self, value: Any) -> Any:
        """A number of the structure as one beside computed ones."""
        if not isinstance(value, Arithmetic):
            return value
        return self.staging.deciding.as_scalar(Number(self, self.number(value, wide=True)))

    def is_tensor(self, value: Any) -> bool:
        """Whether a symbol, such as the object that a function is called with, stands for a tensor."""
        if not isinstance(value, Symbol):
            return False
        values = self.values(value._place)
        return bool(values) and all(examples.kind_of(v) == "tensor" for v in values)

    def are_numbers(self, values: Sequence[Any]) -> bool:
        """Whether these are Python's numbers, none of them that of each element of a list."""

        def is_plain(value: Any) -> bool:
            if isinstance(value, Measure):
                return False
            if isinstance(value, Symbol) and not isinstance(value, (Length, Position)):
                return value._place.each is None and not self.is_tensor(value)
            return isinstance(value, (bool, int, float)) or (isinstance(value, Number) and isinstance(value.tensor, torch.Tensor))

        return all(map(is_plain, values))

    def arithmetic(self, name: str, *operands: Any) -> Any:
        measure = measures.combined(name, *operands)
        if measure is not None:
            return measure
        function = _OPERATORS[name]
        if any(isinstance(o, (torch.Tensor, PerElement)) for o in operands):
            return self.torch_call(function, operands, {})
        if any(isinstance(o, Scalar) for o in operands) or (self.staging.decides and self.are_numbers(operands)):
            return function(*map(self.scalar, operands))
        if any(not isinstance(o, (Arithmetic, bool, int, float)) for o in operands):
            return NotImplemented
        values = [self.number(o) if isinstance(o, Arithmetic) else o for o in operands]
        if any(map(self.is_tensor, operands)):
            return self.torch_call(function, tuple(values), {})
        return Number(self, per_element_call(function, tuple(values), {}))

    def torch_call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of torch with symbolic numbers among its arguments."""
        wide = any(isinstance(v, (torch.Tensor, PerElement)) and v.dtype == torch.float64 for v in leaves((args, kwargs)))

        def plain(value: Any) -> Any:
            if isinstance(value, Arithmetic):
                return self.number(value, wide)
            if isinstance(value, (list, tuple)):
                made = [plain(v) for v in value]
                return made if isinstance(value, list) else tuple(made)
            if isinstance(value, slice):
                return slice(plain(value.start), plain(value.stop), plain(value.step))
            return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

        return per_element_call(function, plain(args), plain(kwargs))

    # -- complaints ------------------------------------------------------------------------------------------------------

    def text(self, value: Symbol) -> str:
        if self.lenient:
            return repr(value)
        raise refusals.misused(value, "is turned into text")


class Bound:
    """A method of a class of nodes, with the node."""

    def __init__(self, function: Any, owner: Any) -> None:
        self.function, self.owner = function, owner


class ContainerMethod:
    """A method of a list, tuple, dictionary or string of the structure."""

    def __init__(self, run: Run, owner: Symbol, name: str) -> None:
        self.run, self.owner, self.name = run, owner, name


_OPERATORS: dict[str, Callable[..., Any]] = {
    n: getattr(operator, n) for n in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "rshift", "neg", "pos")
} | {"abs": abs}  # fmt: skip
_COMPARED: dict[str, Callable[..., Any]] = {
    "equals": operator.eq, "less": operator.lt, "at_most": operator.le, "more": operator.gt, "at_least": operator.ge,
    "differs": operator.ne,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "equals": torch.eq, "less": torch.lt, "at_most": torch.le, "more": torch.gt, "at_least": torch.ge,
}  # fmt: skip
