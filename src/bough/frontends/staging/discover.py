"""Finds the functions of a recursion, the ways through each, and their results' types: by the example, then without it."""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)  # fmt: skip
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from bough.base.errors import BoughError, CompileError, InternalError
from bough.base.reading import elements, identity, target
from bough.base.source import Location
from bough.base.spans import LISTS
from bough.base.visits import Call, Each, Fail, Path, Payload
from bough.frontends import locations
from bough.frontends.computed_sizes import ComputedSizes
from bough.frontends.staging import calls, refusals, strands, turns
from bough.frontends.staging.effects import Effects
from bough.frontends.staging.examples import kind_of, number_type, tensor_type, values_at
from bough.frontends.staging.given import Cells, Handed, Handing, captured_tensors, filled, holds_handed, with_cells
from bough.frontends.staging.primitives import Primitives
from bough.frontends.staging.record import Record
from bough.frontends.staging.results import finish, is_number
from bough.frontends.staging.rewrite import original_of
from bough.frontends.staging.run import LONGEST_UNROLLED, NOTHING, Run
from bough.frontends.staging.signals import Pending, Refused, Restart, Signal, refuse_source
from bough.frontends.staging.symbols import Length, Place, Symbol, show_path
from bough.frontends.staging.templates import Template
from bough.frontends.staging.transform import STAGING
from bough.frontends.staging.visiting import visit
from bough.frontends.staging.ways import Trail, Waiting, Way, Ways

DATA_DEPENDENT = (DataDependentOutputException, DynamicOutputShapeException)
Where = tuple[Each | None, Path]
MOST_WAYS = 256
MOST_VERSIONS = 64
MOST_UNMET = 8
"""Versions of a function that no example object comes to, from which on their numbers are taken for numbers that go down."""
MOST_OBJECTS = 5000
"""Example objects that are looked at for each function."""


@dataclass(eq=False)
class Function:
    """One function of the recursion, with fixed values for all arguments but the object."""

    name: str
    invoke: Callable[[Primitives, Any], Any]
    base: Any
    location: Location | None
    objects: list[Any] = field(default_factory=list)
    seen: dict[Any, Any] = field(default_factory=dict)
    ways: Ways = field(default_factory=Ways)
    optional: set[Where] = field(default_factory=set)
    """Where tensors were found in some objects, and None in others."""
    real: set[Where] = field(default_factory=set)
    """Where floats were found in some objects."""
    candidates: dict[Any, list[type]] = field(default_factory=dict)
    arguments: tuple[Handed, ...] = ()
    """What callers pass down to it."""
    strands: strands.Version | None = None
    """The lists that it returns, if they grow."""
    template: Template | None = None
    types: tuple[torch.Tensor, ...] = ()
    settled: Location | None = None
    """The line that the result's type is known from."""
    others: list[Function] = field(default_factory=list)
    """Versions of it that were met before, with other fixed values."""

    @property
    def examples(self) -> list[Any]:
        """Example objects that it is called at; those of other versions where there are none."""
        return self.objects or [value for other in self.others for value in other.objects]


@dataclass
class Learned:
    """What survives a restart: the functions that are visited, and what was found out late about places, by function."""

    visits: set[Any] = field(default_factory=set)
    optional: dict[str, set[Where]] = field(default_factory=dict)
    real: dict[str, set[Where]] = field(default_factory=dict)
    numbers: set[tuple[types.CodeType, str]] = field(default_factory=set)
    """Arguments that are plain numbers, a new one at each level."""
    turns: dict[Location | None, turns.Learned] = field(default_factory=dict)
    """Loops over lists, by their lines, that are run turn by turn."""
    strands: dict[Any, set[strands.Path]] = field(default_factory=dict)
    """Code of functions that return lists which grow, with where these stand among the results."""
    deciding: set[types.CodeType] = field(default_factory=set)
    """Code of functions that decide by computed values."""
    collected: set[Path] = field(default_factory=set)
    """Lists that the entry function walks over and of which its results have a row for each element."""
    unrolled: dict[str, CompileError] = field(default_factory=dict)
    """Functions whose lists are told apart by their lengths, because of an error when they were not."""


