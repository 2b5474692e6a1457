"""The line of the user's source behind what torch traces."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import typing_extensions
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Node, config
from torch.fx.traceback import annotate, preserve_node_meta
from torch.overrides import TorchFunctionMode

from bough.base.source import Location

_INTERNAL = (
    *(f"{Path(p).resolve()}/" for p in (str(torch.__path__[0]), Path(__file__).parents[1])),
    str(Path(typing_extensions.__file__).resolve()),  # whose `deprecated` wraps functions of libraries
)
_MODELS = f"{Path(__file__).parents[1].resolve() / 'bench' / 'zoo'}/"
"""Networks that come with Bough are as the user's own."""
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_KEY = "bough.location"
_WORD = re.compile(r"\w+")


@cache
def is_internal(file: str) -> bool:
    """Whether a file belongs to torch or to Bough, or is text that either of them generated."""
    return file.startswith(("<frozen", "<eval_with_key>", "<string>", "torch/", *_INTERNAL)) and not file.startswith(_MODELS)


@cache
def is_of_torch(file: str) -> bool:
    """Whether a file belongs to torch."""
    return file.startswith(("torch/", _INTERNAL[0]))


class NoteLocations(TorchFunctionMode):
    """While active, the nodes that torch traces carry the innermost line of user code under the frame that entered it.

    torch's own stack traces leave out every function that is not called `forward`. `guards` has, by its number, the line of
    each condition on symbolic sizes that torch took for granted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guards: dict[int, Location] = {}
        self._noted = 0

    def __enter__(self) -> NoteLocations:
        self.entered = sys._getframe(1).f_code
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.compiler.is_dynamo_compiling():  # it reads this too, inside torch.cond and its kin
            return func(*args, **(kwargs or {}))
        frame = sys._getframe(1)
        while frame.f_code is not self.entered and is_internal(frame.f_code.co_filename) and frame.f_back is not None:
            frame = frame.f_back
        if is_internal(frame.f_code.co_filename):
            return func(*args, **(kwargs or {}))
        location = Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        with annotate({_KEY: location}):
            result = func(*args, **(kwargs or {}))
        for tensor in args:
            if isinstance(tensor, FakeTensor) and tensor.fake_mode.shape_env is not None:
                known = len(tensor.fake_mode.shape_env.guards)
                self.guards.update(dict.fromkeys(range(self._noted, known), location))
                self._noted = known
                break
        return result


@contextmanager
def keep_notes() -> Iterator[None]:
    """Has torch keep what `NoteLocations` notes. It then need not write out the stack for each node, which is an eighth of the
    time of tracing."""
    before = getattr(config, "do_not_emit_stack_traces", False)  # older versions know nothing of it
    config.do_not_emit_stack_traces = True
    try:
        with preserve_node_meta():
            yield
    finally:
        config.do_not_emit_stack_traces = before


def of_node(node: Node) -> Location | None:
    """The line that a node of a traced graph stands for."""
    noted = node.meta.get("custom", {}).get(_KEY)
    if isinstance(noted, Location):
        return noted
    for file, line, function in reversed(_FRAME.findall(node.meta.get("stack_trace") or "")):
        if not is_internal(file):
            return Location(file, int(line), function)
    return _of_module(node)


def _of_module(node: Node) -> Location | None:
    """Where no line of the user ran, as inside `nn.Sequential`: the innermost module, by its name in the user's."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return None
    path, kind = stack[-1]
    _, _, name = path.partition("inner.") if "inner." in path else path.partition("].")  # by torch.export, by Dynamo
    return Location(f"{name or 'the module'} ({_WORD.findall(str(kind))[-1]})", 0)


def of_exception(error: BaseException) -> Location | None:
    """The innermost frame of user code that an exception came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not is_internal(frame.filename) and frame.lineno is not None:
            return Location(frame.filename, frame.lineno, frame.name)
    return None
