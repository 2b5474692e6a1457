"""How the functions of a recursive model walk the user's objects: plain data, shared by compiler and runtime.

    function encode
      ask .left is none
        yes: variant 0                     payload .word: i64[]
        no:  variant 1                     call encode(.left), call encode(.right)

An *activation* is one function at one object; the entry function's object is the tuple of the call's arguments. Which of its
function's *variants* an activation takes is decided by questions about its object, before any arithmetic. A variant makes
calls, which are other activations, and reads payloads, which are the tensors and numbers that its arithmetic needs.

Activations of equal function and object are one, within one call of the model (a *sample*), unless their variant `repeats`.
Those of a variant are numbered 0 .. count-1, by level, then by discovery: depth first, calls in the order of `call_order`,
sample after sample.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Union

from bough.base.source import Location
from bough.base.spans import END, START, Index


@dataclass(frozen=True, slots=True)
class Attribute:
    """`object.name`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class Item:
    """`object[key]`: an index into a tuple or list (negative ones count from the end), or a key of a dictionary."""

    key: int | str | Index

    def __str__(self) -> str:
        return f"[{self.key}]" if isinstance(self.key, Index) else f"[{self.key!r}]"


@dataclass(frozen=True, slots=True)
class Slice:
    """`object[first:last]` of a list or tuple. Parts of one list with equal bounds are one object (`bough.base.spans.Span`)."""

    first: Index = START
    last: Index = END

    def __str__(self) -> str:
        return f"[{'' if self.first == START else self.first}:{'' if self.last == END else self.last}]"

    def left_out(self) -> tuple[int, int] | None:
        """How many elements are left out at the begin and at the end, where these are numbers whatever the length is."""
        (first, last), ends = (self.first, self.last), (self.first.times, self.last.times)
        if ends == (0, 1) and last == END and first.plus >= 0:
            return first.of(0), 0
        if ends == (0, 0) and first.plus >= 0 > last.plus:
            return first.of(0), -last.of(0)
        return None


Path = tuple[Union[Attribute, Item, Slice], ...]
"""The way from an object to what is read; empty: the object itself."""

Test = Literal["is_none", "is_instance", "is_true", "equals", "less", "at_most", "has_attribute", "has_key"]


@dataclass(frozen=True, slots=True)
class Question:
    """A test of what lies at `path`, or of its length where `length` is set.

    `value`: for `is_instance`, names of classes as `module.qualname`, any of which (or a subclass) fits; for `equals`, `less`
    (than) and `at_most` a number, bool or string; for `has_attribute` and `has_key` a name or key; else None. Members of an
    Enum are asked by the attribute `_name_`.
    """

    path: Path
    test: Test
    value: int | float | bool | str | tuple[str, ...] | None = None
    length: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    question: Question
    yes: "Decision"
    no: "Decision"
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fail:
    """Objects that come here are refused: `what` is wrong with them, in words for the user (an assert, a raise)."""

    what: str
    location: Location | None = field(default=None, compare=False)


Decision = Union[Ask, Fail, int]
"""A number is a variant of the function."""


@dataclass(frozen=True, slots=True)
class Member:
    """What was read through classes when the function was compiled: objects of class `of` have to get `name` from one of
    `classes`, all by their names as `module.qualname`; "" among them: from none. The empty name is that of the class itself."""

    name: str
    classes: tuple[str, ...]
    of: str = "builtins.object"


