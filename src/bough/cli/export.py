"""`bough export`: a MODEL to files for a host program in C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bough.cli import model as models
from bough.cli import output


def export(
    spec: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP + " Or a file that was saved.")],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder for the files; made where there is none.")],
    name: Annotated[str, typer.Option(help="The first part of the names of files and of C functions.")] = "model",
    target: Annotated[
        str | None,
        typer.Option(help="Processor levels, separated by commas: x86-64-v2, x86-64-v3, x86-64-v4; or aarch64-linux-gnu."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that the schedule is chosen for.")] = None,
    embed: Annotated[bool, typer.Option("--embed", help="Put the weights into the shared object too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a model as a shared object with a C header, weights and a sample program, which need neither Python nor Bough."""
    saved = Path(spec).is_file()
    model = None if saved else models.load_model(spec)
    from bough.pipeline import Compiled
    from bough.pipeline import compile as compile_module
    from bough.runtime import artefact

    with output.status(f"exporting {spec}"):
        if model is None:
            compiled = Compiled(artefact.load(spec))
        else:
            compiled = compile_module(model.module, model.args, dynamic=model.dynamic, threads=threads)
        made = compiled.export(folder, name=name, target=target, embed=embed)
    sizes = {file.name: file.stat().st_size for file in made.files}
    if json:
        output.show_json({"folder": str(made.folder), "name": made.name, "targets": made.targets, "files": sizes})
        return
    rows = [("folder", str(made.folder)), ("targets", ", ".join(made.targets)), ("linked by", " ".join(made.compiler))]
    output.show_pairs([*rows, *((file, output.size(size)) for file, size in sizes.items())])
