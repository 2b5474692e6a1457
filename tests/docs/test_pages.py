"""The documentation keeps up with the source: error codes, settings, commands, folders, links."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer.main

import bough
from bough.base.settings import SETTINGS
from bough.cli.app import app
from bough.pipeline.passes import PASSES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
CODE = re.compile(r"\bBGH-[A-Z]+-\d{3}\b")


def test_every_error_code_has_a_section_and_no_section_is_stale() -> None:
    raised = {code for file in (ROOT / "src").rglob("*.py") for code in CODE.findall(file.read_text())}
    described = Counter(re.findall(r"^#+ (BGH-[A-Z]+-\d{3})\b", (DOCS / "errors.md").read_text(), re.MULTILINE))
    assert set(described) == raised
    assert max(described.values()) == 1


def test_every_setting_is_described() -> None:
    text = (DOCS / "cli.md").read_text()
    assert [s.variable for s in SETTINGS if f"`{s.variable}`" not in text] == []


def test_the_operators_are_those_of_the_table() -> None:
    printed = subprocess.run([sys.executable, "-m", "bough.ops"], check=True, capture_output=True, text=True).stdout
    page = (DOCS / "operators.md").read_text()
    _, _, rest = page.partition("<!-- the rest: python -m bough.ops -->")
    assert rest.strip() == printed.strip()


def commands() -> dict[str, set[str]]:
    """Each command (`cache list` for one inside a group) with its options."""
    found: dict[str, set[str]] = {}

    def walk(command: object, path: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", None)
        if inner is not None:
            for name, sub in inner.items():
                walk(sub, (*path, name))
        else:
            options = {o for p in getattr(command, "params", ()) for o in p.opts if o.startswith("-")}
            found[" ".join(path)] = options | {"--help"}

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_described(name: str) -> None:
    text = (DOCS / "cli.md").read_text()
    assert f"bough {name}" in text
    assert [o for o in commands()[name] if o not in text] == []


def test_commands_in_the_pages_exist() -> None:
    known = commands()
    wrong = []
    for page in PAGES:
        for line in re.findall(r"^(?:\$ )?bough (.+)$", page.read_text(), re.MULTILINE):
            words = shlex.split(line, comments=True)
            name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
            options = {w.split("=")[0] for w in words if w.startswith("--")}
            if name is None or not options <= known[name]:
                wrong.append(f"{page.name}: bough {line}")
    assert wrong == []


def test_the_map_names_every_folder() -> None:
    text = (DOCS / "repository_map.md").read_text()
    package = ROOT / "src" / "bough"
    folders = {p.parent for p in package.rglob("*.py")} - {package}
    wanted = [f"`{f.relative_to(package)}/`" for f in folders]
    assert [f for f in sorted(wanted) if f not in text] == []


def test_the_map_names_only_what_exists() -> None:
    text = (DOCS / "repository_map.md").read_text()
    tops = [ROOT, ROOT / "src" / "bough"]
    folder, missing = tops, []
    for name in re.findall(r"`([\w.-]+(?:/|\.\w+|/[\w./-]+))`", text):
        places = [*folder, *tops]
        if not any((p / name).exists() for p in places):
            missing.append(name)
        elif name.endswith("/"):
            folder = [p / name for p in tops if (p / name).is_dir()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.filterwarnings("ignore::Warning")
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    sphinx = pytest.importorskip("sphinx.cmd.build")
    pytest.importorskip("myst_parser")
    assert sphinx.build_main(["-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "html")]) == 0
    assert (tmp_path / "html" / "index.html").exists()


def test_every_pass_is_described_in_order() -> None:
    text = (DOCS / "inside.md").read_text()
    assert re.findall(r"^\| ([a-z ]+) \|", text.partition("These are the passes")[2], re.MULTILINE)[1:] == [p.name for p in PASSES]


def test_the_python_interface_is_described() -> None:
    text = (DOCS / "api.md").read_text()
    assert [name for name in bough.__all__ if f"bough.{name}" not in text and f"`{name}`" not in text] == []
    options = [name for name, p in inspect.signature(bough.compile).parameters.items() if p.kind is p.KEYWORD_ONLY]
    described = re.findall(r"^\| `(\w+)` \| `", text.partition("## Compiled functions")[0], re.MULTILINE)
    assert sorted(described) == sorted(options)
    methods = [name for name in vars(bough.Compiled) if not name.startswith("_") and callable(getattr(bough.Compiled, name))]
    assert [name for name in methods if f"`compiled.{name}(" not in text] == []
