"""What the runtime must know about a compiled function, from the front end's structures and the assembled loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bough.base.errors import InternalError
from bough.base.records import Record
from bough.control_flow import divides
from bough.frontends import structure as structures
from bough.frontends.staging import Listed as Collected
from bough.frontends.staging import Staged
from bough.frontends.structure import Slot, Structure
from bough.frontends.torch_export import Imported
from bough.ir import sequence as sequences
from bough.ir.expr import Apply, Const, Expr, Extent, Var, as_expr, as_extent, substitute, variables
from bough.ir.loops import holds, is_parallel
from bough.ir.program import CAPACITY, Value
from bough.ir.sequence import Sequence
from bough.pipeline.assemble import Assembled
from bough.recursion import MANY_USES, uses_of_weights
from bough.runtime.manifest import (
    Buffer,
    Chosen,
    Cut,
    Failure,
    Leaf,
    Listed,
    Manifest,
    Number,
    Plain,
    Rows,
    Scalar,
    Tensor,
    Tree,
)
from bough.runtime.sizes import Size
from bough.search.apart import apart
from bough.search.cost import machine_of
from bough.targets import Target


def make_manifest(imported: Imported | Staged, assembled: Assembled, target: Target) -> Manifest:
    """The manifest of the entry function."""
    if isinstance(imported, Staged):
        return _structured(imported, assembled, target)
    function = imported.program.functions[imported.program.entry]
    given, sequence = assembled.given, assembled.sequence
    results = [sequence.temporaries[r] for r in sequence.results]
    dims: dict[str, Expr] = {d.name: Var(g.name) for d, g in zip(sequence.dims, given.dims, strict=True)}
    args, kwargs = imported.inputs if isinstance(imported.inputs, tuple) else ((), {})
    trees = [*args, *kwargs.values()]
    names = [_parameter_name(t, n, imported.names) for n, t in enumerate(args)] + [str(k) for k in kwargs]
    return Manifest(
        entry=f"bough_{assembled.function.name}",
        arguments=tuple(
            Tensor(name, p.type.dtype.name, _sizes(p.type.shape)) for name, p in zip(imported.names, function.params, strict=True)
        ),
        results=tuple(Tensor(r.name, r.dtype.name, _given_sizes(r.shape, dims)) for r in results),
        constants=_constants(sequence),
        buffers=_buffers(assembled, dims),
        parameters=tuple(names),
        inputs=tuple(_tree(t, "argument") for t in trees),
        outputs=_tree(imported.outputs, "result"),
        scalars=tuple(Scalar(d.name, d.low, d.high) for d in given.dims),
        arena=size_of(substitute(assembled.arena.size, dims)),
        failures=_failures(assembled),
        capacity=next((d.name for d in given.dims if d.name == CAPACITY), None),
        computed=tuple((name, len(function.results) + n) for n, name in enumerate(given.computed)),
        cuts=_cuts(function.results, given),
        divides=divides(given),
        apart=apart(given, target),
        features=target.features,
        parallel=holds(assembled.function.body, is_parallel),
    )


def _structured(staged: Staged, assembled: Assembled, target: Target) -> Manifest:
    """The manifest of a recursive model: its arguments and sizes are those of the linearized structures."""
    given, sequence = assembled.given, assembled.sequence
    dims: dict[str, Expr] = {d.name: Var(g.name) for d, g in zip(sequence.dims, given.dims, strict=True)}
    return Manifest(
        entry=f"bough_{assembled.function.name}",
        arguments=tuple(Tensor(i.name, i.dtype.name, _sizes(i.shape)) for i in given.inputs),
        results=tuple(
            Tensor(r, o.dtype.name, _given_sizes(o.shape, dims))
            for r in sequence.results
            if (o := sequence.temporaries[r])
        ),
        constants=_constants(sequence),
        buffers=_buffers(assembled, dims),
        parameters=staged.names,
        inputs=(),
        outputs=_tree(staged.outputs, "result", len(staged.recursion.results[staged.recursion.visits.entry])),
        scalars=tuple(Scalar(d.name, d.low, d.high) for d in given.dims),
        arena=size_of(substitute(assembled.arena.size, dims)),
        failures=_failures(assembled),
        features=target.features,
        parallel=holds(assembled.function.body, is_parallel),
        visits=staged.recursion.visits,
        near=machine_of(target).near_bytes if uses_of_weights(sequence) >= MANY_USES else 0,
    )


def samples_manifest(assembled: Assembled, target: Target) -> Manifest:
    """The manifest of a function for many samples: its arguments and results are those of one, with a row for each sample."""
    given, sequence = assembled.given, assembled.sequence
    dims: dict[str, Expr] = {d.name: Var(g.name) for d, g in zip(sequence.dims, given.dims, strict=True)}
    return Manifest(
        entry=f"bough_{assembled.function.name}",
        arguments=tuple(Tensor(i.name, i.dtype.name, _sizes(i.shape)) for i in given.inputs),
        results=tuple(
            Tensor(r, o.dtype.name, _given_sizes(o.shape, dims)) for r in sequence.results if (o := sequence.temporaries[r])
        ),
        constants=_constants(sequence),
        buffers=_buffers(assembled, dims),
        parameters=tuple(i.name for i in given.inputs),
        inputs=tuple(Leaf("argument", n) for n in range(len(given.inputs))),
        outputs=tuple(Leaf("result", n) for n in range(len(sequence.results))),
        scalars=tuple(Scalar(d.name, d.low, d.high) for d in given.dims),
        arena=size_of(substitute(assembled.arena.size, dims)),
        failures=_failures(assembled),
        capacity=next((d.name for d in given.dims if d.name == CAPACITY), None),
        features=target.features,
        parallel=holds(assembled.function.body, is_parallel),
    )


def _given_sizes(shape: tuple[Extent, ...], dims: dict[str, Expr]) -> tuple[Size, ...]:
    """A shape by the manifest's names of sizes."""
    return _sizes(tuple(as_extent(substitute(as_expr(e), dims)) for e in shape))


