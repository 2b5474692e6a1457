"""Many inputs of one function together: they are stacked, and computed by a function for many samples."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from bough.base.errors import InputError
from bough.base.records import Classes, maker
from bough.base.visits import Payload
from bough.runtime import sizes
from bough.runtime.apart import Args, one_by_one
from bough.runtime.arrays import NUMPY, torch, torch_dtype
from bough.runtime.binding import Bound, bind, check_sizes
from bough.runtime.caller import Source, packed
from bough.runtime.manifest import Leaf, Manifest, Tensor
from bough.runtime.portions import MEMORY
from bough.runtime.sizes import Size

if TYPE_CHECKING:
    from bough.runtime.executable import Executable

PORTION = 256
"""Samples that are computed together at the most: lists of them are split in a time that grows with their length squared."""

APART = 4
"""How many times as large as another a sample may be that is computed with it, in each of its sizes: arrays are as large as the
largest needs."""


@dataclass(frozen=True, slots=True)
class Group:
    """Inputs that are computed together: their numbers and, for each tensor of the function, that of every one of them.
    `sizes` are the symbolic sizes of each input; one for all, where they are equal. `looked_at`: whether it is known that the
    tensors are of the kinds and shapes that the function takes."""

    numbers: Sequence[int]
    tensors: list[Sequence[Any]]
    given: list[Sequence[Any]]
    of_torch: bool
    sizes: Sequence[Mapping[str, int]]
    looked_at: bool = True

    def portions(self, most: int) -> Iterator[Group]:
        """As few parts of at most so many inputs as there can be, of nearly the same size."""
        count = -(-len(self.numbers) // most)
        if count == 1:
            yield self
            return
        for n in range(count):
            yield self.part(range(len(self.numbers) * n // count, len(self.numbers) * (n + 1) // count))

    def part(self, places: Sequence[int]) -> Group:
        """The inputs at these places."""

        def of(column: Sequence[Any]) -> Sequence[Any]:
            return [column[n] for n in places]

        sizes = self.sizes if len(self.sizes) == 1 else of(self.sizes)
        tensors, given = [*map(of, self.tensors)], [*map(of, self.given)]
        return replace(self, numbers=of(self.numbers), tensors=tensors, given=given, sizes=sizes)

    def largest(self, name: str) -> int:
        return max(sizes[name] for sizes in self.sizes)

    def each(self) -> Iterable[Mapping[str, int]]:
        """The sizes of every input."""
        return self.sizes if len(self.sizes) > 1 else repeat(self.sizes[0], len(self.numbers))


class Samples:
    """`one` computes one input; `many` takes and gives the same arrays with one more dimension in front, over samples, and takes
    those symbolic sizes of each sample that may differ."""

    def __init__(self, one: Executable, many: Executable) -> None:
        self.one, self.many, self.manifest = one, many, one.manifest
        self.names: dict[bool, dict[str, Any]] = {}
        self.own = [s.name for s in one.manifest.scalars if s.name != one.manifest.capacity]
        """The sizes of an input."""
        given = {t.name for t in many.manifest.arguments[len(one.manifest.arguments) :]}
        self.differ = [name for name in self.own if f"{name}.sizes" in given]
        """Those that may differ between inputs which are computed together."""
        self.cut = {n: r.shape for n, r in enumerate(self.manifest.results) if not _names(r.shape).isdisjoint(self.own)}
        self.cut |= {c.result: c.shape for c in self.manifest.cuts}
        inputs = self.manifest.inputs
        keys = [int(t.key) for t in inputs if isinstance(t, Leaf)]
        self.flat = sorted(range(len(keys)), key=keys.__getitem__) if len(keys) == len(inputs) else None
        """Which argument each tensor is, where no argument holds several."""
        self.columns, self.pack = write_pack(self.manifest, one.classes)
        self.reader = many.tensor_reader() if self.flat else None

    def map(self, inputs: Sequence[Args]) -> list[Any]:
        """`[one(*x) for x in inputs]`, bit for bit. Raises what the first input to fail raises, naming the input."""
        try:
            equal = self.equal(inputs)
            if equal:
                try:
                    return self.outputs([equal], len(inputs))
                except _UnlikeError:
                    pass
            return self.outputs(self.groups(inputs), len(inputs))
        except InputError:
            return one_by_one(self.one.call, inputs)  # the first to fail says so as a call of its own does

    def outputs(self, groups: Iterable[Group], count: int) -> list[Any]:
        outputs: list[Any] = [None] * count
        for group in groups:
            for part in group.portions(self.portion(group)):
                for n, output in zip(part.numbers, self.together(part), strict=True):
                    outputs[n] = output
        return outputs

    def equal(self, inputs: Sequence[Args]) -> Group | None:
        """All inputs as one group that is looked at when it is read, where all may be torch tensors like the first."""
        module = torch()
        if self.reader is None or not self.flat or module is None or any(len(args) != len(self.flat) for args in inputs):
            return None
        columns = [*zip(*inputs, strict=True)]
        if any({type(x) for x in column} != {module.Tensor} for column in columns):
            return None
        tensors: list[Sequence[Any]] = [columns[n] for n in self.flat]
        shapes = [column[0].shape for column in tensors]
        if any(len(shape) != len(t.shape) for shape, t in zip(shapes, self.manifest.arguments, strict=True)):
            return None
        return Group(range(len(inputs)), tensors, tensors, True, (self.sizes(shapes),), looked_at=False)

    def groups(self, inputs: Sequence[Args]) -> Iterator[Group]:
        """The inputs that are computed together."""
        alike = self.alike(inputs)
        for group in [alike] if alike else self.bound(inputs):
            yield from self.near(group)

    def alike(self, inputs: Sequence[Args]) -> Group | None:
        """All inputs as one group, where their arguments are tensors of the kinds and ranks that the function takes, maybe of
        different shapes. Where shapes are equal, too, what is wrong with them shows when they are computed."""
        if not self.flat or any(len(args) != len(self.flat) for args in inputs):
            return None
        columns = list(zip(*inputs, strict=True))
        module = torch()
        of_torch = module is not None and type(columns[0][0]) is module.Tensor
        kind = module.Tensor if of_torch else np.ndarray
        if any({type(x) for x in column} != {kind} for column in columns):
            return None
        tensors: list[Sequence[Any]] = [columns[n] for n in self.flat]
        if not all(map(_of_kind if of_torch else _of_dtype, self.manifest.arguments, tensors)):
            return None
        shapes = [*zip(*([tuple(x.shape) for x in column] for column in tensors), strict=True)]
        known = {each: self.sizes(each) for each in set(shapes)}
        if any(len(shape) != len(t.shape) for each in known for shape, t in zip(each, self.manifest.arguments, strict=True)):
            return None
        if len(known) == 1:
            return Group(range(len(inputs)), tensors, tensors, of_torch, (known[shapes[0]],))
        bind(self.manifest, inputs[0], {})
        for each in known:
            check_sizes(self.manifest, each)
        return Group(range(len(inputs)), tensors, tensors, of_torch, [known[each] for each in shapes])

    def bound(self, inputs: Sequence[Args]) -> Iterator[Group]:
        """All inputs, each checked and converted, in a group for each library."""
        found: dict[bool, list[tuple[int, Bound]]] = {}
        for n, args in enumerate(inputs):
            one = bind(self.manifest, args, {})
            found.setdefault(one.of_torch, []).append((n, one))
        for of_torch, members in found.items():
            tensors: list[Sequence[Any]] = [*zip(*(one.tensors for _, one in members), strict=True)]
            given: list[Sequence[Any]] = [*zip(*(one.given for _, one in members), strict=True)]
            sizes = [self.sizes([x.shape for x in one.tensors]) for _, one in members]
            yield Group([n for n, _ in members], tensors, given, of_torch, sizes)

    def near(self, group: Group) -> Iterator[Group]:
        """The group in parts whose common sizes are equal, and whose others are not far apart."""
        if len(group.sizes) == 1:
            yield group
            return
        common = [name for name in self.own if name not in self.differ]
        part: list[int] = []
        least: dict[str, int] = {}
        most: dict[str, int] = {}
        order = [*common, *self.differ]
        for n in sorted(range(len(group.sizes)), key=lambda n: [group.sizes[n][name] for name in order]):
            here = group.sizes[n]
            lower = {name: min(size, least.get(name, size)) for name, size in here.items()}
            upper = {name: max(size, most.get(name, size)) for name, size in here.items()}
            if part and any(upper[name] > (lower[name] if name in common else APART * max(1, lower[name])) for name in order):
                yield group.part(part)
                part, lower, upper = [], dict(here), dict(here)
            part.append(n)
            least, most = lower, upper
        yield group.part(part)

    def portion(self, group: Group) -> int:
        """How many samples of these shapes are computed together."""
        if len(group.numbers) <= 2:
            return 2
        many = self.many.manifest
        known = {name: group.largest(name) for name in self.own}
        if many.capacity is not None:
            known[many.capacity] = self.many.capacity.now
        samples = next(s.name for s in many.scalars if s.name not in known)
        return max(2, min(PORTION, _fitting(many.arena, samples, tuple(known.items()))))

    def sizes(self, shapes: Iterable[tuple[int, ...]]) -> dict[str, int]:
        """The symbolic sizes of a call, from the shapes of its arguments."""
        found: dict[str, int] = {}
        for tensor, given in zip(self.manifest.arguments, shapes):
            found |= {size: n for size, n in zip(tensor.shape, given) if isinstance(size, str)}
        return found

    def together(self, group: Group) -> list[Any]:
        """What a call of its own returns for each input of a group."""
        names = self.names_of(group.of_torch)
        own = {name: [sizes[name] for sizes in group.each()] for name in self.own}
        numbers = (own[name] for name in self.differ)
        stacks = map(names["stack"], group.tensors) if group.looked_at else map(self.read, group.tensors, self.manifest.arguments)
        results = self.many.call(*stacks, *map(names["numbers"], numbers))
        known = own | {name: results[r].tolist() for name, r in self.manifest.computed}

        def column(kind: str, n: int) -> Sequence[Any]:
            if kind == "y":
                return self.rows(n, results[n], known, group)
            return results[n].tolist() if kind == "k" else group.given[n]

        return self.pack([group.numbers, *(column(*c) for c in self.columns)], names["constant"])

    def read(self, tensors: Sequence[Any], wanted: Tensor) -> Any:
        """Torch tensors like the first as rows of one. Raises where one of them is of another kind or shape."""
        shape = tuple(tensors[0].shape)
        rows = torch().empty((len(tensors), *shape), dtype=torch_dtype(wanted.dtype))
        assert self.reader
        if not self.reader.read_into(list(tensors), Payload(None, wanted.dtype, shape), rows.data_ptr()):
            raise _UnlikeError
        return rows

    def rows(self, number: int, result: Any, known: Mapping[str, Sequence[int]], group: Group) -> Sequence[Any]:
        """Of a result, what each input has; `known` are the sizes of each."""
        names, shape = self.names_of(group.of_torch), self.cut.get(number)
        if shape is None or (len(group.sizes) == 1 and _names(shape).issubset(self.own)):
            return names["rows"](result)  # type: ignore[no-any-return]
        ends = [*zip(*(_each(size, known, len(group.numbers)) for size in shape), strict=True)]
        if len(set(ends)) == 1:
            return names["rows"](names["cut"](result, (len(ends), *ends[0])))  # type: ignore[no-any-return]
        _, most, *rest = result.shape
        if all(end[1:] == (*rest,) for end in ends):
            edges = [0, *accumulate(n for count, *_ in ends for n in (count, most - count))]
            return names["parts"](result.reshape((len(ends) * most, *rest)), edges)[::2]  # type: ignore[no-any-return]
        return [names["cut"](row, end) for row, end in zip(names["rows"](result), ends, strict=True)]

    def names_of(self, of_torch: bool) -> dict[str, Any]:
        """The functions of the library of the arguments: `stack`, `rows`, `cut`, `constant`."""
        if of_torch not in self.names:
            self.names[of_torch] = self.one.names(of_torch)
        return self.names[of_torch]


class _UnlikeError(Exception):
    """Tensors that were taken for equal are not."""


Pack = Callable[[list[Sequence[Any]], Callable[[str], Any]], list[Any]]


@lru_cache(maxsize=64)
def _fitting(arena: Size, samples: str, known: tuple[tuple[str, int], ...]) -> int:
    """How many samples have room in the memory for arrays."""
    few, more = (sizes.evaluate(arena, {**dict(known), samples: count}) for count in (64, 128))
    return 64 * MEMORY // max(1, more - few)


def _of_kind(wanted: Tensor, column: Sequence[Any]) -> bool:
    """Whether these torch tensors are dense ones of a type, on the CPU."""
    dtype, strided = torch_dtype(wanted.dtype), torch().strided
    return all(x.dtype is dtype and x.is_cpu and x.layout is strided and not x.is_nested for x in column)


def _of_dtype(wanted: Tensor, column: Sequence[Any]) -> bool:
    return all(x.dtype == NUMPY[wanted.dtype] for x in column)


def _each(size: Size, known: Mapping[str, Sequence[int]], count: int) -> Iterable[int]:
    """A size of each of so many inputs."""
    if isinstance(size, int):
        return repeat(size, count)
    if isinstance(size, str):
        return known[size]
    names = dict.fromkeys(sizes.names(size))
    return [sizes.evaluate(size, dict(zip(names, here, strict=True))) for here in zip(*(known[n] for n in names), strict=True)]


def _names(shape: Sequence[Size]) -> set[str]:
    return {name for size in shape for name in sizes.names(size)}


def write_pack(manifest: Manifest, classes: Classes) -> tuple[list[tuple[str, int]], Pack]:
    """A function that nests, for each sample, what is its own of columns as the outputs of a call, and which columns it takes
    behind the samples' numbers: the rows of a result (y), its elements as Python's numbers (k), an argument (a)."""
    out = Source({"record": partial(maker, classes=classes)})
    outputs = packed(out, manifest.outputs, number="k{}")
    used = {node.id for node in ast.walk(ast.parse(outputs)) if isinstance(node, ast.Name)}
    counts = {"y": len(manifest.results), "k": len(manifest.results), "a": len(manifest.arguments)}
    columns = [(kind, n) for kind, count in counts.items() for n in range(count) if f"{kind}{n}" in used]
    out.add(0, "def pack(columns, constant):")
    out.add(1, f"return [{outputs} for {', '.join(['_', *(f'{kind}{n}' for kind, n in columns)])}, in zip(*columns)]")
    exec(compile("\n".join(out.lines) + "\n", f"<outputs of {manifest.entry!r}>", "exec"), out.names)
    return columns, out.names["pack"]
