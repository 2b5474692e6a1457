"""`bough doctor`: is this installation sound, and what does this model need that is missing?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bough.cli import checks, output
from bough.cli import model as models

_SIGN = {"good": "ok", "warning": "note", "bad": "FAIL"}


def doctor(
    spec: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Say which operators of this model Bough lacks.")
    ] = None,
    math: Annotated[bool, typer.Option("--math", help="Check the vector math functions on sampled inputs.")] = False,
    all_inputs: Annotated[bool, typer.Option("--all", help="With --math: on all 2^32 inputs (takes long).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the installation, a model's operators, or the vector math functions."""
    if all_inputs and not math:
        raise typer.BadParameter("goes with --math", param_hint="--all")
    if spec is not None:
        _model(spec, json)
    elif math:
        _math(all_inputs, json)
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


def _math(all_inputs: bool, json: bool) -> None:
    from bough.codegen import check_math

    with output.status("checking the vector math functions"):
        rows = check_math(all_inputs)
    if json:
        output.show_json([asdict(row) for row in rows])
    else:
        output.show_table(
            ("function", "inputs", "largest error, ULP", "at", "promised", ""),
            [
                (r.function, str(r.inputs), f"{r.max_ulp:.3f}", repr(r.worst_input), f"{r.bound:g}",
                 "right" if r.right else "WRONG")
                for r in rows
            ],
        )  # fmt: skip
    if not all(row.right for row in rows):
        raise typer.Exit(1)
