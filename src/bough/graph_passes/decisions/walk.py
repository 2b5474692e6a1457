"""What passes over Programs with control share: what a node reads, and nodes with other values in place of those they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from bough.ir.expr import Apply, Cast, Const, Load, Var, variables
from bough.ir.program import Assign, Check, Function, If, Loop, Node, Program, Size, Value, While, results_of

L = TypeVar("L", Loop, While)
GUARDED = frozenset({"embedding", "gather", "index", "index_put", "scatter", "shl", "shr", "take", "take_at"})
"""Operators that need something of their arguments, which a check may see to before they run."""
Rebuild = Callable[[Function], Function]


def with_decisions(program: Program, rebuild: Rebuild) -> Program:
    """The program with functions rebuilt where they decide something."""
    if not any(decides(f.body) for f in program.functions.values()):
        return program
    functions = {name: rebuild(f) if decides(f.body) else f for name, f in program.functions.items()}
    return replace(program, functions=functions)


def each_function(program: Program, change: Rebuild) -> Program:
    """The program with every function rebuilt; itself where none changes."""
    functions = {name: change(f) for name, f in program.functions.items()}
    same = all(functions[name] is f for name, f in program.functions.items())
    return program if same else replace(program, functions=functions)


def decides(nodes: Iterable[Node]) -> bool:
    """Whether there are branches, loops, checks or sizes on computed values."""
    return any(not isinstance(n, (Assign, Loop)) or (isinstance(n, Loop) and decides(n.body)) for n in nodes)


def bodies(node: Node) -> tuple[list[Node], ...]:
    """The bodies of a node in the order in which they run."""
    match node:
        case If():
            return (node.then, node.otherwise)
        case While():
            return (node.head, node.body)
        case Loop():
            return (node.body,)
        case Assign() | Size() | Check():
            return ()


def own_reads(node: Node) -> Iterator[Value]:
    """The values that a node reads itself: before its bodies, and at their ends."""
    match node:
        case Assign():
            yield from (a for a in node.args if a is not None)
        case If():
            yield from (node.condition, *node.then_results, *node.otherwise_results)
        case While():
            yield from (*node.initial, node.condition, *node.updated)
        case Loop():
            yield from (*node.initial, *node.updated, *node.collected)
        case Size():
            yield node.value
        case Check():
            yield node.condition


def nested(node: Node) -> Iterator[Node]:
    """The node and all nodes of its bodies."""
    stack = [node]
    while stack:
        n = stack.pop()
        yield n
        for body in bodies(n):
            stack.extend(body)


def reads(node: Node) -> set[Value]:
    """All values that a node and its bodies read, also those that they make themselves."""
    return {v for n in nested(node) for v in own_reads(n)}


def makes(node: Node) -> set[Value]:
    """All values that a node and its bodies define."""
    found: set[Value] = set()
    for n in nested(node):
        found.update(results_of(n))
        if isinstance(n, (Loop, While)):
            found.update(n.carried)
        if isinstance(n, Loop):
            found.add(n.index)
    return found


def size_names(node: Node) -> set[str]:
    """The symbolic sizes that a node and its bodies name: in types, attributes, bounds and counts."""
    found: set[str] = set()
    for n in nested(node):
        for v in (*own_reads(n), *results_of(n)):
            _names(v.type.shape, found)
        match n:
            case Assign():
                _names(tuple(n.attributes.values()), found)
            case Loop():
                _names(n.count, found)
            case Size():
                _names(n.high, found)
    return found


def _names(attribute: Any, found: set[str]) -> None:
    if isinstance(attribute, tuple):
        for part in attribute:
            _names(part, found)
    elif isinstance(attribute, Const | Var | Load | Apply | Cast):
        variables(attribute, found)


def names_of(extents: Iterable[Any]) -> set[str]:
    """The symbolic sizes in extents or attributes."""
    found: set[str] = set()
    _names(tuple(extents), found)
    return found


def is_pure(node: Node) -> bool:
    """Whether a node only gives values: it cannot end the call, nor does it name a size, nor might it turn for ever."""
    return not isinstance(node, (Check, Size, While)) and all(map(is_pure, (n for body in bodies(node) for n in body)))


def with_states(node: L, kept: Sequence[int]) -> L:
    """The loop with some of its states."""
    carried, initial, updated, final = (
        tuple(group[n] for n in kept) for group in (node.carried, node.initial, node.updated, node.final)
    )
    return replace(node, carried=carried, initial=initial, updated=updated, final=final)


def is_guarded(node: Assign) -> bool:
    """Whether an assignment may rely on a check in front of it."""
    integers = any(v.type.dtype.is_integer for v in node.results)
    return node.op in GUARDED or (integers and node.op in ("div", "floordiv", "mod"))


def replaced(node: Node, values: Mapping[Value, Value]) -> Node:
    """The node, with other values in place of those that it reads itself; its bodies are as they were."""

    def new(group: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(values.get(v, v) for v in group)

    match node:
        case Assign():
            return replace(node, args=tuple(a if a is None else values.get(a, a) for a in node.args))
        case If():
            condition = values.get(node.condition, node.condition)
            then, otherwise = new(node.then_results), new(node.otherwise_results)
            return replace(node, condition=condition, then_results=then, otherwise_results=otherwise)
        case While():
            condition = values.get(node.condition, node.condition)
            return replace(node, initial=new(node.initial), condition=condition, updated=new(node.updated))
        case Loop():
            return replace(node, initial=new(node.initial), updated=new(node.updated), collected=new(node.collected))
        case Size():
            return replace(node, value=values.get(node.value, node.value))
        case Check():
            return replace(node, condition=values.get(node.condition, node.condition))
