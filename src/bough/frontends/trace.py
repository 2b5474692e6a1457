"""Runs a module under torch.export, with arguments and results flattened to lists of tensors."""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch._dynamo
import torch.export._trace
from torch import nn
from torch.export import ExportedProgram
from torch.fx._lazy_graph_module import _use_lazy_graph_module
from torch.fx.experimental import _config as shape_config
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.nn.modules import transformer

from bough.base.errors import CompileError
from bough.base.source import Location
from bough.frontends import dimensions, locations
from bough.frontends.computed_sizes import ComputedSizes
from bough.frontends.errors import in_training
from bough.frontends.kept_attributes import KeptAttributes
from bough.frontends.known_outputs import known_outputs
from bough.frontends.marked import drop_attempts
from bough.frontends.plain_sizes import sizes_are_numbers
from bough.frontends.promotion import FROM_TORCH
from bough.frontends.recurrent_capture import KeepRecurrentLayers
from bough.frontends.structure import (
    Chosen,
    ComputedChoice,
    ComputedNumber,
    ComputedRows,
    Rows,
    Slot,
    Structure,
    as_records,
    fill,
    map_leaves,
    static_leaf,
    with_kwargs,
)
from bough.frontends.symbolic_pooling import PoolSymbolicSizes
from bough.frontends.symbols import Symbols
from bough.ir.program import CAPACITY, Dim

ONE_AT_A_TIME = threading.RLock()
"""Held while torch traces: what it keeps meanwhile belongs to the process, not to a thread."""
DEEPEST = 6000
"""Calls within calls while a module is traced; the stack of a thread holds several times as many."""


@dataclass(frozen=True, slots=True)
class Trace:
    """`exported` takes the tensors that `inputs` numbers, called `paths`, and returns those that `outputs` numbers. `computed`
    are the sizes that its markers of control flow compute."""

    exported: ExportedProgram
    inputs: Structure
    outputs: Structure
    paths: tuple[str, ...]
    symbols: Symbols
    dims: tuple[Dim, ...]
    sizes: dict[str, int]
    computed: ComputedSizes
    sets_attributes: bool = False
    """Whether forward has set attributes of modules."""


def trace(
    module: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    dynamic: dimensions.DynamicSpec | None,
    empty: bool = True,
) -> Trace:
    """Traces a module, or a function of tensors, on example arguments. `empty`: sizes may be 0 where their ranges say so.

    Raises CompileError where the module cannot be one graph for all sizes that `dynamic` asks for.
    """
    tensors: list[torch.Tensor] = []
    paths: list[str] = []

    def leaf(value: object, path: str) -> Structure:
        if not isinstance(value, torch.Tensor):
            return static_leaf(value, path)
        check_tensor(value, f"argument `{path}`")
        tensors.append(value)
        paths.append(path)
        return Slot(len(tensors) - 1)

    names = _parameter_names(module, len(args))
    inputs = with_kwargs(
        [map_leaves(as_records(a, n), n, leaf) for a, n in zip(args, names, strict=True)],
        {k: map_leaves(as_records(v, k), k, leaf) for k, v in (kwargs or {}).items()},
    )
    if isinstance(module, nn.Module):
        _check_module(module)
    wanted = dimensions.resolve(dynamic, paths, tensors)
    computed = ComputedSizes([*wanted.dims, CAPACITY])
    flat = _Flat(module, inputs, computed, wanted)
    with computed.active(), KeptAttributes(module), dimensions.zero_sizes(wanted, empty):
        exported = _export(flat, tuple(wanted.example(i, t) for i, t in enumerate(tensors)), _hints(wanted))
    drop_attempts(exported.graph)
    traced = [n.meta["val"] for n in exported.graph.nodes if n.op == "placeholder"][-len(paths) :] if paths else []
    symbols = Symbols(dimensions.name_symbols(wanted, paths, traced, flat.outputs.guards, computed))
    dims = tuple(wanted.dims.values())
    sizes = {**wanted.sizes, **computed.hints()}
    outputs = flat.outputs
    return Trace(exported, inputs, outputs.structure, tuple(paths), symbols, dims, sizes, computed, outputs.sets_attributes)


