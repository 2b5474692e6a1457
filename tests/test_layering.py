"""The shape of the source: folders depend one way, and a file holds one idea."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "bough"

LEVELS = {
    "base": 0,
    "ir": 1,
    "runtime": 1,
    "rewrite": 2,
    "ops": 3,
    "targets": 3,
    "schedule": 3,
    "frontends": 4,
    "graph_passes": 4,
    "mapping": 4,
    "codegen": 4,
    "control_flow": 5,
    "search": 5,
    "backends": 5,
    "recursion": 6,
    "pipeline": 7,
    "bench": 8,
    "cli": 9,
}
TOP = 10  # bough/__init__.py and bough/__main__.py, which no folder may import
LONGEST = 600

FILES = sorted(SOURCE.rglob("*.py"))


def folder_of(module: tuple[str, ...]) -> str | None:
    """The folder of `bough.folder.module`; None for the package itself and for files at its top."""
    return module[1] if len(module) > 1 and module[1] in LEVELS else None


def imported(file: Path, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and dotted name of every import of Bough's own modules, wherever it stands in the file."""
    package = ("bough", *file.relative_to(SOURCE).parent.parts)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield node.lineno, (*module, alias.name)


def violations(file: Path, text: str) -> list[str]:
    parts = file.relative_to(SOURCE).parts
    own = parts[0] if len(parts) > 1 else None
    level = TOP if own is None else LEVELS[own]
    wrong = []
    for line, module in imported(file, text):
        if module[0] != "bough":
            continue
        other = folder_of(module)
        if other == own and own is not None:
            continue
        reached = TOP if other is None else LEVELS[other]
        if reached >= level:
            wrong.append(f"{'/'.join(parts)}:{line}: {own or 'the package'} (level {level}) imports {'.'.join(module)}")
    return wrong


def test_every_folder_has_a_level() -> None:
    folders = {p.parent.relative_to(SOURCE).parts[0] for p in FILES if p.parent != SOURCE}
    assert folders <= set(LEVELS)


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(file: Path) -> None:
    assert violations(file, file.read_text()) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ir/a.py", "def f():\n    from bough.codegen import x"),
        ("ops/a.py", "import bough.targets.x86"),
        ("runtime/a.py", "from bough.ir import dtypes"),
        ("runtime/a.py", "from ..ir import dtypes"),
        ("mapping/a.py", "from bough import codegen"),
        ("pipeline/a.py", "import bough"),
    ],
)
def test_a_wrong_import_is_found(file: str, text: str) -> None:
    assert len(violations(SOURCE / file, text)) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ir/a.py", "from bough.base.errors import CompileError\nfrom bough.ir.expr import Expr"),
        ("codegen/a.py", "from bough.runtime import team"),
        ("cli/a.py", "from .output import show\nfrom bough.pipeline import compile"),
    ],
)
def test_a_right_import_passes(file: str, text: str) -> None:
    assert violations(SOURCE / file, text) == []


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_short_and_annotated(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert file.name == "__init__.py" or "from __future__ import annotations" in text


def test_a_shipped_model_needs_neither_torch_nor_the_compiler() -> None:
    """Imports that run when `bough.runtime` is imported: NumPy, the standard library and Bough's base only."""
    allowed = {"numpy", "bough", "safetensors"}

    for file in sorted((SOURCE / "runtime").rglob("*.py")):
        for statement in ast.parse(file.read_text()).body:
            names = [statement.module] if isinstance(statement, ast.ImportFrom) and not statement.level else []
            names += [a.name for a in statement.names] if isinstance(statement, ast.Import) else []
            for name in names:
                first = (name or "").split(".")[0]
                assert first in allowed or first in sys.stdlib_module_names, f"{file.name}: {name}"
