"""What a saved function or an export holds, read without running or loading any of it."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough.base.digest import hexdigest
from bough.runtime.errors import damaged, unreadable
from bough.runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Part:
    """A file or a member: `right` where its bytes are those that were written."""

    name: str
    bytes: int
    right: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """`variants` are the targets, or the features of a saved function, each with the size of its code and its manifest."""

    kind: str
    variants: tuple[tuple[str, int, Manifest], ...]
    parts: tuple[Part, ...]
    embedded: bool = False

    @property
    def right(self) -> bool:
        return all(part.right for part in self.parts)


def describe_file(path: str | os.PathLike[str]) -> Contents:
    """Reads a file that `save` wrote, or the folder or NAME.json of an export. Raises `LoadError` for anything else."""
    place = Path(path)
    if place.is_dir():
        found = [f for f in sorted(place.glob("*.json")) if (place / f"lib{f.stem}.so").exists()]
        if len(found) != 1:
            raise damaged(f"the folder {place}", f"it holds {len(found)} exports")
        place = found[0]
    try:
        return _exported(place) if place.suffix == ".json" else _saved(place)
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise unreadable(f"the file {place}", error) from None


def _exported(place: Path) -> Contents:
    description: dict[str, Any] = json.loads(place.read_text())
    variants = tuple((str(v["target"]), int(v["code_bytes"]), Manifest.from_data(v["function"])) for v in description["variants"])
    parts = []
    for name, (size, digest) in description["files"].items():
        if Path(name).name != name:
            raise damaged(f"the file {place}", f"it names {name}, which lies outside of its folder")
        file = place.parent / name
        contents = file.read_bytes() if file.exists() else b""
        parts.append(Part(name, len(contents), len(contents) == size and hashlib.sha256(contents).hexdigest() == digest))
    return Contents("export", variants, tuple(parts), bool(description["embedded"]))


def _saved(place: Path) -> Contents:
    with zipfile.ZipFile(place) as archive:
        description = json.loads(archive.read("manifest.json"))
        parts = []
        for name, digest in description["sha256"].items():
            contents = archive.read(name)
            parts.append(Part(name, len(contents), hexdigest(contents) == digest))
    manifest = Manifest.from_data(description["function"])
    code = next(p.bytes for p in parts if p.name == "code.o")
    return Contents("saved function", ((" ".join(manifest.features) or "baseline", code, manifest),), tuple(parts))