@dataclass(frozen=True, slots=True)
class Each:
    """A walk over the elements of the list, tuple or dictionary's values at `path`, all but the first `skip` and the last
    `leave`. Its elements over all activations of the variant are numbered like those, and in order within one activation.

    With `list`, a walk over what the sample has collected in that list; the entry function alone has such walks. `some`:
    samples that have collected nothing are refused. `members`: what all elements have to have.
    `dictionary`: whether it has to be a dictionary, or may not be one; None: either."""

    path: Path
    skip: int = 0
    leave: int = 0
    list: int | None = None
    some: bool = False
    members: tuple[Member, ...] = field(default=(), compare=False)
    dictionary: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Part:
    """An object of several that a function is called with: at `path` from the caller's object, or from the element."""

    path: Path
    of_element: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`function` at the object at `path`; with `each`, at `path` from every element of that walk of the variant. With `parts`, in
    place of that object the tuple of these; two such tuples are one object where they hold the same objects."""

    function: str
    path: Path
    each: int | None = None
    location: Location | None = field(default=None, compare=False)
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """What lies at `path` (from every element of walk `each`, where set): a number, a bool, or an array or tensor, of `dtype`
    (a name of `bough.ir.dtypes`) and `shape`. With `path` None: the position of the element in its walk. `range`: the smallest
    and the largest number that the model can take, where it takes a row of a table by it."""

    path: Path | None
    dtype: str
    shape: tuple[int, ...] = ()
    each: int | None = None
    location: Location | None = field(default=None, compare=False)
    range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Collect:
    """The variant appends its result number `result` to list number `list`, after `calls` of its calls were made."""

    list: int
    result: int
    calls: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One way through a function. `name` is unique in the function. `repeats`: an object that is met again is another
    activation, because lists are filled on the way and the user keeps no memo, or because callers pass tensors down."""

    name: str
    each: tuple[Each, ...] = ()
    calls: tuple[Call, ...] = ()
    payloads: tuple[Payload, ...] = ()
    collects: tuple[Collect, ...] = ()
    repeats: bool = False
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """One function. Its state is one array per result, holding variant 0's activations, then variant 1's, and so on."""

    name: str
    decision: Decision
    variants: tuple[Variant, ...]
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Visits:
    """All functions; those that call each other in a circle are one *stage*, and stages run callees first (see `stages`).
    `members`: what objects that are asked for their class have to have."""

    functions: tuple[Visit, ...]
    entry: str
    members: tuple[Member, ...] = field(default=(), compare=False)

    def function(self, name: str) -> Visit:
        return next(f for f in self.functions if f.name == name)


@dataclass(frozen=True, slots=True)
class Stage:
    """Functions that need each other. Level 0 of a stage are its `base` variants, which call no function of the stage, whole;
    the `step` variants run level after level, 1 .. levels-1; a stage without step variants has no levels. Variants are
    (function, number)."""

    number: int
    functions: tuple[str, ...]
    base: tuple[tuple[str, int], ...]
    step: tuple[tuple[str, int], ...]


