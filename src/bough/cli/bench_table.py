"""The figures of a suite as a table in Markdown, for documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MARK = "<!-- the rest: bough bench"
NAME = "bough"
Row = dict[str, Any]


def write_table(file: Path, figures: dict[str, Any]) -> None:
    """Into a new file; in one that has a line that begins with MARK, in place of what follows this line."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    at = before.find(MARK)
    head = before[: before.index("\n", at) + 1] + "\n" if at >= 0 else ""
    file.write_text(head + markdown(figures), encoding="utf-8")


def share_of_limit(row: Row) -> str:
    share = row["share_of_limit"]
    return _number(share and 100 * share, "{:.0f} %")


def markdown(figures: dict[str, Any]) -> str:
    """Times, the errors of Bough and of eager PyTorch, and what it took to get there; columns that no case has are left out."""
    rows: list[Row] = figures["rows"]
    peers = list(dict.fromkeys(peer for row in rows for peer in row["peers_ms"]))
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("case", lambda row: f"`{row['case']}`"),
        ("Bough ms", lambda row: _number(row["bough_ms"], "{:.2f}")),
        *((f"{peer} ms", lambda row, peer=peer: _number(row["peers_ms"].get(peer), "{:.2f}")) for peer in peers),
        ("best / Bough", _ratio),
        ("of limit", share_of_limit),
        ("error", lambda row: _number(row["max_error"], "{:.1e}")),
        ("eager's error", lambda row: _number(row["peer_errors"].get("torch"), "{:.1e}")),
        ("compile s", lambda row: _number(row["compile_s"], "{:.1f}")),
        ("load s", lambda row: _number(row["load_s"].get(NAME), "{:.2f}")),
        ("MB", lambda row: _number(row["memory_mb"].get(NAME), "{:.0f}")),
        ("onnxruntime MB", lambda row: _number(row["memory_mb"].get("onnxruntime"), "{:.0f}")),
    ]
    cells = [(name, [value(row) for row in rows]) for name, value in columns]
    kept = [(name, values) for name, values in cells if any(values)]
    lines = [_line([name for name, _ in kept]), _line(["---"] * len(kept))]
    lines += [_line([values[n] for _, values in kept]) for n in range(len(rows))]
    return "\n".join([*lines, "", *_summary(figures), ""])


def _summary(figures: dict[str, Any]) -> list[str]:
    machine = figures["machine"]
    means = ", ".join(f"{peer} {s['geomean']:.2f}" for peer, s in figures["summary"].items())
    versions = ", ".join(figures["versions"][name] for name in figures["versions"] if name != NAME)
    return [
        f"Geometric means of peer time / Bough time: {means}. {_threads(figures)} of {machine['processor']}"
        f" ({machine['peak_gflops']:.0f} GFLOP/s and {machine['memory_gb_per_s']:.0f} GB/s from memory in the same run);"
        f" {versions}."
    ]


def _threads(figures: dict[str, Any]) -> str:
    return "One thread" if figures["threads"] == 1 else f"{figures['threads']} threads"


def _ratio(row: Row) -> str:
    return _number(row["peers_ms"][row["best"]] / row["bough_ms"] if row["best"] and row["bough_ms"] else None, "{:.2f}")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
