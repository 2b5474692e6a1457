"""The timeline of a call: a lane for each thread, and what it did from when to when."""

from __future__ import annotations

from bough.pipeline.explain.timeline import Span, Timeline, Turn
from bough.pipeline.report.elements import color, duration, percent, plain, tag, text, title
from bough.pipeline.report.kinds import Kinds
from bough.pipeline.report.scales import steps

WIDTH, LEFT, RIGHT = 1000.0, 78.0, 64.0
LANE, GAP, TOP = 26.0, 6.0, 26.0
MOST = 4000
"""Spans that are drawn; where there are more, neighbours become one."""
NAMED = 6
"""Kernels of a phase that are named."""


def lanes(timeline: Timeline, kinds: Kinds) -> str:
    """The drawing. The part with the spans has coordinates of its own, microseconds, so that it can be stretched."""
    height = TOP + timeline.threads * (LANE + GAP)
    inside, tall = WIDTH - LEFT - RIGHT, height - TOP
    marks = [_span(s, t, timeline, kinds) for s, t in _drawn(timeline)]
    first, last = timeline.turns[0].begin, timeline.turns[-1].end
    rests = [
        _rest(0.0, first, tall, "before the first kernel: arguments are checked, structures linearized, results allocated"),
        _rest(last, timeline.total, tall, "after the last kernel: results are handed over"),
    ]
    stretched = tag(
        "svg", *rests, *marks, x=LEFT, y=TOP, width=inside, height=tall, viewBox=f"0 0 {timeline.total:.3f} {tall:.0f}",
        preserveAspectRatio="none", class_="time", data_total=f"{timeline.total:.3f}",
    )  # fmt: skip
    ticks = tag("g", *(_tick(at, timeline.total, inside, height) for at in steps(timeline.total)), class_="ticks")
    labels = [_label(n, timeline) for n in range(timeline.threads)]
    return tag(
        "svg", ticks, stretched, *labels, viewBox=f"0 0 {WIDTH:.0f} {height:.0f}", class_="plot lanes", role="img",
        aria_label="What each thread did during one call", data_left=LEFT, data_inside=inside, data_height=height,
    )  # fmt: skip


def _rest(begin: float, end: float, tall: float, what: str) -> str:
    length = max(0.0, end - begin)
    return tag("rect", title([what, duration(length)]), x=begin, y=0, width=length, height=tall, class_="rest")


def _tick(at: float, total: float, inside: float, height: float) -> str:
    x = LEFT + at / total * inside
    return tag("line", x1=x, x2=x, y1=TOP - 6, y2=height, class_="grid") + tag(
        "text", text(duration(at, plain) if at else "0"), x=x, y=TOP - 10, text_anchor="middle"
    )


def _label(thread: int, timeline: Timeline) -> str:
    y = TOP + thread * (LANE + GAP) + LANE / 2 + 5
    busy = sum(s.end - s.begin for t in timeline.turns for s in t.spans if s.thread == thread)
    span = timeline.turns[-1].end - timeline.turns[0].begin
    name = tag("text", "caller" if thread == 0 else f"thread {thread}", x=LEFT - 10, y=y, text_anchor="end")
    return name + tag("text", text(percent(busy / span if span else 0.0)), x=WIDTH - RIGHT + 10, y=y)


def _drawn(timeline: Timeline) -> list[tuple[Span, Turn]]:
    """All spans, or where there are too many, neighbours as one."""
    spans = [(s, t) for t in timeline.turns for s in t.spans]
    if len(spans) <= MOST:
        return spans
    least = timeline.total * timeline.threads / MOST
    out: dict[int, list[tuple[Span, Turn]]] = {}
    for s, t in spans:
        lane = out.setdefault(s.thread, [])
        if lane and s.end - lane[-1][0].begin < least:
            before, turn = lane[-1]
            lane[-1] = Span(s.thread, before.begin, s.end), turn
        else:
            lane.append((s, t))
    return [pair for lane in out.values() for pair in lane]


def _span(s: Span, turn: Turn, timeline: Timeline, kinds: Kinds) -> str:
    names = timeline.phases[turn.phase]
    shown = list(names[:NAMED]) + ([f"and {len(names) - NAMED} more"] if len(names) > NAMED else [])
    tip = title([*shown, f"{duration(s.end - s.begin)} on {'the caller' if s.thread == 0 else f'thread {s.thread}'}",
                 f"the phase takes {duration(turn.end - turn.begin)}, from {duration(turn.begin)} on"])  # fmt: skip
    return tag(
        "rect", tip, x=s.begin, y=s.thread * (LANE + GAP), width=s.end - s.begin, height=LANE,
        class_=f"mark {color(kinds.heaviest(names).number)}", data_k=kinds.marks(names),
    )  # fmt: skip
