"""What the report says about each of its parts."""

from __future__ import annotations

from bough.pipeline.explain import Findings
from bough.pipeline.report.elements import amount, duration, plural, tag, text


def about_time(e: Findings) -> str:
    whole = "" if e.timeline.whole else " The call has more runs than were recorded: all figures are about its first part."
    note = (
        "The lines of the model in their order, each with the kernels that do its work; a kernel that does the work of several "
        "lines stands with the one that has the most of it. The limit is the time that the machine needs at the least for the "
        "arithmetic, or for the reading and writing, whichever is longer; a kernel on data that a nearer cache holds may be "
        f"faster.{whole} "
    )
    return text(note) + tag("button", "slowest line first", type="button", id="order", hidden="")


def about_course(e: Findings) -> str:
    what = e.program.summary() if e.program else ""
    return text(
        f"What the host part of the function does, between kernels: {what}. Boxes of one color hold the same code; the example "
        "went each way as often as it says there, and what it did not come to is faint."
    )


def about_roofline(e: Findings) -> str:
    how = "measured on this machine, unless other work disturbed it" if e.roofs.measured else f"as {e.target} is described"
    return text(
        "No kernel can be above the roofs: the peak of arithmetic, and what a memory delivers for it to work on "
        f"({how}). All that a call uses fits {e.source.name}, whose roof is the solid one. Larger circles take more of the time; "
        "the further a circle is below the roof, the more there is to gain."
    )


def about_timeline(e: Findings) -> str:
    note = (
        f"The fastest of the calls that were recorded: {duration(e.timeline.total)}, {plural(len(e.timeline.turns), 'run')} of "
        "phases. Each lane is a thread; on its right is how much of the time it worked. Gaps are waits for others at the end of "
        "a phase; the grey parts are the call in Python before and after. "
    )
    return text(note) + tag("span", "Turn the wheel or drag to stretch, double-click to see all again.", class_="hint")


def about_memory(e: Findings) -> str:
    used = max(e.memory.used(), default=0)
    fits = f", of which at most {amount(used, 'B')} are in use at a time" if used < e.memory.arena else ""
    return text(
        f"What kernels hand to each other lies in one arena of {amount(e.memory.arena, 'B')}{fits}. A box is an array: its "
        "height is its size, its length the steps during which it is needed. Arrays whose times do not meet share their place."
    )


def about_figures() -> str:
    return text(
        "Times are the lower quartiles of calls in which each phase was recorded, which adds a little to each: about 0.1 µs for "
        "a phase, and as much for a part of it that a thread takes."
    )
