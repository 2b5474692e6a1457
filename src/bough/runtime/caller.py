"""Writes the Python function that calls a compiled one with the least work: its source is generated once for each library.

Everything that the manifest fixes becomes a constant of the source. Arguments that fail the quick test go the long way
(`bind`), which either converts them or explains what is wrong. Names from the manifest never become part of the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from bough.base.errors import InternalError
from bough.base.records import Record
from bough.runtime import sizes
from bough.runtime.arrays import NUMPY
from bough.runtime.manifest import CAPACITY, Chosen, Leaf, Listed, Manifest, Number, Plain, Rows, Tree, leaves
from bough.runtime.results import LARGE
from bough.runtime.sizes import Size

Caller = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Library:
    """How a library of arrays is spelled in generated source. `{x}` is the argument, `{d}` its element type as the library
    has it, `{n}` its name. `create` makes a result, `create_fixed` one whose shape is known, `create_large` one above
    `results.LARGE` bytes: of `{shape}`, a tuple, or `{sizes}`, its elements, and like `{e}`, which is what `example` gives for an
    element type and the known shape, or none.

    `names` are the objects that the spellings use, and `cut(result, shape)`.
    """

    is_quick: str
    pointer: str
    create: str
    create_fixed: str
    create_large: str
    example: Callable[[str, tuple[int, ...]], Any]
    dtype: Callable[[str], Any]
    names: dict[str, Any]


@dataclass(slots=True)
class Source:
    """Lines of a function, and the objects they refer to."""

    names: dict[str, Any]
    lines: list[str] = field(default_factory=list)

    def constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def add(self, depth: int, line: str) -> None:
        self.lines.append("    " * depth + line)


@dataclass(frozen=True, slots=True)
class Callers:
    """`quick(*args, **kwargs)` takes a call's arguments; `flat(tensors, given)` those that are checked, in order: as compiled
    code takes them, and as they came, which is how they are returned where an output is an argument."""

    quick: Caller
    flat: Caller
    source: str


def write_callers(manifest: Manifest, library: Library, with_team: bool, names: dict[str, Any]) -> Callers:
    """`names` holds what the source uses of the executable: `slow(args, kwargs)`; `take()`, `make()` and `give(context)`;
    `fail(status)`; `NO_MEMORY`, what lacking memory raises, and `no_memory(size)`; `capacity`; `constant(name)`; `UNFIT`, the
    exceptions that unfit arguments cause in the quick test; `record(record)`, which gives what makes such an object of its parts;
    `entry`. With a team: `team`, `start(program)`, `program`, `run`, and `entry` is an address."""
    out = Source({**names, **library.names})
    variables = {scalar.name: f"s{i}" for i, scalar in enumerate(manifest.scalars)}
    returned = sorted({int(leaf.key) for leaf in leaves(manifest.outputs) if leaf.source == "argument"})

    out.add(0, "def quick(*args, **kwargs):")
    out.add(1, f"if len(args) != {len(manifest.inputs)} or kwargs: return slow(args, kwargs)")
    out.add(1, "try:")
    parameters = [f"p{i}" for i in range(len(manifest.inputs))]
    if parameters:
        out.add(2, f"{', '.join(parameters)}, = args")
    for name, tree in zip(parameters, manifest.inputs, strict=True):
        _unpack(out, name, tree)
    _test_arguments(out, manifest, library, variables)
    _point(out, manifest, library, 2)  # tensors without memory of their own show here
    out.add(1, "except UNFIT:")
    out.add(2, "fits = False")
    out.add(1, "if not fits: return slow(args, kwargs)")
    for key in returned:
        out.add(1, f"a{key} = x{key}")
    _run(out, manifest, library, with_team, variables)

    out.add(0, "def flat(tensors, given):")
    out.add(1, f"[{', '.join(f'x{i}' for i in range(len(manifest.arguments)))}] = tensors")
    for key in returned:
        out.add(1, f"a{key} = given[{key}]")
    for name, (index, axis) in _places(manifest).items():
        out.add(1, f"{variables[name]} = x{index}.shape[{axis}]")
    _point(out, manifest, library, 1)
    _run(out, manifest, library, with_team, variables)

    source = "\n".join(out.lines) + "\n"
    exec(compile(source, f"<caller of {manifest.entry!r}>", "exec"), out.names)
    return Callers(out.names["quick"], out.names["flat"], source)


def _places(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Argument and axis where each symbolic size is read."""
    places: dict[str, tuple[int, int]] = {}
    for index, tensor in enumerate(manifest.arguments):
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, str):
                places.setdefault(size, (index, axis))
    return {scalar.name: places[scalar.name] for scalar in manifest.scalars if scalar.name != manifest.capacity}


