"""SHA-256 of much memory, in pieces, so that several threads can share the work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Union

from bough.base import settings

Memory = Union[bytes, bytearray, memoryview]
PIECE = 1 << 22


def hexdigest(data: Memory) -> str:
    """SHA-256 of up to `PIECE` bytes; of more, SHA-256 of the SHA-256s of their pieces of `PIECE` bytes."""
    view = memoryview(data).cast("B")
    found = digests([view[at : at + PIECE] for at in range(0, max(1, len(view)), PIECE)])
    return found[0].hex() if len(found) == 1 else hashlib.sha256(b"".join(found)).hexdigest()


def digests(parts: Sequence[Memory]) -> list[bytes]:
    """SHA-256 of each part, on several threads where there is much to do."""
    if sum(map(len, parts)) <= PIECE:
        return list(map(_digest, parts))
    with ThreadPoolExecutor(settings.read(settings.THREADS)) as pool:
        return list(pool.map(_digest, parts))


def _digest(data: Memory) -> bytes:
    return hashlib.sha256(data).digest()
