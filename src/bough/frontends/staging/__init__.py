"""Recursive modules to Recursions, by running the user's source on symbolic objects."""

from bough.frontends.staging.circles import is_recursive
from bough.frontends.staging.stage import Staged, stage
from bough.frontends.staging.templates import Listed

__all__ = ["Listed", "Staged", "is_recursive", "stage"]
