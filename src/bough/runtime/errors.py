"""What goes wrong with files that Bough loads."""

from __future__ import annotations

from zipfile import BadZipFile

from bough.base.errors import CompileError


class LoadError(CompileError, ValueError):
    """An object or artefact that cannot be used: damaged, of another version, or for another processor."""


def damaged(what: str, because: str) -> LoadError:
    """`what` (a file or a part of one) fails a check of its bytes."""
    return LoadError(f"{what} is damaged", code="BGH-LD-001", because=because, advice="make it again by compiling the model")


def unreadable(what: str, error: Exception) -> LoadError:
    """`what` cannot even be read as a file that Bough has written."""
    foreign = isinstance(error, BadZipFile)
    return damaged(what, "it is no file that Bough saved, or only a part of one" if foreign else f"it cannot be read ({error})")