def _unpack(out: Source, name: str, tree: Tree) -> None:
    """Takes nested inputs apart into the variables x0, x1, ...; other nesting raises one of `UNFIT`."""
    match tree:
        case Leaf():
            out.add(2, f"x{int(tree.key)} = {name}")
        case Plain(value):
            constant = out.constant(value)
            out.add(2, f"if type({name}) is not type({constant}) or {name} != {constant}: raise ValueError")
        case dict():
            keys = [out.constant(key) for key in tree]
            out.add(2, f"if type({name}) is not dict or len({name}) != {len(keys)}: raise ValueError")
            for i, (key, part) in enumerate(zip(keys, tree.values(), strict=True)):
                out.add(2, f"{name}_{i} = {name}[{key}]")
                _unpack(out, f"{name}_{i}", part)
        case Record(fields=fields, parts=parts):
            for i, (field_name, part) in enumerate(zip(fields, parts, strict=True)):
                out.add(2, f"{name}_{i} = getattr({name}, {out.constant(field_name)})")
                _unpack(out, f"{name}_{i}", part)
        case tuple() | list():
            out.add(2, f"if type({name}) is not {type(tree).__name__}: raise ValueError")
            out.add(2, f"[{', '.join(f'{name}_{i}' for i in range(len(tree)))}] = {name}")
            for i, part in enumerate(tree):
                _unpack(out, f"{name}_{i}", part)


def _test_arguments(out: Source, manifest: Manifest, library: Library, variables: dict[str, str]) -> None:
    """Sets `fits`, and the variables of the symbolic sizes. What has not even the right kind raises one of `UNFIT`."""
    places = _places(manifest)
    tests: list[str] = []
    for i, tensor in enumerate(manifest.arguments):
        tests.append(library.is_quick.format(x=f"x{i}", d=out.constant(library.dtype(tensor.dtype))))
        if all(isinstance(size, int) for size in tensor.shape):
            tests.append(f"x{i}.shape == {tuple(tensor.shape)!r}")
            continue
        # A wrong rank raises ValueError here.
        out.add(2, f"[{', '.join(f'd{i}_{axis}' for axis in range(len(tensor.shape)))}] = x{i}.shape")
    for scalar in manifest.scalars:
        if scalar.name == manifest.capacity:
            continue
        index, axis = places[scalar.name]
        out.add(2, f"{variables[scalar.name]} = d{index}_{axis}")
        high = "" if scalar.high is None else f" <= {scalar.high}"
        tests.append(f"{scalar.low} <= {variables[scalar.name]}{high}")
    for i, tensor in enumerate(manifest.arguments):
        if all(isinstance(size, int) for size in tensor.shape):
            continue
        for axis, size in enumerate(tensor.shape):
            if not (isinstance(size, str) and places[size] == (i, axis)):
                tests.append(f"d{i}_{axis} == {sizes.source(size, variables)}")
    out.add(2, f"fits = {' and '.join(tests) or True}")


def _point(out: Source, manifest: Manifest, library: Library, depth: int) -> None:
    """Sets q0, q1, ... to where the elements of those arguments lie that the call reads."""
    for key in sorted({int(b.key) for b in manifest.buffers if b.source == "argument"}):
        out.add(depth, f"q{key} = {library.pointer.format(x=f'x{key}')}")


