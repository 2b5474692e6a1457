"""Spares torch making each tensor without data twice while it traces.

torch keeps what an operator gave for arguments of these sizes, and makes the result once more from what it kept, to see whether
that has the same dispatch keys: a seventh of the time of a trace with symbolic sizes. Keys do not depend on sizes, so that one
look at each kind of tensor is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, uninteresting_files

_METHODS = ("_get_output_info_for_cache_entry", "_cached_dispatch_impl")


@contextmanager
def known_outputs() -> Iterator[None]:
    """Meanwhile torch looks at one tensor of each kind that it keeps, where it keeps them in the way that is known here. Not for
    several threads at once."""
    mode: Any = FakeTensorMode
    if not all(hasattr(mode, name) for name in _METHODS):
        yield
        return
    uninteresting_files().add(__file__)  # to torch, which notes who asks about sizes
    keep, dispatch = (getattr(mode, name) for name in _METHODS)
    seen: set[tuple[Any, ...]] = set()

    def kept(self: Any, state: Any, key: Any, func: Any, args: Any, kwargs: Any, output: Any) -> Any:
        kind = _kind(func, output) if isinstance(output, torch.Tensor) else None
        if kind is None or kind not in seen:
            found = keep(self, state, key, func, args, kwargs, output)  # raises where the keys differ
            seen.update(() if kind is None else (kind,))
            return found
        self._output_from_cache_entry = lambda *_: output  # which nothing else asks for meanwhile
        try:
            return keep(self, state, key, func, args, kwargs, output)
        finally:
            del self._output_from_cache_entry

    def dispatched(self: Any, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        try:
            return dispatch(self, func, types, args, kwargs)
        except GuardOnDataDependentSymNode:  # which making a tensor from what was kept may raise where the operator does not
            return self._dispatch_impl(func, types, args, kwargs)

    mode._get_output_info_for_cache_entry, mode._cached_dispatch_impl = kept, dispatched
    try:
        yield
    finally:
        mode._get_output_info_for_cache_entry, mode._cached_dispatch_impl = keep, dispatch


def _kind(func: Any, output: torch.Tensor) -> tuple[Any, ...]:
    """The keys of a tensor, and all that those of one that is made from what is kept of it depend on."""
    bits = output.requires_grad, output.is_conj(), output.is_neg(), output.is_inference()
    keys = torch._C._dispatch_key_set(output)
    return keys, output.dtype, output.layout, output.device, bits, getattr(func, "is_view", False)
