"""What stands between a model and native code, all of it at once; where nothing does, what it becomes.

Compiling ends at the first thing that is refused. So where it does, the sub-modules that the example call comes to are tried
each by itself, with the arguments that they get there, and the model again with what those that fail have returned there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from bough.base.clock import Stopwatch
from bough.base.errors import CompileError
from bough.frontends.errors import MissingOperators
from bough.frontends.staging import Staged
from bough.ir.sequence import phase, walk
from bough.pipeline.explain.host_program import describe, line_of
from bough.pipeline.explain.rows import SCALAR, mapping_of
from bough.pipeline.recipe import Recipe

TELLING = ("OP", "CTRL", "MUT", "TRAIN", "REC", "DTYPE")
"""Kinds of refusals that mean the same for a sub-module by itself as for the model."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is refused. `place` and `source` are the user's line; `module` is where in the model, empty: itself."""

    code: str
    what: str
    because: str
    advice: str
    place: str
    source: str
    module: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """With `problems`, the rest is empty. `course` says what decides about the way of a call; `mappings` how many kernels
    each kind of code runs, and the lines of those without vectors are `scalar`."""

    target: str
    precision: str
    problems: tuple[Problem, ...]
    seconds: float = 0.0
    course: str = ""
    kernels: int = 0
    phases: int = 0
    mappings: tuple[tuple[str, int], ...] = ()
    scalar: tuple[str, ...] = ()


def diagnose(recipe: Recipe) -> Diagnosis:
    """Compiles without the cache, and looks further where that fails."""
    options = recipe.options
    made = Diagnosis(options.target.name, options.precision, ())
    try:
        with Stopwatch() as watch:
            imported, generated = recipe.run()
    except CompileError as error:
        return replace(made, problems=_distinct(_problems(recipe, error)))
    sequence, scheduled = generated.assembled.sequence, generated.assembled.scheduled
    phases = [members for s in walk(sequence.steps) if (members := phase(s))]
    kinds = {name: mapping_of(s.kernel, s.schedule) for name, s in scheduled.items()}
    lines = [line_of(place) for n, kind in kinds.items() if kind == SCALAR for place in scheduled[n].kernel.origins]
    program = describe(sequence, scheduled)
    if isinstance(imported, Staged):
        visits = imported.recursion.visits.functions
        ways = sum(len(v.variants) for v in visits)
        course = f"recursive over its arguments: {_plural(len(visits), 'function')} with {_plural(ways, 'way')} through them"
    else:
        course = program.summary() if program is not None else "straight: no decisions"
    return replace(
        made,
        seconds=watch.seconds,
        course=course,
        kernels=len(scheduled),
        phases=len(phases),
        mappings=tuple(Counter(map(_kind, kinds.values())).most_common()),
        scalar=tuple(dict.fromkeys(lines)),
    )


def _kind(mapping: str) -> str:
    """What does the work: an instruction, vectors, or neither."""
    return mapping.partition(" along ")[0].rpartition(" on ")[2]


def _problems(recipe: Recipe, error: CompileError, module: str = "") -> Iterator[Problem]:
    """Those of an error, and those that hide behind it."""
    yield from _of(error, module)
    found = recipe.module
    if not isinstance(found, nn.Module):
        return
    with _evaluated(found):
        if error.code == "BGH-TRAIN-001":
            again = _error(recipe)
            if again is None:
                return
            yield from _of(again, module)
        failing: list[_Called] = []
        for called in _calls(recipe, found):
            inner = _error(called.recipe)
            if inner is not None and _tells(inner):
                failing.append(called)
                yield from _problems(called.recipe, inner, f"{module}.{called.name}".lstrip("."))
        if failing:
            with _answering(failing):
                own = _error(recipe)
            if own is not None and _tells(own):
                yield from _of(own, module)


def _tells(error: CompileError) -> bool:
    return error.code.split("-")[1] in TELLING


def _error(recipe: Recipe) -> CompileError | None:
    try:
        recipe.imported()
    except CompileError as error:
        return error
    return None


def _of(error: CompileError, module: str) -> Iterator[Problem]:
    if isinstance(error, MissingOperators):
        for m in error.missing:
            place, source = (str(m.location), m.location.text) if m.location else ("", "")
            reason = m.reason or "Bough's table of operators does not have it"
            yield Problem(error.code, f"the operator {m.operator}", reason, "write the line with others", place, source, module)
        return
    place, source = (str(error.location), error.location.text) if error.location else ("", "")
    yield Problem(error.code, error.what, error.because, error.advice, place, source, module)


def _distinct(problems: Iterator[Problem]) -> tuple[Problem, ...]:
    """A line is refused once for a reason, whichever modules run it."""
    found: dict[tuple[str, str, str], Problem] = {}
    for p in problems:
        found[p.code, p.place or p.module, p.what if p.code == "BGH-OP-001" or not p.place else ""] = p  # the innermost names it
    return tuple(found.values())


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, for as long as this lasts."""
    training = {m: m.training for m in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for m, was in training.items():
            m.training = was


@dataclass(frozen=True, slots=True)
class _Called:
    """A sub-module, its first call in the example, what it gave, and the sub-modules that are like it."""

    name: str
    recipe: Recipe
    result: Any
    alike: list[nn.Module]


@contextmanager
def _answering(called: list[_Called]) -> Iterator[None]:
    """Sub-modules give what they have given before, for as long as this lasts."""
    modules = [(m, c.result) for c in called for m in c.alike]
    try:
        for m, result in modules:
            m.forward = lambda *_, _result=result, **__: _result
        yield
    finally:
        for m, _ in modules:
            del m.forward


def _calls(recipe: Recipe, module: nn.Module) -> list[_Called]:
    """The sub-modules that the example call runs first from this one."""
    given: dict[str, tuple[tuple[Any, ...], Mapping[str, Any]]] = {}
    results: dict[str, Any] = {}
    named = {name: m for name, m in module.named_modules() if m is not module}

    def watch(name: str, m: nn.Module) -> None:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given.setdefault(name, (args, kwargs))

        def after(_: nn.Module, __: tuple[Any, ...], result: Any) -> None:
            results.setdefault(name, result)

        hooks.callback(m.register_forward_pre_hook(before, with_kwargs=True).remove)
        hooks.callback(m.register_forward_hook(after).remove)

    with ExitStack() as hooks:
        for name, m in named.items():
            watch(name, m)
        buffers = [(b, b.clone()) for b in module.buffers()]
        with suppress(Exception), torch.no_grad():  # where the model fails by itself, what was called before tells enough
            module(*recipe.args, **(recipe.kwargs or {}))
        for buffer, value in buffers:
            buffer.data.copy_(value)
    alike: dict[str, _Called] = {}
    for name, (args, kwargs) in given.items():
        outer = [name[:n] for n, c in enumerate(name) if c == "."]
        if any(o in given for o in outer) or not _plain((args, kwargs)):
            continue
        m = named[name]
        own = replace(recipe, module=m, args=args, kwargs=kwargs, dynamic=None)
        key = f"{type(m).__qualname__} {m} {_shapes((args, kwargs))}"
        alike.setdefault(key, _Called(name, own, results.get(name), [])).alike.append(m)
    return list(alike.values())


def _plain(given: Any) -> bool:
    return all(v is None or isinstance(v, (torch.Tensor, int, float, str)) for v in tree_leaves(given))


def _shapes(given: Any) -> list[Any]:
    return [(v.shape, v.dtype) if isinstance(v, torch.Tensor) else v for v in tree_leaves(given)]


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
