"""Small recursive modules, each written as a user might, with structures to run them on."""

from __future__ import annotations

import staging_binary
import staging_chains
import staging_children
import staging_kinds
from staging_structures import MODELS

__all__ = ["MODELS", "staging_binary", "staging_chains", "staging_children", "staging_kinds"]
