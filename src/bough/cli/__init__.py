"""The `bough` command."""

from __future__ import annotations

from bough.cli.app import main

__all__ = ["main"]
