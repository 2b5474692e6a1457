"""Writes the Python functions that call a compiled function of structures, once for each library of results.

Linearizing fills the context's pointers and sizes by itself; what is left are results, arena and the call.
"""

from __future__ import annotations

from typing import Any

from bough.base.errors import InternalError
from bough.base.records import Record
from bough.runtime import sizes
from bough.runtime.caller import Caller, Library, Source, add_entry, add_results
from bough.runtime.manifest import Chosen, Leaf, Listed, Manifest, Number, Plain, Rows, Tree, leaves
from bough.runtime.sizes import Size


def write_structured_callers(
    manifest: Manifest, library: Library, with_team: bool, names: dict[str, Any]
) -> tuple[Caller, Caller]:
    """`one(*args)` gives the output of a call, `many(list of args)` the list of theirs; `args` are tuples of all arguments.

    `names` holds what the source uses of the executable, as for `caller.write_callers`, besides `fill(flat, samples)`,
    `rows(array)`: the rows of a result, `parts(array, ends)`: those between two `ends`, `portions`: those that
    `many` takes, and `slow(*args, **kwargs)` for arguments that are not as many or have names.
    """
    out = Source({**names, **library.names})
    variables = {scalar.name: f"s{i}" for i, scalar in enumerate(manifest.scalars)}
    outputs = _Outputs(out, manifest)

    out.add(0, "def one(*args, **kwargs):")
    out.add(1, f"if kwargs or len(args) != {len(manifest.parameters)}: return slow(*args, **kwargs)")
    out.add(1, "samples = [args]")
    _linearize(out, manifest, with_team, variables, outputs.single())
    _run(out, manifest, library, with_team, variables, outputs.single())
    for result in outputs.listed:
        out.add(1, f"l{result} = rows(y{result})")
    out.add(1, f"return {outputs.pack(manifest.outputs, 'y', whole=True)}")

    out.add(0, "def many(samples):")
    _linearize(out, manifest, with_team, variables, frozenset())
    if not isinstance(manifest.arena, int):
        out.add(1, f"if portions.note(len(samples), {sizes.source(manifest.arena, variables)}):")
        out.add(2, "give(context)")
        out.add(2, "return portions.map(many, samples)")
    _run(out, manifest, library, with_team, variables, frozenset())
    for result in outputs.listed:
        out.add(1, f"l{result} = rows(y{result})")
    for number in outputs.lists:
        out.add(1, f"e{number} = flat.spans({number})")
    targets, sources = outputs.loop()
    out.add(1, f"return [{outputs.pack(manifest.outputs, 'r', whole=False)} for {targets} in zip({sources})]")

    source = "\n".join(out.lines) + "\n"
    exec(compile(source, f"<caller of {manifest.entry!r}>", "exec"), out.names)
    return out.names["one"], out.names["many"]


def _linearize(
    out: Source, manifest: Manifest, with_team: bool, variables: dict[str, str], single: frozenset[int]
) -> None:
    """Linearizes `samples` into a context; gives the sizes that are needed their variables."""
    if with_team:
        out.add(1, "expect(team.pointer or start(program))")
    out.add(1, "try: context = take()")
    out.add(1, "except IndexError: context = make()")
    out.add(1, "flat = context.flat")
    out.add(1, "fill(flat, samples)")
    out.add(1, "scalars = context.scalars")
    used = {name for size in _sizes(manifest, _shapes(manifest, single)) for name in sizes.names(size)}
    for i, scalar in enumerate(manifest.scalars):
        if scalar.name in used:
            out.add(1, f"{variables[scalar.name]} = scalars[{i}]")


def _run(
    out: Source, manifest: Manifest, library: Library, with_team: bool, variables: dict[str, str], single: frozenset[int]
) -> None:
    """Computes the results y0, y1, ...; those of `single` are one row."""
    add_results(out, manifest, _shapes(manifest, single), library, variables)
    out.add(1, "pointers = context.pointers")
    for position, buffer in enumerate(manifest.buffers):
        if buffer.source == "result":
            pointer = library.pointer.format(x=f"y{int(buffer.key)}")
            offset = f" + {sizes.source(buffer.offset, variables)}" if buffer.offset != 0 else ""
            out.add(1, f"pointers[{position}] = {pointer}{offset}")
    add_entry(out, manifest, with_team, variables)
    out.add(1, "if status: fail(status)")


def _shapes(manifest: Manifest, single: frozenset[int]) -> list[tuple[Size, ...]]:
    return [t.shape[1:] if n in single else t.shape for n, t in enumerate(manifest.results)]


def _sizes(manifest: Manifest, shapes: list[tuple[Size, ...]]) -> list[Size]:
    return [manifest.arena, *(b.offset for b in manifest.buffers), *(size for shape in shapes for size in shape)]


class _Outputs:
    """The nested outputs as expressions over results, their rows, and lists of rows."""

    def __init__(self, out: Source, manifest: Manifest) -> None:
        self.out, self.manifest = out, manifest
        found = list(_listed(manifest.outputs))
        self.listed = sorted({o.result for o in found if not o.stacked})
        self.lists = sorted({o.list for o in found})
        self.cut = sorted({o.list for o in found if not o.stacked})
        self.stacked = sorted({(o.list, o.result) for o in found if o.stacked})
        plain = {int(leaf.key) for leaf in leaves(manifest.outputs) if leaf.source == "result"}
        self.plain = sorted(plain - {o.result for o in found})

    def single(self) -> frozenset[int]:
        """Results of which a single call is the only row."""
        return frozenset(self.plain)

    def loop(self) -> tuple[str, str]:
        """What a loop over the samples goes over: the variables and their sources."""
        pairs = [("_", "samples"), *((f"r{n}", f"rows(y{n})") for n in self.plain)]
        for n in self.cut:
            pairs += [(f"b{n}", f"e{n}"), (f"t{n}", f"e{n}[1:]")]
        pairs += [(f"q{n}_{r}", f"parts(y{r}, e{n})") for n, r in self.stacked]
        return ", ".join(p[0] for p in pairs) + ",", ", ".join(p[1] for p in pairs)

    def pack(self, tree: Tree, prefix: str, whole: bool) -> str:
        match tree:
            case Leaf("result", key):
                return f"{prefix}{int(key)}"
            case Leaf(_, key):
                return f"constant({self.out.constant(key)})"
            case Listed(number, result, stacked):
                if stacked:
                    return f"y{result}" if whole else f"q{number}_{result}"
                return f"list(l{result})" if whole else f"list(l{result}[b{number}:t{number}])"
            case Number(key):
                return f"{prefix}{key}.item()"
            case Plain(value):
                return self.out.constant(value)
            case Rows() | Chosen():
                raise InternalError("functions of structures give no values that depend on what they compute")
            case Record(parts=held):
                inner = ", ".join(self.pack(part, prefix, whole) for part in held)
                return f"{self.out.constant(self.out.names['record'](tree))}({inner})"
            case tuple():
                return "(" + "".join(f"{self.pack(part, prefix, whole)}, " for part in tree) + ")"
            case list():
                return "[" + ", ".join(self.pack(part, prefix, whole) for part in tree) + "]"
            case dict():
                parts = (f"{self.out.constant(key)}: {self.pack(part, prefix, whole)}" for key, part in tree.items())
                return "{" + ", ".join(parts) + "}"


def _listed(tree: Tree) -> list[Listed]:
    match tree:
        case Listed():
            return [tree]
        case Record(parts=parts):
            return _listed(parts)
        case dict():
            return [found for part in tree.values() for found in _listed(part)]
        case tuple() | list():
            return [found for part in tree for found in _listed(part)]
        case _:
            return []


