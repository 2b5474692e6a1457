"""Files of compiled functions: what is saved is what is loaded; damaged files give a clear error."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from bough.runtime import Cache, Executable, LoadError, Tensor, dumps, load, loads, save

Make = Callable[..., Executable]
X = np.ones((3, 8), np.float32)
Y = X + np.arange(8, dtype=np.float32)


def test_saved_and_loaded(make: Make, tmp_path: Path) -> None:
    original = make()
    path = tmp_path / "add.bough"
    save(path, original)
    save(path, original)
    loaded = load(path, threads=2)
    assert loaded.manifest == original.manifest and loaded.code == original.code and loaded.threads == 2
    np.testing.assert_array_equal(loaded(X), Y)
    assert [entry.name for entry in tmp_path.iterdir()] == ["add.bough"]
    path.unlink()
    np.testing.assert_array_equal(loaded(X), Y)


def test_equal_functions_give_equal_bytes(make: Make) -> None:
    assert dumps(make()) == dumps(make())
    assert dumps(loads(dumps(make()))) == dumps(make())


def test_other_programs_can_read_the_parts(make: Make, tmp_path: Path) -> None:
    save(tmp_path / "add.bough", make())
    with zipfile.ZipFile(tmp_path / "add.bough") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("manifest.json"))["function"]["entry"] == "bough_add"
        assert archive.read("code.o")[:4] == b"\x7fELF"
        constants = safetensors.numpy.load(archive.read("constants.safetensors"))
    np.testing.assert_array_equal(constants["w"], np.arange(8, dtype=np.float32))


@pytest.mark.parametrize("through_cache", [False, True])
def test_large_constants_stay_in_the_file(
    add: bytes, manifest: Callable[..., object], tmp_path: Path, through_cache: bool
) -> None:
    shapes = {"w": (8,), "odd": (3,), "large": (64, 32), "half": (2, 5), "none": (0, 4), "one": ()}
    dtypes = {"w": "f32", "odd": "i8", "large": "f32", "half": "bf16", "none": "i64", "one": "bool"}
    held = {"f32": np.float32, "i8": np.int8, "bf16": np.uint16, "i64": np.int64, "bool": np.bool_}
    arrays = {
        name: np.arange(int(np.prod(shape))).astype(held[dtypes[name]]).reshape(shape) for name, shape in shapes.items()
    }
    tensors = tuple(Tensor(name, dtypes[name], shape) for name, shape in shapes.items())
    original = Executable(manifest(constants=tensors), add, arrays)  # type: ignore[arg-type]
    if through_cache:
        cache = Cache(tmp_path / "cache")
        cache.put("key", dumps(original))
        view = cache.view("key")
        assert view is not None
        loaded = loads(view, verified=True)
    else:
        save(tmp_path / "f", original)
        loaded = load(tmp_path / "f")
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.constants[name], array)
        assert loaded.constants[name].ctypes.data % 64 == 0
    assert isinstance(base_of(loaded.constants["large"]), memoryview)
    np.testing.assert_array_equal(loaded(X), Y)


def base_of(array: object) -> object:
    """What holds an array's memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_damaged_files_never_do_worse_than_an_error(make: Make) -> None:
    """A changed byte is noticed, or lies where it does not matter."""
    whole = dumps(make())
    noticed = 0
    for i in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[i] ^= 0x55
        try:
            np.testing.assert_array_equal(loads(bytes(changed))(X), Y)
        except LoadError:
            noticed += 1
    assert noticed > len(whole) / 5 * 0.8
    for length in range(0, len(whole), 41):
        with pytest.raises(LoadError):
            loads(whole[:length])


def rewritten(whole: bytes, path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> bytes:
    """The artefact with members replaced, or left out where None. Member names are given with _ for the dot."""
    (path / "in").write_bytes(whole)
    with zipfile.ZipFile(path / "in") as source, zipfile.ZipFile(path / "out", "w", compression) as target:
        for name in source.namelist():
            contents = members.get(name.replace(".", "_"), source.read(name))
            if contents is not None:
                target.writestr(name, contents)
    return (path / "out").read_bytes()


def test_foreign_files_are_refused(make: Make, tmp_path: Path) -> None:
    whole = dumps(make())
    np.testing.assert_array_equal(loads(rewritten(whole, tmp_path))(X), Y)
    for unfit in (
        b"",
        b"PK",
        rewritten(whole, tmp_path, zipfile.ZIP_DEFLATED),
        rewritten(whole, tmp_path, code_o=None),
        rewritten(whole, tmp_path, code_o=b"other"),
        rewritten(whole, tmp_path, manifest_json=b"{}"),
        rewritten(whole, tmp_path, manifest_json=b"[" * 100_000),
        rewritten(whole, tmp_path, manifest_json=b'{"sha256": {}, "format": 4}'),
    ):
        with pytest.raises(LoadError, match="BGH-LD-001"):
            loads(unfit)
    with pytest.raises(LoadError, match="BGH-LD-005"):
        loads(rewritten(whole, tmp_path, manifest_json=b'{"sha256": {}, "format": 9}'))
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(LoadError, match="empty"):
        load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")
