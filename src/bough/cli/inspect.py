"""`bough inspect`: what a saved function or an export holds, and whether its bytes are those that were written."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bough.cli import output

if TYPE_CHECKING:
    from bough.pipeline.export.contents import Contents
    from bough.runtime.manifest import Manifest, Tensor


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A saved function, or the folder or NAME.json of an export.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a saved function or an export holds, without running any of it. Fails where its bytes were changed."""
    if not file.exists():
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
    from bough.pipeline.export import describe_file

    contents = describe_file(file)
    summary = _summary(contents)
    if json:
        output.show_json(summary)
    else:
        _show(summary)
    if not contents.right:
        output.log().print("the bytes are not those that were written")
        raise typer.Exit(1)


def _summary(contents: Contents) -> dict[str, Any]:
    manifest = contents.variants[0][2]
    return {
        "kind": contents.kind,
        "entry": manifest.entry,
        "arguments": [_tensor(t) for t in manifest.arguments],
        "results": [_tensor(t) for t in manifest.results],
        "sizes": {s.name: [s.low, s.high] for s in manifest.scalars},
        "recursive": manifest.visits is not None,
        "embedded": contents.embedded,
        "targets": [_target(label, code, m) for label, code, m in contents.variants],
        "parts": {p.name: {"bytes": p.bytes, "right": p.right} for p in contents.parts},
    }


def _target(label: str, code: int, manifest: Manifest) -> dict[str, Any]:
    from bough.runtime import sizes
    from bough.runtime.arrays import NUMPY

    weights = sum(prod(int(str(e)) for e in t.shape) * NUMPY[t.dtype].itemsize for t in manifest.constants)
    smallest = {s.name: s.low for s in manifest.scalars}
    return {
        "target": label,
        "code_bytes": code,
        "constant_bytes": weights,
        "arena_bytes": sizes.text(manifest.arena),
        "least_arena_bytes": sizes.evaluate(manifest.arena, smallest),
    }


def _tensor(tensor: Tensor) -> str:
    from bough.runtime import sizes

    return f"{tensor.name}: {tensor.dtype}[{', '.join(map(sizes.text, tensor.shape))}]"


def _show(summary: dict[str, Any]) -> None:
    rows = [("kind", summary["kind"]), ("entry", summary["entry"])]
    rows += [("argument", text) for text in summary["arguments"]] + [("result", text) for text in summary["results"]]
    rows += [("size", f"{n}: {low} to {'any' if high is None else high}") for n, (low, high) in summary["sizes"].items()]
    for t in summary["targets"]:
        code, weights = output.size(t["code_bytes"]), output.size(t["constant_bytes"])
        arena = output.size(t["least_arena_bytes"]) + (" and more" if summary["sizes"] else "")
        rows.append(("target", f"{t['target']}: code {code}, weights {weights}, arena {arena} a call"))
    for name, part in summary["parts"].items():
        rows.append(("part", f"{name}: {output.size(part['bytes'])}, {'as written' if part['right'] else 'CHANGED'}"))
    output.show_pairs(rows)
