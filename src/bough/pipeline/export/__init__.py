"""A compiled function as files for a host program in C: shared object, header, weights, sample."""

from __future__ import annotations

from bough.pipeline.export.contents import describe_file
from bough.pipeline.export.files import Exported, export
from bough.pipeline.export.variants import LEVELS

__all__ = ["LEVELS", "Exported", "describe_file", "export"]
