"""`bough cache`: what is kept between runs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
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

    cache = Cache()
    found = cache.entries()
    if json:
        output.show_json({"path": str(cache.folder), "entries": [asdict(e) for e in found]})
        return
    output.show_table(
        ("entry", "size", "written"),
        [(e.key, output.size(e.size), datetime.fromtimestamp(e.modified).strftime("%Y-%m-%d %H:%M")) for e in found],
    )
    output.log().print(f"{len(found)} entries, {output.size(sum(e.size for e in found))}")


@app.command("clear")
def clear(json: Json = False) -> None:
    """Remove every entry."""
    from bough.runtime.cache import Cache

    cache = Cache()
    removed = cache.clear()
    if json:
        output.show_json({"path": str(cache.folder), "removed": removed})
    else:
        output.log().print(f"{removed} entries removed")
