"""Compiled functions as files: a zip of `code.o`, `constants.safetensors` and `manifest.json`, all stored uncompressed. Where
there is a function for many samples, its code is `samples.o`; constants that both have are written once.

Nothing in it runs on loading, and every part is checked before it is used. Constants are used in place, from the file mapped
into memory, where the processor's alignment allows.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from bough.base import records
from bough.base.digest import file_hexdigest, hexdigest
from bough.runtime import weights
from bough.runtime.arrays import ALIGNMENT, Array
from bough.runtime.errors import LoadError, damaged, unreadable
from bough.runtime.executable import Executable
from bough.runtime.manifest import Manifest, Tensor
from bough.runtime.samples import Samples
from bough.runtime.structured import StructuredExecutable
from bough.runtime.team import Provider

FORMAT = 4
"""Changes with what native code and this package expect of each other, the frame of the native walk among it."""
_MANIFEST, _CODE, _CONSTANTS, _SAMPLES = "manifest.json", "code.o", "constants.safetensors", "samples.o"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LARGE = 20  # bytes of the extra field with the sizes of a member of gigabytes
_PADDING = 0xD935  # the extra field that aligns a member's data, as Android's zipalign numbers it


def save(path: str | os.PathLike[str], executable: Executable) -> None:
    """Writes the function to a file, replacing one of that name only when all is written."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file, executable)
            os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | os.PathLike[str], *, threads: int | None = None, provider: Provider | None = None) -> Executable:
    """The function in a file that `save` wrote. Raises `LoadError` for any other file, OSError where there is none."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise damaged(f"the file {os.fspath(path)}", "it is empty")
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return loads(view, name=f"the file {os.fspath(path)}", threads=threads, provider=provider)


def dumps(executable: Executable) -> bytes:
    """The bytes that `save` writes; equal functions give equal bytes."""
    with tempfile.TemporaryFile() as file:
        write(file, executable)
        file.seek(0)
        return file.read()


def loads(
    data: bytes | memoryview,
    *,
    name: str = "the artefact",
    verified: bool = False,
    own_classes: bool = False,
    threads: int | None = None,
    provider: Provider | None = None,
) -> Executable:
    """The function in what `dumps` gave. `data` must not change while the function is in use. Where `verified`, the caller knows
    already that the bytes are those that were written (the cache does), and their hashes are not computed again. Objects among
    the results are of their classes with `own_classes`, where the modules of these are loaded."""
    view = memoryview(data)
    try:
        with zipfile.ZipFile(io.BufferedReader(_Window(view))) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if members.keys() - {_SAMPLES} != {_MANIFEST, _CODE, _CONSTANTS}:
                raise damaged(name, f"it holds {', '.join(sorted(members)) or 'nothing'}")
            if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
                raise damaged(name, "its members are compressed")
            if len(members) != len(archive.infolist()):
                raise damaged(name, "it holds two members of one name")
            description = json.loads(_checked(name, view, members[_MANIFEST]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error) as error:
        if isinstance(error, LoadError):
            raise
        raise unreadable(name, error) from None
    manifest = _manifest(name, description)
    parts = {member: _member(name, view, members[member]) for member in members if member != _MANIFEST}
    for member, part in parts.items():
        if not verified and hexdigest(part) != description["sha256"].get(member):
            raise damaged(name, f"the bytes of {member} are not those that were written")
    constants = weights.read(parts[_CONSTANTS], manifest.constants)
    kind = Executable if manifest.visits is None else StructuredExecutable
    classes = {r.name: c for r in records.within(manifest.outputs) if (c := records.found(r))} if own_classes else {}
    one = kind(manifest, parts[_CODE], constants, threads=threads, provider=provider, classes=classes)
    if _SAMPLES in parts:
        many, held = _samples(name, description, parts[_CONSTANTS])
        one.samples = Samples(one, Executable(many, parts[_SAMPLES], held, threads=threads, provider=provider))
    return one


def _samples(name: str, description: Any, constants: memoryview) -> tuple[Manifest, dict[str, Array]]:
    """The manifest and the constants of the function for many samples."""
    part = description.get("samples")
    if not isinstance(part, dict) or not isinstance(places := part.get("constants"), dict):
        raise damaged(name, "its function for many samples has an unknown form")
    manifest = _function(name, part.get("function"))
    if any(not isinstance(places.get(t.name), str) for t in manifest.constants):
        raise damaged(name, "a constant for many samples has no place")
    held = weights.read(constants, [replace(t, name=places[t.name]) for t in manifest.constants])
    return manifest, {t.name: held[places[t.name]] for t in manifest.constants}


def _manifest(name: str, description: Any) -> Manifest:
    if not isinstance(description, dict) or not isinstance(description.get("sha256"), dict):
        raise damaged(name, "its manifest has an unknown form")
    if description.get("format") != FORMAT:
        raise LoadError(
            f"{name} has format {description.get('format')!r}",
            code="BGH-LD-005",
            because=f"this version of Bough reads format {FORMAT}",
            advice="compile the model again with this version of Bough",
        )
    return _function(name, description.get("function"))


def _function(name: str, data: Any) -> Manifest:
    """A manifest; what is wrong with it is said of the file."""
    try:
        return Manifest.from_data(data)
    except LoadError as error:
        raise LoadError(f"{name}: {error.what}", code=error.code, because=error.because, advice=error.advice) from None


def write(file: IO[bytes], executable: Executable) -> None:
    """Writes what `dumps` gives to an empty file on a disk, without a copy of it in memory."""
    manifest = executable.manifest
    tensors, arrays = list(manifest.constants), dict(executable.constants)
    description: dict[str, Any] = {"format": FORMAT, "function": manifest.to_data()}
    parts: dict[str, bytes | memoryview] = {_CODE: executable.code}
    if executable.samples is not None:
        many = executable.samples.many
        places = _shared(many, tensors, arrays)
        description["samples"] = {"function": many.manifest.to_data(), "constants": places}
        parts[_SAMPLES] = many.code
    constants = weights.Contents.of(tensors, arrays)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        written = {name: _add(archive, file, name, len(part), partial(_put, part)) for name, part in parts.items()}
        written[_CONSTANTS] = _add(archive, file, _CONSTANTS, constants.size, constants.write)
        file.flush()
        description["sha256"] = {name: file_hexdigest(file.fileno(), *place) for name, place in written.items()}
        text = json.dumps(description).encode()
        _add(archive, file, _MANIFEST, len(text), partial(_put, text))


def _put(part: bytes | memoryview, file: IO[bytes]) -> None:
    file.write(part)


def _add(
    archive: zipfile.ZipFile, file: IO[bytes], name: str, size: int, contents: Callable[[IO[bytes]], object]
) -> tuple[int, int]:
    """Adds a member whose contents start at a multiple of `ALIGNMENT`; where they lie."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.file_size = size
    large = size * 1.05 > zipfile.ZIP64_LIMIT  # then the library adds a field for sizes
    start = file.tell() + _LOCAL_HEADER.size + len(name) + _LARGE * large + 4
    padding = -start % ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING, padding) + bytes(padding)
    with archive.open(info, "w") as member:
        contents(member)
    return start + padding, start + padding + size


