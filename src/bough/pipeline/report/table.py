"""The table of kernels by lines of the user's source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bough.pipeline.explain.rows import Row
from bough.pipeline.report.elements import amount, color, digits, duration, percent, plural, tag, text
from bough.pipeline.report.kinds import Kinds, base_name

NOWHERE = "(what Bough adds itself)"


def table(rows: tuple[Row, ...], kinds: Kinds) -> str:
    """Lines in the order of the program; kernels that are mapped and scheduled alike stand together."""
    lines: dict[str, list[Row]] = {}
    for r in rows:
        lines.setdefault(r.lines[0] if r.lines else NOWHERE, []).append(r)
    heads = ("kernel", "share", "time", "runs", "of the limit")
    head = tag("thead", tag("tr", *(tag("th", text(h), class_=None if n == 0 else "number") for n, h in enumerate(heads))))
    return tag("table", head, *(_line(line, found, kinds) for line, found in lines.items()))


def _line(line: str, rows: list[Row], kinds: Kinds) -> str:
    ran = [r for r in rows if r.runs]
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for r in ran:
        alike.setdefault((base_name(r.kernel), r.mapping, r.schedule), []).append(r)
    share, ms = sum(r.share for r in rows), sum(r.ms for r in rows)
    head = tag(
        "tr",
        tag("th", _source(line), scope="rowgroup"),
        tag("td", _bar(share, "whole"), class_="share"),
        tag("td", duration(1e3 * ms), class_="number"),
        tag("td"),
        tag("td", _limit(rows), class_="number"),
        class_="line",
    )
    parts = [_kernels(name, found, line, kinds) for (name, _, _), found in alike.items()]
    if len(ran) < len(rows):
        parts.append(_idle([r for r in rows if not r.runs], kinds))
    return tag("tbody", head, *parts, data_share=share)


def _idle(rows: list[Row], kinds: Kinds) -> str:
    """Kernels on ways that the example does not take."""
    names = Counter(base_name(r.kernel) for r in rows)
    said = ", ".join(name + (f" ({count})" if count > 1 else "") for name, count in names.items())
    what = tag("details", tag("summary", f"{plural(len(rows), 'kernel')} that the example does not come to"), text(said))
    return tag("tr", tag("td", what, colspan=5), class_="kernel", data_k=kinds.marks(r.kernel for r in rows))


def _kernels(name: str, rows: list[Row], line: str, kinds: Kinds) -> str:
    first, count = rows[0], len(rows)
    others = dict.fromkeys(other for r in rows for other in r.lines if other != line)
    also = [tag("div", _source(other), class_="also") for other in others]
    decisions = tag("ol", *(tag("li", text(d)) for d in first.schedule.split("; ") if d))
    what = tag("b", text(name)) + (f" &times; {count}" if count > 1 else "")
    work = f"{amount(sum(r.flops for r in rows), 'FLOP')} on {amount(sum(r.bytes for r in rows), 'B')}"
    return tag(
        "tr",
        tag(
            "td",
            tag("div", tag("i", class_=f"swatch {color(kinds.of(name).number)}"), what, class_="name"),
            *also,
            tag("details", tag("summary", text(f"{first.mapping} · {work}")), decisions),
        ),
        tag("td", _bar(sum(r.share for r in rows), color(kinds.of(name).number)), class_="share"),
        tag("td", duration(1e3 * sum(r.ms for r in rows)), class_="number"),
        tag("td", text(sum(r.runs for r in rows)), class_="number"),
        tag("td", _limit(rows), class_="number"),
        class_="kernel",
        data_k=kinds.marks(r.kernel for r in rows),
    )


def _limit(rows: Iterable[Row]) -> str:
    """How near the kernels come to what bounds them, and what that is."""
    ran = [r for r in rows if r.ms > 0]
    if not ran:
        return "did not run"
    near = sum(r.limit_ms for r in ran) / sum(r.ms for r in ran)
    slowest = max(ran, key=lambda r: r.limit_ms)
    return f"{digits(100 * near)} %" + tag("span", text(slowest.limit), class_="place")


def _bar(share: float, kind: str) -> str:
    return tag("div", tag("i", class_=kind, style=f"width:{100 * share:.2f}%"), class_="bar") + tag("span", percent(share))


def _source(line: str) -> str:
    """The user's text, and its place; files by their last names."""
    place, _, source = line.partition("  ")
    if not source:
        return tag("code", text(place))
    return tag("code", text(source)) + tag("span", text(place.rpartition("/")[2]), class_="place")
