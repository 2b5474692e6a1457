"""The two kinds of error: `CompileError` is for the user to mend, `InternalError` is a bug in Bough."""

from __future__ import annotations

from bough.base.source import Location

ISSUES = "please report it with the model or the text of the program that caused it"


class BoughError(Exception):
    """Base of everything that Bough raises on purpose."""


class CompileError(BoughError):
    """What is wrong, where in the user's source, because of what, and what to try.

    `code` is stable (for instance `BGH-OP-001`) and has an entry in docs/errors.md.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str,
        because: str = "",
        advice: str = "",
        location: Location | None = None,
    ) -> None:
        self.what, self.code, self.because, self.advice, self.location = what, code, because, advice, location
        lines = [f"[{code}] {what}"]
        if location is not None:
            lines.append(f"  at {location}" + (f": {location.text}" if location.text else ""))
        if because:
            lines.append(f"  because: {because}")
        if advice:
            lines.append(f"  try: {advice}")
        super().__init__("\n".join(lines))


class InputError(CompileError, ValueError):
    """A call of a compiled function with arguments that it was not compiled for."""


class InternalError(BoughError):
    """A broken promise inside Bough: always a bug report."""

    def __init__(self, message: str) -> None:
        super().__init__(f"internal error: {message} ({ISSUES})")
