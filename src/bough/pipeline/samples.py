"""Compiles a program for many samples at once: the passes are those for one, with one between that gives each sample a row.

Reductions keep the order that they have for one sample, so that each row has the bits of a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from bough.codegen import emit_reader
from bough.control_flow import over_samples
from bough.graph_passes.normalize import normalize
from bough.ir.kernel import Kernel
from bough.ir.program import CAPACITY, Program
from bough.ir.sequence import Sequence, map_kernels, nominal_sizes
from bough.pipeline.assemble import Assembled
from bough.pipeline.manifest import samples_manifest
from bough.pipeline.passes import (
    PASSES,
    Generated,
    Options,
    Pass,
    Watcher,
    assembled_loops,
    context_of,
    generate,
    normalize_axes,
    run_passes,
)
from bough.runtime.executable import Executable


def _keep_orders(sequence: Sequence, options: Options) -> Sequence:
    """Every reduction in the order that a call of its own has."""
    defined = nominal_sizes(sequence.steps)
    context = context_of(sequence, options)
    context = replace(context, sizes={**context.sizes, **defined}, defined=frozenset(defined))

    def kept(kernel: Kernel) -> Kernel:
        if not kernel.reductions:
            return kernel
        vector = options.strategy.choose(normalize(kernel), context).vector
        return replace(kernel, order=(vector.axis, vector.count) if vector and vector.axis in kernel.reduced else ("", 0))

    return replace(sequence, steps=map_kernels(sequence.steps, kept))


def _over_samples(sequence: Sequence, _: Options) -> Sequence:
    """With the samples' axis and one of rows behind it as one, where arrays let it: tiles have rows of several samples then."""
    many = over_samples(sequence)
    return replace(many, steps=map_kernels(many.steps, normalize))


def _normalize(sequence: Sequence, _: Options) -> Sequence:
    """Rows of a sample may lie in room for a larger one's."""
    return normalize_axes(sequence, frozenset(d.name for d in sequence.dims) - {CAPACITY})


def _generate(assembled: Assembled, options: Options) -> Generated:
    return generate(assembled, options, emit_reader())


def _passes() -> tuple[Pass, ...]:
    at = next(n for n, p in enumerate(PASSES) if p.name == "choose schedules")
    own = (
        Pass("keep the order of sums", "Kernel", "Kernel", _keep_orders),
        Pass("give each sample a row", "Kernel", "Kernel", _over_samples),
    )
    other = {"normalize axes": _normalize}
    one_by_one = tuple(replace(p, run=other.get(p.name, p.run)) for p in PASSES[:at] if p.name != "nest chains")
    *between, last = PASSES[at:]
    return (*one_by_one, *own, *between, replace(last, run=_generate))


SAMPLE_PASSES = _passes()


def generate_samples(program: Program, options: Options, watchers: Iterable[Watcher] = ()) -> Generated:
    """The program for many samples as object code."""
    return run_passes(program, options, watchers, SAMPLE_PASSES)


def assembled_samples(program: Program, options: Options) -> Assembled:
    """The program for many samples as loops."""
    return assembled_loops(program, options, SAMPLE_PASSES)


def compile_samples(program: Program, options: Options, watchers: Iterable[Watcher] = ()) -> Executable:
    """The function that takes and gives arrays with one more dimension in front, over samples."""
    generated = generate_samples(program, options, watchers)
    manifest = samples_manifest(generated.assembled, options.target)
    constants = {n: a if a.flags.owndata else np.array(a) for n, a in generated.assembled.sequence.constants.items()}
    return Executable(manifest, generated.code, constants, threads=options.threads)


