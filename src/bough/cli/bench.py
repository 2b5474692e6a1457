"""`bough bench`: Bough and its peers on a suite of cases."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bough.base import settings
from bough.cli import output


def bench(
    suite: Annotated[str, typer.Argument(help="The suite to run, such as `gemm` or `rnn`.")],
    against: Annotated[
        str, typer.Option(help="Peers to compare with, separated by commas: torch, onnxruntime, openvino.")
    ] = "torch",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of Bough and of every peer.")] = None,
    filter: Annotated[str, typer.Option(help="Run only the cases whose name matches this regular expression.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions: for a first look.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file (`-`: to stdout).")] = None,
) -> None:
    """Compare Bough with other libraries: medians of interleaved runs, checked against a float64 reference first."""
    from bough.bench import SUITES, run_suite

    if suite not in SUITES:
        raise typer.BadParameter(f"there is no suite {suite!r}; there are {', '.join(SUITES)}", param_hint="SUITE")
    try:
        re.compile(filter)
    except re.error as error:
        raise typer.BadParameter(f"{filter!r} is no regular expression: {error}", param_hint="--filter") from None
    count = settings.read(settings.THREADS) if threads is None else threads
    peers = [name for name in against.split(",") if name]
    with output.progress() as bar:
        task = bar.add_task(suite, total=None)

        def progress(case: str, done: int, total: int) -> None:
            bar.update(task, description=case, completed=done, total=total)

        figures = run_suite(suite, peers, count, filter, quick, progress)
    if json is not None and str(json) != "-":
        json.write_text(output.as_json(figures) + "\n")
    if json is not None and str(json) == "-":
        sys.stdout.write(output.as_json(figures) + "\n")
    else:
        _show(figures)


def _show(figures: dict[str, Any]) -> None:
    peers = list(dict.fromkeys(peer for row in figures["rows"] for peer in row["peers_ms"]))
    rows = []
    for row in figures["rows"]:
        others = [row["peers_ms"].get(peer) for peer in peers]
        known = [time for time in others if time is not None]
        rows.append((
            row["case"],
            f"{row['bough_ms']:.3f}",
            *("missing" if time is None else f"{time:.3f}" for time in others),
            f"{min(known) / row['bough_ms']:.2f}" if known else "-",
            f"{100 * row['limit_ms'] / row['bough_ms']:.0f} %" if row["limit_ms"] else "-",
            f"{row['max_error']:.1e}",
            f"{row['compile_s']:.2f}",
        ))  # fmt: skip
    heads = ("case", "bough ms", *(f"{peer} ms" for peer in peers), "best / bough", "of limit", "error", "compile s")
    output.show_table(heads, rows, f"{figures['suite']}, {figures['threads']} threads")
    output.show_table(
        ("peer time / Bough time", "geomean", "min", "max"),
        [(peer, f"{s['geomean']:.2f}", f"{s['min']:.2f}", f"{s['max']:.2f}") for peer, s in figures["summary"].items()],
    )
