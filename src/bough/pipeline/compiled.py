"""`bough.compile`: a PyTorch module to native code, and the object that calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, overload

import numpy as np
import torch
from torch.utils._pytree import tree_map

from bough.backends import Compiler, Hosted, bound, run_under, run_with_host_calls
from bough.backends.compilers import Constants, Prepared
from bough.base.errors import CompileError
from bough.base.garbage import old_objects_at_rest
from bough.base.records import classes_of, within
from bough.frontends.staging import is_recursive, trace_module, trace_with_host_calls
from bough.frontends.subnetworks import Network, not_split
from bough.frontends.torch_export import Imported
from bough.ir.program import Program
from bough.pipeline.assemble import constant_bytes
from bough.pipeline.explain import Roofs
from bough.pipeline.explanation import Explanation
from bough.pipeline.export import Exported
from bough.pipeline.export import export as export_files
from bough.pipeline.manifest import make_manifest
from bough.pipeline.options import make_options
from bough.pipeline.passes import Options, Watcher
from bough.pipeline.recipe import Recipe, cache_key
from bough.pipeline.watchers import default_watchers
from bough.recursion import Switches
from bough.runtime import artefact
from bough.runtime.arrays import zeros
from bough.runtime.cache import Cache
from bough.runtime.executable import Executable
from bough.runtime.samples import Samples
from bough.runtime.structured import StructuredExecutable
from bough.search.heuristic import Strategy
from bough.targets import Target

LARGEST_CACHED = 1 << 30
"""Bytes of constants above which a function is not kept in the cache."""
log = logging.getLogger("bough")


class Compiled:
    """A compiled module. Immutable and re-entrant; releases the GIL while it computes.

    Takes and gives what the module does, as torch tensors or NumPy arrays. Parameters are as they were when it was
    compiled: a change of the module afterwards has no effect on it.
    """

    __slots__ = ("_key", "_program", "_recipe", "executable")

    def __init__(
        self, executable: Executable, recipe: Recipe | None = None, key: str | None = None, program: Program | None = None
    ) -> None:
        """`key` is its name in the cache, `program` what it was compiled from, if that is at hand."""
        self.executable = executable
        self._recipe = recipe
        self._key = key
        self._program = program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `InputError` for arguments that the module was not compiled for."""
        return self.executable.call(*args, **kwargs)

    def map(self, inputs: Iterable[Any]) -> list[Any]:
        """`[self(x) for x in inputs]`, bit for bit; where the module takes several arguments, each input is a tuple.

        Inputs that take different ways are computed together as far as they go the same way. The code for that is compiled
        when it is first needed: here, or by `save`.
        Raises `InputError` for inputs that are not several, and what the first input to fail raises.
        """
        self._together()
        return self.executable.map(inputs)

    def _together(self) -> None:
        """Makes the function for many samples, where it is worth one."""
        executable, recipe = self.executable, self._recipe
        manifest = executable.manifest
        if not manifest.divides or manifest.apart or executable.samples is not None or recipe is None:
            return
        key = f"{self._key}-samples" if self._key else None
        many = cached(key, recipe.options)
        if many is None:
            many = recipe.together(self._program)
            keep(key, many)
        executable.samples, self._program = Samples(executable, many), None

    def explain(self, roofs: Roofs | None = None, *, inputs: Iterable[Any] | None = None) -> Explanation:
        """What became of each line: kernel, mapping, schedule, limit, and share of the time, measured now on the example
        arguments, or on what `map(inputs)` does. Compiles once more, with a record of what threads do. `roofs`, what the machine
        can do at the most, are by default those of the target's description. Raises CompileError for a function that was loaded
        from a file, and what `map` raises for the inputs."""
        if self._recipe is None:
            raise CompileError(
                "a loaded function cannot be explained",
                code="BGH-OPT-004",
                because="its file holds code, not the model",
                advice="explain it where it is compiled",
            )
        if inputs is None:
            return self._recipe.explain(roofs)
        self._together()
        return self._recipe.explain_map(self.executable, inputs, roofs)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the function to a file that `bough.load` reads, without torch and without the compiler."""
        self._together()
        artefact.save(path, self.executable)

    def export(
        self,
        folder: str | PathLike[str],
        *,
        name: str = "model",
        target: str | Sequence[str] | None = None,
        embed: bool = False,
    ) -> Exported:
        """Writes a shared object with a C header, weights and a sample program, for hosts without Python (docs/export.md).
        `target` names processor levels ("x86-64-v3,x86-64-v4", "aarch64-linux-gnu"); None: the code as it was compiled."""
        return export_files(self.executable, self._recipe, folder, name=name, target=target, embed=embed)


@overload
def compile(module: Callable[..., Any], args: tuple[Any, ...], *, backend: None = None, **options: Any) -> Compiled: ...
@overload
def compile(module: Callable[..., Any], args: tuple[Any, ...], *, backend: str, **options: Any) -> Hosted: ...
def compile(  # type: ignore[misc]
    module: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    backend: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Mapping[str, Mapping[int, Any]] | None = None,
    target: str | Target | None = None,
    threads: int | None = None,
    precision: str = "float32",
    strategy: Strategy | None = None,
    switches: Switches | None = None,
    watchers: Iterable[Watcher] = (),
    cache: bool = True,
    fullgraph: bool = False,
) -> Compiled | Hosted:
    """Compiles a module for arguments like `args`.

    `dynamic={"x": {0: "batch"}}` lets axis 0 of the argument `x` have any size. `target` is a name of `bough targets` or
    "native"; it and `threads` default to the settings BOUGH_TARGET and BOUGH_THREADS. `precision` is what the weights of products
    are kept in: "float32", "bfloat16" or "int8" (a factor for each channel); sums are float32. `strategy` chooses the schedules,
    `switches` what the lowering of recursion does. A module that recurses over objects is compiled for all structures of the
    kinds that `args` show, whatever their shape.
    With `cache`, what was compiled before for the same module, sizes and machine comes from the user's cache folder;
    weights are part of the key.
    `backend` names another compiler ("onnxruntime", "openvino", "inductor", "tvm") that runs the straight-line sub-networks of
    the module, or "best": of those installed, the fastest for each; Bough takes the decisions between them.
    A function that the module calls and that cannot be compiled, because it uses NumPy for one, stays a call into Python, if it
    takes and gives tensors; a warning and `explain()` tell. `fullgraph=True` refuses the module instead.
    Raises `CompileError` for what cannot be compiled, naming the line of the module.
    """
    _check_call(module, args)
    options = make_options(target, threads, precision, strategy, switches)
    recipe = Recipe(module, tree_map(_tensor, args), tree_map(_tensor, kwargs), dynamic, options)
    if backend is not None:
        if is_recursive(module, recipe.args, recipe.kwargs):
            raise not_split("the module recurses over objects")
        return run_under(trace_module(module, recipe.args, dynamic=dynamic, kwargs=recipe.kwargs), backend, options.threads)
    key = cache_key(recipe) if cache else None
    if (found := cached(key, options)) is not None:
        return Compiled(found, recipe, key)
    return _compiled(recipe, key, watchers, fullgraph)


@old_objects_at_rest()
def _compiled(recipe: Recipe, key: str | None, watchers: Iterable[Watcher], fullgraph: bool) -> Compiled | Hosted:
    """What the module becomes, which the cache has under this name from now on."""
    options = recipe.options
    looking = (*watchers, *default_watchers(options.target, (*recipe.args, *(recipe.kwargs or {}).values())))
    try:
        imported, generated = recipe.run(looking)
    except CompileError:
        hosted = None if fullgraph else _with_host_calls(recipe)
        if hosted is None:
            raise
        return hosted
    constants = {n: own(a) for n, a in generated.assembled.sequence.constants.items()}
    manifest = make_manifest(imported, generated.assembled, options.target)
    kind = Executable if manifest.visits is None else StructuredExecutable
    classes = classes_of(within(imported.outputs))
    executable = kind(manifest, generated.code, constants, threads=options.threads, classes=classes)
    keep(key, executable)
    return Compiled(executable, recipe, key, imported.program if manifest.divides and isinstance(imported, Imported) else None)


def _check_call(module: object, args: object) -> None:
    """Raises CompileError for what is no module, or are no arguments."""
    if not isinstance(args, tuple):
        raise CompileError(
            f"the example arguments are a {type(args).__name__}",
            code="BGH-OPT-002",
            because="they stand for the positional arguments of a call",
            advice="pass a tuple: (x,)",
        )
    if not callable(module):
        raise CompileError(
            f"a {type(module).__name__} cannot be compiled",
            code="BGH-OPT-005",
            because="it cannot be called",
            advice="pass a torch.nn.Module or a function of tensors",
        )


def _with_host_calls(recipe: Recipe) -> Hosted | None:
    """The module with calls that stay in Python; None where that does not help."""
    if is_recursive(recipe.module, recipe.args, recipe.kwargs):
        return None
    try:
        traced = trace_with_host_calls(recipe.module, recipe.args, dynamic=recipe.dynamic, kwargs=recipe.kwargs)
    except CompileError:
        return None
    if traced is None:
        return None
    own_code = Compiler("bough", (), "", _sub_network, light=True)
    return run_with_host_calls(traced, own_code, recipe.options.threads)


def _sub_network(network: Network, constants: Constants, threads: int) -> Prepared:
    function = compile(*bound(network, constants), threads=threads, cache=False, fullgraph=True)
    return lambda inputs: function(*inputs)


def cached(key: str | None, options: Options) -> Executable | None:
    """What the cache has under this name."""
    found = Cache().view(key) if key is not None else None
    if found is None:
        return None
    try:
        executable = artefact.loads(found, threads=options.threads, verified=True, own_classes=True)
    except CompileError as error:
        log.warning("a cache entry does not load and is made anew: %s", error)
        return None
    known = executable.classes.keys() >= {r.name for r in within(executable.manifest.outputs)}
    return executable if known else None


def keep(key: str | None, executable: Executable) -> None:
    """Puts a function into the cache under this name, unless it is too large."""
    if key is not None and constant_bytes(dict(executable.constants)) <= LARGEST_CACHED:
        Cache().write(key, lambda file: artefact.write(file, executable))


def own(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A snapshot: weights that were not laid out anew still share memory with the module."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if root.flags.owndata:
        return array
    copy = zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def _tensor(value: Any) -> Any:
    """Arrays among the example arguments as the tensors that the module will see."""
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
