"""Checks that a program keeps the promises of its level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bough.base.errors import InternalError
from bough.ir.dtypes import I64, DType
from bough.ir.evaluate import extent_value
from bough.ir.expr import Apply, Cast, Const, Load, Var
from bough.ir.program import Assign, Dim, Function, Loop, Node, Program, TensorType, Value
from bough.ir.program_text import print_assign
from bough.ir.text import print_extent, print_type
from bough.ir.verify_expr import Checker

Infer = Callable[[str, Sequence[TensorType | None], Mapping[str, Any]], tuple[TensorType, ...]]
"""(operator, argument types, attributes) -> result types."""


def verify_program(program: Program, infer: Infer | None = None) -> None:
    """Raises InternalError, with the text of the assignment, unless

    - the entry is a function, each function is filed under its name, and its values have distinct names;
    - each value is defined once, before its use, and outside of a loop only what the loop gives is used;
    - sizes are expressions over the function's dims, whose ranges are not empty;
    - constants have the element type and the shape of their values;
    - a loop's states have one type each, and what it stacks has one dimension more;
    - result types are those that `infer` gives, where it is given.
    """
    if program.entry not in program.functions:
        raise InternalError(f"the entry {program.entry} is no function")
    for name, function in program.functions.items():
        if function.name != name:
            raise InternalError(f"function {function.name} is filed under {name}")
        _Verifier(function, infer).run()


class _Verifier:
    def __init__(self, function: Function, infer: Infer | None) -> None:
        self.function, self.infer = function, infer
        dims: dict[str, DType] = {d.name: I64 for d in function.dims}
        self.checker = Checker(f"func {function.name}", {}, dims)
        self.samples = [{d.name: _size(d, step * n) for n, d in enumerate(function.dims, 1)} for step in (0, 1, 7)]
        self.defined: set[Value] = set()
        self.names: set[str] = set()

    def run(self) -> None:
        f = self.function
        for d in f.dims:
            if d.low < 0 or (d.high is not None and d.high < d.low):
                self.checker.fail("the range is empty or negative", f"{d.name}: {d.low}..{d.high}")
        if len(self.checker.variables) != len(f.dims):
            self.checker.fail("a name stands twice", "its dims")
        self.define(f.params, "its params")
        self.define(f.constants, "its constants")
        for v, array in f.constants.items():
            if array.dtype != v.type.dtype.numpy or array.shape != v.type.shape:
                held = f"{array.dtype}{list(array.shape)}"
                self.checker.fail(f"the constant {v.name} is {_type(v.type)} but holds {held}", "its constants")
        self.nodes(f.body)
        self.use(f.results, "its results")

    def define(self, values: Iterable[Value], text: str) -> None:
        for v in values:
            if v in self.defined or v.name in self.names:
                self.checker.fail(f"{v.name} is defined twice", text)
            self.checker.shape(v.type.shape, text)
            self.defined.add(v)
            self.names.add(v.name)

    def use(self, values: Iterable[Value | None], text: str) -> None:
        for v in values:
            if v is not None and v not in self.defined:
                self.checker.fail(f"{v.name} has no value yet", text)

    def nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if isinstance(node, Assign):
                self.assign(node)
            else:
                self.loop(node)

    def assign(self, node: Assign) -> None:
        text = print_assign(node)
        self.use(node.args, text)
        for attribute in node.attributes.values():
            self.attribute(attribute, text)
        if self.infer is not None:
            types = self.infer(node.op, [None if a is None else a.type for a in node.args], node.attributes)
            given = tuple(r.type for r in node.results)
            if len(types) != len(given) or not all(map(self.same, types, given)):
                self.checker.fail(f"the results are {', '.join(map(_type, types))}", text)
        self.define(node.results, text)

    def same(self, a: TensorType, b: TensorType) -> bool:
        """Whether two types agree; sizes that are written differently, at the sample sizes."""
        if a.dtype != b.dtype or a.rank != b.rank:
            return False
        pairs = [(x, y) for x, y in zip(a.shape, b.shape, strict=True) if x != y]
        return all(extent_value(x, sizes) == extent_value(y, sizes) for x, y in pairs for sizes in self.samples)

    def attribute(self, attribute: Any, text: str) -> None:
        if isinstance(attribute, tuple):
            for part in attribute:
                self.attribute(part, text)
        elif isinstance(attribute, Const | Var | Load | Apply | Cast):
            self.checker.expr(attribute, text, I64)
        elif not isinstance(attribute, int | float | bool | str | None | DType):
            self.checker.fail(f"{attribute!r} is no attribute", text)

    def loop(self, loop: Loop) -> None:
        text = f"loop {loop.index.name} in 0..{print_extent(loop.count)}"
        groups = (loop.carried, loop.initial, loop.updated, loop.final)
        if len({len(g) for g in groups}) != 1 or len(loop.collected) != len(loop.stacked):
            self.checker.fail("the states or stacked values do not pair up", text)
        self.checker.shape((loop.count,), text)
        self.use(loop.initial, text)
        outside = set(self.defined)
        self.define((loop.index, *loop.carried), text)
        if loop.index.type != TensorType(I64, ()):
            self.checker.fail(f"the index is {_type(loop.index.type)}", text)
        self.nodes(loop.body)
        self.use((*loop.updated, *loop.collected), text)
        for state in zip(*groups, strict=True):
            for v in state[1:]:
                if not self.same(v.type, state[0].type):
                    both = f"{_type(state[0].type)} and {_type(v.type)}"
                    self.checker.fail(f"the state {state[0].name} is {both}", text)
        self.defined = outside
        self.define((*loop.final, *loop.stacked), text)
        for element, stacked in zip(loop.collected, loop.stacked, strict=True):
            expected = TensorType(element.type.dtype, (loop.count, *element.type.shape))
            if not self.same(stacked.type, expected):
                self.checker.fail(f"{stacked.name} is {_type(stacked.type)}, not {_type(expected)},", text)


def _size(d: Dim, above: int) -> int:
    size = d.low + above
    return size if d.high is None else min(size, d.high)


def _type(t: TensorType) -> str:
    return print_type(t.dtype, t.shape)
