"""Passes over the values of every Program: what is known when compiling, what is a view of a view,
what is computed twice, what is never used, which indices may be out of range."""

from __future__ import annotations

from bough.graph_passes.values.check_indices import check_indices
from bough.graph_passes.values.dead import drop_dead, without_dead
from bough.graph_passes.values.fold_constants import fold_constants, fold_function
from bough.graph_passes.values.merge_views import merge_views
from bough.graph_passes.values.share import share

__all__ = ["check_indices", "drop_dead", "fold_constants", "fold_function", "merge_views", "share", "without_dead"]
