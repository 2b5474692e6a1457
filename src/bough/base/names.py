"""Names that nothing else has."""

from __future__ import annotations


def fresh(wish: str, taken: set[str]) -> str:
    """`wish`, with underscores behind it where it is taken; added to the names that are taken."""
    while wish in taken:
        wish += "_"
    taken.add(wish)
    return wish
