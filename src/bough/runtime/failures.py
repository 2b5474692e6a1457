"""Calls that end early: what the statuses of compiled code become, and how much memory a call may ask for."""

from __future__ import annotations

import builtins

from bough.base.errors import InputError, InternalError
from bough.runtime.manifest import CAPACITY, ENDLESS, Manifest

FIRST_CAPACITY = 32
"""The capacity of the first call. Small, since a call that needs more doubles it, and all that are tried take less than twice the
time of the last; but every array of a computed size has room for it, and those of many inputs together fill the memory."""
MOST_CAPACITY = 1 << 24
"""The capacity at which no more is given."""
_PLAIN = {"ArithmeticError", "AssertionError", "AttributeError", "IndexError", "KeyError", "LookupError", "NotImplementedError",
          "OverflowError", "RuntimeError", "TypeError", "ValueError", "ZeroDivisionError"}  # fmt: skip
NO_MEMORY = (MemoryError, OverflowError, RuntimeError, ValueError)
"""What a library of arrays raises when it is asked for more memory than there is."""


class Capacity:
    """What sizes that are computed may be. The calls of one function share it: what one call was found to need, the next has."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = FIRST_CAPACITY

    def above(self, capacity: int) -> int:
        """A capacity for a call to which this one was too small. Raises `InputError` where there is none."""
        if capacity >= MOST_CAPACITY:
            raise InputError(
                f"a size that the model computes is above {MOST_CAPACITY}",
                code="BGH-IN-016",
                because="arrays whose sizes are computed have at most so many elements along an axis",
                advice="see whether the loop that makes it ends, or compute less in one call",
            )
        self.now = max(self.now, 2 * capacity)
        return 2 * capacity


def no_memory(size: int) -> InputError:
    """For a call whose results, or the memory that is private to it, are so many bytes."""
    return InputError(
        f"there is not enough memory for this call, which asks for {size:,} bytes at once",
        code="BGH-IN-018",
        because="its results, or what it computes on the way, are larger than what the system gives",
        advice="compute less in one call, or see that the sizes of its arguments are those that were meant",
    )


def error_of(manifest: Manifest, status: int) -> Exception:
    """The exception for a status other than 0."""
    found = next((f for f in manifest.failures if f.status == status), None)
    if found is None or found.error == CAPACITY:
        return InternalError(f"compiled function {manifest.entry} returned status {status}")
    if found.error == ENDLESS:
        return InputError(
            found.message,
            code="BGH-IN-015",
            because="a loop that goes on for so long is taken for one that never ends",
            advice="if it should, compile the model with a higher BOUGH_TURNS",
        )
    return model_error(found.error)(
        f"{found.error}: {found.message}" if found.message else found.error,
        code="BGH-IN-012",
        because="the model itself raises this exception for these inputs",
    )


def model_error(name: str) -> type[InputError]:
    """`InputError`, as a class that is also the built-in exception of this name, so that `except IndexError` finds it."""
    kind = getattr(builtins, name, None) if name in _PLAIN else None
    if kind is None or issubclass(InputError, kind):
        return InputError
    return type(name, (InputError, kind), {"__module__": "bough"})
