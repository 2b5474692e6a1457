"""The compilations of one model that an export holds: one for each processor level, under symbols of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bough.base.errors import CompileError
from bough.codegen import compile_functions
from bough.frontends.staging import Staged
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import run_passes
from bough.pipeline.recipe import Recipe
from bough.runtime.arrays import Array
from bough.runtime.executable import Executable
from bough.runtime.manifest import Manifest
from bough.runtime.team import team_text
from bough.targets import TARGETS, Target, host

LEVELS = {"x86-64-v2": "x86-64-v2", "x86-64-v3": "avx2", "x86-64-v4": "avx512", "aarch64-linux-gnu": "neon"}
"""Names of processor levels, and the targets that are compiled for them."""


@dataclass(frozen=True, slots=True)
class Variant:
    """`prefix` stands before the symbols of its object, which are those of `manifest` and of the thread team."""

    label: str
    prefix: str
    triple: str
    manifest: Manifest
    code: bytes
    constants: Mapping[str, Array]


def make_variants(name: str, executable: Executable, recipe: Recipe | None, targets: Sequence[str]) -> list[Variant]:
    """The variants for these targets, the most capable first; without targets, the code at hand."""
    if executable.manifest.visits is not None:
        raise CompileError(
            "a function of recursive structures cannot be exported yet",
            code="BGH-EXP-003",
            because="a host program in C has no objects for it to walk",
            advice="save it with f.save(path) and call it from Python",
        )
    if not targets:
        target = recipe.options.target if recipe else host()
        _linux(target)
        return [Variant(target.name, "", target.triple, executable.manifest, executable.code, executable.constants)]
    if recipe is None:
        raise CompileError(
            "a loaded function cannot be exported for other targets",
            code="BGH-EXP-004",
            because="its file holds code for one processor, not the model",
            advice="leave the target out, or export where the model is compiled",
        )
    chosen = {label: _target(label) for label in targets}
    if len({_architecture(t) for t in chosen.values()}) > 1:
        raise CompileError(
            f"{', '.join(targets)} do not go into one file",
            code="BGH-EXP-002",
            because="a shared object holds code for one architecture",
            advice="export once for each, into folders of their own",
        )
    return _compile(name, recipe, chosen)


def _compile(name: str, recipe: Recipe, chosen: Mapping[str, Target]) -> list[Variant]:
    made: list[Variant] = []
    ordered = sorted(chosen.items(), key=lambda item: len(item[1].features), reverse=True)
    first = replace(recipe, options=replace(recipe.options, target=ordered[0][1]))
    imported, generated = first.run()
    assert not isinstance(imported, Staged), "recursive models were refused"
    for number, (label, target) in enumerate(ordered):
        if number:
            generated = run_passes(imported.program, replace(recipe.options, target=target))
        prefix = f"{name}_{number}_"
        code = compile_functions([generated.assembled.function], target, team=team_text(_architecture(target)), prefix=prefix)
        manifest = make_manifest(imported, generated.assembled, target)
        made.append(Variant(label, prefix, target.triple, manifest, code, generated.assembled.sequence.constants))
    return made


def _architecture(target: Target) -> str:
    return target.triple.partition("-")[0]


def _target(label: str) -> Target:
    if label == "native":
        target = host()
    elif LEVELS.get(label, label) in TARGETS and TARGETS[LEVELS.get(label, label)].triple:
        target = TARGETS[LEVELS.get(label, label)]
    else:
        raise CompileError(
            f"no code can be exported for {label!r}",
            code="BGH-EXP-002",
            because="exports are made for levels of processors and for described targets that run code",
            advice=f"use {', '.join(LEVELS)}, native, or a name of `bough targets`",
        )
    _linux(target)
    return target


def _linux(target: Target) -> None:
    if "linux" not in target.triple:
        raise CompileError(
            f"no code can be exported for {target.triple}",
            code="BGH-EXP-002",
            because="shared objects are made for Linux",
            advice=f"name a target: {', '.join(LEVELS)}",
        )
