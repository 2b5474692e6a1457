"""Loads and runs compiled functions. Needs NumPy and the standard library only: neither torch nor the compiler."""

from __future__ import annotations

from bough.runtime.artefact import dumps, load, loads, save
from bough.runtime.cache import Cache
from bough.runtime.errors import LoadError
from bough.runtime.executable import Executable
from bough.runtime.forest import Forest, Lists
from bough.runtime.loader import LoadedObject
from bough.runtime.manifest import Buffer, Leaf, Listed, Manifest, Plain, Scalar, Tensor, Tree
from bough.runtime.sizes import Size
from bough.runtime.structured import StructuredExecutable
from bough.runtime.team import Team, team, team_text

__all__ = [
    "Buffer",
    "Cache",
    "Executable",
    "Forest",
    "Leaf",
    "Listed",
    "Lists",
    "LoadError",
    "LoadedObject",
    "Manifest",
    "Plain",
    "Scalar",
    "Size",
    "StructuredExecutable",
    "Team",
    "Tensor",
    "Tree",
    "dumps",
    "load",
    "loads",
    "save",
    "team",
    "team_text",
]
