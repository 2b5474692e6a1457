"""Artefacts made to break the reader: loading says `LoadError`, and neither crashes, hangs, writes files nor takes memory."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bough.base.errors import InputError
from bough.runtime import Executable, LoadError, dumps, load, loads

Make = Callable[..., Executable]
X = np.ones((3, 8), np.float32)
Y = X + np.arange(8, dtype=np.float32)
NAMES = ("manifest.json", "code.o", "constants.safetensors")


def parts_of(whole: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, contents in members:
            archive.writestr(zipfile.ZipInfo(name), contents)
    return file.getvalue()


def with_manifest(whole: bytes, change: Callable[[dict[str, Any]], None], **replaced: bytes) -> bytes:
    """The artefact with another manifest, and hashes that fit the replaced members."""
    parts = parts_of(whole)
    parts.update({name.replace("_", "."): contents for name, contents in replaced.items()})
    description = json.loads(parts["manifest.json"])
    for name in description["sha256"]:
        description["sha256"][name] = hashlib.sha256(parts[name]).hexdigest()
    change(description)
    parts["manifest.json"] = json.dumps(description).encode()
    return packed(list(parts.items()))


def test_every_bit_of_the_directory_and_the_headers(make: Make) -> None:
    """Flipped one at a time: the function is as it was, or is not loaded."""
    whole = dumps(make())
    directory = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"PK\x01\x02"))
    headers = [at for name in NAMES for at in range(whole.index(name.encode()) - 30, whole.index(name.encode()) + len(name))]
    for at in (*headers, *range(directory, len(whole))):
        for bit in range(0, 8, 3):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            try:
                loaded = loads(bytes(changed))
            except LoadError:
                continue
            assert loaded.code == parts_of(whole)["code.o"]
            np.testing.assert_array_equal(loaded(X), Y)


@pytest.mark.parametrize("name", ["../code.o", "/tmp/code.o", "code.o/../code.o", "..\\code.o", "C:\\code.o", "Code.o"])
def test_members_elsewhere(make: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads out of the archive is refused, beside the right members or in place of one; nothing is unpacked."""
    monkeypatch.chdir(tmp_path)
    parts = list(parts_of(dumps(make())).items())
    code = dict(parts)["code.o"]
    for members in ([*parts, (name, code)], [p for p in parts if p[0] != "code.o"] + [(name, code)]):
        with pytest.raises(LoadError, match="BGH-LD-001"):
            loads(packed(members))
    assert list(tmp_path.iterdir()) == []


def test_members_twice(make: Make) -> None:
    parts = list(parts_of(dumps(make())).items())
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed([*parts, ("code.o", b"other")])
    with pytest.raises(LoadError):
        loads(twice)


