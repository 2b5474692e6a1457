"""Random modules whose course depends on what they compute, eager PyTorch as their judge, and a shrinker."""

from __future__ import annotations

from random_programs.judge import Engine, Verdict, judge, loaded, native, through_interpreter
from random_programs.program import Case, generate
from random_programs.shrink import shrink
from random_programs.together import judge_map

__all__ = ["Case", "Engine", "Verdict", "generate", "judge", "judge_map", "loaded", "native", "shrink", "through_interpreter"]
