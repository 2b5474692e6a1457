from __future__ import annotations

from pathlib import Path

import pytest

from bough.base import settings
from bough.base.clock import Stopwatch, interleaved_medians
from bough.base.errors import CompileError


def test_defaults_hold_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    assert settings.read(settings.CHECK) == 1
    assert settings.read(settings.THREADS) == settings.available_cores()
    assert settings.read(settings.TEAM) == "own"
    assert settings.read(settings.DUMP) is None
    assert settings.read(settings.CACHE).name == "bough"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUGH_CHECK", " ")
    assert settings.read(settings.CHECK) == 1


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BOUGH_CHECK", "4"),
        ("BOUGH_CHECK", "-1"),
        ("BOUGH_CHECK", "two"),
        ("BOUGH_THREADS", "0"),
        ("BOUGH_THREADS", "1.5"),
        ("BOUGH_TEAM", "tbb"),
        ("BOUGH_SPIN_US", "1e3"),
    ],
)
def test_a_wrong_value_is_the_users_error(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    setting = next(s for s in settings.SETTINGS if s.variable == variable)
    monkeypatch.setenv(variable, text)
    with pytest.raises(CompileError) as caught:
        settings.read(setting)
    assert caught.value.code == "BGH-SET-001"
    assert variable in str(caught.value) and repr(text) in str(caught.value)


def test_a_file_is_no_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BOUGH_CACHE", str(tmp_path / "file"))
    with pytest.raises(CompileError, match="a file of that name"):
        settings.read(settings.CACHE)


def test_the_cache_follows_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BOUGH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert settings.read(settings.CACHE) == tmp_path / "bough"
    monkeypatch.setenv("BOUGH_CACHE", str(tmp_path / "elsewhere"))
    assert settings.read(settings.CACHE) == tmp_path / "elsewhere"


def test_the_cache_key_holds_what_changes_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.cache_key()
    monkeypatch.setenv("BOUGH_SPIN_US", "7")
    monkeypatch.setenv("BOUGH_CHECK", "3")
    assert settings.cache_key() == before
    monkeypatch.setenv("BOUGH_THREADS", "77")
    assert settings.cache_key() != before


def test_names_and_variables_are_unique() -> None:
    assert len({s.name for s in settings.SETTINGS}) == len(settings.SETTINGS)
    assert len({s.variable for s in settings.SETTINGS}) == len(settings.SETTINGS)


def test_a_stopwatch_runs_and_stops() -> None:
    with Stopwatch() as watch:
        assert watch.seconds >= 0
    taken = watch.seconds
    assert watch.seconds == taken


def test_medians_take_turns() -> None:
    order: list[str] = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    medians = interleaved_medians(calls, rounds=3)
    assert order == ["a", "b"] * 4
    assert set(medians) == {"a", "b"} and all(m >= 0 for m in medians.values())
