"""A module whose sub-networks run under other compilers, and whose decisions Bough's host program takes in Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from bough.backends.compilers import COMPILERS, EAGER, Compiler, Constants, Prepared
from bough.base import settings
from bough.base.clock import interleaved_medians
from bough.base.errors import CompileError, InputError
from bough.base.records import Record
from bough.frontends.host_calls import HostCall
from bough.frontends.structure import Slot, fill
from bough.frontends.subnetworks import Branch, Direct, HostProgram, Named, Network, Run, Stay, Step, Test, Whilst, split
from bough.frontends.trace import Trace
from bough.runtime.failures import model_error

log = logging.getLogger("bough")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which compiler runs a sub-network, and why it is not the one that was asked for."""

    network: int
    compiler: str
    reason: str = ""


def run_with_host_calls(trace: Trace, native: Compiler, threads: int) -> Hosted:
    """The module of a trace in which some calls stay in Python; the sub-networks between them run under `native`."""
    hosted = Hosted(split(trace), [native], threads)
    log.warning("some calls stay in Python, and so does the course of the program (see explain()):\n%s", hosted.explain())
    return hosted


def run_under(trace: Trace, backend: str, threads: int) -> Hosted:
    """The module of a trace under a backend: the name of a compiler, or "best" for the fastest of those installed, sub-network by
    sub-network.

    Raises CompileError where the backend is not known or not installed.
    """
    if backend != "best" and backend not in COMPILERS:
        raise CompileError(
            f"no backend is called {backend!r}",
            code="BGH-BACK-003",
            because="sub-networks are given to compilers that are known here",
            advice=f"use one of {', '.join(COMPILERS)}, or best",
        )
    if backend == "best":
        wanted = [c for c in COMPILERS.values() if _installed(c)]
    else:
        COMPILERS[backend].check()
        wanted = [COMPILERS[backend]]
    return Hosted(split(trace), wanted, threads)


def _installed(compiler: Compiler) -> bool:
    try:
        compiler.check()
    except CompileError:
        return False
    return True


