"""The command's table of contents, and what its exit codes mean: 0 done, 1 the thing failed, 2 bad usage."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, NoReturn

import typer

from bough.base.errors import CompileError
from bough.base.version import __version__
from bough.cli import bench, cache, compiling, doctor, explain, export, inspect, output, targets

app = typer.Typer(
    name="bough",
    help="Compile PyTorch modules to native code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("compile")(compiling.compile)
app.command("run")(compiling.run)
app.command("explain")(explain.explain)
app.command("bench")(bench.bench)
app.command("export")(export.export)
app.command("inspect")(inspect.inspect)
app.command("targets")(targets.targets)
app.add_typer(cache.app, name="cache")
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"bough {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is going on.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Compile PyTorch modules to native code."""
    logging.basicConfig(
        stream=sys.stderr, format="%(name)s: %(message)s", level=logging.INFO if verbose else logging.WARNING
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the command and leaves with its exit code (SystemExit)."""
    try:
        app(args=argv, prog_name="bough")
    except CompileError as error:
        _fail(str(error))
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    output.log().print(message, style="red" if output.log().is_terminal else None)
    sys.exit(1)
