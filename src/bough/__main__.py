"""`python -m bough` is the `bough` command."""

from __future__ import annotations

from bough.cli import main

if __name__ == "__main__":
    main()
