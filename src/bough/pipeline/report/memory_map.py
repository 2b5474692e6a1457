"""Memory over the steps of a call: each array where it lies in the arena, for as long as it is needed."""

from __future__ import annotations

from bough.pipeline.explain.memory import Held, Memory
from bough.pipeline.report.elements import amount, color, plain, tag, text, title
from bough.pipeline.report.kinds import Kinds
from bough.pipeline.report.scales import steps

WIDTH, HEIGHT = 1000.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 20.0, 14.0, 44.0


def memory_map(memory: Memory, kinds: Kinds) -> str:
    """The drawing; empty where there is nothing in the arena."""
    if not memory.arena or not memory.steps:
        return ""
    inside, tall, count = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, len(memory.steps)

    def x(step: float) -> float:
        return LEFT + step / count * inside

    def y(bytes_: float) -> float:
        return HEIGHT - BOTTOM - bytes_ / memory.arena * tall

    def array(a: Held) -> str:
        tip = title([a.name, f"made by {a.kernel}", f"{amount(a.bytes, 'B')} at {amount(a.offset, 'B')}",
                     f"from step {a.first + 1} to {a.last + 1}"])  # fmt: skip
        kind = color(kinds.of(a.kernel).number) if a.kernel in kinds.numbers else "none"
        left, top = x(a.first), y(a.offset + a.bytes)
        return tag(
            "rect", tip, x=left, y=top, width=x(a.last + 1) - left, height=y(a.offset) - top,
            class_=f"mark held {kind}", data_k=kinds.marks([a.kernel]),
        )  # fmt: skip

    out: list[str] = []
    for at in steps(memory.arena, 5):
        out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(at), y2=y(at), class_="grid"))
        out.append(tag("text", text(amount(at, "B", plain)), x=LEFT - 8, y=y(at) + 4, text_anchor="end"))
    for at in steps(count, min(count, 10)):
        out.append(tag("text", f"{at:.0f}", x=x(at), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    out.append(tag("text", "steps of the call", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle", class_="axis"))
    out += [array(a) for a in memory.arrays if a.bytes]
    label = "The arrays of the arena, where they lie and how long they are needed"
    return tag("svg", *out, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", class_="plot", role="img", aria_label=label)


def totals(memory: Memory) -> str:
    """A bar of what a call holds, by purpose."""
    parts = (("weights", memory.weights), ("arena", memory.arena), ("arguments", memory.arguments), ("results", memory.results))
    whole = sum(size for _, size in parts) or 1
    bar = [tag("i", class_=f"c{n}", style=f"width:{100 * size / whole:.2f}%", title=f"{name} {amount(size, 'B')}")
           for n, (name, size) in enumerate(parts)]  # fmt: skip
    legend = [tag("span", tag("i", class_=f"swatch c{n}"), text(f"{name} {amount(size, 'B')}"))
              for n, (name, size) in enumerate(parts)]  # fmt: skip
    return tag("div", *bar, class_="stack") + tag("div", *legend, class_="legend")