def _cuts(results: tuple[Value, ...], given: Sequence) -> tuple[Cut, ...]:
    """Results of which the call knows best how large they are."""
    computed = set(given.computed)
    shapes = [r.type.shape for r in results]
    return tuple(Cut(n, _sizes(s)) for n, s in enumerate(shapes) if any(computed & variables(as_expr(e)) for e in s))


def _failures(assembled: Assembled) -> tuple[Failure, ...]:
    """The failures by status, with the user's lines in their messages."""
    return tuple(Failure(n, f.error, _message(f)) for n, f in enumerate(assembled.failures, 1))


def _message(f: sequences.Failure) -> str:
    if f.error == sequences.ENDLESS:
        text = f"a loop has run {f.message} times"
    else:
        text = f.message
    if f.location is None or f.error == CAPACITY:
        return text
    line = f"{f.location}" + (f": {f.location.text}" if f.location.text else "")
    return f"{text}\n  at {line}"


def _constants(sequence: Sequence) -> tuple[Tensor, ...]:
    types = sequence.constant_types
    return tuple(Tensor(n, types[n].name, tuple(int(e) for e in a.shape)) for n, a in sequence.constants.items())


def _buffers(assembled: Assembled, dims: dict[str, Expr]) -> tuple[Buffer, ...]:
    """What each pointer of the entry points at; `dims` are the sizes by the manifest's names."""
    sequence = assembled.sequence
    return (
        *(Buffer("argument", n) for n in range(len(sequence.inputs))),
        *(Buffer("result", n) for n in range(len(sequence.results))),
        *(Buffer("constant", name) for name in sequence.constants),
        *(Buffer("arena", name, size_of(substitute(at, dims))) for name, at in assembled.arena.offsets.items()),
    )


def _parameter_name(tree: Structure, position: int, names: tuple[str, ...]) -> str:
    """The path of any tensor in an argument, less the way from the argument to the tensor."""
    found = _first_slot(tree)
    if found is None:
        return f"argument{position}"
    slot, depth = found
    parts = names[slot.index].split(".")
    return ".".join(parts[: len(parts) - depth])


def _first_slot(tree: Structure, depth: int = 0) -> tuple[Slot, int] | None:
    if isinstance(tree, Slot):
        return tree, depth
    if isinstance(tree, Record):
        tree = tree.parts
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return next((found for p in parts if (found := _first_slot(p, depth + 1)) is not None), None)


def _tree(structure: Structure, source: Any, lists: int = 0) -> Tree:
    """`lists` is the result that list 0 of a recursive model is in."""
    match structure:
        case Slot(index, number):
            return Number(index) if number and source == "result" else Leaf(source, index)
        case Collected(number, stacked, result):
            return Listed(number, lists + number if result is None else result, stacked)
        case structures.Rows(part):
            return Rows(_tree(part, source, lists))
        case structures.Chosen(selector, alternatives):
            return Chosen(selector, tuple(_tree(a, source, lists) for a in alternatives))
        case Record(parts=parts):
            return replace(structure, parts=tuple(_tree(p, source, lists) for p in parts), kind=None)
        case tuple() | list():
            return type(structure)(_tree(p, source, lists) for p in structure)
        case dict():
            return {k: _tree(p, source, lists) for k, p in structure.items()}
        case _:
            return Plain(structure)


def _sizes(shape: tuple[Extent, ...]) -> tuple[Size, ...]:
    return tuple(e if isinstance(e, int) else size_of(e) for e in shape)


def size_of(e: Expr) -> Size:
    """A size expression as the runtime's plain data."""
    match e:
        case Apply("add", _, _):
            return _sum([size_of(term) for term in _terms(e)])
        case Const(value, _):
            return int(value)
        case Var(name, _):
            return name
        case Apply(function, (a, b), _) if function in ("add", "sub", "mul", "floordiv", "mod", "min", "max"):
            return (function, size_of(a), size_of(b))
    raise InternalError(f"{e} is no size that the runtime can work out")


def _terms(e: Expr) -> list[Expr]:
    """What a sum adds up, however it is nested."""
    found: list[Expr] = []
    open_ = [e]
    while open_:
        match open_.pop():
            case Apply("add", (a, b), _):
                open_ += [b, a]
            case term:
                found.append(term)
    return found


def _sum(terms: list[Size]) -> Size:
    """A sum nested no deeper than it must be: memory for many arrays has many terms."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return ("add", _sum(terms[:middle]), _sum(terms[middle:]))
