"""Operators that take graphs: torch's own `cond`, `while_loop`, `scan` and `map` become branches and loops of a Program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch.fx import Node

from bough.frontends.builder import Builder, Unsupported
from bough.frontends.marked import Marked
from bough.ir.dtypes import BOOL
from bough.ir.program import TensorType, Value


class Translator(Protocol):
    """What translates the graphs."""

    b: Builder
    marked: Marked

    def region(self, region: Any, args: Sequence[Any]) -> tuple[Any, ...]:
        """The results of a graph, which is an argument of an operator, for these arguments, in the innermost open body."""

    def type_of(self, fake: torch.Tensor) -> TensorType: ...


def translate_higher_order(t: Translator, node: Node, args: list[Any]) -> Any:
    """The results of such an operator; `args` are its arguments with values in place of nodes."""
    convert = _CONVERTERS.get(str(node.target))
    if convert is None:
        raise Unsupported("")
    return convert(t, node, args)


def _in_mode(t: Translator, node: Node, args: list[Any]) -> Any:
    """A region that only sets torch's mode runs as part of the graph around it."""
    return t.region(node.args[1], args[2:])


def _cond(t: Translator, node: Node, args: list[Any]) -> Any:
    condition, _, _, operands = args
    if not isinstance(condition, Value):
        return t.region(node.args[1 if condition else 2], operands)
    types = [t.type_of(fake) for fake in node.meta["val"]]
    t.marked.begin_if(t.b.reshape(t.b.cast(condition, BOOL), ()))
    then = _tensors(t, t.region(node.args[1], operands), types)
    t.marked.begin_else()
    otherwise = _tensors(t, t.region(node.args[2], operands), types)
    return t.marked.end_if(then, otherwise, types)


def _while_loop(t: Translator, node: Node, args: list[Any]) -> Any:
    _, _, initial, others = args
    types = [t.type_of(fake) for fake in node.meta["val"]]
    carried = t.marked.begin_while(_tensors(t, initial, types), types)
    (condition,) = t.region(node.args[0], [*carried, *others])
    t.marked.test(t.b.reshape(t.b.cast(condition, BOOL), ()))
    updated = t.region(node.args[1], [*carried, *others])
    return t.marked.end_while(_tensors(t, updated, types), types)


def _scan(t: Translator, node: Node, args: list[Any]) -> Any:
    _, initial, collections, others = args
    return _loop(t, node.args[0], initial, collections, others)


def _map(t: Translator, node: Node, args: list[Any]) -> Any:
    _, collections, others = args
    return _loop(t, node.args[0], [], collections, others)


def _loop(t: Translator, region: Any, initial: Sequence[Value], collections: Sequence[Value], others: Sequence[Any]) -> Any:
    """`(states, element of each collection, others) -> (states, collected)` for each element along the first axis."""

    def step(index: Value, *states: Value) -> tuple[Sequence[Value], Sequence[Value]]:
        t.marked.scope_changed()
        elements = [t.b.emit("take_at", c, index, axis=0) for c in collections]
        results = t.region(region, [*states, *elements, *others])
        return results[: len(initial)], results[len(initial) :]

    final, stacked = t.b.loop(collections[0].type.shape[0], initial, step)
    t.marked.scope_changed()
    return (*final, *stacked)


def _tensors(t: Translator, values: Sequence[Any], types: Sequence[TensorType]) -> list[Value]:
    """Numbers among the values as tensors."""
    return [t.b.operand(v, type.dtype) for v, type in zip(values, types, strict=True)]


_CONVERTERS: dict[str, Callable[[Translator, Node, list[Any]], Any]] = {
    "wrap_with_set_grad_enabled": _in_mode, "cond": _cond, "while_loop": _while_loop, "scan": _scan, "map_impl": _map,
}  # fmt: skip