class Hosted:
    """Calls like the module. Immutable and re-entrant as far as the compilers' code is."""

    def __init__(self, program: HostProgram, wanted: Sequence[Compiler], threads: int) -> None:
        self.program = program
        self.wanted = list(wanted)
        self.threads = threads
        self.turns = settings.read(settings.TURNS)
        self.choices: list[Choice] = []
        self._prepared: dict[tuple[int, tuple[str, ...]], Prepared] = {}
        self._compilers: dict[int, Compiler] = {}
        with torch.no_grad():
            for step in _runs(program.steps):
                self._prepare(step)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises InputError for arguments that the module was not compiled for, and where a check of the module fails."""
        given: dict[int, Any] = {}

        def leaf(slot: Any, value: Any) -> None:
            if isinstance(slot, Slot):
                given[slot.index] = value
            elif slot != value:
                raise _nested_otherwise(f"{value!r} stands where the example has {slot!r}")

        _walk(self.program.inputs, (args, kwargs), leaf)
        arrays = any(isinstance(v, np.ndarray) for v in given.values())
        tensors = [torch.as_tensor(given[n]) for n in range(len(given))]
        values: dict[str, Any] = dict(self.program.constants)
        for name, tensor, traced in zip(self.program.parameters, tensors, self.program.types, strict=True):
            _expect_like(name, tensor, traced)
            values[name] = tensor
        with torch.no_grad():
            self._steps(self.program.steps, values)
        results = [values[r.name] if isinstance(r, Named) else r for r in self.program.results]
        outputs = [r.numpy() for r in results] if arrays else results
        return fill(self.program.outputs, outputs, lambda t: t.item() if hasattr(t, "item") else t)

    def map(self, inputs: Iterable[Any]) -> list[Any]:
        """`[self(x) for x in inputs]`; tuples stand for several arguments."""
        return [self(*x) if isinstance(x, tuple) else self(x) for x in inputs]

    def explain(self) -> str:
        """Which compiler runs each sub-network, and why."""
        lines = []
        for c in self.choices:
            times = sum(1 for r in _runs(self.program.steps) if r.network == c.network)
            operators = [str(n.target) for n in self.program.networks[c.network].module.graph.nodes if n.op == "call_function"]
            text = f"sub-network {c.network} ({len(operators)} operators, {times} times): {c.compiler}"
            lines.append(text + (f" ({c.reason})" if c.reason else ""))
        lines += [f"in Python: {call.location.function} at {call.location}" for call in self.host_calls()]
        return "\n".join(lines)

    def host_calls(self) -> list[HostCall]:
        """The calls that stay in Python, each function once."""
        return list({s.call.location: s.call for s in _all(self.program.steps) if isinstance(s, Stay)}.values())

    def save(self, *_: Any, **__: Any) -> None:
        """Raises CompileError: files hold native code alone."""
        raise _needs_python("saved")

    def export(self, *_: Any, **__: Any) -> None:
        """Raises CompileError: exported functions need no Python."""
        raise _needs_python("exported")

    # preparing

    def _prepare(self, step: Run) -> None:
        constants = self._constants(step)
        key = (step.network, tuple(step.arguments[n].name for n in constants))
        if key in self._prepared:
            return
        network = self.program.networks[step.network]
        if step.network not in self._compilers:
            self._prepared[key] = self._choose(step.network, network, constants)
        else:
            self._prepared[key] = self._compilers[step.network].prepare(network, constants, self.threads)

    def _constants(self, step: Run) -> dict[int, torch.Tensor]:
        held = self.program.constants
        return {n: held[a.name] for n, a in enumerate(step.arguments) if a.name in held}

    def _choose(self, number: int, network: Network, constants: Constants) -> Prepared:
        """Decides which compiler runs a sub-network, and gives its code."""
        eager = EAGER.prepare(network, constants, self.threads)
        wanted = [c for c in self.wanted if network.fixed or c.any_size]
        reason = "" if wanted else "its sizes are computed"
        if network.whole_layers:
            wanted, reason = [c for c in wanted if c.any_size], "a recurrent layer is one operator here"
        if not network.heavy and not any(c.light for c in wanted):
            wanted, reason = [], "no operator that is worth a call"
        found: dict[str, Prepared] = {}
        for compiler in wanted:
            try:
                found[compiler.name] = compiler.prepare(network, constants, self.threads)
                if network.fixed:
                    _expect_same(found[compiler.name], eager, network, constants)
            except Exception as error:  # whatever another compiler raises about what it cannot do
                found.pop(compiler.name, None)
                reason = f"{compiler.name} cannot: {str(error).strip().splitlines()[0][:100]}"
                log.warning("sub-network %d runs in PyTorch: %s", number, reason)
        if len(self.wanted) > 1 and found and network.fixed:
            examples = [t for n, t in enumerate(network.examples) if n not in constants]
            calls = {name: _call(run, examples) for name, run in {**found, EAGER.name: eager}.items()}
            medians = interleaved_medians(calls, rounds=20, budget=0.3)
            name = min(medians, key=medians.__getitem__)
            reason = ", ".join(f"{n} {1e6 * t:.0f} us" for n, t in medians.items())
        else:
            name = next(iter(found), EAGER.name)
        self.choices.append(Choice(number, name, reason))
        self._compilers[number] = next((c for c in wanted if c.name == name), EAGER)
        return found.get(name, eager)

    # running

    def _steps(self, steps: Sequence[Step], values: dict[str, Any]) -> None:
        for step in steps:
            match step:
                case Run():
                    self._run(step, values)
                case Direct(result, function, arguments, keywords):
                    values[result] = function(*_filled(arguments, values), **_filled(keywords, values))
                case Stay(call, arguments, names):
                    results = call([values[a.name] for a in arguments])
                    values.update(zip((n.name for n in names), results, strict=True))
                case Branch():
                    taken = bool(values[step.condition])
                    self._steps(step.then if taken else step.otherwise, values)
                    for joined, a, b, zeros in step.joins:
                        value = a if taken else b
                        values[joined.name] = zeros if value is None else values[value.name]
                case Whilst():
                    self._loop(step, values)
                case Test():
                    if not bool(values[step.condition.name]):
                        raise model_error(step.error)(
                            f"{step.error}: {step.message}" if step.message else step.error,
                            code="BGH-IN-012",
                            because="the model itself raises this exception for these inputs",
                            location=step.location,
                        )

    def _loop(self, loop: Whilst, values: dict[str, Any]) -> None:
        states = [values[initial.name] for _, initial, _, _ in loop.states]
        for turn in count():
            if turn > self.turns:
                raise InputError(
                    f"a loop did not end within {self.turns} turns",
                    code="BGH-IN-015",
                    because="a loop that goes on for so long is taken for one that never ends",
                    advice="if it should, compile the model with a higher BOUGH_TURNS",
                    location=loop.location,
                )
            values.update(zip((c.name for c, _, _, _ in loop.states), states, strict=True))
            self._steps(loop.head, values)
            if not bool(values[loop.condition]):
                break
            self._steps(loop.body, values)
            states = [values[u.name] for _, _, u, _ in loop.states]
        values.update(zip((f.name for _, _, _, f in loop.states), states, strict=True))

    def _run(self, step: Run, values: dict[str, Any]) -> None:
        held = self.program.constants
        key = (step.network, tuple(a.name for a in step.arguments if a.name in held))
        inputs = [values[a.name] for a in step.arguments if a.name not in held]
        results = self._prepared[key](inputs)
        values.update(zip((r.name for r in step.results), results, strict=True))


def _all(steps: Sequence[Step]) -> list[Step]:
    """All steps, those inside of others too."""
    found: list[Step] = []
    for step in steps:
        found.append(step)
        match step:
            case Branch():
                found += _all(step.then) + _all(step.otherwise)
            case Whilst():
                found += _all(step.head) + _all(step.body)
    return found


def _runs(steps: Sequence[Step]) -> list[Run]:
    """All calls of sub-networks."""
    return [s for s in _all(steps) if isinstance(s, Run)]


def _needs_python(what: str) -> CompileError:
    return CompileError(
        f"a function whose host program runs in Python cannot be {what}",
        code="BGH-BACK-004",
        because="the file would need Python and the compilers that run its parts",
        advice="compile it without backend= and with fullgraph=True, which says what keeps it in Python",
    )


def _filled(arguments: Any, values: Mapping[str, Any]) -> Any:
    return pytree.tree_map(lambda a: values[a.name] if isinstance(a, Named) else a, arguments)


def _call(run: Prepared, examples: Sequence[torch.Tensor]) -> Callable[[], object]:
    return lambda: run(examples)


def _expect_same(run: Prepared, eager: Prepared, network: Network, constants: Constants) -> None:
    """Raises ValueError where a compiler computes something else than PyTorch."""
    examples = [t for n, t in enumerate(network.examples) if n not in constants]
    for got, wanted in zip(run(examples), eager(examples), strict=True):
        if got.shape != wanted.shape or not torch.allclose(got, wanted.to(got.dtype), 1e-3, 1e-3, equal_nan=True):
            raise ValueError("its results differ from PyTorch's")


def _walk(structure: Any, given: Any, leaf: Callable[[Any, Any], None]) -> None:
    if isinstance(structure, Record):
        if any(not hasattr(given, name) for name in structure.fields):
            raise _nested_otherwise(f"an argument has not all of {', '.join(structure.fields)}")
        for name, inner in zip(structure.fields, structure.parts, strict=True):
            _walk(inner, getattr(given, name), leaf)
    elif isinstance(structure, dict):
        if not isinstance(given, dict) or given.keys() != structure.keys():
            raise _nested_otherwise(f"arguments by name are not {', '.join(map(str, structure)) or 'expected'}")
        for key, inner in structure.items():
            _walk(inner, given[key], leaf)
    elif isinstance(structure, (tuple, list)):
        if not isinstance(given, (tuple, list)) or len(given) != len(structure):
            raise _nested_otherwise(f"there are not {len(structure)} arguments or elements")
        for inner, value in zip(structure, given, strict=True):
            _walk(inner, value, leaf)
    else:
        leaf(structure, given)


def _nested_otherwise(what: str) -> InputError:
    return InputError(what, code="BGH-IN-002", because="calls are like the example", advice="pass what the example was")


def _expect_like(name: str, tensor: torch.Tensor, traced: torch.Tensor) -> None:
    """Raises InputError for a tensor of another kind than the example."""
    expected = tuple(None if isinstance(s, torch.SymInt) else s for s in traced.shape)
    fits = len(expected) == tensor.dim() and all(e in (None, s) for e, s in zip(expected, tensor.shape, strict=True))
    if not fits or tensor.dtype != traced.dtype:
        code = "BGH-IN-005" if fits else "BGH-IN-006" if len(expected) != tensor.dim() else "BGH-IN-007"
        raise InputError(
            f"{name} is {tuple(tensor.shape)} of {tensor.dtype}",
            code=code,
            because=f"the example was {tuple(traced.shape)} of {traced.dtype}",
            advice="pass a tensor like it, or compile with dynamic= for sizes that change",
        )