def _shared(many: Executable, tensors: list[Tensor], arrays: dict[str, Array]) -> dict[str, str]:
    """Under which name each constant of `many` is written; those that are not among the arrays yet are added."""
    places: dict[str, str] = {}
    for t in many.manifest.constants:
        mine = many.constants[t.name]
        same = next((o.name for o in tensors if (o.dtype, o.shape) == (t.dtype, t.shape) and _equal(arrays[o.name], mine)), None)
        if same is None:
            same = f"samples/{t.name}"
            tensors.append(replace(t, name=same))
            arrays[same] = mine
        places[t.name] = same
    return places


def _equal(a: Array, b: Array) -> bool:
    """Whether two arrays have the same bits."""
    return bool(np.array_equal(a.reshape(-1).view(np.uint8), b.reshape(-1).view(np.uint8)))


def _member(name: str, view: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """The bytes of a stored member, in place."""
    at = info.header_offset
    if not 0 <= at <= len(view) - _LOCAL_HEADER.size:
        raise damaged(name, f"{info.filename} lies outside of the file")
    signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(view, at)
    start = at + _LOCAL_HEADER.size + name_length + extra_length
    if signature != b"PK\x03\x04" or start + info.file_size > len(view):
        raise damaged(name, f"{info.filename} lies outside of the file")
    return view[start : start + info.file_size]


def _checked(name: str, view: memoryview, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a stored member, by the checksum of the archive. No memory is taken for a size that the file has not."""
    part = bytes(_member(name, view, info))
    if zlib.crc32(part) != info.CRC:
        raise damaged(name, f"the bytes of {info.filename} are not those that were written")
    return part


class _Window(io.RawIOBase):
    """Memory as a file, without a copy of it."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._position = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = (0, self._position, len(self._view))[whence]
        if start + offset < 0:
            raise ValueError("negative position")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        part = self._view[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
