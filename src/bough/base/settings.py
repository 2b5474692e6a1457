"""Every setting that the environment can change, in one typed table.

A setting is read when it is asked for, not when Bough is imported, so that a program may set it with `os.environ`. What
changes the compiled code is marked, and `cache_key` gives exactly that part.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from bough.base.errors import CompileError

T = TypeVar("T", covariant=True)
Scope = Literal["compile", "run"]


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One row: `parse` turns the variable's text into a value or raises ValueError; `accepts` says what it takes.

    `scope` says when it is read; `in_cache_key` whether two values give different compiled code.
    """

    name: str
    variable: str
    accepts: str
    parse: Callable[[str], T]
    default: Callable[[], T]
    help: str
    scope: Scope
    in_cache_key: bool = False


def read(setting: Setting[T]) -> T:
    """The setting's value now. CompileError (BGH-SET-001) where the variable holds something else than it accepts."""
    text = os.environ.get(setting.variable, "").strip()
    if not text:
        return setting.default()
    try:
        return setting.parse(text)
    except ValueError as error:
        raise CompileError(
            f"the environment variable {setting.variable} is {text!r}",
            code="BGH-SET-001",
            because=f"it must be {setting.accepts}" + (f" ({error})" if str(error) else ""),
            advice=f"unset it, or set it to {setting.accepts}: {setting.help}",
        ) from None


def cache_key() -> tuple[tuple[str, str], ...]:
    """Name and value of each setting that changes compiled code."""
    return tuple((s.name, str(read(s))) for s in SETTINGS if s.in_cache_key)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return parse


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("there is a file of that name")
    return path


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "bough"


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CHECK = Setting(
    "check",
    "BOUGH_CHECK",
    "a number from 0 to 3",
    _integer(0, 3),
    lambda: 1,
    "how much of the compiler's work is verified: 0 nothing, 1 what comes in and goes out, 2 after every pass, "
    "3 also by running every level's interpreter on small inputs",
    "compile",
)
THREADS = Setting(
    "threads",
    "BOUGH_THREADS",
    "a number from 1 to 1024",
    _integer(1, 1024),
    available_cores,
    "threads of a compiled function (default: the cores that the process may run on)",
    "compile",
    in_cache_key=True,
)
TARGET = Setting(
    "target",
    "BOUGH_TARGET",
    "the name of a target (see `bough targets`) or `native`",
    str,
    lambda: "native",
    "the hardware to compile for where `bough.compile` is not told",
    "compile",
    in_cache_key=True,
)
CACHE: Setting[Path | None] = Setting(
    "cache",
    "BOUGH_CACHE",
    "the path of a folder, or 0 for none",
    lambda text: None if text == "0" else _folder(text),
    _user_cache,
    "where compiled code is kept between runs (default: `bough` in the user's cache folder)",
    "compile",
)
DUMP: Setting[Path | None] = Setting(
    "dump",
    "BOUGH_DUMP",
    "the path of a folder",
    _folder,
    lambda: None,
    "write the program there after every pass (default: nowhere)",
    "compile",
)
TEAM = Setting(
    "team",
    "BOUGH_TEAM",
    "`own` or `openmp`",
    _one_of("own", "openmp"),
    lambda: "own",
    "which thread team runs compiled functions: Bough's own, or the OpenMP runtime that is already in the process",
    "run",
)
SPIN = Setting(
    "spin",
    "BOUGH_SPIN_US",
    "a number from 0 to 100000",
    _integer(0, 100_000),
    lambda: 50,
    "microseconds for which an idle thread of the team spins before it sleeps",
    "run",
)

TURNS = Setting(
    "turns",
    "BOUGH_TURNS",
    "a number from 1 to 1000000000000",
    _integer(1, 1_000_000_000_000),
    lambda: 10_000_000,
    "turns after which a loop on computed values is taken for one that never ends: the call ends with an error",
    "compile",
    in_cache_key=True,
)

SETTINGS: tuple[Setting[object], ...] = (CHECK, THREADS, TARGET, CACHE, DUMP, TEAM, SPIN, TURNS)
