"""Recursive modules to Recursions, by running the user's source on symbolic objects."""

from bough.frontends.staging.circles import is_recursive
from bough.frontends.staging.stage import Listed, Staged, stage

__all__ = ["Listed", "Staged", "is_recursive", "stage"]
