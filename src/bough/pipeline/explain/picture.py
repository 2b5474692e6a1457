"""A host program as a picture: sub-networks are boxes, decisions diamonds, loops frames with a way back. Plain SVG text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from bough.pipeline.explain.host_program import Decision, End, HostProgram, Network, Part, Turns

WIDTH, LINE, GAP, MARGIN = 230.0, 15.0, 26.0, 16.0
LONGEST = 36
"""Characters of a line of text."""
SHOWN = 5
"""Kernels of a sub-network that are listed."""
COLORS = ("#e8f0fe", "#e6f4ea", "#fef7e0", "#fce8e6", "#f3e8fd", "#e4f7fb", "#fff0e1", "#f1f3f4")


@dataclass(slots=True)
class Drawing:
    """Elements around the middle line x = 0, from y = 0 to `height`."""

    width: float
    height: float
    elements: list[str] = field(default_factory=list)

    def place(self, other: Drawing, x: float, y: float) -> None:
        self.elements += [f'<g transform="translate({x:.0f} {y:.0f})">', *other.elements, "</g>"]


def svg(program: HostProgram) -> str:
    """The whole picture."""
    drawing = _column(program.parts)
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN + 2 * LINE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-width / 2:.0f} {-MARGIN - 2 * LINE:.0f} {width:.0f} {height:.0f}" font-family="sans-serif" font-size="11">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>'
    )
    back = f'<rect x="{-width / 2:.0f}" y="{-MARGIN - 2 * LINE:.0f}" width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    return "\n".join([head, arrow, back, _text(program.summary(), -LINE - 4, bold=True), *drawing.elements, "</svg>", ""])


def _column(parts: tuple[Part, ...]) -> Drawing:
    """Parts under each other, joined by arrows."""
    inner = [_draw(p) for p in parts]
    out = Drawing(max((d.width for d in inner), default=40.0), 0.0)
    for n, d in enumerate(inner):
        if n:
            out.elements.append(_line(0, out.height, 0, out.height + GAP))
            out.height += GAP
        out.place(d, 0, out.height)
        out.height += d.height
    return out


def _draw(p: Part) -> Drawing:
    match p:
        case Network():
            return _network(p)
        case Decision():
            return _decision(p)
        case Turns():
            return _turns(p)
        case End():
            return _end(p)


def _network(p: Network) -> Drawing:
    title = f"[{p.number}]" + (f" = [{p.same_as}]" if p.same_as != p.number else "")
    shown = p.kernels[:SHOWN] if len(p.kernels) <= SHOWN else (*p.kernels[: SHOWN - 1], f"and {len(p.kernels) - SHOWN + 1} more")
    height = LINE * (len(shown) + 1) + 10
    out = Drawing(WIDTH, height)
    color = COLORS[p.same_as % len(COLORS)]
    out.elements.append(
        f'<rect x="{-WIDTH / 2:.0f}" y="0" width="{WIDTH:.0f}" height="{height:.0f}" rx="5" fill="{color}" stroke="#444"/>'
    )
    out.elements.append(_text(title, LINE, bold=True))
    out.elements += [_text(name, LINE * (n + 2)) for n, name in enumerate(shown)]
    return out


def _diamond(lines: list[str], fill: str) -> Drawing:
    height = 30 + LINE * len(lines)
    points = f"0,0 {WIDTH / 2:.0f},{height / 2:.0f} 0,{height:.0f} {-WIDTH / 2:.0f},{height / 2:.0f}"
    out = Drawing(WIDTH, height, [f'<polygon points="{points}" fill="{fill}" stroke="#444"/>'])
    out.elements += [_text(t, height / 2 + LINE * (n - (len(lines) - 1) / 2) + 4) for n, t in enumerate(lines)]
    return out


def _decision(p: Decision) -> Drawing:
    top, arms = _diamond(_lines(p.condition, p.line), "white"), [_column(p.then), _column(p.otherwise)]
    width = sum(a.width for a in arms) + GAP
    below, tallest = top.height + GAP, max(a.height for a in arms)
    out = Drawing(max(width, WIDTH), below + tallest + GAP, list(top.elements))
    left = -width / 2
    for arm, label, side in zip(arms, ("yes", "no"), (-1, 1)):
        x = left + arm.width / 2
        corner = side * min(abs(x), WIDTH / 2)
        out.elements.append(_path((corner, top.height / 2), (x, top.height / 2), (x, below)))
        out.elements.append(_text(label, top.height / 2 - 4, x=(corner + x) / 2 if abs(x) > WIDTH / 2 + 12 else x + side * 12))
        out.place(arm, x, below)
        out.elements.append(_path((x, below + arm.height), (x, out.height - 6), (0, out.height - 6), arrow=False))
        left += arm.width + GAP
    out.elements.append(_path((0, out.height - 6), (0, out.height), arrow=False))
    return out


def _turns(p: Turns) -> Drawing:
    head, test, body = _column(p.head), _diamond(_lines(p.condition, p.line), "white"), _column(p.body)
    width = max(head.width, test.width, body.width) + 4 * MARGIN
    out = Drawing(width, 0.0)
    y = MARGIN
    for d in (head, test, body):
        if d.height:
            if y > MARGIN:
                out.elements.append(_line(0, y, 0, y + GAP))
                y += GAP
            out.place(d, 0, y)
            y += d.height
    side = width / 2 - MARGIN
    out.elements.append(_path((0, y), (0, y + 8), (side, y + 8), (side, 6), (0, 6), (0, MARGIN)))
    out.height = y + 8 + MARGIN
    frame = f'<rect x="{-width / 2:.0f}" y="0" width="{width:.0f}" height="{out.height:.0f}" rx="8" fill="none" stroke="#999" '
    out.elements.insert(0, frame + 'stroke-dasharray="5 4"/>')
    return out


def _end(p: End) -> Drawing:
    return _diamond([_short(p.condition), _short(f"else {p.error}")], "#fce8e6")


def _lines(condition: str, line: str) -> list[str]:
    """What a diamond says: the condition, the file and line, the user's text."""
    place, _, text = line.partition(": ")
    return [_short(t) for t in (condition, place.rpartition("/")[2], text) if t]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _text(text: str, y: float, x: float = 0.0, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle"{weight}>{escape(text if bold else _short(text))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return _path((x1, y1), (x2, y2))


def _path(*points: tuple[float, float], arrow: bool = True) -> str:
    d = " L".join(f"{x:.0f} {y:.0f}" for x, y in points)
    end = ' marker-end="url(#arrow)"' if arrow else ""
    return f'<path d="M{d}" fill="none" stroke="#444"{end}/>'
