"""Marks of HTML and SVG, and numbers as readers want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

KINDS = 8
"""Colors of kernels; those of one kind more are grey."""


def tag(name: str, *content: str, **attributes: object) -> str:
    """An element. `content` is markup; attributes are escaped, those that are None left out. In their names `_` is `-`, and
    nothing at the end."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for key, value in attributes.items() if value is not None
    )
    return f"<{name}{given}>{''.join(content)}</{name}>"


def text(content: object) -> str:
    return escape(str(content), quote=False)


def title(lines: Iterable[str]) -> str:
    """What is shown where the pointer rests."""
    return tag("title", text("\n".join(lines)))


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def digits(value: float) -> str:
    """Three significant digits, no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def plain(value: float) -> str:
    """A round number, for the marks of an axis."""
    return f"{value:.6g}"


def amount(value: float, unit: str, number: Callable[[float], str] = digits) -> str:
    """A number with the prefix that suits it."""
    prefixes = ("", "K" if unit == "B" else "k", "M", "G", "T", "P")
    n = 0
    while n + 1 < len(prefixes) and abs(value) >= 1000:
        value /= 1000
        n += 1
    shown = f"{value:.0f}" if n == 0 and value == int(value) else number(value)
    return f"{shown} {prefixes[n]}{unit}"


def duration(microseconds: float, number: Callable[[float], str] = digits) -> str:
    """A time with the unit that suits it."""
    for unit, scale in (("s", 1e-6), ("ms", 1e-3), ("µs", 1.0)):
        if microseconds * scale >= 1:
            return f"{number(microseconds * scale)} {unit}"
    return f"{number(1e3 * microseconds)} ns"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def color(kind: int) -> str:
    """The class of the marks of a kind of kernels."""
    return f"c{min(kind, KINDS)}"
