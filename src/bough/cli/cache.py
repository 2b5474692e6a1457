"""`bough cache`: what is kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from bough.base import settings
from bough.cli import output

app = typer.Typer(help="Look at or empty the cache of compiled code.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("path")
def path(json: Json = False) -> None:
    """Print the cache's folder."""
    folder = settings.read(settings.CACHE)
    if json:
        output.show_json({"path": str(folder)})
    else:
        print(folder)


@app.command("list")
def entries(json: Json = False) -> None:
    """List the entries, with their sizes."""
    from bough.runtime.cache import Cache

    rows = [{"key": e.key, "bytes": e.size} for e in Cache(settings.read(settings.CACHE)).entries()]
    if json:
        output.show_json({"path": str(settings.read(settings.CACHE)), "entries": rows})
        return
    output.show_table(("entry", "size"), [(str(r["key"]), output.size(int(r["bytes"]))) for r in rows])
    output.log().print(f"{len(rows)} entries, {output.size(sum(int(r['bytes']) for r in rows))}")


@app.command("clear")
def clear(json: Json = False) -> None:
    """Remove every entry."""
    from bough.runtime.cache import Cache

    cache = Cache(settings.read(settings.CACHE))
    before = sum(1 for _ in cache.entries())
    cache.clear()
    if json:
        output.show_json({"path": str(settings.read(settings.CACHE)), "removed": before})
    else:
        output.log().print(f"{before} entries removed")