@pytest.mark.parametrize("size", [1 << 20, 0x7FFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("member", NAMES)
def test_sizes_that_the_file_has_not(make: Make, member: str, size: int) -> None:
    """A directory that claims gigabytes costs no memory."""
    whole = bytearray(dumps(make()))
    at = whole.rindex(member.encode()) - 46
    assert whole[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<II", whole, at + 20, size, size)
    tracemalloc.start()
    with pytest.raises(LoadError, match="BGH-LD-001"):
        loads(bytes(whole))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_compressed_bombs(make: Make) -> None:
    """Members that would unpack to a thousand times their size are not unpacked."""
    parts = parts_of(dumps(make()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in parts.items():
            archive.writestr(name, bytes(64 << 20) if name == "manifest.json" else contents)
    tracemalloc.start()
    with pytest.raises(LoadError, match="compressed"):
        loads(file.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


HOSTILE = (None, -1, 2**31, 2**63, 2**70, 1e308, float("nan"), True, "", "a" * 5000, "../x", [], {}, [[]], [2**70, 0])


def test_every_part_of_the_manifest_replaced(make: Make) -> None:
    """With hashes that fit: the reader itself is asked. Code is not called: a hostile file can hold any code."""
    whole = dumps(make())

    def places(part: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        keys = part.keys() if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        return [path, *(found for key in keys for found in places(part[key], (*path, key)))]

    description = json.loads(parts_of(whole)["manifest.json"])
    drawn = random.Random(0)
    for path in places(description, ())[1:]:
        for value in drawn.sample(HOSTILE, 6):

            def change(description: dict[str, Any], path: tuple[Any, ...] = path, value: Any = value) -> None:
                part: Any = description
                for key in path[:-1]:
                    part = part[key]
                part[path[-1]] = value

            try:
                loads(with_manifest(whole, change), threads=1)
            except LoadError:
                continue


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [8], "data_offsets": [0, 2**70]},
        {"dtype": "F32", "shape": [8], "data_offsets": [-32, 0]},
        {"dtype": "F32", "shape": [8], "data_offsets": [32, 0]},
        {"dtype": "F32", "shape": [8], "data_offsets": [2**62, 2**62 + 32]},
        {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [-8], "data_offsets": [0, 32]},
        {"dtype": "F64", "shape": [8], "data_offsets": [0, 64]},
        {"dtype": [], "shape": {}, "data_offsets": "no"},
        [],
        None,
    ],
)
def test_constants_that_lie_elsewhere(make: Make, entry: object) -> None:
    whole = dumps(make())
    text = json.dumps({"w": entry}).encode()
    hostile = struct.pack("<Q", len(text)) + text + bytes(32)
    with pytest.raises(LoadError, match="BGH-LD-001"):
        loads(with_manifest(whole, lambda description: None, constants_safetensors=hostile))


@pytest.mark.parametrize("text", [b"", b"[" * 200_000, b'{"w":' * 50_000, b"\xff\xfe", b"NaN", b'{"w": 1e999}'])
def test_constants_whose_header_is_no_header(make: Make, text: bytes) -> None:
    for length in (len(text), len(text) + 1, 2**63, 2**64 - 1):
        with pytest.raises(LoadError, match="BGH-LD-001"):
            loads(with_manifest(dumps(make()), lambda d: None, constants_safetensors=struct.pack("<Q", length) + text))


@pytest.mark.parametrize("shape", [[2**70], [2**70, 0], [2**40, 2**40], [2**33], [-1], [0, -1]])
def test_constants_of_impossible_shapes(make: Make, shape: list[int]) -> None:
    """Where manifest and header agree on them."""

    def change(description: dict[str, Any]) -> None:
        description["function"]["constants"][0][2] = shape

    for end in (0, 32):
        text = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        hostile = struct.pack("<Q", len(text)) + text + bytes(32)
        with pytest.raises(LoadError):
            loads(with_manifest(dumps(make()), change, constants_safetensors=hostile))


@pytest.mark.parametrize("arena", [-1, 1 << 48, 1 << 60, 1 << 63, 1 << 70])
def test_memory_that_no_process_has(make: Make, arena: int, tmp_path: Path) -> None:
    """Refused on loading, by the name of the file."""

    def change(description: dict[str, Any]) -> None:
        description["function"]["arena"] = arena

    path = tmp_path / "large.bough"
    path.write_bytes(with_manifest(dumps(make()), change))
    with pytest.raises(LoadError, match=r"large\.bough.*\n.*the memory of a call has the size"):
        load(path)


def test_results_that_no_process_has(make: Make) -> None:
    def change(description: dict[str, Any]) -> None:
        description["function"]["results"][0][2] = [1 << 30, 1 << 30]

    with pytest.raises(LoadError, match="y has the size"):
        loads(with_manifest(dumps(make()), change))


@pytest.mark.parametrize("arena", [1 << 46, ["mul", "batch", 1 << 60], ["mul", "batch", 1 << 70]])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_memory_that_the_system_has_not(make: Make, arena: Any, library: Callable[[Any], Any]) -> None:
    """A call says how much it asks for, and the next one that asks for less is right."""

    def change(description: dict[str, Any]) -> None:
        description["function"]["arena"] = arena

    loaded = loads(with_manifest(dumps(make()), change))
    with pytest.raises(InputError, match=r"BGH-IN-018.*bytes at once"):
        loaded(library(X))
    if not isinstance(arena, int):
        np.testing.assert_array_equal(np.asarray(loaded(library(X[:0]))), Y[:0])


@pytest.mark.parametrize("size", [1 << 60, 1 << 70])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_results_that_the_system_has_not(make: Make, size: int, library: Callable[[Any], Any]) -> None:
    def change(description: dict[str, Any]) -> None:
        description["function"]["results"][0][2] = ["batch", ["mul", "batch", size]]

    loaded = loads(with_manifest(dumps(make()), change))
    with pytest.raises(InputError, match=f"BGH-IN-018.*{4 * 3 * 3 * size:,} bytes at once"):
        loaded(library(X))
    with pytest.raises(InputError, match="input 0: there is not enough memory"):
        loaded.map([library(X), library(X)])


def test_code_for_another_processor(make: Make) -> None:
    """An object whose header names another machine, and one of any bytes."""
    whole = dumps(make())
    code = bytearray(parts_of(whole)["code.o"])
    code[18:20] = (243).to_bytes(2, "little")  # RISC-V
    with pytest.raises(LoadError, match="BGH-LD-002"):
        loads(with_manifest(whole, lambda description: None, code_o=bytes(code)))
    drawn = random.Random(0)
    for length in (0, 4, 64, 4096):
        with pytest.raises(LoadError):
            loads(with_manifest(whole, lambda description: None, code_o=b"\x7fELF"[:length] + drawn.randbytes(max(0, length - 4))))


def test_features_that_no_processor_has(make: Make) -> None:
    def change(description: dict[str, Any]) -> None:
        description["function"]["features"] = ["avx2048"]

    with pytest.raises(LoadError, match="BGH-LD-006"):
        loads(with_manifest(dumps(make()), change))
