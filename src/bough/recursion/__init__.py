"""Recursion to sequences of kernels: all activations of a level at once."""

from __future__ import annotations

from bough.recursion.contexts import with_contexts
from bough.recursion.inline_leaves import inline_leaves
from bough.recursion.lower import lower_recursion
from bough.recursion.sharing import settle
from bough.recursion.switches import Switches
from bough.recursion.unroll import unroll
from bough.recursion.weights import MANY_USES, uses_of_weights

__all__ = ["MANY_USES", "Switches", "inline_leaves", "lower_recursion", "settle", "unroll", "uses_of_weights", "with_contexts"]
