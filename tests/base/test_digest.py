"""Digests of large memory are those of its pieces."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from bough.base import digest
from bough.base.digest import digests, file_hexdigest, hexdigest


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "PIECE", 64)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 129, 1000])
def test_pieces(size: int) -> None:
    data = random.Random(size).randbytes(size)
    pieces = [hashlib.sha256(data[i : i + 64]) for i in range(0, max(1, size), 64)]
    whole = pieces[0] if len(pieces) == 1 else hashlib.sha256(b"".join(p.digest() for p in pieces))
    assert hexdigest(data) == hexdigest(memoryview(data)) == whole.hexdigest()


def test_parts_in_order() -> None:
    parts = [bytes([n]) * n for n in range(100)]
    assert digests(parts) == [hashlib.sha256(p).digest() for p in parts]


def test_every_byte_counts() -> None:
    data = bytes(300)
    for n in range(0, 300, 7):
        assert hexdigest(data[:n] + b"\1" + data[n + 1 :]) != hexdigest(data)
    assert hexdigest(data[:-1]) != hexdigest(data)


def test_parts_of_files(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(1000)
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file:
        for start, stop in ((0, 1000), (3, 900), (500, 520), (7, 7), (0, 64)):
            assert file_hexdigest(file.fileno(), start, stop) == hexdigest(data[start:stop])