def _run(out: Source, manifest: Manifest, library: Library, with_team: bool, variables: dict[str, str]) -> None:
    """Makes results, fills in the pointers and sizes of a context, calls, and returns the outputs. Where the call has a
    capacity, this is tried again with more as long as the call asks for it."""
    depth, again = 1, next((f.status for f in manifest.failures if f.error == CAPACITY), None)
    if manifest.capacity is not None:
        out.add(1, f"{variables[manifest.capacity]} = capacity.now")
        out.add(1, "while True:")
        depth = 2
    add_results(out, manifest, [tensor.shape for tensor in manifest.results], library, variables, depth)
    out.add(depth, "try: context = take()")
    out.add(depth, "except IndexError: context = make()")
    out.add(depth, "pointers = context.pointers")
    for position, buffer in enumerate(manifest.buffers):
        if buffer.source in ("argument", "result"):
            key = int(buffer.key)
            pointer = f"q{key}" if buffer.source == "argument" else library.pointer.format(x=f"y{key}")
            if buffer.offset != 0:
                pointer += f" + {sizes.source(buffer.offset, variables)}"
            out.add(depth, f"pointers[{position}] = {pointer}")
    if variables:
        out.add(depth, "scalars = context.scalars")
    for i, variable in enumerate(variables.values()):
        out.add(depth, f"scalars[{i}] = {variable}")
    add_entry(out, manifest, with_team, variables, depth)
    if manifest.capacity is not None:
        out.add(depth, f"if status != {again}: break")
        out.add(depth, f"{variables[manifest.capacity]} = capacity.above({variables[manifest.capacity]})")
    out.add(1, "if status: fail(status)")
    _cut(out, manifest, variables)
    out.add(1, f"return {packed(out, manifest.outputs)}")


def _cut(out: Source, manifest: Manifest, variables: dict[str, str]) -> None:
    """Results of the sizes that the call has computed."""
    known = dict(variables)
    for n, (name, result) in enumerate(manifest.computed):
        known[name] = f"n{n}"
        out.add(1, f"n{n} = y{result}.item()")
    for cut in manifest.cuts:
        out.add(1, f"y{cut.result} = cut(y{cut.result}, {shape_source(cut.shape, known)})")


def add_results(
    out: Source, manifest: Manifest, shapes: Sequence[tuple[Size, ...]], library: Library, variables: dict[str, str],
    depth: int = 1,
) -> None:  # fmt: skip
    """Makes the results y0, y1, ... with these shapes."""
    needed: list[str] = []
    if shapes:
        out.add(depth, "try:")
    for i, (tensor, shape) in enumerate(zip(manifest.results, shapes, strict=True)):
        out.add(depth + 1, f"y{i} = {created(out, tensor.dtype, shape, library, variables)}")
        needed.append(" * ".join([str(NUMPY[tensor.dtype].itemsize), *(sizes.source(size, variables) for size in shape)]))
    if needed:
        out.add(depth, f"except NO_MEMORY: raise no_memory({' + '.join(needed)}) from None")


def created(out: Source, dtype: str, shape: tuple[Size, ...], library: Library, variables: dict[str, str]) -> str:
    """The expression that makes a result."""
    extents = shape_source(shape, variables)
    known = tuple(size for size in shape if isinstance(size, int))
    width = NUMPY[dtype].itemsize
    large = library.create_large.format(shape=extents, n=out.constant(dtype))
    if len(known) == len(shape):
        if prod(known) * width >= LARGE:
            return large
        return library.create_fixed.format(shape=extents, e=out.constant(library.example(dtype, known)))
    small = library.create.format(shape=extents, sizes=extents[1:-1], e=out.constant(library.example(dtype, ())))
    count = " * ".join(sizes.source(size, variables) for size in shape)
    return f"{large} if {count} >= {LARGE // width} else {small}"


