"""The description of a compiled function: what it takes, what it gives, and how its memory is laid out. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from reprlib import repr
from typing import Any, Literal, TypeVar, Union, cast

from bough.base.records import Record
from bough.base.visits import Visits, from_plain, to_plain
from bough.runtime import sizes
from bough.runtime.errors import LoadError, damaged
from bough.runtime.sizes import Size

VERSION = 2
DTYPES = frozenset({"f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"})
ADDRESSES = 1 << 47
"""Bytes that a process can address."""
_DEEPEST = 100
_SOURCES: tuple[Literal["argument", "result", "constant", "arena"], ...] = ("argument", "result", "constant", "arena")

Source = Literal["argument", "result", "constant"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor's place in nested inputs or outputs: `key` is the index of an argument or result, or a constant's name."""

    source: Source
    key: int | str


@dataclass(frozen=True, slots=True)
class Plain:
    """A value that is no tensor: an input must equal it, an output is it."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """An output of a function of structures: what one call collected in list number `list`, which are rows of a result; as a
    Python list or, `stacked`, as one array."""

    list: int
    result: int
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """An output that is a Python number: the only element of a result."""

    result: int


@dataclass(frozen=True, slots=True)
class Rows:
    """An output that is a list of as many elements as the results in `part` have rows; `part` is the nesting of an element."""

    part: Tree


@dataclass(frozen=True, slots=True)
class Chosen:
    """An output that is one of several: the number in the only element of result `selector` says which."""

    selector: int
    alternatives: tuple[Tree, ...]


Tree = Union[Leaf, Plain, Listed, Number, Rows, Chosen, Record, tuple["Tree", ...], list["Tree"], dict[Any, "Tree"]]
"""Nested tuples, lists, dicts and records over leaves."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A name, an element type (a name of `DTYPES`) and a shape."""

    name: str
    dtype: str
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A symbolic size with its inclusive range. Its value is read where it stands alone as a size of an argument."""

    name: str
    low: int = 0
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Buffer:
    """What one pointer of the entry's `buffers` points at: an argument or result (by index), a constant (by name), or the
    arena (then `key` is a label), `offset` bytes from its start."""

    source: Literal["argument", "result", "constant", "arena"]
    key: int | str
    offset: Size = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """What a status of the entry other than 0 means: the model would have raised the exception `error` with this message; or
    `error` is `CAPACITY` or `ENDLESS`."""

    status: int
    error: str
    message: str


CAPACITY, ENDLESS = "capacity", "endless"
"""The call needs more capacity (then it may be tried again with more); a loop went on for `message` turns."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A result of which the call fills a part: its first elements along each axis, as many as `shape` says."""

    result: int
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`entry` is the symbol of `i32 entry(ptr buffers, ptr scalars, ptr team)`; `buffers` and `scalars` are in its order.

    `parameters` names the call's positional parameters; `inputs` has one tree for each. `outputs` is what a call returns.
    `arena` is the size in bytes of the memory private to a call. `failures` explains the entry's statuses other than 0.
    `capacity` names the scalar that no argument has: what sizes that the call computes are bounded by. `computed` names such
    sizes, each with the result, an `i64` of rank 0, that holds it after the call; `cuts` are over them and the scalars.
    With `visits`, the call takes objects: `arguments` and `scalars` are what `visits.Names` calls so, `inputs` is empty, and each
    result has one row for every call that is computed together. With `near`, the size of a thread's own cache in bytes,
    these fill no more memory than stays in a cache until it is read (`portions.near_limit`), unless a single one does.
    Where `parallel` is False the entry needs no threads. `features` are the processor features (LLVM's names) that the code
    uses. `notes` is for readers, for instance what `explain` shows. `divides`: calls take different ways, by what they compute.
    `apart`: many calls are done sooner side by side, each on one thread, than together.
    """

    entry: str
    arguments: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    buffers: tuple[Buffer, ...]
    parameters: tuple[str, ...]
    inputs: tuple[Tree, ...]
    outputs: Tree
    constants: tuple[Tensor, ...] = ()
    scalars: tuple[Scalar, ...] = ()
    arena: Size = 0
    parallel: bool = True
    failures: tuple[Failure, ...] = ()
    capacity: str | None = None
    computed: tuple[tuple[str, int], ...] = ()
    cuts: tuple[Cut, ...] = ()
    features: tuple[str, ...] = ()
    notes: str = ""
    divides: bool = False
    apart: bool = False
    visits: Visits | None = None
    near: int = 0

    def __post_init__(self) -> None:
        _check(self)

    def to_data(self) -> dict[str, Any]:
        """The manifest as what JSON can hold."""
        return {
            "version": VERSION,
            "entry": self.entry,
            "scalars": [[s.name, s.low, s.high] for s in self.scalars],
            "arguments": [_tensor_to_data(t) for t in self.arguments],
            "results": [_tensor_to_data(t) for t in self.results],
            "constants": [_tensor_to_data(t) for t in self.constants],
            "buffers": [[b.source, b.key, sizes.to_data(b.offset)] for b in self.buffers],
            "parameters": list(self.parameters),
            "inputs": [_tree_to_data(tree) for tree in self.inputs],
            "outputs": _tree_to_data(self.outputs),
            "arena": sizes.to_data(self.arena),
            "parallel": self.parallel,
            "failures": [[f.status, f.error, f.message] for f in self.failures],
            "capacity": self.capacity,
            "computed": [list(c) for c in self.computed],
            "cuts": [[c.result, [sizes.to_data(s) for s in c.shape]] for c in self.cuts],
            "features": list(self.features),
            "notes": self.notes,
            "divides": self.divides,
            "apart": self.apart,
            "visits": None if self.visits is None else to_plain(self.visits),
            "near": self.near,
        }

    @staticmethod
    def from_data(data: Any) -> Manifest:
        """Raises `LoadError` for data that describes no compiled function."""
        if not isinstance(data, dict):
            raise damaged("the manifest", "it is no JSON object")
        if data.get("version") != VERSION:
            raise LoadError(
                f"the file has a manifest of version {data.get('version')!r}",
                code="BGH-LD-005",
                because=f"this version of Bough reads version {VERSION}",
                advice="compile the model again with this version of Bough",
            )
        scalars = tuple(
            Scalar(_is(name, str), _is(low, int), None if high is None else _is(high, int))
            for name, low, high in _rows(data, "scalars", 3)
        )
        known = frozenset(s.name for s in scalars)
        computed = tuple((_is(name, str), _is(result, int)) for name, result in _rows(data, "computed", 2))
        capacity = data.get("capacity")

        def tensors(key: str) -> tuple[Tensor, ...]:
            return tuple(
                Tensor(_is(name, str), _is(dtype, str), tuple(sizes.from_data(s, known) for s in _is(shape, list)))
                for name, dtype, shape in _rows(data, key, 3)
            )

        return Manifest(
            entry=_is(data.get("entry"), str),
            arguments=tensors("arguments"),
            results=tensors("results"),
            buffers=tuple(
                Buffer(_source(source), _key(key), sizes.from_data(offset, known))
                for source, key, offset in _rows(data, "buffers", 3)
            ),
            parameters=tuple(_is(name, str) for name in _is(data.get("parameters"), list)),
            inputs=tuple(_tree_from_data(tree) for tree in _is(data.get("inputs"), list)),
            outputs=_tree_from_data(data.get("outputs")),
            constants=tensors("constants"),
            scalars=scalars,
            arena=sizes.from_data(data.get("arena"), known),
            parallel=_is(data.get("parallel"), bool),
            failures=tuple(
                Failure(_is(status, int), _is(error, str), _is(why, str)) for status, error, why in _rows(data, "failures", 3)
            ),
            capacity=None if capacity is None else _is(capacity, str),
            computed=computed,
            cuts=tuple(
                Cut(_is(result, int), tuple(sizes.from_data(s, known | {name for name, _ in computed}) for s in _is(shape, list)))
                for result, shape in _rows(data, "cuts", 2)
            ),
            features=tuple(_is(name, str) for name in _is(data.get("features"), list)),
            notes=_is(data.get("notes"), str),
            divides=_is(data.get("divides"), bool),
            apart=_is(data.get("apart", False), bool),
            visits=_visits(data.get("visits")),
            near=_is(data.get("near", 0), int),
        )


def parts_of(tree: Tree) -> tuple[Tree, ...]:
    """What is nested in a tree, one level down: tuples and lists by position, dicts by insertion."""
    match tree:
        case Rows(part):
            return (part,)
        case Record(parts=parts) | Chosen(alternatives=parts):
            return parts
        case dict():
            return tuple(tree.values())
        case tuple() | list():
            return tuple(tree)
    return ()


def nodes(tree: Tree) -> Iterator[Tree]:
    """The tree and all that is nested in it, in its order."""
    yield tree
    for part in parts_of(tree):
        yield from nodes(part)


def leaves(tree: Tree) -> Iterator[Leaf]:
    """The leaves in their order."""
    for node in nodes(tree):
        match node:
            case Leaf():
                yield node
            case Listed(result=result) | Number(result) | Chosen(selector=result):
                yield Leaf("result", result)


def _check(manifest: Manifest) -> None:
    """Every reference leads somewhere, and every symbolic size can be read."""
    known = frozenset(s.name for s in manifest.scalars)
    counts = {"argument": len(manifest.arguments), "result": len(manifest.results)}
    constants = {t.name for t in manifest.constants}

    def exists(source: str, key: int | str) -> bool:
        if source == "constant":
            return key in constants
        return source in counts and type(key) is int and 0 <= key < counts[source]

    for tensor in (*manifest.arguments, *manifest.results, *manifest.constants):
        if tensor.dtype not in DTYPES:
            raise damaged("the manifest", f"{tensor.name} has the unknown element type {tensor.dtype!r}")
        for size in tensor.shape:
            sizes.from_data(size, known)
    if any(type(size) is not int or size < 0 for tensor in manifest.constants for size in tensor.shape):
        raise damaged("the manifest", "a constant has no fixed shape")
    sizes.from_data(manifest.arena, known)
    _check_memory(manifest)
    for buffer in manifest.buffers:
        sizes.from_data(buffer.offset, known)
        if buffer.source != "arena" and not exists(buffer.source, buffer.key):
            raise damaged("the manifest", f"a buffer refers to {buffer.source} {buffer.key!r}, which does not exist")
    for leaf in leaves(manifest.outputs):
        if not exists(leaf.source, leaf.key):
            raise damaged("the manifest", f"an output refers to {leaf.source} {leaf.key!r}, which does not exist")
    _check_computed(manifest)
    _check_outputs(manifest)
    if manifest.visits is None:
        _check_inputs(manifest)


def _check_memory(manifest: Manifest) -> None:
    """No memory of a fixed size is more than a process can address."""
    fixed = {"the memory of a call": manifest.arena}
    for tensor in manifest.results:
        if tensor.shape and all(isinstance(size, int) for size in tensor.shape):
            fixed[tensor.name] = prod(int(size) for size in tensor.shape if isinstance(size, int))
    for name, size in fixed.items():
        if isinstance(size, int) and not 0 <= size <= ADDRESSES:
            raise damaged("the manifest", f"{name} has the size {size}")


def _check_computed(manifest: Manifest) -> None:
    """What the call computes besides results can be read, and cuts lie within their results."""
    scalars = frozenset(s.name for s in manifest.scalars)
    if manifest.capacity is not None and manifest.capacity not in scalars:
        raise damaged("the manifest", f"the capacity {manifest.capacity!r} is no symbolic size")
    if any(manifest.capacity == name for t in manifest.arguments for size in t.shape for name in sizes.names(size)):
        raise damaged("the manifest", f"an argument has the capacity {manifest.capacity!r}")
    for name, result in manifest.computed:
        if not 0 <= result < len(manifest.results) or name in scalars:
            raise damaged("the manifest", f"the size {name!r} is in no result")
        if manifest.results[result].dtype != "i64" or manifest.results[result].shape:
            raise damaged("the manifest", f"the size {name!r} is no number")
    for cut in manifest.cuts:
        if not 0 <= cut.result < len(manifest.results) or len(cut.shape) != len(manifest.results[cut.result].shape):
            raise damaged("the manifest", f"a cut does not fit result {cut.result}")
        for size in cut.shape:
            sizes.from_data(size, scalars | {name for name, _ in manifest.computed})


def _check_outputs(manifest: Manifest) -> None:
    """Every part of the outputs can be made."""
    shapes = [t.shape for t in manifest.results]

    def check(tree: Tree, axes: int) -> None:
        """`axes` are those of results in front of a part's own: samples, and rows."""
        match tree:
            case (Number(result) | Chosen(selector=result)) if len(shapes[result]) != axes:
                raise damaged("the manifest", f"result {result} is no number")
            case Chosen(alternatives=()):
                raise damaged("the manifest", "an output is one of no alternatives")
            case Rows(part) if not any(leaf.source == "result" and shapes[int(leaf.key)] for leaf in leaves(part)):
                raise damaged("the manifest", "rows of an output are in no result")
            case Listed() if manifest.visits is None:
                raise damaged("the manifest", "a list of rows is for structures")
        for part in parts_of(tree):
            check(part, axes + isinstance(tree, Rows))

    check(manifest.outputs, int(manifest.visits is not None))


def _check_inputs(manifest: Manifest) -> None:
    """Each argument comes from one place of the inputs, and from the arguments come the symbolic sizes."""
    known = frozenset(s.name for s in manifest.scalars)
    if len(manifest.parameters) != len(manifest.inputs):
        raise damaged("the manifest", "parameters and inputs differ in number")
    if any(isinstance(node, (Listed, Number, Rows, Chosen)) for tree in manifest.inputs for node in nodes(tree)):
        raise damaged("the manifest", "an input is worked out")
    found = [leaf for tree in manifest.inputs for leaf in leaves(tree)]
    if sorted(str(leaf.key) for leaf in found) != sorted(str(i) for i in range(len(manifest.arguments))):
        raise damaged("the manifest", "the inputs do not name each argument once")
    if any(leaf.source != "argument" for leaf in found):
        raise damaged("the manifest", "an input is no argument")
    readable = {size for tensor in manifest.arguments for size in tensor.shape if isinstance(size, str)} | {manifest.capacity}
    if known - readable:
        raise damaged("the manifest", f"no argument has the sizes {sorted(known - readable)}")


def _visits(data: Any) -> Visits | None:
    try:
        return None if data is None else from_plain(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged("the manifest", f"its visits cannot be read ({error})") from None


T = TypeVar("T")


def _is(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise damaged("the manifest", f"{repr(value)} stands where a {kind.__name__} belongs")
    return value


def _source(value: Any) -> Literal["argument", "result", "constant", "arena"]:
    for known in _SOURCES:
        if value == known:
            return known
    raise damaged("the manifest", f"{repr(value)} is no source of a buffer")


def _key(value: Any) -> int | str:
    if type(value) not in (int, str):
        raise damaged("the manifest", f"{repr(value)} is neither an index nor a name")
    return cast(Union[int, str], value)


def _rows(data: dict[str, Any], key: str, width: int) -> list[list[Any]]:
    rows = _is(data.get(key), list)
    if any(type(row) is not list or len(row) != width for row in rows):
        raise damaged("the manifest", f"a row of {key} has not {width} parts")
    return rows


def _tensor_to_data(tensor: Tensor) -> list[Any]:
    return [tensor.name, tensor.dtype, [sizes.to_data(s) for s in tensor.shape]]


def _tree_to_data(tree: Tree) -> Any:
    match tree:
        case Leaf(source, key):
            return {source: key}
        case Plain(value):
            return {"plain": value}
        case Listed(number, result, stacked):
            return {"listed": [number, result, stacked]}
        case Number(result):
            return {"number": result}
        case Rows(part):
            return {"rows": _tree_to_data(part)}
        case Chosen(selector, alternatives):
            return {"chosen": [selector, _tree_to_data(alternatives)]}
        case Record(name, fields, parts, keys):
            return {"record": [name, list(fields), [_tree_to_data(part) for part in parts], list(keys)]}
        case tuple():
            return {"tuple": [_tree_to_data(part) for part in tree]}
        case list():
            return {"list": [_tree_to_data(part) for part in tree]}
        case dict():
            return {"dict": [[key, _tree_to_data(part)] for key, part in tree.items()]}


def _tree_from_data(data: Any, depth: int = 0) -> Tree:
    if type(data) is not dict or len(data) != 1 or depth > _DEEPEST:
        raise damaged("the manifest", f"{repr(data)} is no part of nested inputs or outputs")
    ((kind, value),) = data.items()
    parts: Callable[[], list[Tree]] = lambda: [_tree_from_data(part, depth + 1) for part in _is(value, list)]  # noqa: E731
    if kind in ("argument", "result", "constant") and type(value) in (int, str):
        return Leaf(kind, value)
    if kind == "plain" and (value is None or type(value) in (bool, int, float, str)):
        return Plain(value)
    if kind == "number" and type(value) is int:
        return Number(value)
    if kind == "listed" and type(value) is list and [type(v) for v in value] == [int, int, bool]:
        return Listed(*value)
    if kind == "rows":
        return Rows(_tree_from_data(value, depth + 1))
    if kind == "chosen" and type(value) is list and len(value) == 2 and type(value[0]) is int:
        alternatives = _tree_from_data(value[1], depth + 1)
        if isinstance(alternatives, tuple):
            return Chosen(value[0], alternatives)
    if kind == "record" and type(value) is list and len(value) == 4:
        return _record(value, depth + 1)
    if kind == "tuple":
        return tuple(parts())
    if kind == "list":
        return parts()
    if kind == "dict":
        rows = _rows(data, "dict", 2)
        if all(type(key) in (str, int) for key, _ in rows):
            return {key: _tree_from_data(part, depth + 1) for key, part in rows}
    raise damaged("the manifest", f"{repr(data)} is no part of nested inputs or outputs")


def _record(data: list[Any], depth: int) -> Record:
    name, fields, parts, held = data
    names, keys = ([_is(f, str) for f in _is(group, list)] for group in (fields, held))
    made = tuple(_tree_from_data(part, depth) for part in _is(parts, list))
    if len(made) != len(names) or len(set(names)) != len(names) or not set(keys) <= set(names):
        raise damaged("the manifest", f"the fields {names} are not those of {len(made)} parts")
    return Record(_is(name, str), tuple(names), made, tuple(keys))
