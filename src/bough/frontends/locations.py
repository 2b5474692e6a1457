"""From torch's stack traces to the line of the user's source."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import torch

import bough
from bough.base.source import Location

_INTERNAL = tuple(str(Path(p).resolve()) + "/" for p in (*torch.__path__, *bough.__path__))
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


def is_internal(file: str) -> bool:
    """Whether a file belongs to torch or to Bough (or to no file at all)."""
    return file.startswith(("<frozen", "<eval_with_key>")) or file.startswith(_INTERNAL)


def of_stack_trace(text: str | None) -> Location | None:
    """The innermost frame of user code in a stack trace's text."""
    for file, line, function in reversed(_FRAME.findall(text or "")):
        if not is_internal(file):
            return Location(file, int(line), function)
    return None


def of_exception(error: BaseException) -> Location | None:
    """The innermost frame of user code that an exception came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not is_internal(frame.filename) and frame.lineno is not None:
            return Location(frame.filename, frame.lineno, frame.name)
    return None
