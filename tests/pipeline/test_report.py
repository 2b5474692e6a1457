"""The report for a browser: what the page holds, and how it looks in a browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

import bough
from bough.pipeline.explain import Roof, Roofs, Row
from bough.pipeline.explain.timeline import Span, Timeline, Turn
from bough.pipeline.explanation import Explanation
from bough.pipeline.report.kinds import Kinds, base_name
from bough.pipeline.report.lanes import MOST, lanes
from bough.pipeline.report.roofline import roofline

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()
EMPTY = {"meta", "line"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        if x.sum() > 0 and x.max() < 1e9:
            x = x * 2
        while x.abs().max() > 1:
            x = x / 2
        return torch.softmax(self.second(x), -1)


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    torch.manual_seed(0)
    return bough.compile(Net().eval(), (torch.randn(16, 32),), threads=2, cache=False).explain()


@pytest.fixture(scope="module")
def file(explanation: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    explanation.html(path, "net.py:<build>")
    return path


class Nesting(HTMLParser):
    """Fails where an element is not closed by its own end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_by_itself(file: Path, explanation: Explanation) -> None:
    page = file.read_text()
    nesting = Nesting()
    nesting.feed(page)
    assert not nesting.open and nesting.seen.count("svg") >= 5
    assert "net.py:&lt;build&gt;" in page
    assert not re.search(r'(src|href)\s*=|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)', page)
    for heading in ("Where the time goes", "Course", "Roofline", "One call", "Memory"):
        assert f"<h2>{heading}</h2>" in page
    assert "x = torch.relu(self.first(x))" in page and "while x.abs().max() &gt; 1:" in page


def test_every_kernel_that_ran_is_in_every_part(file: Path, explanation: Explanation) -> None:
    page = file.read_text()
    for n, r in enumerate(explanation.rows):
        marks = re.findall(rf'<(\w+)[^>]*data-k="(?:\d+ )*{n}(?: \d+)*"', page)
        assert "tr" in marks and (r.ms == 0 or {"circle", "rect"} <= set(marks)), r.kernel


def row(kernel: str, **about: object) -> Row:
    given = {"flops": 1e6, "bytes": 1e3, "ms": 1.0, "limit_ms": 0.5, "share": 0.5, "runs": 1, **about}
    return Row(kernel=kernel, lines=(), mapping="scalar code", schedule="", limit="compute", **given)


def test_kernels_of_a_kind_have_one_name() -> None:
    names = ("linear", "linear#2", "rows.linear_12#3", "give.state.1", "give.if_end_28.14", "give.size53", "mul+log2", "conv2d")
    assert [base_name(n) for n in names] == [
        "linear", "linear", "rows.linear", "give.state", "give.if_end", "give.size", "mul+log2", "conv2d",
    ]  # fmt: skip
    kinds = Kinds((row("a", share=0.2), row("b", share=0.5), row("a#2", share=0.3)))
    assert [(k.name, k.rows) for k in kinds.all] == [("a", (0, 2)), ("b", (1,))]
    assert kinds.marks(["b", "a#2", "gone"]) == "1 2"


def test_the_roofline_takes_what_cannot_be() -> None:
    """Kernels above the roofs, without work, without time; roofs of one memory."""
    rows = (row("fast", ms=1e-9), row("none", flops=0.0), row("idle", ms=0.0), row("slow", ms=1e9))
    roofs = Roofs(1e9, (Roof("memory", None, 1e9),))
    drawn = roofline(rows, Kinds(rows), roofs, roofs.memories[0])
    assert drawn.count("<circle") == 2
    values = [float(v) for v in re.findall(r' (?:cx|cy|x1|x2|y1|y2)="([^"]+)"', drawn)]
    assert all(-1 <= v <= 1001 for v in values)
    assert "<circle" not in roofline((), Kinds(()), roofs, roofs.memories[0])


def test_a_long_timeline_is_drawn_with_fewer_marks() -> None:
    turns = tuple(Turn(n % 2, float(n), n + 0.9, (Span(0, float(n), n + 0.9), Span(1, n + 0.1, n + 0.5))) for n in range(20_000))
    line = Timeline((("a",), ("b",)), turns, 2, 20_000.0, True)
    drawn = lanes(line, Kinds((row("a"), row("b"))))
    assert MOST / 4 < drawn.count("<rect") < 1.5 * MOST


LOOK = """
const found = {};
const box = e => e.getBoundingClientRect();
found.overflow = document.documentElement.scrollWidth - innerWidth;
found.plots = [...document.querySelectorAll("svg.plot, svg.course")].map(e => [box(e).width, box(e).height]);
found.outside = [...document.querySelectorAll("svg.plot text")].filter(
  e => box(e).left < box(e.closest("section")).left - 1 || box(e).right > box(e.closest("section")).right + 1).map(e => e.textContent);
found.small = [...document.querySelectorAll("svg.plot text")].filter(e => box(e).height < 9).length;
found.titles = document.querySelectorAll("svg title").length;
const mark = document.querySelector("circle.mark"), tip = document.getElementById("tip");
mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
found.tip = !tip.hidden && tip.textContent;
found.lit = document.querySelectorAll("tr.lit").length;
document.body.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
found.dark = document.querySelectorAll(".lit").length + Number(!tip.hidden);
const lines = () => [...document.querySelectorAll("tbody")].map(b => Number(b.dataset.share));
const before = lines();
document.getElementById("order").click();
found.sorted = lines().every((s, n, all) => n === 0 || s <= all[n - 1]);
document.getElementById("order").click();
found.restored = JSON.stringify(lines()) === JSON.stringify(before);
const time = document.querySelector("svg.time"), whole = time.getAttribute("viewBox");
const at = { bubbles: true, cancelable: true, clientX: box(time).left + box(time).width / 2, clientY: box(time).top + 5 };
time.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY: -400 }));
found.stretched = Number(time.getAttribute("viewBox").split(" ")[2]) / Number(whole.split(" ")[2]);
found.ticks = document.querySelectorAll(".ticks text").length;
time.dispatchEvent(new MouseEvent("dblclick", at));
found.back = Number(time.getAttribute("viewBox").split(" ")[2]) === Number(whole.split(" ")[2]);
const result = document.createElement("pre");
result.id = "found";
result.textContent = JSON.stringify(found);
document.body.append(result);
"""


def browse(file: Path, width: int, *flags: str) -> str:
    """The page's text after its scripts have run."""
    assert BROWSER is not None
    folder = file.parent / f"profile{width}{len(flags)}"
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder}", f"--window-size={width},1000", *flags, "--dump-dom", file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_in_a_browser(file: Path, width: int, tmp_path: Path) -> None:
    copy = tmp_path / "looked_at.html"
    errors = '<script>addEventListener("error", e => document.documentElement.dataset.error = e.message)</script>'
    page = file.read_text().replace("<head>", f"<head>{errors}", 1)
    copy.write_text(page.replace("</body>", f"<script>{{{LOOK}}}</script></body>", 1))
    text = browse(copy, width)
    assert "data-error" not in text.partition(">")[2].partition("<head>")[0] and 'id="found"' in text
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', text)[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert found["overflow"] <= 0 and not found["outside"] and found["small"] == 0
    assert len(found["plots"]) == 4 and all(w > 200 and h > 50 for w, h in found["plots"])
    assert found["titles"] == 0 and "FLOP" in found["tip"] and found["lit"] >= 1 and found["dark"] == 0
    assert found["sorted"] and found["restored"]
    assert 0.2 < found["stretched"] < 0.6 and found["ticks"] >= 3 and found["back"]
