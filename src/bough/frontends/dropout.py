"""Takes dropout out of traced graphs."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Graph, Node

from bough.frontends import locations
from bough.frontends.converters import overload_name
from bough.frontends.errors import in_training

DROPOUTS = frozenset({"dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"})


def remove_dropout(exported: ExportedProgram) -> None:
    """Puts the argument of each dropout in its place. Raises CompileError for one that drops something."""
    names = remove_from(exported.graph)
    for spec in exported.graph_signature.output_specs:
        if getattr(spec.arg, "name", None) in names:
            spec.arg = type(spec.arg)(name=names[spec.arg.name])


def remove_from(graph: Graph) -> dict[str, str]:
    """The same in a graph; gives the name of each dropout, and of its argument.

    Outside of training eager returns the very same tensor, which torch's functionalisation does not know: it would miss
    that a later update in place shows in both.
    """
    names: dict[str, str] = {}
    for node in list(graph.nodes):
        if overload_name(node.target).split(".")[0] not in DROPOUTS:
            continue
        tensor, p, training = node.args
        if training and p != 0:
            raise in_training("dropout", locations.of_node(node))
        assert isinstance(tensor, Node)
        names[node.name] = tensor.name
        node.replace_all_uses_with(tensor)
        graph.erase_node(node)
    return names
