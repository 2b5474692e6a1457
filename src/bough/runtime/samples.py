"""Many inputs of one function together: those of equal shapes are stacked, and computed by a function for many samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bough.base.errors import InputError, InternalError
from bough.runtime import sizes
from bough.runtime.arrays import torch
from bough.runtime.binding import Bound, bind
from bough.runtime.manifest import Leaf, Listed, Number, Plain, Tree

if TYPE_CHECKING:
    from bough.runtime.executable import Executable

PORTION = 256
"""Samples that are computed together at the most: lists of them are split in a time that grows with their length squared."""
MEMORY = 1 << 30
"""Bytes of the memory private to a call that samples computed together may fill, unless two of them fill more."""

Args = tuple[Any, ...]


class Samples:
    """`one` computes one input; `many` takes and gives the same arrays with one more dimension in front, over samples."""

    def __init__(self, one: Executable, many: Executable) -> None:
        self.one, self.many, self.manifest = one, many, one.manifest
        self.names: dict[bool, dict[str, Any]] = {}
        self.portions: dict[Any, int] = {}
        inputs = self.manifest.inputs
        keys = [int(t.key) for t in inputs if isinstance(t, Leaf)]
        self.flat = sorted(range(len(keys)), key=keys.__getitem__) if len(keys) == len(inputs) else []
        """Which argument each tensor is, where no argument holds several."""

    def map(self, inputs: Sequence[Args]) -> list[Any]:
        """`[one(*x) for x in inputs]`, bit for bit. Raises what the first input to fail raises, naming the input."""
        bound = [self.quick(args) or self.checked(n, args) for n, args in enumerate(inputs)]
        groups: dict[Any, list[int]] = {}
        for n, b in enumerate(bound):
            groups.setdefault((b.of_torch, *((t.shape, t.dtype) for t in b.tensors)), []).append(n)
        outputs: list[Any] = [None] * len(bound)
        try:
            for key, members in groups.items():
                portion = self.portions.get(key) or self.portions.setdefault(key, self.portion(bound[members[0]]))
                for start in range(0, len(members), portion):
                    part = members[start : start + portion]
                    for n, output in zip(part, self.together([bound[n] for n in part]), strict=True):
                        outputs[n] = output
        except InputError:
            return [self.alone(n, args) for n, args in enumerate(inputs)]  # the first to fail says so as a call of its own does
        return outputs

    def quick(self, args: Args) -> Bound | None:
        """Arguments that are tensors of one library, unchecked: what is wrong with them shows when they are stacked."""
        if not self.flat or len(args) != len(self.flat):
            return None
        module = torch()
        for of_torch, kind in ((True, module.Tensor if module else None), (False, np.ndarray)):
            if all(type(a) is kind for a in args):
                tensors = tuple([args[n] for n in self.flat])
                return Bound(tensors, tensors, of_torch)
        return None

    def checked(self, number: int, args: Args) -> Bound:
        try:
            return bind(self.manifest, args, {})
        except InputError as error:
            raise about(number, error) from None

    def alone(self, number: int, args: Args) -> Any:
        try:
            return self.one.call(*args)
        except InputError as error:
            raise about(number, error) from None

    def portion(self, bound: Bound) -> int:
        """How many samples of these shapes are computed together."""
        many = self.many.manifest
        known = self.sizes(bound)
        if many.capacity is not None:
            known[many.capacity] = self.many.capacity.now
        samples = next(s.name for s in many.scalars if s.name not in known)
        few, more = (sizes.evaluate(many.arena, {**known, samples: count}) for count in (64, 128))
        return max(2, min(PORTION, 64 * MEMORY // max(1, more - few)))

    def sizes(self, bound: Bound) -> dict[str, int]:
        """The symbolic sizes of a call, from the shapes of its arguments."""
        found: dict[str, int] = {}
        for tensor, given in zip(self.manifest.arguments, bound.tensors, strict=True):
            found |= {size: n for size, n in zip(tensor.shape, given.shape, strict=True) if isinstance(size, str)}
        return found

    def together(self, bound: list[Bound]) -> list[Any]:
        """The outputs of inputs of equal shapes."""
        names = self.names_of(bound[0].of_torch)
        results = self.many.call(*[names["stack"](column) for column in zip(*(b.tensors for b in bound), strict=True)])
        rows = zip(*(names["rows"](r) for r in results), strict=True)
        return [self.output(b, list(row), names) for b, row in zip(bound, rows, strict=True)]

    def names_of(self, of_torch: bool) -> dict[str, Any]:
        """The functions of the library of the arguments: `stack`, `rows`, `cut`, `constant`."""
        if of_torch not in self.names:
            self.names[of_torch] = self.one.names(of_torch)
        return self.names[of_torch]

    def output(self, bound: Bound, rows: list[Any], names: dict[str, Any]) -> Any:
        """What a call of its own returns for one sample, from its rows of the results."""
        if self.manifest.cuts:
            known = self.sizes(bound) | {name: int(rows[result]) for name, result in self.manifest.computed}
            for c in self.manifest.cuts:
                rows[c.result] = names["cut"](rows[c.result], tuple(sizes.evaluate(size, known) for size in c.shape))
        return pack(self.manifest.outputs, bound.given, rows, names["constant"])


def pack(tree: Tree, given: Sequence[Any], results: Sequence[Any], constant: Callable[[str], Any]) -> Any:
    """The nested outputs over arguments as they were given, results, and copies of constants."""
    match tree:
        case Leaf("argument", key):
            return given[int(key)]
        case Leaf("result", key):
            return results[int(key)]
        case Leaf(_, key):
            return constant(str(key))
        case Number(result):
            return results[result].item()
        case dict():
            return {key: pack(part, given, results, constant) for key, part in tree.items()}
        case tuple():
            return tuple([pack(part, given, results, constant) for part in tree])
        case list():
            return [pack(part, given, results, constant) for part in tree]
        case Plain(value):
            return value
        case Listed():
            raise InternalError("only functions of structures give lists of rows")


def about(number: int, error: InputError) -> InputError:
    """The same error, which says which of several inputs it is about."""
    return type(error)(f"input {number}: {error.what}", code=error.code, because=error.because, advice=error.advice)
