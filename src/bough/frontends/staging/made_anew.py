"""Whether what a call leaves on a module would be the same in every call: then it may stay, as a table that is made once."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

_aten = torch.ops.aten
_OF_SHAPES = {
    *(_aten.sym_size, _aten.zeros_like, _aten.ones_like, _aten.full_like, _aten.empty_like),
    *(_aten.new_zeros, _aten.new_ones, _aten.new_full, _aten.new_empty),
}
"""Operators that take no value from their operand, only its shape and type."""


def depends_on_arguments(exported: ExportedProgram) -> bool:
    """Whether an output takes values from what the program is called with, not only sizes."""
    given = set(exported.graph_signature.user_inputs)
    work: list[Node] = [node for node in exported.graph.nodes if node.op == "output"]
    met = set(work)
    while work:
        node = work.pop()
        if node.op == "placeholder" and node.name in given:
            return True
        if getattr(node.target, "overloadpacket", None) in _OF_SHAPES:
            continue
        more = [n for n in node.all_input_nodes if n not in met]
        met.update(more)
        work += more
    return False
