"""What became of each line of the user's model: kernels, mapping, schedule, limit and share of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bough.base.clock import interleaved_medians
from bough.frontends.staging import Staged
from bough.frontends.structure import map_leaves
from bough.frontends.torch_export import Imported
from bough.ir import loops
from bough.ir.evaluate import evaluate
from bough.ir.kernel import Kernel
from bough.ir.sequence import Beside, Define, Group, Repeat, Run, Sequence, Step, phase
from bough.pipeline.assemble import Scheduled, host_part
from bough.pipeline.host_program import HostProgram, describe, straight
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Generated, Options, object_code
from bough.pipeline.picture import svg
from bough.pipeline.profile import profile
from bough.runtime.binding import bind
from bough.runtime.executable import Executable
from bough.runtime.linearize import linearize
from bough.runtime.structured import StructuredExecutable
from bough.schedule.lower import lower_kernel
from bough.search.cost import machine_of, nominal
from bough.targets import Target


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel. `flops` and `bytes` are of one call, each operand counted once per run of the kernel; `limit` says which of
    the two bounds its time on the described machine, `limit_ms` by how much; `ms` was measured with the kernel running alone
    where it stands, and `share` is its part of the sum of all rows."""

    kernel: str
    lines: tuple[str, ...]
    mapping: str
    schedule: str
    runs: int
    flops: float
    bytes: float
    limit: str
    limit_ms: float
    ms: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Rows in the order in which the kernels stand. `program` is there where the course of a call depends on what it computes;
    kernels that the example does not come to have no runs."""

    target: str
    threads: int
    rows: tuple[Row, ...]
    program: HostProgram | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def picture(self, path: str | PathLike[str]) -> None:
        """Draws sub-networks, decisions and loops into an SVG file."""
        Path(path).write_text(svg(self.program or straight([r.kernel for r in self.rows])), encoding="utf-8")

    def __str__(self) -> str:
        out = [f"{len(self.rows)} kernels for {self.target} on {self.threads} threads"]
        if self.program is not None:
            out.append(str(self.program))
        for n, r in enumerate(self.rows, 1):
            times = f", {r.runs} times" if r.runs != 1 else ""
            out.append("")
            out.append(f"{n}. {r.kernel}: {100 * r.share:.0f} % of the time, {r.ms:.3f} ms{times}")
            out += [f"     {line}" for line in r.lines]
            out.append(f"   computes {r.flops / 1e6:.3g} MFLOP on {r.bytes / 1e6:.3g} MB; limit: {r.limit}, {r.limit_ms:.3g} ms")
            out.append(f"   mapping: {r.mapping}")
            out.append(f"   schedule: {r.schedule}")
        return "\n".join(out)


def explain(
    imported: Imported | Staged, generated: Generated, options: Options, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Explanation:
    """Rows for every kernel, measured on these arguments."""
    sequence, scheduled = generated.assembled.sequence, generated.assembled.scheduled
    program = describe(sequence, scheduled)
    arrays: dict[str, Any] = {}
    if isinstance(imported, Staged):
        given, linearized = generated.assembled.given, linearize(imported.recursion.visits, [(*args, *kwargs.values())])
        sizes = {d.name: linearized.sizes[g.name] for d, g in zip(sequence.dims, given.dims, strict=True)}
        arrays = {i.name: linearized.arrays[g.name] for i, g in zip(sequence.inputs, given.inputs, strict=True)}
    else:
        sizes = _sizes(sequence, _tensors((args, dict(kwargs))))
    if program is not None:
        if not arrays:
            tensors = bind(make_manifest(imported, generated.assembled, options.target), args, kwargs).tensors
            arrays = {i.name: _array(t) for i, t in zip(sequence.inputs, tensors, strict=True)}
        courses = profile(generated.assembled, options, arrays, sizes)
        rows = [_row(scheduled[name], c.runs, c.sizes, options) for name, c in courses.items()]
        return _explained(options, rows, [c.seconds for c in courses.values()], program)
    rows = [
        _sum([_row(scheduled[name], runs, at, options) for at, runs in found])
        for name, found in _runs(sequence.steps, 1, sizes, arrays).items()
    ]
    times = _measure(imported, generated, options, lambda f: f.call(*args, **kwargs), [r.kernel for r in rows])
    return _explained(options, rows, times, None)


def _explained(options: Options, rows: list[Row], times: list[float], program: HostProgram | None) -> Explanation:
    total = sum(times) or 1.0
    measured = tuple(replace(r, ms=1e3 * t, share=t / total) for r, t in zip(rows, times, strict=True))
    return Explanation(options.target.name, options.threads, measured, program)


def _array(value: Any) -> np.ndarray[Any, Any]:
    """The elements of a tensor; bfloat16 as bits."""
    if isinstance(value, np.ndarray):
        return value
    return np.asarray((value.view(torch.int16) if value.dtype == torch.bfloat16 else value).numpy())


def _tensors(given: Any) -> list[Any]:
    """The tensors of a call in the order of the function's arguments."""
    found: list[Any] = []
    map_leaves(given, "", lambda value, _: found.append(value) if hasattr(value, "shape") else None)
    return found


def _sizes(sequence: Sequence, args: list[Any]) -> dict[str, int]:
    """The symbolic sizes of these arguments."""
    names = {d.name for d in sequence.dims}
    found: dict[str, int] = {}
    for operand, arg in zip(sequence.inputs, args, strict=True):
        for extent, size in zip(operand.shape, arg.shape, strict=True):
            name = getattr(extent, "name", None)
            if name in names:
                found[str(name)] = int(size)
    return found


