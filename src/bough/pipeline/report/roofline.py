"""Every kernel between the roofs of the machine: what it computes for a byte, against what it computes in a second."""

from __future__ import annotations

from math import atan, degrees, sqrt

from bough.pipeline.explain.roofs import Roof, Roofs
from bough.pipeline.explain.rows import Row
from bough.pipeline.report.elements import amount, color, digits, duration, percent, plain, tag, text, title
from bough.pipeline.report.kinds import Kinds
from bough.pipeline.report.scales import Log

WIDTH, HEIGHT = 1000.0, 440.0
LEFT, RIGHT, TOP, BOTTOM = 98.0, 20.0, 26.0, 48.0
SMALLEST, LARGEST = 4.0, 22.0
"""Radii of kernels that take none and all of the time."""


def roofline(rows: tuple[Row, ...], kinds: Kinds, roofs: Roofs, source: Roof) -> str:
    """The plot; `source` is the memory that limits are counted on."""
    ran = [r for r in rows if r.ms > 0 and r.flops > 0 and r.bytes > 0]
    intensities = [r.flops / r.bytes for r in ran] + [roofs.peak / m.bandwidth for m in roofs.memories]
    rates = [1e3 * r.flops / r.ms for r in ran] + [roofs.peak]
    x = Log(min(intensities) / 1.2, max(intensities) * 2, WIDTH - LEFT - RIGHT)
    y = Log(max(min(rates), roofs.peak / 1e7), min(max(rates), 10 * roofs.peak) * 1.05, HEIGHT - TOP - BOTTOM)
    plot = _Plot(x, y)
    parts = [plot.grid()]
    fastest = max(m.bandwidth for m in roofs.memories)
    parts += [plot.roof(m, roofs.peak, m is source, above=m.bandwidth == fastest) for m in roofs.memories]
    parts.append(plot.peak(roofs))
    parts += [plot.kernel(r, kinds) for r in sorted(ran, key=lambda r: -r.share)]
    label = "Kernels by what they compute for each byte and in each second, under the roofs of the machine"
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", class_="plot", role="img", aria_label=label)


class _Plot:
    def __init__(self, x: Log, y: Log) -> None:
        self.x, self.y = x, y

    def at(self, intensity: float, rate: float) -> tuple[float, float]:
        """The place of a kernel; one that is beyond the plot stands at its edge."""
        inside = min(max(rate, 10.0**self.y.first), 10.0**self.y.last)
        return LEFT + self.x(intensity), HEIGHT - BOTTOM - self.y(inside)

    def grid(self) -> str:
        out: list[str] = []
        for power in self.x.powers:
            at = LEFT + self.x(10.0**power)
            out.append(tag("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
            out.append(tag("text", plain(10.0**power), x=at, y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
        for power in self.y.powers:
            at = HEIGHT - BOTTOM - self.y(10.0**power)
            out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
            out.append(tag("text", text(amount(10.0**power, "FLOP/s", plain)), x=LEFT - 8, y=at + 4, text_anchor="end"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        out.append(tag("text", "FLOP for each byte", x=middle, y=HEIGHT - 8, text_anchor="middle", class_="axis"))
        return tag("g", *out)

    def roof(self, memory: Roof, peak: float, main: bool, above: bool) -> str:
        """What reading allows: a diagonal up to the peak, cut at the edges of the plot; its name stands above it or below."""
        lowest, first = 10.0**self.y.first, 10.0**self.x.first
        begin = max(first, lowest / memory.bandwidth)
        end = peak / memory.bandwidth
        if end <= begin:
            return ""
        (x1, y1), (x2, y2) = self.at(begin, begin * memory.bandwidth), self.at(end, peak)
        slope = (self.y.size / (self.y.last - self.y.first)) / (self.x.size / (self.x.last - self.x.first))
        name = text(f"{memory.name} {amount(memory.bandwidth, 'B/s')}")
        place = f"translate({x1 + 8:.1f} {y1 - 8 * slope + (-5 if above else 15):.1f}) rotate({-degrees(atan(slope)):.1f})"
        along = tag("text", name, transform=place)
        return tag("g", tag("line", x1=x1, y1=y1, x2=x2, y2=y2), along, class_="roof main" if main else "roof")

    def peak(self, roofs: Roofs) -> str:
        fastest = max(m.bandwidth for m in roofs.memories)
        x1, y = self.at(max(roofs.peak / fastest, 10.0**self.x.first), roofs.peak)
        name = tag("text", text(f"peak {amount(roofs.peak, 'FLOP/s')}"), x=WIDTH - RIGHT, y=y - 7, text_anchor="end")
        return tag("g", tag("line", x1=x1, x2=WIDTH - RIGHT, y1=y, y2=y), name, class_="roof main")

    def kernel(self, r: Row, kinds: Kinds) -> str:
        intensity, rate = r.flops / r.bytes, 1e3 * r.flops / r.ms
        x, y = self.at(intensity, rate)
        tip = title([
            r.kernel, *r.lines,
            f"{amount(rate, 'FLOP/s')}, {digits(intensity)} FLOP for each byte",
            f"{duration(1e3 * r.ms)}, {percent(r.share)} of the time; {digits(100 * r.limit_ms / r.ms)} % of the {r.limit} limit",
        ])  # fmt: skip
        radius = SMALLEST + (LARGEST - SMALLEST) * sqrt(r.share)
        kind = f"mark {color(kinds.of(r.kernel).number)}"
        return tag("circle", tip, cx=x, cy=y, r=radius, class_=kind, data_k=kinds.marks([r.kernel]))
