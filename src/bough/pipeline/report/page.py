"""The report: one page that needs nothing but itself."""

from __future__ import annotations

from importlib import resources

from bough.base.version import __version__
from bough.pipeline.explain import Findings
from bough.pipeline.explain.picture import svg
from bough.pipeline.report import notes
from bough.pipeline.report.elements import amount, duration, percent, plural, tag, text
from bough.pipeline.report.kinds import Kinds
from bough.pipeline.report.lanes import lanes
from bough.pipeline.report.memory_map import memory_map, totals
from bough.pipeline.report.roofline import roofline
from bough.pipeline.report.shares import shares
from bough.pipeline.report.table import table


def page(findings: Findings, name: str = "") -> str:
    """The HTML text. `name` is what the model is called."""
    e, kinds, heading = findings, Kinds(findings.rows), name or "a model"
    sections = [_section("Where the time goes", notes.about_time(e), shares(kinds), _scrolling(table(e.rows, kinds)))]
    if e.program is not None:
        picture = svg(e.program, {r.kernel: r.runs for r in e.rows})
        sections.append(_section("Course", notes.about_course(e), _scrolling(picture)))
    if e.timeline.turns:
        sections.append(_section("Roofline", notes.about_roofline(e), roofline(e.rows, kinds, e.roofs, e.source)))
        sections.append(_section("One call", notes.about_timeline(e), lanes(e.timeline, kinds)))
    sections.append(_section("Memory", notes.about_memory(e), totals(e.memory), memory_map(e.memory, kinds)))
    about = text(f"compiled for {e.target}, {plural(e.threads, 'thread')}")
    body = (
        tag("header", tag("h1", text(heading)), tag("p", about), _figures(e)),
        tag("main", *sections),
        tag("footer", text(f"Bough {__version__}. "), notes.about_figures()),
        tag("div", id="tip", hidden=""),
        tag("script", _file("report.js")),
    )
    return f"<!doctype html>\n{tag('html', _head(heading), tag('body', *body), lang='en')}\n"


def _head(heading: str) -> str:
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return tag("head", meta, tag("title", text(f"{heading} · Bough")), tag("style", _file("report.css")))


def _section(heading: str, note: str, *content: str) -> str:
    return tag("section", tag("h2", text(heading)), tag("p", note, class_="note"), *content)


def _scrolling(content: str) -> str:
    return tag("div", content, class_="wide")


def _file(name: str) -> str:
    return resources.files("bough.pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _figures(e: Findings) -> str:
    """The figures that come first."""
    flops, limit, ms = sum(r.flops for r in e.rows), sum(r.limit_ms for r in e.rows), sum(r.ms for r in e.rows)
    figures = (
        (duration(1e3 * e.ms), "a call"),
        (percent(limit / ms) if ms else "-", "of what the machine allows"),
        (amount(1e3 * flops / ms, "FLOP/s") if ms else "-", f"{amount(flops, 'FLOP')} a call"),
        (str(len(e.rows)), f"{'kernel' if len(e.rows) == 1 else 'kernels'} in {plural(len(e.timeline.phases), 'phase')}"),
        (amount(e.memory.weights, "B"), f"weights; arena {amount(e.memory.arena, 'B')}"),
    )
    return tag("dl", *(tag("div", tag("dt", text(what)), tag("dd", text(value))) for value, what in figures))