class Names:
    """What the arrays and sizes of a linearized structure are called. Indices are i64; all arrays are dense.

    For variant `v` (number) of function `f`:
    `count(f, v)` size: its activations. `elements(f, v, e)` size: elements of walk e over all its activations.
    `levels(stage)` size: levels of the stage, level 0 included, at least 1. (The symbolic size; arrays below are one longer.)
    An activation of a step variant stands one level above the highest that it calls in its stage, and at level 1 at least.
    `widest(f, v)`, `widest_elements(f, v, e)` sizes: most activations, and elements of walk e, of one level; `longest(f, v, e)`
    size: most elements of walk e of one activation; 0 where there is none.
    `start(f, v)` [levels + 1]: first activation of each level, and the count at the end; only for step variants.
    `target(f, v, c)` [count, or elements of its walk]: call c's activation, as an index into its function's state.
    `first(f, v, e)` [count + 1]: first element of each activation in walk e, and the number of elements at the end.
    `parent(f, v, e)` [elements]: the activation of each element.
    `member(f, v, e)` [elements]: where each element of a walk over a list stands in it, all samples' lists one after another.
    `payload(f, v, p)` [count or elements, *shape].
    `root(f, v)` [count]: the entry's activation of each activation's sample, as an index into the entry's state.
    `place(f, v, c)` [count]: where the collect c of each activation stands in its list, all samples' lists one after another.
    `roots` [samples]: the entry's activations as indices into its state. `spans(l)` [samples + 1]: list l of each sample.
    `samples` size: independent calls that are linearized together.
    """

    roots = "roots"
    samples = "samples"

    @staticmethod
    def count(function: str, variant: int) -> str:
        return f"{function}.{variant}.count"

    @staticmethod
    def elements(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.elements"

    @staticmethod
    def levels(stage: int) -> str:
        return f"stage{stage}.levels"

    @staticmethod
    def widest(function: str, variant: int) -> str:
        return f"{function}.{variant}.widest"

    @staticmethod
    def widest_elements(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.widest"

    @staticmethod
    def longest(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.longest"

    @staticmethod
    def start(function: str, variant: int) -> str:
        return f"{function}.{variant}.start"

    @staticmethod
    def target(function: str, variant: int, call: int) -> str:
        return f"{function}.{variant}.target{call}"

    @staticmethod
    def first(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.first"

    @staticmethod
    def parent(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.parent"

    @staticmethod
    def member(function: str, variant: int, each: int) -> str:
        return f"{function}.{variant}.each{each}.member"

    @staticmethod
    def payload(function: str, variant: int, payload: int) -> str:
        return f"{function}.{variant}.payload{payload}"

    @staticmethod
    def root(function: str, variant: int) -> str:
        return f"{function}.{variant}.root"

    @staticmethod
    def place(function: str, variant: int, collect: int) -> str:
        return f"{function}.{variant}.place{collect}"

    @staticmethod
    def spans(number: int) -> str:
        return f"list{number}.spans"


def call_order(variant: Variant) -> tuple[tuple[int, ...], ...]:
    """The numbers of the calls in the order in which they are made. Calls of one tuple share a walk and are made element by
    element: all of them for the first element, then for the second. A collect between two calls keeps them apart."""
    stops = {c.calls for c in variant.collects}
    groups: list[tuple[int, ...]] = []
    for n, call in enumerate(variant.calls):
        together = groups and call.each is not None and call.each == variant.calls[n - 1].each and n not in stops
        if together:
            groups[-1] = (*groups[-1], n)
        else:
            groups.append((n,))
    return tuple(groups)


def stages(visits: Visits) -> tuple[Stage, ...]:
    """Strongly connected functions of the call graph, callees first; iterative (Tarjan 1972)."""
    calls = {f.name: tuple(dict.fromkeys(c.function for v in f.variants for c in v.calls)) for f in visits.functions}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    found: list[tuple[str, ...]] = []
    for root in (visits.entry, *calls):
        if root in order:
            continue
        order[root] = low[root] = len(order)
        open_.append(root)
        work = [(root, iter(calls[root]))]
        while work:
            name, rest = work[-1]
            for callee in rest:
                if callee not in order:
                    order[callee] = low[callee] = len(order)
                    open_.append(callee)
                    work.append((callee, iter(calls[callee])))
                    break
                if callee in open_:
                    low[name] = min(low[name], order[callee])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == order[name]:
                    members = open_[open_.index(name) :]
                    del open_[-len(members) :]
                    found.append(tuple(f.name for f in visits.functions if f.name in members))
    return tuple(_stage(visits, n, members) for n, members in enumerate(found))


def _stage(visits: Visits, number: int, members: tuple[str, ...]) -> Stage:
    base: list[tuple[str, int]] = []
    step: list[tuple[str, int]] = []
    for name in members:
        for n, variant in enumerate(visits.function(name).variants):
            inside = any(c.function in members for c in variant.calls)
            (step if inside else base).append((name, n))
    return Stage(number, members, tuple(base), tuple(step))


def to_plain(visits: Visits) -> Any:
    """As lists, dictionaries, strings and numbers, for a manifest. Locations are left out."""
    return _plain(visits)


def from_plain(data: Any) -> Visits:
    """The inverse of `to_plain`. Raises ValueError, KeyError or TypeError for data that is none."""
    value = _structured(data)
    if not isinstance(value, Visits):
        raise ValueError("not a description of visits")
    return value


_KINDS = {
    k.__name__: k
    for k in (
        Attribute, Index, Item, Slice, Question, Ask, Fail, Member, Each, Part, Call, Payload, Collect, Variant, Visit, Visits,
    )
}  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if type(value).__name__ in _KINDS and type(value) is _KINDS[type(value).__name__]:
        fields = [f for f in type(value).__dataclass_fields__ if f != "location"]
        return {"kind": type(value).__name__, **{f: _plain(getattr(value, f)) for f in fields}}
    return value


def _structured(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_structured(d) for d in data)
    if isinstance(data, dict):
        return _KINDS[data["kind"]](**{k: _structured(v) for k, v in data.items() if k != "kind"})
    return data


def with_repeats(visits: Visits, remembered: Container[tuple[str, int]], given: Container[str] = ()) -> Visits:
    """The same with `repeats` set, in variants that fill lists or call others that repeat, unless they are `remembered`, and in
    all variants of functions that are `given` something by their callers."""
    members = [((f.name, n), v) for f in visits.functions for n, v in enumerate(f.variants)]
    repeats = {member for member, v in members if v.collects and member not in remembered}
    while True:
        functions = {name for name, _ in repeats}
        more = {m for m, v in members if m not in remembered and any(c.function in functions for c in v.calls)}
        if more <= repeats:
            break
        repeats |= more
    repeats |= {(name, n) for (name, n), _ in members if name in given}
    changed = (
        replace(f, variants=tuple(replace(v, repeats=(f.name, n) in repeats) for n, v in enumerate(f.variants)))
        for f in visits.functions
    )
    return replace(visits, functions=tuple(changed))
