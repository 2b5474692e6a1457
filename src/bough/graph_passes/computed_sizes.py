"""Memory for arrays whose sizes are computed: shapes are planned for bounds that are known before the call.

    size n = count, at most capacity       x: f32[n + 1, n * 4, 8]   ->   planned as f32[capacity, capacity * 4, 8]

Strides are then fixed before the call; the axes of kernels keep the sizes themselves. A size a little above or below a computed
one is planned as `capacity` too, so that what grows by a row each turn has one shape; the check of the size leaves room for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
    Var,
    add,
    apply,
    as_expr,
    as_extent,
    floordiv,
    maximum,
    minimum,
    mul,
    sub,
    variables,
)
from bough.ir.program import CAPACITY, Assign, Check, Function, If, Loop, Node, Size, Value, While

CAP = Var(CAPACITY)


class ComputedSizes:
    """The computed sizes of a function by name: their bounds, and the room that sizes made of them need above `capacity`."""

    def __init__(self, function: Function) -> None:
        nodes = list(every_node(function.body))
        self.most: dict[str, Expr] = {n.name: CAP if n.high is None else as_expr(n.high) for n in nodes if isinstance(n, Size)}
        self.least: dict[str, int] = {n.name: n.low for n in nodes if isinstance(n, Size)}
        self.values = {n.name: n.value for n in nodes if isinstance(n, Size)}
        self.room = dict.fromkeys(self.most, 0)
        for value in (v for n in nodes for v in defined(n)):
            for e in value.type.shape:
                name, above = self._shifted(e)
                if name is not None:
                    self.room[name] = max(self.room[name], above)

    def depends(self, e: Extent) -> bool:
        """Whether a size is computed."""
        return not isinstance(e, int) and not self.most.keys().isdisjoint(variables(e))

    def in_shapes(self, values: tuple[Value, ...]) -> dict[str, Value]:
        """The computed sizes in the shapes of values, each with the value that it is."""
        names = {n: None for v in values for e in v.type.shape if not isinstance(e, int) for n in sorted(variables(e))}
        return {n: self.values[n] for n in names if n in self.values}

    def planned(self, shape: tuple[Extent, ...]) -> tuple[Extent, ...]:
        """The shape that memory is laid out for."""
        return tuple(self._planned(e) if self.depends(e) else e for e in shape)

    def _planned(self, e: Extent) -> Extent:
        name, above = self._shifted(e)
        return CAP if name is not None and above <= self.room[name] else as_extent(self._most(as_expr(e)))

    def _shifted(self, e: Extent) -> tuple[str | None, int]:
        """The name and the number of a size `name + number`, where only `capacity` bounds the name."""
        match e:
            case Var(name):
                found, above = name, 0
            case Apply("add", (Var(name), Const(number))) | Apply("add", (Const(number), Var(name))):
                found, above = name, int(number)
            case Apply("sub", (Var(name), Const(number))):
                found, above = name, -int(number)
            case _:
                return None, 0
        return (found, above) if self.most.get(found) == CAP else (None, 0)

    def _most(self, e: Expr) -> Expr:
        """An upper bound over what is known before the call; sizes are never negative."""
        match e:
            case Var(name):
                return self.most.get(name, e)
            case Apply("add", (a, b)):
                return add(self._most(a), self._most(b))
            case Apply("sub", (a, b)):
                return sub(self._most(a), self._least(b))
            case Apply("mul", (a, b)):
                return mul(self._most(a), self._most(b))
            case Apply("floordiv", (a, b)):
                return floordiv(self._most(a), maximum(self._least(b), 1))
            case Apply("mod", (_, b)):
                return self._most(b)
            case Apply("min" | "max", (a, b)):
                return apply(e.function, self._most(a), self._most(b))
            case Apply("select", (_, a, b)):
                return maximum(self._most(a), self._most(b))
        return e

    def _least(self, e: Expr) -> Expr:
        match e:
            case Var(name):
                return Const(self.least[name]) if name in self.least else e
            case Apply("add", (a, b)):
                return add(self._least(a), self._least(b))
            case Apply("sub", (a, b)):
                return sub(self._least(a), self._most(b))
            case Apply("mul", (a, b)):
                return mul(self._least(a), self._least(b))
            case Apply("floordiv", (a, b)):
                return floordiv(self._least(a), maximum(self._most(b), 1))
            case Apply("min" | "max", (a, b)):
                return apply(e.function, self._least(a), self._least(b))
            case Apply("select", (_, a, b)):
                return minimum(self._least(a), self._least(b))
            case Apply("mod", _):
                return Const(0)
        return e


def every_node(nodes: list[Node]) -> Iterator[Node]:
    """All nodes in textual order, those of control before what they hold."""
    for n in nodes:
        yield n
        match n:
            case Loop():
                yield from every_node(n.body)
            case If():
                yield from every_node([*n.then, *n.otherwise])
            case While():
                yield from every_node([*n.head, *n.body])
            case _:
                pass


def defined(node: Node) -> tuple[Value, ...]:
    """The values that a node itself gives."""
    match node:
        case Loop():
            return (*node.carried, *node.final, *node.stacked)
        case While():
            return (*node.carried, *node.final)
        case Assign() | If():
            return node.results
        case Size() | Check():
            return ()
