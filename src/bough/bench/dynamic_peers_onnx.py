"""A network in parts: each of its straight sub-networks in ONNX Runtime, the decisions between them in the author's Python.

Chen et al., "DyCL: dynamic neural network compilation via program rewriting and graph optimization", ISSTA 2023, do so with the
compilers of others.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from bough.bench.runtimes import onnxruntime_session

Args = tuple[Any, ...]
READS = {"__bool__", "item", "tolist", "__int__", "__float__", "__index__", "nonzero", "numpy"}
"""Methods of tensors by which Python learns what they hold, or by which a size depends on it."""


def parts_in_onnxruntime(module: nn.Module, inputs: Sequence[Args], threads: int, folder: Path) -> nn.Module:
    """A copy of the module whose largest straight sub-modules run in ONNX Runtime; found by running it on the inputs."""
    module = copy.deepcopy(module)
    calls = observe(module, inputs)
    replace(module, calls, lambda part, seen: InOnnxRuntime(part, seen, threads, folder))
    return module


@dataclass
class Calls:
    """What is known of a sub-module's calls: whether each was straight, and the arguments of some."""

    is_straight: bool = True
    arguments: list[Args] = field(default_factory=list)


NONE = Calls(is_straight=False)


def observe(module: nn.Module, inputs: Sequence[Args]) -> dict[nn.Module, Calls]:
    """Runs the module and watches its sub-modules. A call is straight if it takes and gives tensors, Python learns nothing of
    what they hold, and the sub-module keeps nothing."""
    found: dict[nn.Module, Calls] = {}
    inside: list[Calls] = []
    kept: list[dict[str, Any]] = []

    def enter(part: nn.Module, args: Args, options: Mapping[str, Any]) -> None:
        calls = found.setdefault(part, Calls())
        calls.arguments.append(args)
        calls.is_straight &= not options and all(isinstance(leaf, Tensor | None) for leaf in pytree.tree_leaves(args))
        inside.append(calls)
        kept.append(dict(vars(part)))

    def leave(part: nn.Module, args: Args, result: Any) -> None:
        calls, before = inside.pop(), kept.pop()
        changed = any(before.get(name) is not value for name, value in vars(part).items())
        calls.is_straight &= not changed and all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(result))
        if not calls.is_straight:
            for outer in inside:
                outer.is_straight = False

    with torch.inference_mode(), _hooks(module, enter, leave), _Reads(inside):
        for args in inputs:
            module(*args)
    return found


def replace(module: nn.Module, calls: Mapping[nn.Module, Calls], make: Callable[[nn.Module, Calls], nn.Module]) -> None:
    """Replaces the largest straight sub-modules; those with operators that ONNX lacks, in parts."""
    for name, child in module.named_children():
        seen = calls.get(child, NONE)
        if not seen.is_straight or not any(True for _ in child.parameters()):
            replace(child, calls, make)
            continue
        try:
            module._modules[name] = make(child, seen)
        except torch.onnx.errors.OnnxExporterError:
            replace(child, calls, make)


class InOnnxRuntime(nn.Module):
    """A straight module in a session of ONNX Runtime for each structure of arguments; sizes that differed are free. What else it
    has, such as a layer that others call, is PyTorch's as before."""

    def __init__(self, part: nn.Module, calls: Calls, threads: int, folder: Path) -> None:
        super().__init__()
        self.part = part
        self.sessions: dict[Any, tuple[Any, Any]] = {}
        groups: dict[Any, list[Args]] = {}
        for args in calls.arguments:
            groups.setdefault(pytree.tree_structure(args), []).append(args)
        for structure, group in groups.items():
            file = folder / f"part-{id(self)}-{len(self.sessions)}.onnx"
            write_onnx(part, group, file)
            with torch.inference_mode():
                results = pytree.tree_structure(part(*group[0]))
            self.sessions[structure] = onnxruntime_session(file, threads), results

    def __getattr__(self, name: str) -> Any:
        return self._modules["part"] if name == "part" else getattr(self._modules["part"], name)

    def forward(self, *args: Any) -> Any:
        leaves, structure = pytree.tree_flatten(args)
        session, results = self.sessions[structure]
        given = [leaf.numpy() for leaf in leaves if leaf is not None]
        names = [one.name for one in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, given, strict=True)))
        return pytree.tree_unflatten([torch.from_numpy(output) for output in outputs], results)


def write_onnx(part: nn.Module, group: Sequence[Args], file: Path) -> None:
    """The part for arguments of these sizes."""
    names, free = [], {}
    for number, leaf in enumerate(_tensors(group[0])):
        names.append(f"x{number}")
        sizes = [_tensors(args)[number].shape for args in group]
        free[names[-1]] = {axis: f"{names[-1]}_{axis}" for axis in range(leaf.dim()) if len({size[axis] for size in sizes}) > 1}
    with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(part, _ordinary(group[-1]), str(file), input_names=names, dynamic_axes=free, dynamo=False)


def _tensors(args: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]


def _ordinary(args: Args) -> Args:
    """Copies that are no tensors of inference mode, which tracing does not take."""
    copied: Args = pytree.tree_map(lambda leaf: torch.tensor(leaf.numpy()) if isinstance(leaf, Tensor) else leaf, args)
    return copied


@contextmanager
def _hooks(module: nn.Module, enter: Any, leave: Any) -> Iterator[None]:
    parts = list(module.modules())[1:]
    handles = [part.register_forward_pre_hook(enter, with_kwargs=True) for part in parts]
    handles += [part.register_forward_hook(leave) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Reads(TorchFunctionMode):
    """Marks the calls that are under way when Python learns what a tensor holds."""

    def __init__(self, inside: list[Calls]) -> None:
        super().__init__()
        self.inside = inside

    def __torch_function__(self, func: Any, types: Any, args: Args = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if getattr(func, "__name__", "") in READS or (func is torch.where and len(args) == 1):
            for calls in self.inside:
                calls.is_straight = False
        return func(*args, **(kwargs or {}))
