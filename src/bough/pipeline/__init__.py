"""From a PyTorch module to a function that runs it."""

from bough.pipeline.compiled import Compiled, compile
from bough.pipeline.passes import PASSES, Pass, Watcher

__all__ = ["PASSES", "Compiled", "Pass", "Watcher", "compile"]
