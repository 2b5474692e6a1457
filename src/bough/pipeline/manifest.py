"""What the runtime must know about a compiled function, from the front end's structures and the assembled loops."""

from __future__ import annotations

from typing import Any

from bough.base.errors import InternalError
from bough.frontends.structure import Slot, Structure
from bough.frontends.torch_export import Imported
from bough.ir.expr import Apply, Const, Expr, Extent, Var, substitute
from bough.ir.loops import For
from bough.pipeline.assemble import Assembled
from bough.runtime.manifest import Buffer, Leaf, Manifest, Plain, Scalar, Tensor, Tree
from bough.runtime.sizes import Size
from bough.targets import Target


def make_manifest(imported: Imported, assembled: Assembled, target: Target) -> Manifest:
    """The manifest of the entry function."""
    function = imported.program.functions[imported.program.entry]
    sequence = assembled.sequence
    results = [sequence.temporaries[r] for r in sequence.results]
    shapes = {r: v.type.shape for r, v in zip(sequence.results, function.results, strict=True)}
    buffers: list[Buffer] = [Buffer("argument", n) for n in range(len(sequence.inputs))]
    buffers += [Buffer("result", n) for n in range(len(results))]
    buffers += [Buffer("constant", name) for name in sequence.constants]
    dims: dict[str, Expr] = {d.name: Var(f.name) for d, f in zip(sequence.dims, function.dims, strict=True)}
    buffers += [Buffer("arena", name, size_of(substitute(at, dims))) for name, at in assembled.arena.offsets.items()]
    args, kwargs = imported.inputs if isinstance(imported.inputs, tuple) else ((), {})
    trees = [*args, *kwargs.values()]
    names = [_parameter_name(t, n, imported.names) for n, t in enumerate(args)] + [str(k) for k in kwargs]
    return Manifest(
        entry=f"bough_{assembled.function.name}",
        arguments=tuple(
            Tensor(name, p.type.dtype.name, _sizes(p.type.shape)) for name, p in zip(imported.names, function.params, strict=True)
        ),
        results=tuple(Tensor(r.name, r.dtype.name, _sizes(shapes[r.name])) for r in results),
        constants=tuple(
            Tensor(n, sequence.constant_types[n].name, tuple(int(e) for e in a.shape)) for n, a in sequence.constants.items()
        ),
        buffers=tuple(buffers),
        parameters=tuple(names),
        inputs=tuple(_tree(t, "argument") for t in trees),
        outputs=_tree(imported.outputs, "result"),
        scalars=tuple(Scalar(d.name, d.low, d.high) for d in function.dims),
        arena=size_of(substitute(assembled.arena.size, dims)),
        features=target.features,
        parallel=any(_is_parallel(s) for s in assembled.function.body),
    )


def _is_parallel(statement: Any) -> bool:
    if not isinstance(statement, For):
        return False
    return statement.kind == "parallel" or any(_is_parallel(s) for s in statement.body)


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
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return next((found for p in parts if (found := _first_slot(p, depth + 1)) is not None), None)


def _tree(structure: Structure, source: Any) -> Tree:
    if isinstance(structure, Slot):
        return Leaf(source, structure.index)
    if isinstance(structure, tuple):
        return tuple(_tree(p, source) for p in structure)
    if isinstance(structure, list):
        return [_tree(p, source) for p in structure]
    if isinstance(structure, dict):
        return {k: _tree(p, source) for k, p in structure.items()}
    return Plain(structure)


def _sizes(shape: tuple[Extent, ...]) -> tuple[Size, ...]:
    return tuple(e if isinstance(e, int) else size_of(e) for e in shape)


def size_of(e: Expr) -> Size:
    """A size expression as the runtime's plain data."""
    match e:
        case Const(value, _):
            return int(value)
        case Var(name, _):
            return name
        case Apply(function, (a, b), _) if function in ("add", "sub", "mul", "floordiv", "mod", "min", "max"):
            return (function, size_of(a), size_of(b))
    raise InternalError(f"{e} is no size that the runtime can work out")
