"""Runs a graph of Dynamo on its symbolic sizes: what comes out is a graph of ATen operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx.experimental.proxy_tensor
from torch._guards import TracingContext
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensorMode, dispatch_functionalize
from torch.fx import Graph, GraphModule, Interpreter, Node

from bough.base.errors import CompileError
from bough.frontends import decompositions, locations
from bough.frontends.recurrent_capture import KeepRecurrentLayers
from bough.frontends.symbolic_pooling import PoolSymbolicSizes
from bough.frontends.updates import writes


@dataclass(frozen=True, slots=True)
class Fakes:
    """A graph's inputs without their elements: fake tensors with Dynamo's symbolic sizes, and numbers."""

    mode: FakeTensorMode
    values: tuple[Any, ...]


def fake_inputs(examples: Sequence[Any]) -> Fakes:
    """The inputs of a graph for tracing it. Called while Dynamo compiles: conditions on sizes that tracing them takes for
    granted become guards of Dynamo."""
    context = TracingContext.get()
    mode = context.fake_mode
    assert mode is not None

    def fake(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return int(value) if value < 0 else value  # a negative number is no size
        symbolic: Any = context.tensor_to_context.get(value)  # type: ignore[no-untyped-call]
        return mode.from_tensor(value, symbolic_context=symbolic, source=getattr(symbolic, "tensor_source", None))

    return Fakes(mode, tuple(map(fake, examples)))


def to_aten(graph_module: GraphModule, fakes: Fakes) -> GraphModule:
    """The ATen operators that a graph calls, as far as possible before torch takes any of them apart; updates in place stay as
    they are."""

    def run(*inputs: Any) -> Any:
        with KeepRecurrentLayers(), PoolSymbolicSizes():
            return _Run(graph_module).run(*inputs)

    return _trace(run, fakes, {}, pre_dispatch=not _transforms(graph_module))


def _transforms(graph_module: GraphModule) -> bool:
    """Whether a graph uses torch.func, whose wrapped tensors are only plain again below the dispatcher."""
    return any(getattr(n.target, "__module__", "") == "torch._functorch.predispatch" for n in graph_module.graph.nodes)


def functional(graph_module: GraphModule, fakes: Fakes) -> GraphModule:
    """The same graph with values in place of updates, and operators without a converter taken apart as far as torch knows how.

    An input among the outputs stands for its last value.
    """
    run = dispatch_functionalize(Interpreter(graph_module).run, FunctionalTensorMode(pre_dispatch=True, export=True))
    return _trace(run, fakes, decompositions.rules())


def remove_unused(graph: Graph) -> None:
    """Takes out what no output needs; updates, and what would change the state of a random generator, are needed."""

    def is_needed(node: Node) -> bool:
        if not isinstance(node.target, torch._ops.OpOverload):
            return node.op in ("placeholder", "output")
        return writes(node) or torch.Tag.nondeterministic_seeded in node.target.tags

    graph.eliminate_dead_code(is_needed)


def _trace(run: Callable[..., Any], fakes: Fakes, rules: dict[Any, Any], pre_dispatch: bool = True) -> GraphModule:
    trace = torch.fx.experimental.proxy_tensor.make_fx(run, rules, pre_dispatch=pre_dispatch)
    modes: tuple[AbstractContextManager[Any], ...] = (locations.keep_notes(), torch.no_grad(), fakes.mode)
    with ExitStack() as active:
        for mode in modes:
            active.enter_context(mode)
        try:
            return trace(*fakes.values)
        except CompileError:
            raise
        except Exception as error:
            raise CompileError(
                f"a graph of torch.compile failed while it was traced: {type(error).__name__}",
                code="BGH-TRACE-001",
                because=str(error).strip().split("\n")[0],
                advice="run the module in eager mode with the same arguments",
                location=locations.of_exception(error),
            ) from error


_MODES = ("_set_grad_enabled", "_enter_inference_mode", "_exit_inference_mode")
_AUTOCAST = ("_enter_autocast", "_exit_autocast")


class _Run(Interpreter):
    """Runs a graph, less what only concerns gradients."""

    def run_node(self, n: Node) -> Any:
        name = getattr(n.target, "__name__", "")
        if n.op == "call_function" and name in _MODES:
            return None
        if n.op == "call_function" and name in _AUTOCAST:
            raise autocast(locations.of_node(n))
        return super().run_node(n)


def autocast(location: Any = None) -> CompileError:
    return CompileError(
        "the graph runs under torch.autocast",
        code="BGH-DTYPE-002",
        because="its element types depend on torch's tables of operators",
        advice="convert the module, for instance with .to(torch.bfloat16)",
        location=location,
    )
