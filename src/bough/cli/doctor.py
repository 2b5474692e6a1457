"""`bough doctor`: is this installation sound, and what does this model need that is missing?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bough.base.clock import duration
from bough.cli import checks, output
from bough.cli import model as models
from bough.cli.compiling import FULL, Precision, Target

if TYPE_CHECKING:
    from bough.pipeline.diagnosis import Diagnosis

MOST_LINES = 5
"""Lines that are shown of those that become scalar code."""
SAMPLED_EVERY = 1 << 12
"""One float in this many, a million of them: a second or so for each function."""
_SIGN = {"good": "ok", "warning": "note", "bad": "FAIL"}


def doctor(
    spec: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Say what is missing for this model: " + models.HELP)
    ] = None,
    target: Target = None,
    precision: Precision = FULL,
    math: Annotated[bool, typer.Option("--math", help="Check the vector math functions on sampled inputs.")] = False,
    all_inputs: Annotated[bool, typer.Option("--all", help="With --math: on all 2^32 inputs (takes long).")] = False,
    function: Annotated[list[str] | None, typer.Option(help="With --math: this function only (may be repeated).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the installation, whether a model compiles and what it becomes, or the vector math functions."""
    if not math and (all_inputs or function):
        raise typer.BadParameter("goes with --math", param_hint="--all" if all_inputs else "--function")
    if spec is None and (target is not None or precision != FULL):
        raise typer.BadParameter("goes with a MODEL", param_hint="--target" if target is not None else "--precision")
    if spec is not None:
        _model(spec, target, precision, json)
    elif math:
        _math(function, 1 if all_inputs else SAMPLED_EVERY, json)
    else:
        _installation(json)


def _installation(json: bool) -> None:
    with output.status("checking"):
        found = checks.run_all()
    if json:
        output.show_json([asdict(check) for check in found])
    else:
        output.show_table(("", "what", "found"), [(_SIGN[c.state], c.name, c.detail) for c in found])
    if any(check.state == "bad" for check in found):
        raise typer.Exit(1)


def _model(spec: str, target: str | None, precision: str, json: bool) -> None:
    model = models.load_model(spec)
    from bough.pipeline.diagnosis import diagnose
    from bough.pipeline.options import make_options
    from bough.pipeline.recipe import Recipe

    recipe = Recipe(model.module, model.args, None, model.dynamic, make_options(target, None, precision))
    with output.status(f"compiling {spec}"):
        found = diagnose(recipe)
    if json:
        output.show_json(asdict(found))
    elif found.problems:
        _show_problems(spec, found)
    else:
        _show_diagnosis(spec, found)
    if found.problems:
        raise typer.Exit(1)


def _show_problems(spec: str, found: Diagnosis) -> None:
    count = len(found.problems)
    print(f"{spec} does not compile: {count} problem{'' if count == 1 else 's'}")
    for p in found.problems:
        print(f"\n[{p.code}] {p.what}" + (f", in {p.module}" if p.module else ""))
        if p.place:
            print(f"  at {p.place}" + (f": {p.source}" if p.source else ""))
        print(f"  because: {p.because}")
        print(f"  try: {p.advice}")


def _show_diagnosis(spec: str, found: Diagnosis) -> None:
    print(f"{spec} compiles, in {duration(found.seconds)}")
    rows = [
        ("target", f"{found.target}, {found.precision}"),
        ("course", found.course),
        ("kernels", f"{found.kernels} in {found.phases} parallel phases"),
        *((f"  {name}", str(count)) for name, count in found.mappings),
        *(("    such as", line) for line in found.scalar[:MOST_LINES]),
    ]
    output.show_pairs(rows)


def _math(functions: list[str] | None, every: int, json: bool) -> None:
    from bough.codegen import check_math
    from bough.codegen.vector_math import FUNCTIONS

    unknown = [name for name in functions or () if name not in FUNCTIONS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(sorted(FUNCTIONS))}", param_hint="--function")
    with output.progress() as bar:
        task = bar.add_task("math", total=None)
        rows = check_math(
            functions, every=every, progress=lambda name, part: bar.update(task, description=name, completed=part, total=1)
        )
    if json:
        output.show_json([asdict(row) | {"right": row.right} for row in rows])
    else:
        output.show_table(
            ("function", "inputs", "largest error, ULP", "promised", "", "at"),
            [
                (r.function, str(r.inputs), f"{r.max_ulp:.3f}", f"{r.bound:g}", "right" if r.right else "WRONG",
                 " ".join(map(repr, r.worst_input)))
                for r in rows
            ],
        )  # fmt: skip
    if not all(row.right for row in rows):
        raise typer.Exit(1)
