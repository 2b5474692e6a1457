"""Compiled code kept between runs: one checked file for each key, in a folder that only its owner can enter.

A file is the payload, then 64 bytes (magic, version, length and a digest of key and payload). It is written under a temporary
name and renamed, so that processes can share a folder. What fails a check counts as missing.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import re
import stat
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bough.base import settings
from bough.base.digest import file_hexdigest, hexdigest

log = logging.getLogger("bough.cache")

VERSION = 2
_MAGIC = b"BOUGHOBJ"
_TRAILER = struct.Struct("<8sIxxxxQ32s8x")
_SUFFIX, _TEMPORARY = ".entry", ".tmp-"
_KEY = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.\-]{0,199}")


@dataclass(frozen=True, slots=True)
class Entry:
    """`size` in bytes, `modified` in seconds since the epoch."""

    key: str
    size: int
    modified: float


class Cache:
    """Keys are up to 200 letters, digits, `_`, `.` and `-`. A cache that cannot be used behaves as an empty one and says so in
    the log: compiling goes on without it. Safe for use by several threads and processes."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """In `folder`, or in the one of the setting; without either it is empty and stays so."""
        self.folder = settings.read(settings.CACHE) if folder is None else Path(folder)

    def get(self, key: str) -> bytes | None:
        """The payload, or None where there is none that passes the checks."""
        view = self.view(key)
        return None if view is None else bytes(view)

    def view(self, key: str) -> memoryview | None:
        """The payload without a copy: the file mapped into memory, starting at a multiple of 64 bytes."""
        path = self._path(key)
        if path is None or not self._usable():
            return None
        try:
            return _read(path, key)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the cache entry %s is discarded: %s", path, error)
            _remove(path)
            return None

    def put(self, key: str, payload: bytes | memoryview) -> bool:
        """Keeps the payload, in place of an earlier one. False where it cannot be written, which the log explains."""
        return self.write(key, lambda file: file.write(payload))

    def write(self, key: str, write: Callable[[IO[bytes]], object]) -> bool:
        """The same for what `write` writes to a file, without a copy of it in memory."""
        path = self._path(key)
        if path is None or not self._usable(create=True):
            return False
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=_TEMPORARY)
            with os.fdopen(handle, "w+b") as file:
                write(file)
                file.seek(0, os.SEEK_END)
                file.write(_trailer(key, file))
            os.replace(temporary, path)
        except OSError as error:
            log.warning("cannot write the cache entry %s: %s", path, error)
            if temporary:
                _remove(Path(temporary))
            return False
        return True

    def entries(self) -> list[Entry]:
        """What the folder holds, most recently written first; the contents are not checked."""
        found: list[Entry] = []
        for path in self._files("*" + _SUFFIX):
            try:
                status = path.lstat()
            except OSError:
                continue
            found.append(Entry(path.name.removesuffix(_SUFFIX), status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (-entry.modified, entry.key))

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.size for entry in self.entries())

    def trim(self, limit: int) -> int:
        """Removes the entries that were written first until the others have at most `limit` bytes; returns how many."""
        kept, removed = 0, 0
        for entry in self.entries():
            kept += entry.size
            path = self._path(entry.key)
            if kept > limit and path is not None:
                removed += _remove(path)
        return removed

    def clear(self) -> int:
        """Removes every entry (and what interrupted writes left) and returns how many entries there were."""
        removed = sum(_remove(path) for path in self._files("*" + _SUFFIX))
        for path in self._files(_TEMPORARY + "*"):
            _remove(path)
        return removed

    def _path(self, key: str) -> Path | None:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no cache key")
        return self.folder / (key + _SUFFIX) if self.folder else None

    def _files(self, pattern: str) -> list[Path]:
        return list(self.folder.glob(pattern)) if self.folder and self._usable() else []

    def _usable(self, create: bool = False) -> bool:
        """Whether the folder exists, is ours, and is closed to others (made so where it is ours)."""
        if self.folder is None:
            return False
        try:
            if create:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(f"{self.folder} is no folder")
            if status.st_uid != os.geteuid():
                raise PermissionError(f"{self.folder} belongs to another user")
            if status.st_mode & 0o077:
                self.folder.chmod(0o700)
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("the cache is not used: %s", error)
            return False
        return True


class _UnfitError(OSError):
    """An entry that fails a check."""


def _read(path: Path, key: str) -> memoryview:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise _UnfitError("it belongs to, or can be written by, another user, or is no file")
        if status.st_size < _TRAILER.size:
            raise _UnfitError("it is truncated")
        file = memoryview(mmap.mmap(handle, status.st_size, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)
    payload = file[: -_TRAILER.size]
    magic, version, length, digest = _TRAILER.unpack_from(file, len(payload))
    if magic != _MAGIC or version != VERSION:
        raise _UnfitError("it is of another version or no cache entry")
    if length != len(payload):
        raise _UnfitError(f"it has {len(payload)} of {length} bytes")
    if digest != _digest(key, hexdigest(payload)):
        raise _UnfitError("its bytes are not those that were written")
    return payload


def _trailer(key: str, file: IO[bytes]) -> bytes:
    """What stands behind a payload that has been written to a file."""
    file.flush()
    length = file.tell()
    return _TRAILER.pack(_MAGIC, VERSION, length, _digest(key, file_hexdigest(file.fileno(), 0, length)))


def _digest(key: str, payload: str) -> bytes:
    """Covers the key, so that a renamed file is not taken for another entry. `payload` is the digest of the rest."""
    return hashlib.sha256(f"{key}\0{payload}".encode()).digest()


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
