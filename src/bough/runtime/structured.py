"""Calls compiled functions of structures: linearizes the objects, runs over the arrays, and gives each call its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.base.records import Classes
from bough.base.visits import Item
from bough.runtime.arrays import Array, torch
from bough.runtime.binding import by_position, several
from bough.runtime.caller import Caller
from bough.runtime.errors import damaged
from bough.runtime.executable import Context, Executable, library, loosely
from bough.runtime.linearizer import Linearizer
from bough.runtime.linearizer_flat import Flat
from bough.runtime.manifest import Manifest
from bough.runtime.portions import Portions, near_limit
from bough.runtime.structured_caller import write_structured_callers
from bough.runtime.team import Provider


class StructuredExecutable(Executable):
    """A compiled function of the user's objects; its manifest has `visits`.

    `call(*args)` is one call, `map(inputs)` many at once, bit for bit the same. Results are torch tensors where this process
    has imported torch, unless the arrays among the call's own arguments are all of NumPy. Immutable and re-entrant.
    """

    def __init__(
        self,
        manifest: Manifest,
        code: bytes | memoryview,
        constants: Mapping[str, Array],
        *,
        threads: int | None = None,
        provider: Provider | None = None,
        classes: Classes | None = None,
    ) -> None:
        super().__init__(manifest, code, constants, threads=threads, provider=provider, classes=classes)
        if manifest.visits is None:
            raise InternalError(f"{manifest.entry} takes no structures")
        arguments = [b for b in manifest.buffers if b.source == "argument"]
        if [(b.key, b.offset) for b in arguments] != [(n, 0) for n in range(len(manifest.arguments))]:
            raise damaged("the manifest", "the arrays of a structure are not its first buffers")
        self.linearizer = Linearizer(
            manifest.visits, [a.name for a in manifest.arguments], [s.name for s in manifest.scalars], self._program, self._team
        )
        self._arity = len(manifest.parameters)
        self._arrays = _array_arguments(manifest)
        self._portions = Portions(near_limit(manifest.near, self.threads))
        self._written: dict[bool, tuple[Caller, Caller]] = {}

    def map(self, inputs: Iterable[Any]) -> list[Any]:
        """`[self(x) for x in inputs]`, computed together, in portions where memory asks for it; where the function takes several
        arguments, each is a tuple."""
        rows = several(self.manifest, inputs)
        if self._arity != 1:
            rows = [tuple(by_position(self.manifest, args, {})) for args in rows]
        if not rows:
            return []
        _, many = self._callers_of(rows[0])
        return self._portions.map(many, rows)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The same as `__call__`, with one call less."""
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != self._arity:
            args = tuple(by_position(self.manifest, args, kwargs))
        one, _ = self._callers_of(args)
        return one(*args)

    def _callers_of(self, args: tuple[Any, ...]) -> tuple[Caller, Caller]:
        of_torch = torch() is not None and not (
            self._arrays and all(isinstance(args[n], (np.ndarray, np.generic)) for n in self._arrays)
        )
        found = self._written.get(of_torch)
        if found is None:
            slow = loosely(self._call)
            names = {**self.names(of_torch), "fill": self.linearizer.fill, "slow": slow, "portions": self._portions}
            found = write_structured_callers(self.manifest, library(of_torch), self._team is not None, names)
            self._written[of_torch] = found
            if of_torch and not self._arrays:
                self.__dict__["call"] = found[0]
        return found

    def _context_maker(self) -> Callable[[], Context]:
        return partial(StructuredContext, self.manifest, self.constants, self.linearizer)


class StructuredContext(Context):
    """A context whose pointers and sizes the linearizer fills in."""

    __slots__ = ("flat",)

    def __init__(self, manifest: Manifest, constants: Mapping[str, Array], linearizer: Linearizer) -> None:
        super().__init__(manifest, constants)
        self.flat: Flat = linearizer.flat(self.address, self.scalars_address)


def _array_arguments(manifest: Manifest) -> tuple[int, ...]:
    """Positions of the call's own arguments that are read as arrays."""
    if manifest.visits is None:
        return ()
    entry = manifest.visits.function(manifest.visits.entry)
    paths = [p.path for v in entry.variants for p in v.payloads if p.path and p.shape]
    steps = {path[0].key for path in paths if len(path) == 1 and isinstance(path[0], Item)}
    return tuple(sorted(key for key in steps if isinstance(key, int)))

