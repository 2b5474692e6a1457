"""Many inputs of one function together: they are stacked, and computed by a function for many samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from bough.base.errors import InputError
from bough.runtime import sizes
from bough.runtime.apart import Args, about, one_by_one
from bough.runtime.arrays import torch
from bough.runtime.binding import Bound, bind
from bough.runtime.caller import Source, packed
from bough.runtime.manifest import Leaf, Manifest
from bough.runtime.portions import MEMORY
from bough.runtime.sizes import Size

if TYPE_CHECKING:
    from bough.runtime.executable import Executable

PORTION = 256
"""Samples that are computed together at the most: lists of them are split in a time that grows with their length squared."""

APART = 4
"""How many times as large as another a sample may be that is computed with it, in each of its sizes: arrays are as large as the
largest needs."""

Member = tuple[int, Bound, dict[str, int]]
"""A sample's number, its arguments and its sizes."""


@dataclass(frozen=True, slots=True)
class Group:
    """Inputs that are computed together: their numbers and, for each tensor of the function, that of every one of them.
    `sizes` are the symbolic sizes of each input; one for all, where they are equal."""

    numbers: Sequence[int]
    tensors: list[Sequence[Any]]
    given: list[Sequence[Any]]
    of_torch: bool
    sizes: Sequence[Mapping[str, int]]

    def portions(self, most: int) -> Iterator[Group]:
        """As few parts of at most so many inputs as there can be, of nearly the same size."""
        count = -(-len(self.numbers) // most)
        for n in range(count):
            part = slice(len(self.numbers) * n // count, len(self.numbers) * (n + 1) // count)
            sizes = self.sizes if len(self.sizes) == 1 else self.sizes[part]
            yield Group(self.numbers[part], [t[part] for t in self.tensors], [g[part] for g in self.given], self.of_torch, sizes)

    def largest(self, name: str) -> int:
        return max(sizes[name] for sizes in self.sizes)

    def each(self) -> Iterable[Mapping[str, int]]:
        """The sizes of every input."""
        return self.sizes if len(self.sizes) > 1 else repeat(self.sizes[0], len(self.numbers))


class Samples:
    """`one` computes one input; `many` takes and gives the same arrays with one more dimension in front, over samples, and takes
    the symbolic sizes of each sample."""

    def __init__(self, one: Executable, many: Executable) -> None:
        self.one, self.many, self.manifest = one, many, one.manifest
        self.names: dict[bool, dict[str, Any]] = {}
        self.own = [s.name for s in one.manifest.scalars if s.name != one.manifest.capacity]
        """The sizes that may differ between samples."""
        self.cut = {n: r.shape for n, r in enumerate(self.manifest.results) if not _names(r.shape).isdisjoint(self.own)}
        self.cut |= {c.result: c.shape for c in self.manifest.cuts}
        inputs = self.manifest.inputs
        keys = [int(t.key) for t in inputs if isinstance(t, Leaf)]
        self.flat = sorted(range(len(keys)), key=keys.__getitem__) if len(keys) == len(inputs) else None
        """Which argument each tensor is, where no argument holds several."""
        self.pack = write_pack(self.manifest)

    def map(self, inputs: Sequence[Args]) -> list[Any]:
        """`[one(*x) for x in inputs]`, bit for bit. Raises what the first input to fail raises, naming the input."""
        alike = self.alike(inputs)
        outputs: list[Any] = [None] * len(inputs)
        try:
            for group in [alike] if alike else self.groups(inputs):
                for part in group.portions(self.portion(group)):
                    for n, output in zip(part.numbers, self.together(part), strict=True):
                        outputs[n] = output
        except InputError:
            return one_by_one(self.one.call, inputs)  # the first to fail says so as a call of its own does
        return outputs

    def alike(self, inputs: Sequence[Args]) -> Group | None:
        """All inputs as one group, unchecked, where their arguments are tensors of equal kind and shape: what is wrong with
        them shows when they are computed."""
        if self.flat is None or any(len(args) != len(self.flat) for args in inputs):
            return None
        columns = list(zip(*inputs, strict=True))
        module = torch()
        of_torch = module is not None and type(columns[0][0]) is module.Tensor
        kind = module.Tensor if of_torch else np.ndarray
        for column in columns:
            if {type(x) for x in column} != {kind} or len({(x.shape, x.dtype) for x in column}) > 1:
                return None
        tensors: list[Sequence[Any]] = [columns[n] for n in self.flat]
        return Group(range(len(inputs)), tensors, tensors, of_torch, (self.sizes([t[0] for t in tensors]),))

    def groups(self, inputs: Sequence[Args]) -> Iterator[Group]:
        found: dict[bool, list[Member]] = {}
        for n, args in enumerate(inputs):
            try:
                bound = bind(self.manifest, args, {})
            except InputError as error:
                raise about(n, error) from None
            found.setdefault(bound.of_torch, []).append((n, bound, self.sizes(bound.tensors)))
        for of_torch, members in found.items():
            for near in self.near(members):
                tensors: list[Sequence[Any]] = [*zip(*(b.tensors for _, b, _ in near), strict=True)]
                given: list[Sequence[Any]] = [*zip(*(b.given for _, b, _ in near), strict=True)]
                yield Group([n for n, _, _ in near], tensors, given, of_torch, [s for _, _, s in near])

    def near(self, members: list[Member]) -> Iterator[list[Member]]:
        """The members in parts of sizes that are not far apart."""
        part: list[Member] = []
        least: dict[str, int] = {}
        most: dict[str, int] = {}
        for member in sorted(members, key=lambda m: tuple(m[2].values())):
            here = member[2]
            lower = {name: min(n, least.get(name, n)) for name, n in here.items()}
            upper = {name: max(n, most.get(name, n)) for name, n in here.items()}
            if part and any(upper[name] > APART * max(1, n) for name, n in lower.items()):
                yield part
                part, lower, upper = [], here, here
            part.append(member)
            least, most = lower, upper
        yield part

    def portion(self, group: Group) -> int:
        """How many samples of these shapes are computed together."""
        if len(group.numbers) <= 2:
            return 2
        many = self.many.manifest
        known = {name: group.largest(name) for name in self.own}
        if many.capacity is not None:
            known[many.capacity] = self.many.capacity.now
        samples = next(s.name for s in many.scalars if s.name not in known)
        few, more = (sizes.evaluate(many.arena, {**known, samples: count}) for count in (64, 128))
        return max(2, min(PORTION, 64 * MEMORY // max(1, more - few)))

    def sizes(self, tensors: Sequence[Any]) -> dict[str, int]:
        """The symbolic sizes of a call, from the shapes of its arguments."""
        found: dict[str, int] = {}
        for tensor, given in zip(self.manifest.arguments, tensors, strict=True):
            found |= {size: n for size, n in zip(tensor.shape, given.shape) if isinstance(size, str)}
        return found

    def together(self, group: Group) -> list[Any]:
        """What a call of its own returns for each input of a group."""
        names = self.names_of(group.of_torch)
        own = [names["numbers"]([sizes[name] for sizes in group.each()]) for name in self.own]
        results = self.many.call(*map(names["stack"], group.tensors), *own)
        rows = [names["rows"](r) for r in results]
        computed = {name: results[r].tolist() for name, r in self.manifest.computed}
        for result, shape in self.cut.items():
            if len(group.sizes) == 1 and computed.keys().isdisjoint(_names(shape)):
                continue
            cut = []
            for n, (row, known) in enumerate(zip(rows[result], group.each(), strict=True)):
                ends = {**known, **{name: numbers[n] for name, numbers in computed.items()}}
                cut.append(names["cut"](row, tuple(sizes.evaluate(size, ends) for size in shape)))
            rows[result] = cut
        return self.pack([*rows, *group.given], names["constant"])

    def names_of(self, of_torch: bool) -> dict[str, Any]:
        """The functions of the library of the arguments: `stack`, `rows`, `cut`, `constant`."""
        if of_torch not in self.names:
            self.names[of_torch] = self.one.names(of_torch)
        return self.names[of_torch]


Pack = Callable[[list[Sequence[Any]], Callable[[str], Any]], list[Any]]


def _names(shape: Sequence[Size]) -> set[str]:
    return {name for size in shape for name in sizes.names(size)}


def write_pack(manifest: Manifest) -> Pack:
    """A function that nests, for each sample, its rows of the results and its arguments as the outputs of a call of its own."""
    out = Source({})
    names = [*(f"y{n}" for n in range(len(manifest.results))), *(f"a{n}" for n in range(len(manifest.arguments)))]
    out.add(0, "def pack(columns, constant):")
    out.add(1, f"return [{packed(out, manifest.outputs)} for {', '.join(names)}, in zip(*columns)]")
    exec(compile("\n".join(out.lines) + "\n", f"<outputs of {manifest.entry!r}>", "exec"), out.names)
    function: Pack = out.names["pack"]
    return function
