"""Compiles texts of the Program level, and holds native code against the interpreters of all levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bough import ops
from bough.frontends.torch_export import Imported, Slot
from bough.graph_passes.lower_program import lower_function
from bough.ir.interpret_program import run_program
from bough.ir.interpret_sequence import run_sequence
from bough.ir.program import CAPACITY, Program
from bough.ir.program_text import parse_program
from bough.ir.sequence import Sequence
from bough.ir.verify_program import verify_program
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Generated, Options, Pass, Planned, run_passes
from bough.pipeline.watchers import Verify
from bough.runtime import Executable
from bough.targets import host

Array = np.ndarray[Any, Any]
ROOM = 40


class Keep(Verify):
    """Verifies every pass and keeps the sequences on the way."""

    def __init__(self) -> None:
        super().__init__(3, host())
        self.sequences: list[Sequence] = []

    def after(self, step: Pass, value: Any, seconds: float) -> None:
        super().after(step, value, seconds)
        if isinstance(value, (Sequence, Planned)):
            self.sequences.append(value.sequence if isinstance(value, Planned) else value)


class Native:
    """A program as native code. `call(*arrays)` gives its results, compared with every level's interpreter."""

    def __init__(self, text: str, constants: Mapping[str, Array] | None = None, threads: int = 2) -> None:
        self.program: Program = parse_program(text, constants)
        verify_program(self.program, ops.infer)
        function = self.program.functions[self.program.entry]
        keep, options = Keep(), Options(host(), threads)
        self.generated: Generated = run_passes(self.program, options, [keep])
        self.sequences = [lower_function(function), *keep.sequences]
        slots = tuple(Slot(n) for n in range(len(function.params)))
        names = tuple(p.name for p in function.params)
        imported = Imported(self.program, (slots, {}), tuple(Slot(n) for n in range(len(function.results))), names)
        manifest = make_manifest(imported, self.generated.assembled, host())
        constants_of = self.generated.assembled.sequence.constants
        self.executable = Executable(manifest, self.generated.code, constants_of, threads=threads)

    def call(self, *arrays: Array) -> tuple[Array, ...]:
        expected = run_program(self.program, arrays, ops.evaluate)
        for sequence in self.sequences:
            given = {d.name: ROOM for d in sequence.dims if d.name == CAPACITY}
            for o, array in zip(sequence.inputs, arrays, strict=True):
                given |= {getattr(e, "name", ""): n for e, n in zip(o.shape, array.shape, strict=True)}
            for got, want in zip(run_sequence(sequence, list(arrays), given), expected, strict=False):
                same(got[tuple(map(slice, want.shape))], want)
        native: tuple[Array, ...] = self.executable(*arrays)
        for got, want in zip(native, expected, strict=True):
            assert got.shape == want.shape and got.dtype == want.dtype
            same(got, want)
        return native


def same(got: Array, want: Array) -> None:
    if want.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, want)
