"""`bough.compile`: a PyTorch module to native code, and the object that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bough.base import settings
from bough.base.errors import CompileError
from bough.frontends.torch_export import export
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Options, Watcher, run_passes
from bough.runtime.executable import Executable
from bough.search.heuristic import Heuristic, Strategy
from bough.targets import TARGETS, Target, host

PRECISIONS = ("float32",)


class Compiled:
    """A compiled module. Immutable and re-entrant; releases the GIL while it computes.

    Takes and gives what the module does, as torch tensors or NumPy arrays. Parameters are as they were when it was
    compiled: a change of the module afterwards has no effect on it.
    """

    __slots__ = ("executable",)

    def __init__(self, executable: Executable) -> None:
        self.executable = executable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `InputError` for arguments that the module was not compiled for."""
        return self.executable.call(*args, **kwargs)

    def map(self, inputs: Sequence[Any]) -> list[Any]:
        """`[self(x) for x in inputs]`, bit for bit; where the module takes several arguments, each input is a tuple."""
        call = self.executable.call
        if len(self.executable.manifest.parameters) == 1:
            return [call(x) for x in inputs]
        return [call(*x) for x in inputs]


def compile(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Mapping[str, Mapping[int, Any]] | None = None,
    target: str | Target | None = None,
    threads: int | None = None,
    precision: str = "float32",
    strategy: Strategy | None = None,
    watchers: Iterable[Watcher] = (),
) -> Compiled:
    """Compiles a module for arguments like `args`.

    `dynamic={"x": {0: "batch"}}` lets axis 0 of the argument `x` have any size. `target` is a name of `bough targets` or
    "native"; it and `threads` default to the settings BOUGH_TARGET and BOUGH_THREADS. `strategy` chooses the schedules.
    Raises `CompileError` for what cannot be compiled, naming the line of the module.
    """
    if precision not in PRECISIONS:
        raise CompileError(
            f"precision {precision!r} is not known", code="BGH-OPT-001", advice=f"use one of {', '.join(PRECISIONS)}"
        )
    if not isinstance(args, tuple):
        raise CompileError(
            f"the example arguments are a {type(args).__name__}", code="BGH-OPT-002", advice="pass a tuple: (x,)"
        )
    options = Options(find_target(target), threads or settings.read(settings.THREADS), strategy or Heuristic())
    imported = export(module, args, dynamic=dynamic, kwargs=kwargs)
    generated = run_passes(imported.program, options, watchers)
    manifest = make_manifest(imported, generated.assembled)
    constants = generated.assembled.sequence.constants
    return Compiled(Executable(manifest, generated.code, constants, threads=options.threads))


def find_target(target: str | Target | None) -> Target:
    """The target of this name; "native" is the machine at hand."""
    if isinstance(target, Target):
        return target
    name = settings.read(settings.TARGET) if target is None else target
    if name == "native":
        return host()
    if name not in TARGETS:
        raise CompileError(
            f"no target is called {name!r}", code="BGH-OPT-003", advice=f"use native or one of {', '.join(TARGETS)}"
        )
    return TARGETS[name]
