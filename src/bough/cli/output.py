"""Where the command writes: results to stdout, everything about the work to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


def result() -> Console:
    """The console of results. Made when needed, so that it follows a redirected stdout."""
    return Console(file=sys.stdout, markup=False, highlight=False, soft_wrap=True)


def log() -> Console:
    return Console(file=sys.stderr, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> Any:
    """`value` with what JSON has no word for (nan, inf) as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def as_json(value: Any) -> str:
    return json.dumps(plain(value), indent=2, default=str)


def show_json(value: Any) -> None:
    print(as_json(value))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A table whose first column is flush left and whose other columns are flush right where they hold numbers."""
    rows = list(rows)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        numeric = i > 0 and all(_is_number(row[i]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(file=sys.stdout, markup=False, highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    console.width = 10_000
    with console.capture() as captured:  # a file or a pipe gets whole lines, however long, and no padding at their ends
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def show_pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, a line each."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _is_number(text: str) -> bool:
    return not text or text[0].isdigit() or text[0] in "+-.<" or text in ("inf", "nan")


def size(count: int) -> str:
    """A number of bytes, in the unit that suits it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def progress() -> Progress:
    """A progress bar, drawn where a person watches the terminal."""
    console = log()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Says what is going on while it goes on, where a person watches the terminal. Gives a function that says more."""
    console = log()
    if not console.is_terminal:
        yield lambda more: None
        return
    with console.status(text) as shown:
        yield lambda more: shown.update(f"{text}: {more}")