def add_entry(out: Source, manifest: Manifest, with_team: bool, variables: dict[str, str], depth: int = 1) -> None:
    """Grows the arena, calls the entry and gives the context back; sets `status`."""
    moving = [(i, b.offset) for i, b in enumerate(manifest.buffers) if b.source == "arena" and not isinstance(b.offset, int)]
    held = write_sums(out, [manifest.arena, *(offset for _, offset in moving)], variables, depth)
    if not isinstance(manifest.arena, int):
        out.add(depth, f"if {held[manifest.arena]} > context.capacity: context.grow({held[manifest.arena]})")
    if moving:
        out.add(depth, "base = context.base")
    for position, offset in moving:
        out.add(depth, f"pointers[{position}] = base + {held[offset]}")
    if with_team:
        out.add(depth, "status = run(team.pointer or start(program), entry, context.address, context.scalars_address)")
    else:
        out.add(depth, "status = entry(context.address, context.scalars_address, None)")
    out.add(depth, "give(context)")


def write_sums(out: Source, wanted: Iterable[Size], variables: dict[str, str], depth: int) -> dict[Size, str]:
    """Locals that hold those of the sizes that are not numbers. A sum is worked out from the one before it where it goes on from
    there, as offsets in an arena do, and what is added up but once."""
    counted = {size: Counter(sizes.terms(size)) for size in wanted if not isinstance(size, int)}
    held: dict[Size, str] = {}
    terms: dict[Size, str] = {}
    before, start = Counter[Size](), ""
    for size, parts in sorted(counted.items(), key=lambda item: item[1].total()):
        goes_on = bool(before) and before <= parts
        added = [start] if goes_on else []
        for term in (parts - before if goes_on else parts).elements():
            if isinstance(term, tuple) and term not in terms:
                terms[term] = f"z{len(terms)}"
                out.add(depth, f"{terms[term]} = {sizes.source(term, variables)}")
            added.append(terms.get(term) or sizes.source(term, variables))
        before, start = parts, f"o{len(held)}"
        held[size] = start
        out.add(depth, f"{start} = {' + '.join(added)}")
    return held


def shape_source(shape: tuple[Size, ...], variables: dict[str, str]) -> str:
    """A tuple of sizes as Python writes it."""
    return "(" + "".join(f"{sizes.source(size, variables)}, " for size in shape) + ")"


def packed(out: Source, tree: Tree, row: str = "", number: str = "y{}.item()") -> str:
    """The nested outputs as an expression over results y0, ..., arguments a0, ... and `constant(name)`; `row` picks a row of each
    result, `number` is the Python number in one."""
    match tree:
        case Leaf("argument", key):
            return f"a{int(key)}"
        case Leaf("result", key):
            return f"y{int(key)}{row}"
        case Leaf(_, key):
            return f"constant({out.constant(key)})"
        case Number(key):
            return number.format(f"{key}{row}")
        case Plain(value):
            return out.constant(value)
        case Rows(part):
            first = next(int(leaf.key) for leaf in leaves(part) if leaf.source == "result")
            return f"[{packed(out, part, '[i, ...]')} for i in range(len(y{first}))]"
        case Chosen(selector, alternatives):
            *others, last = (packed(out, a, row, number) for a in alternatives)
            tests = "".join(f"{a} if {number.format(f'{selector}{row}')} == {n} else " for n, a in enumerate(others))
            return f"({tests}{last})"
        case Record():
            parts = ", ".join(packed(out, part, row, number) for part in tree.parts)
            return f"{out.constant(out.names['record'](tree))}({parts})"
        case tuple():
            return "(" + "".join(f"{packed(out, part, row, number)}, " for part in tree) + ")"
        case list():
            return "[" + ", ".join(packed(out, part, row, number) for part in tree) + "]"
        case dict():
            return "{" + ", ".join(f"{out.constant(key)}: {packed(out, part, row, number)}" for key, part in tree.items()) + "}"
        case Listed():
            raise InternalError("only functions of structures give lists of rows")