@dataclass(slots=True)
class _Noted:
    """Holds what one run of forward found out; torch.export resets lists and dictionaries that are attributes of modules."""

    structure: Structure = None
    sets_attributes: bool = False
    guards: Mapping[int, Location] = field(default_factory=dict)


class _Flat(nn.Module):
    """The module with tensors for arguments and a tuple of tensors for result; `outputs` notes the result's nesting."""

    def __init__(
        self, inner: Callable[..., Any], inputs: Structure, computed: ComputedSizes, wanted: dimensions.Dimensions
    ) -> None:
        super().__init__()
        self.inner = inner
        self.inputs = inputs
        self.computed = computed
        self.wanted = wanted
        self.outputs = _Noted()

    def forward(self, *tensors: torch.Tensor) -> tuple[Any, ...]:
        dimensions.tell_ranges(self.wanted, tensors)
        args, kwargs = fill(self.inputs, tensors)
        results: list[Any] = []

        def leaf(value: object, path: str) -> Structure:
            if isinstance(value, ComputedRows):
                return Rows(map_leaves(value.part, path, leaf))
            if isinstance(value, ComputedChoice):
                results.append(value.selector)
                number = len(results) - 1
                return Chosen(number, tuple(map_leaves(v, path, leaf) for v in value.alternatives))
            if not isinstance(value, (torch.Tensor, torch.SymInt, ComputedNumber)):
                return static_leaf(value, path)
            results.append(value.tensor if isinstance(value, ComputedNumber) else value)
            return Slot(len(results) - 1, number=not isinstance(value, torch.Tensor))

        kept = KeptAttributes(self.inner)
        try:
            with sizes_are_numbers(), KeepRecurrentLayers(), PoolSymbolicSizes(), locations.NoteLocations() as notes:
                result = self.inner(*args, **kwargs)
        except CompileError as error:
            raise _located(error) from None
        except Exception as error:  # here already, for torch.export prints whole graphs about some of them
            raise _explain(error) from error
        self.computed.take_guards()
        self.outputs.sets_attributes |= kept.differ()
        self.outputs.guards = notes.guards
        self.outputs.structure = map_leaves(as_records(result, "result"), "result", leaf)
        return tuple(results)


def _parameter_names(module: Callable[..., Any], count: int) -> list[str]:
    """The names of the first `count` positional parameters; those of `*args` are args.0, args.1 ..."""
    names: list[str] = []
    forward = module.forward if isinstance(module, nn.Module) else module
    try:
        parameters = inspect.signature(forward).parameters.values()
    except ValueError:  # built-in functions do not tell
        return [f"args.{i}" for i in range(count)]
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names.extend(f"{p.name}.{i}" for i in range(count - len(names)))
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    if len(names) < count:
        raise CompileError(
            f"{count} positional arguments were given",
            code="BGH-ARG-002",
            because=f"the module takes {len(names)}: {', '.join(names)}",
            advice="pass as many as forward takes, and those by name as kwargs",
        )
    return names[:count]


def check_tensor(tensor: torch.Tensor, what: str) -> None:
    """Raises CompileError for a tensor that is no dense array on the CPU of a known type."""
    if tensor.device.type != "cpu":
        raise CompileError(
            f"{what} is on the device {tensor.device}",
            code="BGH-DEV-001",
            because="code is made for the CPU, which cannot reach it",
            advice="move it to the CPU with .cpu()",
        )
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.dtype not in FROM_TORCH:
        kind = f"{tensor.dtype}, {tensor.layout}".replace("torch.", "")
        raise CompileError(
            f"{what} is a tensor of a kind that is not supported: {kind}",
            code="BGH-DTYPE-001",
            because="kernels work on dense arrays of numbers",
            advice="use dense tensors of " + ", ".join(str(t) for t in FROM_TORCH.values()),
        )


