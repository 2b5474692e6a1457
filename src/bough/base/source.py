"""Places in the user's source, carried along as labels."""

from __future__ import annotations

import linecache
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's source. Never part of the equality of an IR node. With `line` 0, `file` is the name of a module."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def text(self) -> str:
        """The source line itself, stripped, or an empty string where the file cannot be read."""
        return linecache.getline(self.file, self.line).strip() if self.line else ""
