"""How a run of a rewritten function ends before its return. No user code may catch these: they are no `Exception`s."""

from __future__ import annotations

import sys

from bough.base.errors import CompileError
from bough.base.source import Location
from bough.base.visits import Call, Each
from bough.frontends.locations import is_internal

_STARTS = {
    ("bough.frontends.staging.discover", "run"),
    ("bough.frontends.staging.discover", "provide"),
    ("bough.frontends.staging.cells", "way"),
    ("bough.frontends.staging.data_stage", "forward"),
}
"""The functions that start runs."""


class Signal(BaseException):
    """Base of all."""


class Pending(Signal):
    """The results of a function are needed that no way through it has given yet."""

    def __init__(self, call: Call, each: Each | None) -> None:
        self.call, self.each = call, each


class Refused(Signal):
    """The user's code refuses the object: an assert, a raise, or an object of a kind that no example has."""

    def __init__(self, what: str, location: Location | None, *, unseen: bool = False) -> None:
        self.what, self.location, self.unseen = what, location, unseen


class Restart(Signal):
    """Something was learned that earlier runs took for otherwise."""


def here() -> Location | None:
    """The innermost line of user code that is running, of the code that is staged."""
    frame = sys._getframe(1)
    while frame is not None and (frame.f_globals.get("__name__"), frame.f_code.co_name) not in _STARTS:
        if not is_internal(frame.f_code.co_filename):
            return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def refuse_source(
    what: str, because: str, advice: str, location: Location | None = None, code: str = "BGH-REC-001"
) -> CompileError:
    """For recursion that cannot be linearized, at the line that is running."""
    return CompileError(what, code=code, because=because, advice=advice, location=location or here())
