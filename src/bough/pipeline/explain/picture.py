"""A host program as a picture: sub-networks are boxes, decisions hexagons, loops frames with a way back. Plain SVG text.

Colors are those of the page around it where it has any (`--c0` and so on), else their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from bough.pipeline.explain.host_program import Decision, End, HostProgram, Network, Part, Turns, networks

WIDTH, LINE, GAP, MARGIN, POINT, EMPTY = 250.0, 15.0, 26.0, 16.0, 14.0, 40.0
LABEL = 90.0
"""The room beside a way for how often it was taken."""
LONGEST = 38
"""Characters of a line of text."""
SHOWN = 5
"""Kernels of a sub-network that are listed."""
COLORS = ("#3b6fd4", "#e8a317", "#e0564a", "#2aa198", "#8a5fd0", "#4f9d3a", "#e274a8", "#69b3e0")
INK, SOFT, STROKE, PAPER = "var(--ink, #1d2127)", "var(--soft, #5c6570)", "var(--stroke, #4a525c)", "var(--card, #fff)"
FAILURE, FRAME = "var(--failure, #fbe4e1)", "var(--frame, #a8b0ba)"


@dataclass(slots=True)
class Drawing:
    """Elements on both sides of the line x = 0, where control comes in and goes out: from -`left` to `right`, and from y = 0 to
    `height`. Ways that were taken `times`; None: not known."""

    left: float
    right: float
    height: float
    times: int | None = None
    elements: list[str] = field(default_factory=list)

    def place(self, other: Drawing, x: float, y: float) -> None:
        faint = ' opacity="0.4"' if other.times == 0 else ""
        self.elements += [f'<g transform="translate({x:.0f} {y:.0f})"{faint}>', *other.elements, "</g>"]


def svg(program: HostProgram, runs: Mapping[str, int] | None = None) -> str:
    """The whole picture. `runs`: how often each kernel has run; then ways say how often they were taken."""
    drawing = _Artist(runs).column(program.parts)
    left, width, height = drawing.left + MARGIN, drawing.left + drawing.right + 2 * MARGIN, drawing.height + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" class="course" '
        f'viewBox="{-left:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}" '
        'font-family="system-ui, DejaVu Sans, sans-serif" font-size="11">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{STROKE}"/></marker></defs>'
    )
    back = f'<rect x="{-left:.0f}" y="{-MARGIN:.0f}" width="{width:.0f}" height="{height:.0f}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(program.summary())}</title>", arrow, back, *drawing.elements, "</svg>", ""])


class _Artist:
    def __init__(self, runs: Mapping[str, int] | None) -> None:
        self.runs = runs

    def times(self, parts: tuple[Part, ...]) -> int | None:
        """How often the first sub-network of these has run."""
        first = next(networks(parts), None)
        return self.runs.get(first.kernels[0]) if self.runs is not None and first is not None else None

    def column(self, parts: tuple[Part, ...]) -> Drawing:
        """Parts under each other, joined by arrows."""
        inner = [self.draw(p) for p in parts]
        left, right = (max(sides, default=EMPTY / 2) for sides in ([d.left for d in inner], [d.right for d in inner]))
        out = Drawing(left, right, 0.0, self.times(parts))
        for n, d in enumerate(inner):
            if n:
                out.elements.append(_line(0, out.height, 0, out.height + GAP))
                out.height += GAP
            out.place(d, 0, out.height)
            out.height += d.height
        return out

    def draw(self, p: Part) -> Drawing:
        match p:
            case Network():
                return _network(p)
            case Decision():
                return self.decision(p)
            case Turns():
                return self.turns(p)
            case End():
                return _hexagon([*_lines(p.condition, p.line), f"else {p.error}"], FAILURE)

    def decision(self, p: Decision) -> Drawing:
        """The two ways below a hexagon; one that does nothing is a line."""
        top, yes, no = _hexagon(_lines(p.condition, p.line), PAPER), self.column(p.then), self.column(p.otherwise)
        x1, x2 = max(yes.right, WIDTH / 2) + GAP / 2, max(no.left, WIDTH / 2) + GAP / 2
        below, tallest = top.height + GAP, max(yes.height, no.height)
        out = Drawing(x1 + max(yes.left, LABEL), x2 + max(no.right, LABEL), below + tallest + GAP, None, list(top.elements))
        end = out.height - GAP / 2
        for arm, label, side, x in ((yes, "yes", -1, -x1), (no, "no", 1, x2)):
            out.elements.append(_path((side * WIDTH / 2, top.height / 2), (x, top.height / 2), (x, below), arrow=arm.height > 0))
            out.place(arm, x, below)
            out.elements.append(_path((x, below + arm.height), (x, end), (0, end), arrow=False))
            said = label if arm.times is None else f"{label}, {_plural(arm.times, 'time')}"
            out.elements.append(_text(said, below - 8, x=x + side * 5, soft=True, anchor="end" if side < 0 else "start"))
        out.elements.append(_path((0, end), (0, out.height), arrow=False))
        return out

    def turns(self, p: Turns) -> Drawing:
        """Head, test and body in a frame, with a way back from the last to the first."""
        head, test, body = self.column(p.head), _hexagon(_lines(p.condition, p.line), PAPER), self.column(p.body)
        parts = (head, test, body)
        left, right = (max(sides) + 2 * MARGIN for sides in ([d.left for d in parts], [d.right for d in parts]))
        out = Drawing(left, right, 0.0)
        y = MARGIN
        for d in parts:
            if d.height:
                if y > MARGIN:
                    out.elements.append(_line(0, y, 0, y + GAP))
                    y += GAP
                out.place(d, 0, y)
                y += d.height
        side = right - MARGIN
        out.elements.append(_path((0, y), (0, y + 8), (side, y + 8), (side, 6), (0, 6), (0, MARGIN)))
        times = self.times(p.body)
        if times is not None:
            y += LINE
            out.elements.append(_text(_plural(times, "turn"), y + 5, x=side, soft=True, anchor="end"))
        out.height = y + 8 + MARGIN
        frame = f'<rect x="{-left:.0f}" y="0" width="{left + right:.0f}" height="{out.height:.0f}" rx="8" fill="none" '
        out.elements.insert(0, frame + f'stroke="{FRAME}" stroke-dasharray="5 4"/>')
        return out


def _network(p: Network) -> Drawing:
    title = f"[{p.number}]" + (f" = [{p.same_as}]" if p.same_as != p.number else "")
    shown = p.kernels[:SHOWN] if len(p.kernels) <= SHOWN else (*p.kernels[: SHOWN - 1], f"and {len(p.kernels) - SHOWN + 1} more")
    height = LINE * (len(shown) + 1) + 10
    color = p.same_as % len(COLORS)
    fill = f"var(--c{color}, {COLORS[color]})"
    box = f'x="{-WIDTH / 2:.0f}" y="0" width="{WIDTH:.0f}" height="{height:.0f}" rx="6"'
    out = Drawing(WIDTH / 2, WIDTH / 2, height)
    out.elements.append(f'<rect {box} fill="{fill}" fill-opacity="0.16" stroke="{fill}" stroke-width="1.3"/>')
    out.elements.append(_text(title, LINE, bold=True))
    out.elements += [_text(name, LINE * (n + 2)) for n, name in enumerate(shown)]
    return out


def _hexagon(lines: list[str], fill: str) -> Drawing:
    height, x = 12 + LINE * len(lines), WIDTH / 2
    corners = ((-x, height / 2), (POINT - x, 0), (x - POINT, 0), (x, height / 2), (x - POINT, height), (POINT - x, height))
    points = " ".join(f"{a:.0f},{b:.0f}" for a, b in corners)
    out = Drawing(WIDTH / 2, WIDTH / 2, height)
    out.elements.append(f'<polygon points="{points}" fill="{fill}" stroke="{STROKE}"/>')
    out.elements += [_text(t, 17 + LINE * n, soft=n > 0) for n, t in enumerate(lines)]
    return out


def _lines(condition: str, line: str) -> list[str]:
    """What a hexagon says: the user's text and its file and line; where there is none, the condition."""
    place, _, text = line.partition(": ")
    return [text or condition, place.rpartition("/")[2]] if place else [condition]


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _text(text: str, y: float, x: float = 0.0, bold: bool = False, soft: bool = False, anchor: str = "middle") -> str:
    weight, fill = ' font-weight="bold"' if bold else "", SOFT if soft else INK
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{weight} fill="{fill}">{escape(_short(text))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return _path((x1, y1), (x2, y2))


def _path(*points: tuple[float, float], arrow: bool = True) -> str:
    d = " L".join(f"{x:.0f} {y:.0f}" for x, y in points)
    end = ' marker-end="url(#arrow)"' if arrow else ""
    return f'<path d="M{d}" fill="none" stroke="{STROKE}"{end}/>'
