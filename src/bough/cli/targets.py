"""`bough targets`: the hardware that Bough knows, and what is written about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bough.cli import output


def targets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this target (`native`: the machine at hand).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the targets, or show one: its memories, its instructions and what they cost."""
    from bough.targets import TARGETS, as_dict, describe, host

    native = host()
    if name is not None:
        if name != "native" and name not in TARGETS:
            raise typer.BadParameter(f"there is no target {name!r}; there are native, {', '.join(TARGETS)}")
        target = native if name == "native" else TARGETS[name]
        if json:
            output.show_json(as_dict(target))
        else:
            output.result().print(describe(target))
        return
    here = set(native.features)
    rows: list[dict[str, Any]] = [
        {
            "name": target.name,
            "lanes": target.lanes,
            "instructions": len(target.instructions),
            "spelled": sum(i.spelling is not None for i in target.instructions),
            "features": list(target.features),
            "runs_here": bool(target.triple) and set(target.features) <= here,
        }
        for target in TARGETS.values()
    ]
    if json:
        output.show_json({"native": as_dict(native)["name"], "targets": rows})
        return
    output.show_table(
        ("target", "lanes", "instructions", "runs here", "features"),
        [
            (r["name"], str(r["lanes"]), str(r["instructions"]), "yes" if r["runs_here"] else "no",
             " ".join(r["features"]))
            for r in rows
        ],
    )  # fmt: skip
    output.log().print(f"native: {native.name}")
