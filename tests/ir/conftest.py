"""Golden texts: `golden(name, text)` compares with tests/ir/golden/<name>.txt, `pytest tests/ir --update-golden` rewrites them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # for random_ir


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden texts from what is printed now")


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / f"{name}.txt"
        if pytestconfig.getoption("--update-golden", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; see pytest tests/ir --update-golden"

    return compare
