"""Views of views as one view, and none where nothing moves.

    a: f32[2, 12, 1, 5] = permute(x, order=(0, 2, 1, 3))         b: f32[24, 5] = reshape(x, shape=(24, 5))
    b: f32[24, 5] = reshape(a, shape=(24, 5))               ->

Kernels read through views in any case; merged, they do so without dividing indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bough.graph_passes.decisions.walk import each_function
from bough.graph_passes.values.forward import Forward
from bough.ir.dtypes import DType
from bough.ir.program import Assign, Function, Program, Value
from bough.rewrite.rules import holds

Rule = Callable[[Assign, Assign | None], Assign | None]
"""An assignment of one argument and what made that argument, to a simpler assignment; None where there is none."""


def merge_views(program: Program) -> Program:
    """The program with chains of views, and of conversions that lose nothing, as short as they can be."""
    return each_function(program, lambda f: _Merge(f).run())


class _Merge(Forward):
    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.made: dict[Value, Assign] = {}

    def assign(self, node: Assign) -> Assign | tuple[Value, ...]:
        while True:
            source = node.args[0] if len(node.args) == 1 else None
            if source is None or node.op not in RULES:
                break
            if source.type == node.results[0].type and (node.op in SHAPED or _stays(node)):
                return (source,)
            simpler = RULES[node.op](node, self.made.get(source))
            if simpler is None:
                break
            node = simpler
        self.made.update(dict.fromkeys(node.results, node))
        return node


def _reshape(node: Assign, before: Assign | None) -> Assign | None:
    if before is not None and before.op == "reshape":
        return replace(node, args=before.args)
    return None


def _permute(node: Assign, before: Assign | None) -> Assign | None:
    order, source = _order(node), node.args[0]
    assert source is not None
    moved = [d for d in order if source.type.shape[d] != 1]
    if moved == sorted(moved):
        return replace(node, op="reshape", attributes={"shape": node.results[0].type.shape})
    if before is not None and before.op == "permute":
        inner = _order(before)
        return replace(node, args=before.args, attributes={"order": tuple(inner[d] for d in order)})
    return None


def _expand(node: Assign, before: Assign | None) -> Assign | None:
    if before is not None and before.op == "expand":
        return replace(node, args=before.args, attributes={"shape": node.results[0].type.shape})
    return None


def _cast(node: Assign, before: Assign | None) -> Assign | None:
    if before is None or before.op != "cast" or before.args[0] is None:
        return None
    first, between, last = (v.type.dtype for v in (before.args[0], before.results[0], node.results[0]))
    return replace(node, args=before.args) if _direct(first, between, last) else None


def _direct(first: DType, between: DType, last: DType) -> bool:
    """Whether a conversion gives the same at once. Integers out of range wrap around, floats do something else."""
    return holds(between, first) and (first == last or not (first.is_integer and between.is_float and last.is_integer))


def _one(node: Assign, before: Assign | None) -> Assign | None:
    return None


def _order(node: Assign) -> list[int]:
    rank = node.results[0].type.rank
    order: Any = node.attributes["order"]
    return [d % rank for d in order]


def _stays(node: Assign) -> bool:
    """Whether a permutation that keeps the shape keeps the elements where they are."""
    return node.op == "permute" and _order(node) == list(range(node.results[0].type.rank))


SHAPED = frozenset({"cast", "concat", "copy", "expand", "repeat", "reshape"})
"""Those that do nothing to an argument of the result's type."""
RULES: Mapping[str, Rule] = {
    "cast": _cast, "concat": _one, "copy": _one, "expand": _expand, "permute": _permute, "repeat": _one, "reshape": _reshape,
}  # fmt: skip
