"""A bar of the kinds of kernels by their share of the time, which is the legend of the whole report too."""

from __future__ import annotations

from dataclasses import dataclass

from bough.pipeline.report.elements import KINDS, color, percent, plural, tag, text
from bough.pipeline.report.kinds import Kinds


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    color: str
    share: float
    rows: tuple[int, ...]

    @property
    def marks(self) -> str:
        return " ".join(map(str, self.rows))

    def bar(self) -> str:
        return tag("i", class_=self.color, style=f"width:{100 * self.share:.2f}%", data_k=self.marks)

    def legend(self) -> str:
        count = f" &times; {len(self.rows)}" if len(self.rows) > 1 else ""
        about = tag("small", f"{count} {percent(self.share)}")
        return tag("span", tag("i", class_=f"swatch {self.color}"), text(self.name), about, data_k=self.marks)


def shares(kinds: Kinds) -> str:
    """The bar, and names for its colors."""
    parts = [_Part(k.name, color(k.number), k.share, k.rows) for k in kinds.all[:KINDS]]
    if rest := kinds.all[KINDS:]:
        rows = tuple(n for k in rest for n in k.rows)
        parts.append(_Part(plural(len(rest), "other kind"), color(KINDS), sum(k.share for k in rest), rows))
    bar = tag("div", *(p.bar() for p in parts), class_="stack")
    return bar + tag("div", *(p.legend() for p in parts), class_="legend")
