"""What a compilation was asked for, and the steps that take it from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from bough.base import settings
from bough.base.clock import Stopwatch
from bough.base.garbage import old_objects_at_rest
from bough.base.version import build
from bough.frontends.staging import Staged, export_module, is_recursive, stage
from bough.frontends.torch_export import Imported
from bough.ir.program import Program
from bough.ir.recursion import Recursion
from bough.pipeline.assemble import Assembled
from bough.pipeline.explain import Roofs
from bough.pipeline.explain.recording import Call
from bough.pipeline.explanation import Explanation, explain
from bough.pipeline.fingerprint import fingerprint
from bough.pipeline.manifest import make_manifest, samples_manifest
from bough.pipeline.passes import Generated, Options, Watcher, assembled_loops, run_passes
from bough.pipeline.samples import assembled_samples, compile_samples
from bough.recursion import inline_leaves, settle, unroll, with_contexts
from bough.runtime.apart import one_by_one
from bough.runtime.binding import several
from bough.runtime.executable import Executable
from bough.runtime.samples import Samples


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a compilation was asked for: enough to explain it later."""

    module: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] | None
    dynamic: Mapping[str, Mapping[int, Any]] | None
    options: Options

    @old_objects_at_rest()
    def run(self, watchers: Iterable[Watcher] = ()) -> tuple[Imported | Staged, Generated]:
        """The module as native code."""
        with Stopwatch() as watch:
            read, program, options = self.read()
        return read, run_passes(program, options, watchers, imported=watch.seconds)

    @old_objects_at_rest()
    def assembled(self) -> tuple[Imported | Staged, Assembled]:
        """The module as loops."""
        read, program, options = self.read()
        return read, assembled_loops(program, options)

    def read(self) -> tuple[Imported | Staged, Program | Recursion, Options]:
        """What the front end makes of the module, and the options that fit it."""
        if is_recursive(self.module, self.args, self.kwargs):
            staged = stage(self.module, self.args, self.kwargs)
            if self.options.switches.contexts:
                staged = replace(staged, recursion=with_contexts(staged.recursion))
            if self.options.switches.unrolling:
                staged = replace(staged, recursion=unroll(staged.recursion))
            values = (*self.args, *(self.kwargs or {}).values())
            if self.options.switches.inlining:
                staged = replace(staged, recursion=inline_leaves(staged.recursion, values))
            switches = settle(self.options.switches, staged.recursion.visits, values)
            return staged, staged.recursion, replace(self.options, switches=switches)
        imported = self.imported()
        return imported, imported.program, self.options

    def explain(self, roofs: Roofs | None = None) -> Explanation:
        """What became of the module, measured with the example arguments."""
        return self._explain(lambda function: function.call(*self.args, **(self.kwargs or {})), roofs)

    @old_objects_at_rest()
    def explain_map(self, one: Executable, inputs: Iterable[Any], roofs: Roofs | None = None) -> Explanation:
        """What becomes of a list of inputs of the function `one`, measured. Where they are computed on threads of their own, what
        becomes of one after the other."""
        rows = several(one.manifest, inputs)
        if one.manifest.visits is not None:
            given = rows if len(one.manifest.parameters) > 1 else [x for (x,) in rows]
            return self._explain(lambda function: function.map(given), roofs)
        if one.samples is None or len(rows) < 2:
            return self._explain(lambda function: one_by_one(function.call, rows), roofs)
        together = cache(partial(Samples, one))
        assembled = assembled_samples(self.imported().program, self.options)
        target = self.options.target
        return explain(
            assembled, self.options, lambda made: samples_manifest(made, target), lambda many: together(many).map(rows), roofs
        )

    @old_objects_at_rest()
    def _explain(self, call: Call, roofs: Roofs | None) -> Explanation:
        read, assembled = self.assembled()
        return explain(assembled, self.options, lambda made: make_manifest(read, made, self.options.target), call, roofs)

    def imported(self) -> Imported:
        """The module as a Program."""
        return export_module(self.module, self.args, dynamic=self.dynamic, kwargs=self.kwargs)

    @old_objects_at_rest()
    def together(self, program: Program | None) -> Executable:
        """The function for many samples; the program, if it is not at hand, is read from the module again."""
        return compile_samples(program or self.imported().program, self.options)


def cache_key(recipe: Recipe) -> str | None:
    """The name under which the result is kept; None where the module cannot be told from others without tracing it."""
    o = recipe.options
    extra = (
        build(), torch.__version__, o.target.name, o.target.features, repr(o.target.memories), o.threads,
        o.precision, repr(o.strategy), repr(o.switches), recipe.dynamic, settings.cache_key(),
    )  # fmt: skip
    return fingerprint(recipe.module, (recipe.args, recipe.kwargs or {}), extra)
