"""Recursion to sequences of kernels: all activations of a level at once."""

from __future__ import annotations

from bough.recursion.contexts import with_contexts
from bough.recursion.lower import lower_recursion
from bough.recursion.sharing import settle
from bough.recursion.switches import Switches
from bough.recursion.unroll import unroll

__all__ = ["Switches", "lower_recursion", "settle", "unroll", "with_contexts"]