def _runs(
    steps: tuple[Step, ...], times: int, sizes: dict[str, int], arrays: dict[str, Any]
) -> dict[str, list[tuple[dict[str, int], int]]]:
    """For each kernel, in order: the sizes with which it runs, and how many times. Loops over levels are gone through, since each
    has sizes of its own."""
    out: dict[str, list[tuple[dict[str, int], int]]] = {}
    sizes = dict(sizes)
    for s in steps:
        if isinstance(s, Define):
            sizes[s.name] = int(evaluate(s.value, {n: np.int64(v) for n, v in sizes.items()}, arrays))
        elif isinstance(s, Repeat):
            count, alike = nominal(s.count, sizes), not any(isinstance(inner, Define) for inner in s.body)
            for n in range(1 if alike else count):
                inside = {**sizes, s.variable: n}
                for name, found in _runs(s.body, times * (count if alike else 1), inside, arrays).items():
                    out.setdefault(name, []).extend(found)
        else:
            for k in phase(s):
                out[k.name] = [(dict(sizes), times)]
    return out


def _sum(parts: list[Row]) -> Row:
    """One kernel's runs with different sizes as one row."""
    return replace(
        parts[0],
        runs=sum(r.runs for r in parts),
        flops=sum(r.flops for r in parts),
        bytes=sum(r.bytes for r in parts),
        limit=max(parts, key=lambda r: r.limit_ms).limit,
        limit_ms=sum(r.limit_ms for r in parts),
    )


def _row(entry: Scheduled, runs: int, sizes: dict[str, int], options: Options) -> Row:
    kernel, schedule = entry.kernel, entry.schedule
    points = 1
    for a in kernel.free:
        points *= nominal(a.extent, sizes)
    flops = float(points * sum(1 for s in kernel.body))
    for _, reduce in kernel.reductions:
        steps = points
        for axis in reduce.axes:
            steps *= nominal(kernel.axis(axis).extent, sizes)
        flops += 2.0 * steps
    moved = 0.0
    for o in {o.name: o for o in (*kernel.inputs, *kernel.outputs)}.values():
        count = 1
        for e in o.shape:
            count *= nominal(e, sizes)
        moved += min(count * o.dtype.bytes, _touched(kernel, o.name, sizes) * o.dtype.bytes)
    compute, bandwidth = flops / _peak(options.target, options.threads), moved / _bandwidth(options.target, options.threads)
    used = {name: schedule.instruction(name) for name, _ in kernel.reductions}
    vector = schedule.vector
    along = f" along {vector.axis}" if vector else ""
    mapping = ", ".join(f"{name} on {i}{along}" for name, i in used.items() if i) or (
        f"generic vectors of {vector.lanes}{along}" if vector else "scalar code"
    )
    lines = tuple(f"{place}  {place.text}".rstrip() for place in kernel.origins)
    limit = "compute" if compute >= bandwidth else "bandwidth"
    return Row(
        kernel.name, lines, mapping, str(schedule).replace("\n", "; "), runs, flops * runs, moved * runs, limit,
        1e3 * runs * max(compute, bandwidth),
    )  # fmt: skip


def _touched(kernel: Kernel, name: str, sizes: dict[str, int]) -> int:
    """An upper bound on the elements of an operand that one run of the kernel can touch."""
    total = 1
    for a in kernel.axes:
        total *= max(1, nominal(a.extent, sizes))
    return total


def _peak(target: Target, threads: int) -> float:
    m = machine_of(target)
    return 2.0 * m.lanes * m.fma_issue * m.frequency * threads


def _bandwidth(target: Target, threads: int) -> float:
    far = target.memory("memory").bandwidth if any(x.name == "memory" for x in target.memories) else 0.0
    return (far or 4.0) * machine_of(target).frequency * min(threads, 4)


def _measure(
    imported: Imported | Staged, generated: Generated, options: Options, run: Callable[[Executable], object], names: list[str]
) -> list[float]:
    """Seconds of each kernel: the function with every other kernel left out, timed on the same buffers."""
    assembled = generated.assembled
    function = assembled.function

    def only(name: str) -> tuple[loops.Stmt, ...]:
        def emit(s: Run | Group | Beside) -> tuple[loops.Stmt, ...]:
            return tuple(
                lower_kernel(assembled.scheduled[name].kernel, assembled.scheduled[name].schedule)
                for k in phase(s) if k.name == name
            )  # fmt: skip

        return host_part(assembled.sequence, emit, assembled.failures)

    probes = [loops.Function("probe_empty", function.scalars, function.params, ())]
    probes += [loops.Function(f"probe_{n}", function.scalars, function.params, only(name)) for n, name in enumerate(names)]
    code = object_code(probes, assembled, options.target)
    manifest = make_manifest(imported, assembled, options.target)
    kind = Executable if manifest.visits is None else StructuredExecutable
    calls: dict[str, Callable[[], object]] = {}
    for probe in probes:
        entry = replace(manifest, entry=f"bough_{probe.name}")
        executable = kind(entry, code, assembled.sequence.constants, threads=options.threads)
        calls[probe.name] = partial(run, executable)
    medians = interleaved_medians(calls, rounds=30, budget=3.0)
    return [max(0.0, medians[f"probe_{n}"] - medians["probe_empty"]) for n in range(len(names))]