class World:
    """One attempt at the whole recursion."""

    def __init__(self, entry: Callable[[Primitives, Any], Any], args: tuple[Any, ...], learned: Learned) -> None:
        self.learned, self.visits = learned, learned.visits
        self.classes: dict[str, type] = {}
        self.members: dict[tuple[str, str], set[str]] = {}
        """What was read through a class and those below it, by its name and the member's: names of the classes that have it."""
        self.known: dict[type, Any] = {}
        self.functions: dict[Any, Function] = {}
        self.cached: set[Any] = set()
        """Code of functions behind functools.cache."""
        self.held: list[Any] = []
        self.effects = Effects()
        self.tried: set[tuple[Function, int]] = set()
        self.failures: dict[Function, CompileError] = {}
        """Why a function has no result where its lists are taken for empty."""
        self.entry = self.function(("entry",), "entry", entry, ("entry",), None)
        self.args = args
        sizes = ShapeEnv(allow_scalar_outputs=False, allow_dynamic_output_shape_ops=False)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=sizes)

    # -- functions -------------------------------------------------------------------------------------------------------

    def function(
        self, key: Any, name: str, invoke: Callable[[Primitives, Any], Any], base: Any, location: Location | None
    ) -> Function:
        if key not in self.functions:
            versions = [k for k, f in self.functions.items() if f.base == base]
            unmet = sum(not self.functions[k].objects for k in versions)
            if unmet > MOST_UNMET:
                self.hand_numbers(base, versions[-1], key)
            if len(versions) > MOST_VERSIONS:
                self.hand_numbers(base, versions[-1], key)
                raise refuse_source(
                    f"`{name}` recurses with more than {MOST_VERSIONS} different values of its other arguments",
                    "each of them makes a function of its own",
                    "keep what changes from level to level in the objects",
                )
            taken = {f.name for f in self.functions.values()}
            name = name if name.isidentifier() else "function"
            name = next(n for i in itertools.count(1) if (n := name if i == 1 else f"{name}{i}") not in taken)
            made = Function(name, invoke, base, location)
            made.optional = self.learned.optional.setdefault(name, set())
            made.real = self.learned.real.setdefault(name, set())
            made.others = [self.functions[k] for k in versions if k[:2] == key[:2]]
            self.functions[key] = made
        return self.functions[key]

    def hand_numbers(self, base: Any, one: Any, other: Any) -> None:
        """Lets plain numbers go down that are others in two versions of a function."""
        differing = [(a, b) for a, b in zip(one[2:-1], other[2:-1], strict=True) if a != b]
        if differing and all(b[1][0] in ("int", "float") for _, b in differing):
            self.learned.numbers.update((base[0], b[0]) for _, b in differing)
            raise Restart

    def base(self, function: types.FunctionType, args: tuple[Any, ...]) -> Any:
        """What makes two calls calls of one function: its code, and the object whose method it is."""
        owner = id(args[0]) if args and not isinstance(args[0], (Symbol, torch.Tensor, list, tuple, dict)) else None
        self.held.append(args[:1])
        return function.__code__, owner

    def found_circle(self, frames: list[calls.Frame], again: calls.Frame) -> None:
        """A function was called while it runs: those that go on to another object on the way become visits."""
        chain = [*frames, again]
        descending = [b.base for a, b in zip(chain, chain[1:], strict=False) if a.place != b.place or b.place is None]
        self.visits.update(descending or [again.base])
        raise Restart

    def visit(self, staging: Primitives, function: types.FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a function of the recursion: arguments that are parts of the structure are its object, several as
        a tuple; tensors go down; the others are part of the function's name."""
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        nodes = self.nodes(staging.run, bound.arguments)
        if not nodes:
            raise refuse_source(
                f"`{function.__qualname__}` recurses with no part of the structure among its arguments",
                "an activation of a recursive function belongs to an object",
                "write it as a loop, or pass the object that it goes down",
            )
        places = [bound.arguments[n]._place for n in nodes]
        handing = Handing(function, staging.run.number)
        others = {n: self.apart(handing, n, v) for n, v in bound.arguments.items() if n not in nodes}
        cells = captured_tensors(handing)
        fixed = [(n, self.fixed(staging, function, v)) for n, v in others.items()]
        closure = tuple(self.fixed(staging, function, v) for v in captured(function, cells))
        base = self.base(function, args)

        def invoke(inner: Primitives, root: Any) -> Any:
            inner.frames.append(calls.Frame(base, root._place))
            made = with_cells(function, cells, inner.run)
            values = {n: filled(v, inner.run) for n, v in others.items()}
            parts = dict(zip(nodes, [root] if len(nodes) == 1 else [root[n] for n in range(len(nodes))], strict=True))
            given = inspect.BoundArguments(bound.signature, {**bound.arguments, **values, **parts})
            return inner.invoke(made, *given.args, **given.kwargs)

        code = function.__code__
        line = Location(code.co_filename, code.co_firstlineno, code.co_name)
        version = strands.version_for(staging.run, code)
        callee = self.function((base, tuple(nodes), *fixed, (closure, version)), function.__name__, invoke, base, line)
        callee.arguments, callee.strands = tuple(handing.handed), version
        return visit(staging.run, callee, places, handing.tensors)

    def nodes(self, run: Run, arguments: dict[str, Any]) -> list[str]:
        """The arguments that are parts of the structure; beside such, its numbers are numbers that go down."""
        parts = [n for n, v in arguments.items() if isinstance(v, Symbol)]
        if len(parts) < 2:
            return parts
        return [n for n in parts if isinstance(arguments[n], Length) or not is_number(run, arguments[n])]

    def apart(self, handing: Handing, name: str, value: Any) -> Any:
        if isinstance(value, (int, float)) and (handing.function.__code__, name) in self.learned.numbers:
            return handing.of_number(value)
        return handing.apart(value)

    def fixed(self, staging: Primitives, function: types.FunctionType, value: Any) -> Any:
        """The identity of an argument that is not the object."""
        if isinstance(value, (bool, int, float, str, bytes, type(None), torch.dtype, type)):
            return type(value).__name__, value
        if isinstance(value, Handed):
            return value.key
        if isinstance(value, (list, dict)) and holds_handed(value):
            items = enumerate(value) if isinstance(value, list) else value.items()
            return type(value).__name__, *((k, self.fixed(staging, function, v)) for k, v in items)
        if isinstance(value, tuple):
            return ("tuple", *(self.fixed(staging, function, v) for v in value))
        self.held.append(value)
        if isinstance(value, dict) and value and all(self.is_filled(staging, v) for v in value.values()):
            return "dict", *((k, self.fixed(staging, function, v)) for k, v in value.items())
        if strands.has_pieces(value):
            raise refusals.use_of_filled()
        if isinstance(value, types.FunctionType):
            return "function", value.__code__, tuple(self.fixed(staging, function, v) for v in captured(value, {}))
        if self.is_filled(staging, value):
            return "list", self.effects.shared_list(staging, value)
        if isinstance(value, (dict, set)) and not value:
            self.effects.fill(value)
            return ("memo",)
        return "object", id(value)

    def is_filled(self, staging: Primitives, value: Any) -> bool:
        """Whether a value is a list that functions of the recursion fill, or may."""
        return isinstance(value, list) and (id(value) in staging.created or id(value) in self.effects.lists)

    # -- runs ------------------------------------------------------------------------------------------------------------

    def too_many(self, location: Location | None) -> CompileError:
        return refuse_source(
            f"there are more than {MOST_WAYS} ways through a function, or a way with no end to its questions",
            "each way is compiled by itself",
            "ask fewer questions in one function; recurse instead of looping over linked objects",
            location,
            "BGH-REC-005",
        )

    def run(self, function: Function, answers: list[bool], example: Any) -> None:
        """Runs a function once and enters where its answers lead.

        A way that finds out how long a list is after it has walked over it is run again with that known.
        """
        trail: Trail = []
        while True:
            run = Run(self, function, answers[len(trail) :], example, known=[(q, a) for q, a, _ in trail])
            staging = Primitives(run)
            end = self.end_of(function, staging)
            trail = [*trail, *run.trail]
            settled = (staging.known_elements(Symbol(run, Place(e.path))) is not None for e in run.record.eaches)
            if not isinstance(end, Way) or not run.trail or not any(settled):
                break
        function.ways.enter(trail, end)

    def end_of(self, function: Function, staging: Primitives) -> Way | Waiting | Fail:
        """What a run comes to."""
        run = staging.run
        blind = run.example is NOTHING
        try:
            with self.mode, ComputedSizes().active():
                result = run.invoke()
                if result is None and blind and function.types:
                    raise Refused("the model returns None for it", run.returned or function.location)
                return Way(finish(self, function, staging, result))
        except Pending as pending:
            return Waiting(pending.call, pending.each)
        except Refused as refused:
            return Fail(refused.what, refused.location)
        except CompileError as error:
            self.decide(error)
            self.unroll(run, error)
            raise
        except (Signal, BoughError):
            raise
        except Exception as error:
            self.decide(error)
            if not blind or function.name not in self.learned.unrolled:
                self.unroll(run, explain(error))
            if blind:
                return Fail(f"the model fails on it: {error}", locations.of_exception(error))
            raise explain(error) from error

    def decide(self, error: Exception) -> None:
        """Starts again where a function asks for a computed value, and was not known to decide by such."""
        if not isinstance(error, DATA_DEPENDENT) and not (isinstance(error, CompileError) and error.code == "BGH-CTRL-001"):
            return
        trace, found = error.__traceback__, None
        while trace is not None:
            found = original_of(trace.tb_frame.f_code) or found
            trace = trace.tb_next
        if found is not None and not found[1] and found[0] not in self.learned.deciding:
            self.learned.deciding.add(found[0])
            raise Restart

    def unroll(self, run: Run, error: CompileError) -> None:
        """Tries the function again with its lists unrolled, if it walks over any and those of the example are short."""
        known, name = self.learned.unrolled, run.function.name
        if name in known:
            raise known[name]
        walks = [each for each in run.record.eaches if not each.skip and not each.leave]
        lengths = [len(v) for w in walks for v in values_at(run.function.examples, None, w.path) if isinstance(v, LISTS)]
        if not lengths or max(lengths) > LONGEST_UNROLLED:
            return
        known[name] = error
        raise Restart

    # -- the search ------------------------------------------------------------------------------------------------------

    def discover(self) -> None:
        """Until all ways are known: by the example, then those that it does not take."""
        waiting = self.follow([(self.entry, self.args)])
        while self.blind() or self.provide_any(waiting):
            waiting = self.follow(waiting)
        for function in reversed(self.functions.values()):
            for _, end, place in function.ways.ends():
                if isinstance(end, Waiting):
                    callee = next(f for f in self.functions.values() if f.name == end.call.function)
                    failure = self.failures.get(callee)
                    if failure is not None and failure.code in ("BGH-CTRL-001", "BGH-REC-001", "BGH-MUT-001"):
                        raise failure
                    raise refuse_source(
                        f"the recursion of `{callee.name}` has no end",
                        "every way through it calls itself again, so no object has a result",
                        "return something for the objects that have no further ones (no base case was found)",
                        end.call.location or place,
                        "BGH-REC-003",
                    )

    def follow(self, work: list[tuple[Function, Any]]) -> list[tuple[Function, Any]]:
        """Sends example objects their ways, and the objects that they call after them. Gives those that wait for a result."""
        postponed: list[tuple[Function, Any]] = []
        stack = list(work)
        for function, value in stack:
            self.meet(function, value)
        while stack:
            function, value = stack[-1]
            end = function.ways.of(value)
            if end is None:
                self.run(function, [], value)
                if function.ways.of(value) is None:
                    raise InternalError(f"{function.name} asks other questions when it is run again")
            elif isinstance(end, Waiting):
                callee = next(f for f in self.functions.values() if f.name == end.call.function)
                if callee.template is not None:
                    self.run(function, [], value)
                    continue
                called = self.called(value, end.call, end.each)
                found = [(callee, o) for o in called if self.meet(callee, o, end.call)]
                if found:
                    stack += found
                elif called or not self.provide(function, value):
                    postponed.append(stack.pop())
            else:
                stack.pop()
                if isinstance(end, Way):
                    self.check_payloads(function, end.record, value)
                    for c in end.record.calls:
                        callee = next(f for f in self.functions.values() if f.name == c.function)
                        each = None if c.each is None else end.record.eaches[c.each]
                        stack += [(callee, o) for o in self.called(value, c, each) if self.meet(callee, o, c)]
        return postponed

    def provide(self, function: Function, example: Any) -> bool:
        """Learns the type of the result where lists that are empty in the example (all, without one) are taken for empty, so
        that nothing is called. Whether it did."""
        if function.template is not None or (function, id(example)) in self.tried:
            return False
        self.tried.add((function, id(example)))
        run = Run(self, function, (), example)
        run.provisional = True
        staging = Primitives(run)
        try:
            with self.mode, ComputedSizes().active():
                finish(self, function, staging, run.invoke())
        except Restart:
            raise
        except Signal:
            return False
        except Exception as error:
            self.decide(error)
            self.failures.setdefault(function, error if isinstance(error, CompileError) else explain(error))
            return False
        return True

    def provide_any(self, waiting: list[tuple[Function, Any]]) -> bool:
        """The same without an example; for functions that no object comes to, by those of another version of them."""
        if any(self.provide(function, NOTHING) for function in dict.fromkeys(f for f, _ in waiting)):
            return True
        ends = [end for f in self.functions.values() for _, end, _ in f.ways.ends()]
        called = {end.call.function for end in ends if isinstance(end, Waiting)}
        unmet = [f for f in self.functions.values() if f.name in called and not f.objects]
        return any(self.provide(f, value) for f in unmet for value in f.examples)

    def meet(self, function: Function, value: Any, call: Call | None = None) -> bool:
        """Whether the object is new to the function, which `call` calls."""
        key = identity(call, value)
        if key in function.seen or len(function.objects) >= MOST_OBJECTS:
            return False
        function.seen[key] = value
        function.objects.append(value)
        self.known.setdefault(type(value), value)
        return True

    def called(self, value: Any, call: Call, each: Each | None) -> list[Any]:
        return [target(call, value, o) for o in ([value] if each is None else elements(value, each))]

    def check_payloads(self, function: Function, record: Record, value: Any) -> None:
        """Starts again where an object has None or a float at a place that was taken for a tensor or an integer."""
        for p in record.payloads:
            if p.path is None:
                continue
            each = None if p.each is None else record.eaches[p.each]
            for found in values_at([value], each, p.path):
                if found is None and each is None:
                    self.learn(function.optional, (each, p.path))
                if kind_of(found) == "tensor" and tensor_type(found) != (p.dtype, p.shape):
                    raise unequal(p, found)
                if kind_of(found) == "number" and p.dtype in ("i64", "bool") and number_type([found]) == "f32":
                    self.learn(function.real, (each, p.path))

    def learn(self, places: set[Where], place: Where) -> None:
        if place not in places:
            places.add(place)
            raise Restart

    def blind(self) -> bool:
        """Tries the ways that no example took. Whether there was anything to do."""
        done = False
        for function in list(self.functions.values()):
            again = True
            while again:
                again = False
                ends = list(function.ways.ends())
                if len(ends) > MOST_WAYS:
                    raise self.too_many(ends[-1][2])
                for answers, end, _ in ends:
                    if end is None and (answers or function.template is not None):
                        self.run(function, [a for _, a in answers], NOTHING)
                        again = done = True
                        break
                    if isinstance(end, Waiting):
                        callee = next(f for f in self.functions.values() if f.name == end.call.function)
                        if callee.template is not None:
                            self.run(function, [a for _, a in answers], NOTHING)
                            again = done = True
                            break
        return done


def unequal(payload: Payload, found: Any) -> CompileError:
    dtype, shape = tensor_type(found)
    return refuse_source(
        f"the tensors at `{show_path(payload.path or ())}` differ: {payload.dtype}{list(payload.shape)} and {dtype}{list(shape)}",
        "activations are computed together, so what they read has one shape and type",
        "give all objects of a kind tensors of one shape and type",
        payload.location,
        "BGH-REC-004",
    )


def captured(function: types.FunctionType, cells: Cells) -> list[Any]:
    """What a function takes from the functions around it, other functions left out; `cells` say what stands for tensors."""
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cells[id(cell)][1] if id(cell) in cells else cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if name != STAGING and not isinstance(value, types.FunctionType) and not hasattr(value, "cache_info"):
            found.append(value)
    return found


def explain(error: Exception) -> CompileError:
    """What a failure in the user's code means."""
    place = locations.of_exception(error)
    if isinstance(error, DATA_DEPENDENT):
        return CompileError(
            "the program's course depends on computed values",
            code="BGH-CTRL-001",
            because="a condition, an index or a size on this line is computed from the elements of tensors",
            advice="express the choice with torch.where",
            location=place,
        )
    return CompileError(
        f"the module's forward failed while it was traced: {type(error).__name__}",
        code="BGH-TRACE-001",
        because=str(error).strip().split("\n")[0],
        advice="run the module on the example arguments in eager mode",
        location=place,
    )
