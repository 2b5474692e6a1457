"""`bough doctor`: is this installation sound, and what does this model need that is missing?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bough.cli import checks, output
from bough.cli import model as models

SAMPLED_EVERY = 1 << 12
"""One float in this many, a million of them: a second or so for each function."""
_SIGN = {"good": "ok", "warning": "note", "bad": "FAIL"}


def doctor(
    spec: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Say which operators of this model Bough lacks.")
    ] = None,
    math: Annotated[bool, typer.Option("--math", help="Check the vector math functions on sampled inputs.")] = False,
    all_inputs: Annotated[bool, typer.Option("--all", help="With --math: on all 2^32 inputs (takes long).")] = False,
    function: Annotated[list[str] | None, typer.Option(help="With --math: this function only (may be repeated).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the installation, a model's operators, or the vector math functions."""
    if not math and (all_inputs or function):
        raise typer.BadParameter("goes with --math", param_hint="--all" if all_inputs else "--function")
    if spec is not None:
        _model(spec, json)
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


def _model(spec: str, json: bool) -> None:
    model = models.load_model(spec)
    from bough.frontends.torch_export import missing_operators

    missing = [(name, str(place or ""), place.text if place else "") for name, place in
               missing_operators(model.module, model.args)]  # fmt: skip
    if json:
        output.show_json([{"operator": n, "place": p, "source": s} for n, p, s in missing])
    elif missing:
        output.show_table(("missing operator", "where", "source"), missing)
    else:
        output.result().print(f"{spec}: Bough has every operator of this model")
    if missing:
        raise typer.Exit(1)


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