def _check_module(module: nn.Module) -> None:
    scripted = [name or "the module" for name, m in module.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    if scripted:
        raise CompileError(
            f"`{scripted[0]}` is a module of TorchScript",
            code="BGH-TRACE-001",
            because="torch.export cannot look inside, for its Python source is no longer there",
            advice="compile the module that it was made of",
        )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        check_tensor(tensor, f"`{name}`")
    training = [
        f"{name or type(m).__name__} ({type(m).__name__})"
        for name, m in module.named_modules()
        if m.training and _acts_in_training(m)
    ]
    if training:
        raise in_training(", ".join(training[:5]) + (" ..." if len(training) > 5 else ""))


def _acts_in_training(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats


def _hints(wanted: dimensions.Dimensions) -> tuple[Any, ...]:
    def hint(name: str) -> Any:
        dim = wanted.dims[name]
        return torch.export.Dim.AUTO(min=dim.low, max=dim.high)

    return tuple({axis: hint(name) for axis, name in axes.items()} for axes in wanted.axes)


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings and logs about the trace: what matters in them is in the errors."""
    loggers = [logging.getLogger(n) for n in ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled


@contextmanager
def _masks_taken_as_they_are() -> Iterator[None]:
    """torch's transformer layers compare a mask with the causal one, to choose a quicker kernel for the same result. That
    would make the program's course depend on the mask's values."""
    found = transformer._detect_is_causal_mask

    def told(mask: torch.Tensor | None, is_causal: bool | None = None, size: int | None = None) -> bool:
        return is_causal is True

    transformer._detect_is_causal_mask = told
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = found


@contextmanager
def _values_only() -> Iterator[None]:
    """torch describes each traced tensor twice: by a tensor without data, which is all that is read here, and by a record whose
    strides it compares with those of all memory formats, a tenth of the time of a trace with symbolic sizes."""
    found = proxy_tensor._extract_tensor_metadata  # type: ignore[attr-defined]

    def nothing(*_: object, **__: object) -> None:
        return None

    proxy_tensor._extract_tensor_metadata = nothing  # type: ignore[attr-defined,assignment]
    try:
        yield
    finally:
        proxy_tensor._extract_tensor_metadata = found  # type: ignore[attr-defined]


def _export(flat: _Flat, examples: Sequence[torch.Tensor], hints: tuple[Any, ...]) -> ExportedProgram:
    with (
        ONE_AT_A_TIME,
        quiet(),
        _masks_taken_as_they_are(),
        _values_only(),
        _use_lazy_graph_module(True),  # after each of its passes torch makes code of the graph, which only who calls it needs
        known_outputs(),
        _deep(),
        locations.keep_notes(),
        # Without it torch takes symbolic sizes to be 2 or more, and says nothing where the model asks.
        shape_config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
    ):
        try:
            dynamic = (hints,) if any(hints) else None
            return torch.export.export(flat, tuple(examples), dynamic_shapes=dynamic, strict=False)
        except CompileError:
            raise
        except Exception as error:
            raise _explain(error) from error


@contextmanager
def _deep() -> Iterator[None]:
    """Lets calls nest deeper meanwhile: modules within modules take several times as many calls as in eager mode."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _located(error: CompileError) -> CompileError:
    """The error with the user's line that it came through, if it names none."""
    place = error.location or locations.of_exception(error)
    return CompileError(error.what, code=error.code, because=error.because, advice=error.advice, location=place)


def _explain(error: Exception) -> CompileError:
    """What the failure of tracing means for the user."""
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    location = next((p for e in chain if (p := locations.of_exception(e)) is not None), None)
    if any(isinstance(e, GuardOnDataDependentSymNode) for e in chain):
        return CompileError(
            "the program's course depends on computed values",
            code="BGH-CTRL-001",
            because="a condition or a size on this line is computed from the elements of tensors",
            advice="express the choice with torch.where",
            location=location,
        )
    return CompileError(
        f"the module's forward failed while it was traced: {type(error).__name__}",
        code="BGH-TRACE-001",
        because=str(error).strip().split("\n")[0],
        advice="run the module on the example arguments in eager mode; all sizes but the dynamic ones are fixed",
        location=location,
    )
