"""The cache gives back what was put, or nothing."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import IO

import pytest

from bough.runtime import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "kept" / "bough")


def test_keeps_and_gives(cache: Cache) -> None:
    assert cache.get("a") is None and cache.entries() == [] and cache.clear() == 0
    assert cache.put("a", b"payload") and cache.put("b-1.x", memoryview(b"other" * 1000)) and cache.put("empty", b"")
    assert cache.get("a") == b"payload" and cache.get("b-1.x") == b"other" * 1000 and cache.get("empty") == b""
    assert cache.put("a", b"changed") and cache.get("a") == b"changed"
    view = cache.view("a")
    assert view is not None and bytes(view) == b"changed"
    assert {entry.key for entry in cache.entries()} == {"a", "b-1.x", "empty"}
    assert cache.size() == 3 * 64 + 7 + 5000
    assert cache.clear() == 3
    assert cache.get("a") is None and bytes(view) == b"changed"


def test_is_closed_to_others(cache: Cache) -> None:
    cache.put("a", b"payload")
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert (cache.folder / "a.entry").stat().st_mode & 0o777 == 0o600
    cache.folder.chmod(0o777)
    assert cache.get("a") == b"payload"
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def discarded(cache: Cache, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether `a` is missing now, with the reason in the log."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "bough.cache"):
        missing = cache.get("a") is None
    return missing and "discarded" in caplog.text and not (cache.folder / "a.entry").exists()


def test_damaged_entries_are_missing(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    path = cache.folder / "a.entry"
    cache.put("a", b"payload")
    whole = path.read_bytes()
    for i in range(len(whole)):
        if i - len(b"payload") in (*range(12, 16), *range(56, 64)):  # unused bytes behind the payload
            continue
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        path.chmod(0o600)
        assert discarded(cache, caplog), i
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert discarded(cache, caplog), length
    path.write_bytes(whole + b"x")
    assert discarded(cache, caplog)
    assert cache.put("a", b"payload") and cache.get("a") == b"payload"


def test_entries_under_another_name_are_missing(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("b", b"payload")
    (cache.folder / "b.entry").rename(cache.folder / "a.entry")
    assert discarded(cache, caplog)


def test_entries_that_others_could_write_are_missing(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("a", b"payload")
    (cache.folder / "a.entry").chmod(0o622)
    assert discarded(cache, caplog)
    cache.put("b", b"payload")
    (cache.folder / "a.entry").symlink_to(cache.folder / "b.entry")
    assert discarded(cache, caplog)
    os.mkfifo(cache.folder / "a.entry")
    assert discarded(cache, caplog)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_others_is_not_used(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("a", b"payload")
    os.chown(cache.folder / "a.entry", 12345, 12345)
    assert discarded(cache, caplog)
    cache.put("a", b"payload")
    os.chown(cache.folder, 12345, 12345)
    with caplog.at_level(logging.WARNING, "bough.cache"):
        assert cache.get("a") is None and not cache.put("a", b"payload")
    assert "belongs to another user" in caplog.text


def test_a_folder_that_cannot_be_made_is_an_empty_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        cache = Cache(folder)
        assert not cache.put("a", b"payload")
        assert cache.get("a") is None and cache.entries() == [] and cache.clear() == 0
    assert "the cache is not used" in caplog.text


@pytest.mark.parametrize("key", ["", "../a", "a/b", ".a", "a" * 201, "a\0"])
def test_keys_are_no_paths(cache: Cache, key: str) -> None:
    with pytest.raises(ValueError):
        cache.get(key)
    with pytest.raises(ValueError):
        cache.put(key, b"")


def test_clearing_removes_what_interrupted_writes_left(cache: Cache) -> None:
    cache.put("a", b"payload")
    (cache.folder / ".tmp-left").write_bytes(b"half")
    (cache.folder / "unrelated.txt").write_text("kept")
    assert cache.clear() == 1
    assert [path.name for path in cache.folder.iterdir()] == ["unrelated.txt"]


def test_writers_and_readers_at_the_same_time(cache: Cache) -> None:
    payloads = [bytes([i]) * 5000 for i in range(8)]
    failures: list[object] = []

    def work(i: int) -> None:
        for _ in range(50):
            cache.put("a", payloads[i])
            if cache.get("a") not in payloads:
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_oldest_entries_go_first(cache: Cache) -> None:
    for n, key in enumerate("abc"):
        cache.put(key, bytes(1000))
        (file,) = cache.folder.glob(f"{key}*")
        os.utime(file, (n, n))
    assert cache.trim(10_000) == 0
    assert cache.trim(cache.size() - 1) == 1 and [e.key for e in cache.entries()] == ["c", "b"]
    assert cache.trim(0) == 2 and cache.size() == 0


def test_the_setting_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUGH_CACHE", str(tmp_path / "here"))
    assert Cache().folder == tmp_path / "here"


def test_what_a_function_writes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"xxx")
        file.seek(0)
        file.write(b"abc")

    assert cache.write("a", write) and cache.get("a") == b"abc"
    payload = os.urandom(9_000_000)  # several pieces
    assert cache.put("large", payload) and cache.get("large") == payload
    monkeypatch.setenv("BOUGH_THREADS", "1")
    assert cache.get("large") == payload


def test_turned_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOUGH_CACHE", "0")
    cache = Cache()
    assert not cache.put("a", b"payload") and cache.get("a") is None
    assert cache.entries() == [] and cache.clear() == 0 and list(tmp_path.iterdir()) == []
