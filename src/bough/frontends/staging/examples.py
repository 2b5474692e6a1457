"""What the example objects say about the values at a place."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch

from bough.base.errors import InputError
from bough.base.reading import elements, read
from bough.base.spans import Span
from bough.base.visits import Each, Path
from bough.frontends.promotion import FROM_TORCH
from bough.ir.dtypes import from_numpy

Kind = Literal["none", "tensor", "number", "word", "object"]


def kind_of(value: Any) -> Kind:
    if value is None:
        return "none"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return "tensor"
    if isinstance(value, (bool, int, float, np.generic)):
        return "number"
    return "word" if isinstance(value, (str, bytes, enum.Enum)) else "object"


def tensor_type(value: Any) -> tuple[str, tuple[int, ...]]:
    """Element type, by its name, and shape. Raises KeyError for types that Bough has not."""
    if isinstance(value, torch.Tensor):
        return FROM_TORCH[value.dtype].name, tuple(value.shape)
    return from_numpy(value.dtype).name, tuple(value.shape)


def number_type(values: Iterable[Any]) -> str:
    """bool, i64 or f32: the element type under which numbers enter tensor code."""
    kinds = {np.asarray(v).dtype.kind for v in values}
    return "f32" if "f" in kinds else "i64" if kinds - {"b"} else "bool"


def class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def values_at(objects: Iterable[Any], each: Each | None, path: Path) -> Iterator[Any]:
    """What lies at the path from every object, or from every element of its walk; what cannot be read is passed over."""
    for value in objects:
        try:
            found = [value] if each is None else elements(value, each)
        except InputError:
            continue
        for one in found:
            try:
                yield read(one, path)
            except InputError:
                continue


def declared(owners: Iterable[type], name: str, known: dict[type, Any]) -> list[Any]:
    """Stand-ins for what the annotations of classes say of attribute `name`; `known` has an object of each class met."""
    found: list[Any] = []
    for owner in owners:
        try:
            hints = typing.get_type_hints(owner)
        except (NameError, TypeError, AttributeError):
            hints = {}
        if name in hints:
            found += _samples(hints[name], known)
    return found


def _samples(hint: Any, known: dict[type, Any]) -> list[Any]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return [s for a in typing.get_args(hint) for s in _samples(a, known)]
    if hint is type(None) or hint is None:
        return [None]
    if hint in (bool, int, float, str):
        return [hint()]
    if origin in (list, tuple):
        inner = [s for a in typing.get_args(hint)[:1] for s in _samples(a, known)]
        return [origin(inner[:1])]
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return list(hint)[:1]
        return [v for c, v in known.items() if issubclass(c, hint)]
    return []


_MISSING = object()


def class_attribute(cls: type, name: str) -> Any:
    """The property, method or other function that the user's class defines under a name; None for data."""
    if issubclass(cls, (torch.Tensor, np.ndarray, Span)):
        return None
    found = inspect.getattr_static(cls, name, _MISSING)
    if isinstance(found, (property, staticmethod, classmethod, types.FunctionType)):
        return found
    return found if type(found).__name__ == "cached_property" else None


def positional_name(cls: type, index: int) -> str:
    """The attribute behind a positional sub-pattern of a class pattern."""
    names = getattr(cls, "__match_args__", ())
    if index >= len(names) and dataclasses.is_dataclass(cls):
        names = tuple(f.name for f in dataclasses.fields(cls))
    return str(names[index])
