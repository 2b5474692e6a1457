"""`bough bench`: Bough and its peers on a suite of cases."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bough.base import settings
from bough.cli import output
from bough.cli.bench_table import share_of_limit, write_table

NAME = "bough"
AGAINST = (
    "Peers, separated by commas: torch, inductor, onnxruntime, openvino, bough-bfloat16, bough-int8; of trees torch, batched, "
    "dgl; of dynamic torch, torch-compile, onnxruntime."
)
STOPPED = 130
"""What a shell makes of a command that Ctrl-C has stopped."""
PATHS = 4
"""How many of the ways through a network are shown with their share of the inputs."""


def bench(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="`gemm`, `conv`, `rnn`, `static`, `trees` or `dynamic`.")],
    against: Annotated[
        str | None,
        typer.Option(help=AGAINST),
    ] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="Compare with Bough without one optimization at a time.")] = False,
    sst: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Sentences of `trees`: one in brackets a line.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of Bough and of every peer.")] = None,
    filter: Annotated[str, typer.Option(help="Run only the cases whose name matches this regular expression.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions: for a first look.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file (`-`: to stdout).")] = None,
    table: Annotated[Path | None, typer.Option(help="Write a table in Markdown to this file, or behind its mark.")] = None,
) -> None:
    """Compare Bough with other libraries: medians of interleaved runs, checked against a float64 reference first."""
    from bough.bench import SUITES, Choice, choose, run_suite

    if suite not in SUITES:
        raise typer.BadParameter(f"there is no suite {suite!r}; there are {', '.join(SUITES)}", param_hint="SUITE")
    try:
        re.compile(filter)
    except re.error as error:
        raise typer.BadParameter(f"{filter!r} is no regular expression: {error}", param_hint="--filter") from None
    found = SUITES[suite]
    if not choose(found.cases(Choice(quick, sst)), filter, quick):
        raise typer.BadParameter(f"no case of {suite} matches {filter!r}", param_hint="--filter")
    count = settings.read(settings.THREADS) if threads is None else threads
    if ablate and not found.ablations:
        raise typer.BadParameter(f"nothing of {suite} can be left out", param_hint="--ablate")
    peers = [name for name in against.split(",") if name] if against is not None else list(found.against)
    if unknown := [name for name in peers if name not in found.rivals]:
        known = ", ".join(found.rivals)
        raise typer.BadParameter(f"{suite} has no peer {unknown[0]!r}; there are {known}", param_hint="--against")
    if ablate:
        peers = list(found.ablations)
    with output.progress() as bar:
        task = bar.add_task(suite, total=None)

        def progress(case: str, done: int, total: int) -> None:
            bar.update(task, description=case, completed=done, total=total)
            if bar.disable:
                output.log().print(f"{done}/{total} {case}")

        figures: dict[str, Any] = {}
        stopped = False
        try:
            for figures in run_suite(suite, peers, count, filter, quick, progress, sst):
                if table is not None:
                    write_table(table, figures)
                if json is not None and str(json) != "-":
                    json.write_text(output.as_json(figures) + "\n")
        except KeyboardInterrupt:
            if not figures:
                raise
            stopped = True
    if json is not None and str(json) == "-":
        sys.stdout.write(output.as_json(figures) + "\n")
    else:
        _show(figures)
    if stopped:
        output.log().print(f"stopped: the table has the cases that were done by then ({len(figures['rows'])})")
        raise typer.Exit(STOPPED)
    if any(row["bough_ms"] is None for row in figures["rows"]):
        raise typer.Exit(1)


def _show(figures: dict[str, Any]) -> None:
    peers = list(dict.fromkeys(peer for row in figures["rows"] for peer in row["peers_ms"]))
    columns = [column for peer in peers for column in (f"{peer} ms", f"/ {NAME}")]
    heads = ("case", f"{NAME} ms", *columns, f"best / {NAME}", "of limit", "error", "compile s", "peak MB")
    rows = [_cells(row, peers, figures["missing"]) for row in figures["rows"]]
    output.show_table(heads, rows, f"{figures['suite']}, {figures['threads']} threads")
    print()
    output.show_table(
        (f"peer time / {NAME} time", "geomean", "min", "max"),
        [(peer, f"{s['geomean']:.2f}", f"{s['min']:.2f}", f"{s['max']:.2f}") for peer, s in figures["summary"].items()],
    )
    for line in _remarks(figures):
        print(line)


def _cells(row: dict[str, Any], peers: Sequence[str], missing: Collection[str]) -> list[str]:
    mine = row["bough_ms"]

    def ratio(time: float | None) -> str:
        return "" if time is None or mine is None else f"{time / mine:.2f}"

    times = {peer: row["peers_ms"].get(peer) for peer in peers}
    best = times[row["best"]] if row["best"] else None
    cells = [row["case"], "failed" if mine is None else f"{mine:.3f}"]
    for peer, time in times.items():
        lacking = "missing" if peer in missing else "failed"
        cells += [lacking if time is None else f"{time:.3f}", ratio(time)]
    error = "" if row["max_error"] is None else f"{row['max_error']:.1e}"
    seconds = "" if row["compile_s"] is None else f"{row['compile_s']:.2f}"
    peak = row["peak_mb"].get(NAME)
    return [*cells, ratio(best), share_of_limit(row), error, seconds, "" if peak is None else f"{peak:.1f}"]


def _takes_more_memory(row: dict[str, Any]) -> bool:
    mine, other = (row["memory_mb"].get(name) for name in (NAME, "onnxruntime"))
    return mine is not None and other is not None and mine > other


def _remarks(figures: dict[str, Any]) -> Iterator[str]:
    """What the tables do not say by themselves: where Bough is behind, and what stands in the way of a comparison."""
    behind = {}
    for row in figures["rows"]:
        best, mine = row["best"], row["bough_ms"]
        if best and mine is not None and row["peers_ms"][best] < mine:
            ratio = row["peers_ms"][best] / mine
            behind[f"{row['case']} {ratio:.2f} ({best})"] = ratio
    if behind:
        yield f"\nbehind the best peer in {len(behind)} of {len(figures['rows'])} cases, furthest first:"
        yield from (f"  {case}" for case in sorted(behind, key=lambda case: behind[case]))
    larger = [row["case"] for row in figures["rows"] if _takes_more_memory(row)]
    if larger:
        yield f"\nmore memory than onnxruntime, weights and all, in {len(larger)} cases: {', '.join(larger)}"
    for row in figures["rows"]:
        if "paths" in row:
            shares = ", ".join(f"{share:.0%}" for share in row["paths"][:PATHS]) + (", ..." if row["paths"][PATHS:] else "")
            yield f"{row['case']}: {len(row['paths'])} ways, taken by {shares} of the inputs"
        yield from (f"{row['case']}, {name}: {note}" for name, note in row["notes"].items())
    yield from (f"{name} is not installed: {install}" for name, install in figures["missing"].items())
