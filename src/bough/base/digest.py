"""SHA-256 of much memory, or of a file, in pieces, so that several threads can share the work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, Union

from bough.base import settings

Memory = Union[bytes, bytearray, memoryview]
T = TypeVar("T")
PIECE = 1 << 22


def hexdigest(data: Memory) -> str:
    """SHA-256 of up to `PIECE` bytes; of more, SHA-256 of the SHA-256s of their pieces of `PIECE` bytes."""
    view = memoryview(data).cast("B")
    return _together(digests([view[at : at + PIECE] for at in _starts(0, len(view))]))


def file_hexdigest(file: int, start: int, stop: int) -> str:
    """The same of the bytes from `start` to `stop` of an open file, which are never in memory all at once."""

    def read(at: int) -> bytes:
        return _digest(os.pread(file, min(PIECE, stop - at), at))

    return _together(_map(read, _starts(start, stop), stop - start))


def digests(parts: Sequence[Memory]) -> list[bytes]:
    """SHA-256 of each part, on several threads where there is much to do."""
    return _map(_digest, parts, sum(map(len, parts)))


def _starts(start: int, stop: int) -> range:
    return range(start, max(start + 1, stop), PIECE)


def _together(found: Sequence[bytes]) -> str:
    return found[0].hex() if len(found) == 1 else hashlib.sha256(b"".join(found)).hexdigest()


def _map(digest: Callable[[T], bytes], parts: Iterable[T], size: int) -> list[bytes]:
    if size <= PIECE:
        return list(map(digest, parts))
    with ThreadPoolExecutor(settings.read(settings.THREADS)) as pool:
        return list(pool.map(digest, parts))


def _digest(data: Memory) -> bytes:
    return hashlib.sha256(data).digest()
