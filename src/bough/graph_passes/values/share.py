"""Values that are computed twice are computed once, and constants that are equal are one."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import Any

import numpy as np

from bough.graph_passes.decisions.walk import each_function
from bough.graph_passes.values.forward import Forward
from bough.ir.program import Assign, Function, Node, Program, Value
from bough.ir.program_print import print_attribute

SAMPLE = 1 << 10
"""Elements that tell most arrays apart."""


def share(program: Program) -> Program:
    """The program without equal assignments where the value is known already, and without equal constants."""
    return each_function(program, lambda f: _Share(f).run())


class _Share(Forward):
    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.seen: ChainMap[Any, tuple[Value, ...]] = ChainMap()
        self.share_constants()

    def share_constants(self) -> None:
        kept: dict[Any, list[Value]] = {}
        for value, array in self.function.constants.items():
            alike = kept.setdefault((value.type, array.reshape(-1)[:SAMPLE].tobytes()), [])
            same = next((v for v in alike if _equal(self.constants[v], array)), None)
            if same is None:
                alike.append(value)
            else:
                self.values[value] = same
                del self.constants[value]

    def body(self, nodes: Sequence[Node]) -> list[Node]:
        self.seen = self.seen.new_child()
        out = super().body(nodes)
        self.seen = self.seen.parents
        return out

    def assign(self, node: Assign) -> Assign | tuple[Value, ...]:
        attributes = tuple(sorted((k, print_attribute(v)) for k, v in node.attributes.items()))
        key = (node.op, node.args, attributes, tuple(r.type for r in node.results))
        known = self.seen.get(key)
        if known is not None:
            return known
        self.seen[key] = node.results
        return node


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one type have the same bits."""
    if np.may_share_memory(a, b) and a.ctypes.data == b.ctypes.data and a.strides == b.strides:
        return True
    return bool(np.array_equal(np.ascontiguousarray(a).view(np.uint8), np.ascontiguousarray(b).view(np.uint8)))
