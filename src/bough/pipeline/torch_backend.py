"""`torch.compile(module, backend="bough")`: what Dynamo calls with each graph that it finds in a program."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.fx import GraphModule

from bough.base.errors import BoughError, CompileError, InternalError
from bough.frontends.dynamo import Captured, capture
from bough.frontends.dynamo_bind import bind
from bough.pipeline.options import make_options
from bough.pipeline.passes import Options
from bough.pipeline.torch_call import Call, Resorts, write_call
from bough.pipeline.torch_program import compile_program

FROZEN_COMPILATIONS = 2
"""How often a graph is compiled with its weights as constants; after that they are arguments."""


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What `torch.compile(..., options={...})` may hold. `target`, `threads`, `precision` are those of `bough.compile`.

    `freeze`: take parameters and buffers as constants while they do not change. `fallback`: run what cannot be compiled in
    eager mode, with a warning; where False, it is an error.
    """

    target: str | None = None
    threads: int | None = None
    precision: str = "float32"
    freeze: bool = True
    fallback: bool = True


def bough(
    graph_module: GraphModule, examples: Sequence[Any], *, mode: str | None = None, options: Mapping[str, Any] | None = None
) -> Call:
    """Compiles a graph of Dynamo for inputs like `examples`.

    Runs it in eager mode, with a warning that says why, where gradients may be asked for and where Bough cannot compile it.
    Raises CompileError for options that do not exist, and for what cannot be compiled where `fallback` is off.
    """
    chosen = read_options(mode, options)
    passing = make_options(chosen.target, chosen.threads, chosen.precision)
    try:
        _check_gradients(examples)
        return _Graph(capture(graph_module, examples), graph_module.forward, passing, chosen.freeze).start(examples)
    except Exception as error:
        if not chosen.fallback:
            raise
        reason = error if isinstance(error, BoughError) else InternalError(f"{type(error).__name__}: {error}")
        warnings.warn(f'torch.compile(backend="bough") runs a graph in eager mode: {reason}', stacklevel=2)
        return graph_module.forward


def read_options(mode: str | None, options: Mapping[str, Any] | None) -> BackendOptions:
    known = [f.name for f in fields(BackendOptions)]
    unknown = [f"mode={mode!r}"] * (mode not in (None, "default")) + [f"{o!r}" for o in options or () if o not in known]
    if unknown:
        raise CompileError(
            f"the backend has no option {', '.join(unknown)}",
            code="BGH-OPT-007",
            because="options that have no effect would be misleading",
            advice=f'use options={{...}} with {", ".join(known)}',
        )
    return BackendOptions(**(options or {}))


def _check_gradients(examples: Sequence[Any]) -> None:
    if torch.is_grad_enabled() and any(isinstance(e, torch.Tensor) and e.requires_grad for e in examples):
        raise CompileError(
            "gradients are enabled, and inputs or parameters require them",
            code="BGH-TRAIN-002",
            because="compiled functions compute results only",
            advice="call the compiled module under torch.no_grad() or torch.inference_mode()",
        )


class _Graph:
    """One graph, and the function that it is compiled to now: weights that change make another one."""

    def __init__(self, captured: Captured, eager: Call, options: Options, freeze: bool) -> None:
        self.captured = captured
        self.resorts = Resorts(self.recompile, eager)
        self.options = options
        self.left = FROZEN_COMPILATIONS if freeze else 0
        self.lock = threading.Lock()

    def start(self, examples: Sequence[Any]) -> Call:
        self.call = self.compile(examples)
        return lambda *inputs: self.call(*inputs)

    def compile(self, inputs: Sequence[Any]) -> Call:
        """For weights as they are among these inputs."""
        frozen = {n: inputs[n] for n in self.captured.weights} if self.left > 0 else {}
        self.left -= 1
        if not self.captured.outputs.computed and not self.captured.written:
            return write_call(self.captured, (), None, inputs, {}, self.resorts)
        bound = bind(self.captured, frozen)
        executable = compile_program(bound.imported, self.options)
        return write_call(self.captured, bound.arguments, executable, inputs, frozen, self.resorts)

    def recompile(self, *inputs: Any) -> Any:
        """Called in place of a function whose weights have changed; by several threads, it compiles once."""
        stale = self.call
        with self.lock:
            if self.call is stale:
                self.call = self.compile(inputs)
        return self.call(*inputs)
