"""The interpreters as judges: one program, run at every level on the same inputs, must give the same results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough import ops
from bough.base.errors import InternalError
from bough.ir.evaluate import extent_value, shape_value
from bough.ir.interpret_loops import run_loops
from bough.ir.interpret_program import CheckFailed, run_program
from bough.ir.interpret_recursion import interpret_recursion
from bough.ir.interpret_sequence import run_sequence
from bough.ir.kernel import Kernel
from bough.ir.program import CAPACITY, Program
from bough.ir.recursion import Recursion
from bough.ir.sequence import Repeat, Sequence, Step, Whilst, bodies, nominal_sizes, phase
from bough.pipeline.assemble import Assembled
from bough.runtime.linearize import linearize
from bough.search.cost import nominal

Array = np.ndarray[Any, Any]
SMALL = 3
"""What a symbolic size counts as here, inside its range."""
ROOM = 64
"""What `capacity` is here, and the turns of a loop."""
WORK = 1 << 21
"""Points of loops above which the Loops interpreter, which goes scalar by scalar, is not run."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What a program gives for some inputs: `expected` are its results, `inputs` and `sizes` have its names."""

    inputs: Mapping[str, Array]
    sizes: Mapping[str, int]
    expected: tuple[Array, ...]

    @staticmethod
    def of_program(program: Program) -> Judge | None:
        """On random inputs; None where the program ends early for them."""
        function = program.functions[program.entry]
        sizes = {d.name: max(d.low, min(SMALL, d.high or SMALL)) for d in function.dims} | {CAPACITY: ROOM}
        rng = np.random.default_rng(0)
        inputs: dict[str, Array] = {}
        for p in function.params:
            shape = [extent_value(e, sizes) for e in p.type.shape]
            kind = p.type.dtype
            if kind.is_float and kind.name != "bf16":
                inputs[p.name] = rng.standard_normal(shape).astype(kind.numpy)
            else:
                inputs[p.name] = rng.integers(0, 2, shape).astype(kind.numpy)
        try:
            return Judge(inputs, sizes, tuple(run_program(program, list(inputs.values()), ops.evaluate, turns=ROOM)))
        except CheckFailed:
            return None

    @staticmethod
    def of_recursion(recursion: Recursion, args: tuple[Any, ...]) -> Judge:
        """On the structures of a call."""
        linearized = linearize(recursion.visits, [args])
        return Judge(linearized.arrays, linearized.sizes, tuple(interpret_recursion(recursion, args, ops.evaluate)))

    def program(self, program: Program, step: str) -> None:
        """Compares with what another program means."""
        self.compare(run_program(program, list(self.inputs.values()), ops.evaluate, given=self.sizes, turns=ROOM), step)

    def sequence(self, sequence: Sequence, step: str) -> None:
        """Compares with the interpreter of kernels."""
        sizes = {d.name: self.sizes[d.name] for d in sequence.dims}
        results = run_sequence(sequence, [self.inputs[i.name] for i in sequence.inputs], sizes)
        self.compare(_own(sequence, results), step)

    def loops(self, assembled: Assembled, instructions: Mapping[str, Kernel], step: str) -> None:
        """Compares with the interpreter of loops where the whole function has few enough points."""
        given, sequence = assembled.given, assembled.sequence
        sizes = {d.name: self.sizes[g.name] for d, g in zip(sequence.dims, given.dims, strict=True)}
        arrays = {o.name: self.inputs[g.name] for o, g in zip(sequence.inputs, given.inputs, strict=True)}
        arrays.update(sequence.constants)
        buffers: dict[str, Array] = {}
        for b in assembled.function.params:
            count = extent_value(b.shape[0], sizes)
            array = arrays.get(b.name)
            buffers[b.name] = np.zeros(count, b.dtype.numpy) if array is None else array.reshape(-1).copy()
        if points(sequence, sizes) > WORK:
            return
        run_loops(assembled.function, buffers, sizes, instructions, shuffle=0)
        shapes = [shape_value(sequence.temporaries[r].shape, sizes) for r in sequence.results]
        results = tuple(buffers[r].reshape(shape) for r, shape in zip(sequence.results, shapes))
        self.compare(_own(sequence, results), step)

    def compare(self, results: tuple[Array, ...], step: str) -> None:
        """Compares results, of which the program's own shapes may be parts."""
        for n, (got, want) in enumerate(zip(results, self.expected, strict=True)):
            got = got[tuple(map(slice, want.shape))].reshape(want.shape) if got.ndim == want.ndim else got.reshape(want.shape)
            near = np.allclose(got, want, 1e-3, 1e-4, equal_nan=True) if got.dtype.kind == "f" else np.array_equal(got, want)
            if not near:
                raise InternalError(f"after the pass '{step}', result {n} is not what the program means")


def _own(sequence: Sequence, results: tuple[Array, ...]) -> tuple[Array, ...]:
    """The results of the program; sizes that were computed stand behind them."""
    return results[: len(results) - len(sequence.computed)]


def points(sequence: Sequence, sizes: Mapping[str, int]) -> int:
    """Points of all kernels, each as often as it runs."""

    counted = {**sizes, **nominal_sizes(sequence.steps)}

    def walk(steps: tuple[Step, ...]) -> int:
        total = 0
        for s in steps:
            for kernel in phase(s):
                box = 1
                for a in kernel.axes:
                    box *= nominal(a.extent, counted)
                total += box
            times = nominal(s.count, counted) if isinstance(s, Repeat) else ROOM if isinstance(s, Whilst) else 1
            total += times * sum(map(walk, bodies(s)))
        return total

    return walk(sequence.steps)
