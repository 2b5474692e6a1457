"""`bough cache`: what is kept between runs."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
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
        output.show_json({"path": _text(folder)})
    elif folder is None:
        output.log().print(f"there is no cache: {settings.CACHE.variable} is 0")
    else:
        print(folder)


@app.command("list")
def entries(json: Json = False) -> None:
    """List the entries, with their sizes."""
    from bough.runtime.cache import Cache

    cache = Cache()
    found = cache.entries()
    if json:
        output.show_json({"path": _text(cache.folder), "entries": [asdict(e) for e in found]})
        return
    output.show_table(
        ("entry", "size", "written"),
        [(e.key, output.size(e.size), datetime.fromtimestamp(e.modified).strftime("%Y-%m-%d %H:%M")) for e in found],
    )
    output.log().print(f"{_entries(len(found))}, {output.size(sum(e.size for e in found))}")


@app.command("clear")
def clear(json: Json = False) -> None:
    """Remove every entry."""
    from bough.runtime.cache import Cache

    cache = Cache()
    removed = cache.clear()
    if json:
        output.show_json({"path": _text(cache.folder), "removed": removed})
    else:
        output.log().print(f"{_entries(removed)} removed")


@app.command("trim")
def trim(
    limit: Annotated[str, typer.Argument(metavar="SIZE", help="How large the cache may stay: `500M`, `2G`.")], json: Json = False
) -> None:
    """Remove the oldest entries until the cache is no larger than SIZE."""
    from bough.runtime.cache import Cache

    cache = Cache()
    removed = cache.trim(_bytes(limit))
    if json:
        output.show_json({"path": _text(cache.folder), "removed": removed, "bytes": cache.size()})
    else:
        output.log().print(f"{_entries(removed)} removed, {output.size(cache.size())} are left")


def _text(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _bytes(text: str) -> int:
    """A size with a unit: K, M, G, or none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; write a number and K, M or G", param_hint="SIZE")
    return int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " "))
