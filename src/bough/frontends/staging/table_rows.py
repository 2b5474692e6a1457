"""Which numbers of the structure take rows of tables, and so must be among their rows."""

from __future__ import annotations

from dataclasses import replace

from bough.base.visits import Variant
from bough.ir.program import Assign, Loop, Node, Value
from bough.ir.recursion import Cell, Read

_VIEWS = ("reshape", "expand", "copy", "cast")
"""Operators whose elements are elements of their argument."""
Range = tuple[int, int]


def with_ranges(variant: Variant, cell: Cell) -> Variant:
    """The variant with the `range` of the numbers by which its cell takes rows."""
    numbers = {p: s.payload for p, s in zip(cell.function.params, cell.sources, strict=True) if isinstance(s, Read)}
    numbers = {p: n for p, n in numbers.items() if variant.payloads[n].dtype in ("i64", "i32") and not variant.payloads[n].shape}
    found: dict[int, Range] = {}
    _collect(cell.function.body, numbers, found)
    payloads = tuple(replace(p, range=found.get(n)) if p.path is not None else p for n, p in enumerate(variant.payloads))
    return replace(variant, payloads=payloads)


def _collect(body: list[Node], numbers: dict[Value, int], found: dict[int, Range]) -> None:
    for node in body:
        if isinstance(node, Loop):
            _collect(node.body, numbers, found)
            continue
        if not isinstance(node, Assign):
            continue
        if node.op in _VIEWS and node.args[0] in numbers:
            numbers[node.results[0]] = numbers[node.args[0]]
        for index, allowed in _rows(node):
            if index in numbers:
                low, high = found.get(numbers[index], allowed)
                found[numbers[index]] = (max(low, allowed[0]), min(high, allowed[1]))


def _rows(node: Assign) -> list[tuple[Value, Range]]:
    """The indices of an operator into its first argument, each with the smallest and largest that it takes."""
    table = node.args[0] if node.args else None
    if table is None:
        return []
    if node.op in ("embedding", "take"):
        axis = node.attributes.get("axis", 0)
        assert isinstance(axis, int)
        places = [(1, axis, node.op == "take")]
    elif node.op == "index":
        places = [(1 + axis, axis, True) for axis in range(len(node.args) - 1)]
    else:
        return []
    out: list[tuple[Value, Range]] = []
    for at, axis, wraps in places:
        index, size = node.args[at], table.type.shape[axis]
        if index is not None and isinstance(size, int):
            out.append((index, (-size if wraps else 0, size - 1)))
    return out
