"""Calls compiled functions of structures: linearizes the objects, runs over the arrays, and gives each call its results."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.base.visits import Names
from bough.runtime import sizes
from bough.runtime.arrays import NUMPY, Array, address, torch, torch_dtype
from bough.runtime.binding import by_position
from bough.runtime.executable import Context, Executable
from bough.runtime.linearize import linearize
from bough.runtime.manifest import Leaf, Listed, Manifest, Plain, Tree
from bough.runtime.results import LARGE, RESULTS
from bough.runtime.team import Provider

_POINTER = ctypes.c_void_p


class StructuredExecutable(Executable):
    """A compiled function of the user's objects; its manifest has `visits`.

    `call(*args)` is one call, `map(samples)` many at once, bit for bit the same. Results are torch tensors where this process
    has imported torch, unless arrays among the arguments are all of NumPy. Immutable and re-entrant.
    """

    def __init__(
        self,
        manifest: Manifest,
        code: bytes | memoryview,
        constants: Mapping[str, Array],
        *,
        threads: int | None = None,
        provider: Provider | None = None,
    ) -> None:
        super().__init__(manifest, code, constants, threads=threads, provider=provider)
        if manifest.visits is None:
            raise InternalError(f"{manifest.entry} takes no structures")
        self.visits = manifest.visits
        self._run = self._runner()
        self.call = self._call

    def map(self, samples: Sequence[Any]) -> list[Any]:
        """`[self(x) for x in samples]`, computed together; where the function takes several arguments, each is a tuple."""
        if len(self.manifest.parameters) != 1:
            rows = [tuple(by_position(self.manifest, tuple(s), {})) for s in samples]
        else:
            rows = [(s,) for s in samples]
        return self._compute(rows) if rows else []

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != len(self.manifest.parameters):
            args = tuple(by_position(self.manifest, args, kwargs))
        return self._compute([args])[0]

    def _compute(self, samples: list[tuple[Any, ...]]) -> list[Any]:
        """The outputs of each sample."""
        linearized = linearize(self.visits, samples)
        scalars = [linearized.sizes[s.name] for s in self.manifest.scalars]
        named = linearized.sizes
        arrays = [linearized.arrays[a.name] for a in self.manifest.arguments]
        results = [_result(t.dtype, [sizes.evaluate(s, named) for s in t.shape]) for t in self.manifest.results]
        try:
            context = self._contexts.pop()
        except IndexError:
            context = self._make_context()
        self._fill(context, arrays, results, scalars, named)
        status = self._run(context)
        self._contexts.append(context)
        if status:
            self._fail(status)
        spans = {name: a.tolist() for name, a in linearized.arrays.items() if name in _span_names(self.manifest.outputs)}
        of_torch = _gives_torch(samples)
        held = [_as_torch(a, t.dtype) if of_torch else a for a, t in zip(results, self.manifest.results, strict=True)]
        return [self._output(self.manifest.outputs, n, held, spans, of_torch) for n in range(len(samples))]

    def _fill(
        self, context: Context, arrays: list[Array], results: list[Array], scalars: list[int], named: Mapping[str, int]
    ) -> None:
        manifest = self.manifest
        size = sizes.evaluate(manifest.arena, named)
        if size > context.capacity:
            context.grow(size)
        for position, buffer in enumerate(manifest.buffers):
            offset = sizes.evaluate(buffer.offset, named)
            match buffer.source:
                case "argument":
                    context.pointers[position] = address(arrays[int(buffer.key)]) + offset
                case "result":
                    context.pointers[position] = address(results[int(buffer.key)]) + offset
                case "arena":
                    context.pointers[position] = context.base + offset
                case "constant":
                    pass
        for position, value in enumerate(scalars):
            context.scalars[position] = value

    def _runner(self) -> Callable[[Context], int]:
        entry = self._entry
        if self._team is None:
            return lambda context: int(entry(context.address, context.scalars_address, None))
        team, program, start = self._team, self._program, self._team.start
        run = program.function("bough_team_run", ctypes.c_int32, _POINTER, _POINTER, _POINTER, _POINTER)
        entry_address = program.symbols[self.manifest.entry]
        return lambda context: int(
            run(team.pointer or start(program), entry_address, context.address, context.scalars_address)
        )

    def _output(self, tree: Tree, sample: int, results: list[Any], spans: Mapping[str, list[int]], of_torch: bool) -> Any:
        match tree:
            case Leaf("result", key):
                return results[int(key)][sample, ...]
            case Leaf(_, key):
                return self._constant_out(key, of_torch)
            case Listed(number, result):
                begin, end = spans[Names.spans(number)][sample : sample + 2]
                return [results[result][row, ...] for row in range(begin, end)]
            case Plain(value):
                return value
            case dict():
                return {k: self._output(part, sample, results, spans, of_torch) for k, part in tree.items()}
            case tuple() | list():
                return type(tree)(self._output(part, sample, results, spans, of_torch) for part in tree)


def _span_names(tree: Tree) -> set[str]:
    match tree:
        case Listed(number, _):
            return {Names.spans(number)}
        case dict():
            return set().union(*(_span_names(part) for part in tree.values()))
        case tuple() | list():
            return set().union(*(_span_names(part) for part in tree))
        case _:
            return set()


def _result(dtype: str, shape: Sequence[int]) -> Array:
    count = NUMPY[dtype].itemsize
    for extent in shape:
        count *= extent
    return RESULTS.array(shape, dtype) if count >= LARGE else np.empty(tuple(shape), NUMPY[dtype])


def _as_torch(array: Array, dtype: str) -> Any:
    tensor = torch().from_numpy(array)
    return tensor.view(torch_dtype(dtype)) if dtype == "bf16" else tensor


def _gives_torch(samples: Sequence[tuple[Any, ...]]) -> bool:
    module = torch()
    if module is None:
        return False
    arrays = [isinstance(a, module.Tensor) for a in samples[0] if isinstance(a, (np.ndarray, module.Tensor))]
    return not arrays or any(arrays)


