"""Checks that a program keeps the promises of its level."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.evaluate import extent_value
from bough.ir.expr import Apply, Cast, Const, Extent, Load, Var, variables
from bough.ir.program import Assign, Check, Dim, Function, If, Loop, Node, Program, Size, TensorType, Value, While
from bough.ir.program_print import print_assign, print_scalar_use
from bough.ir.text import print_extent, print_type
from bough.ir.verify_expr import Checker

Infer = Callable[[str, Sequence[TensorType | None], Mapping[str, Any]], tuple[TensorType, ...]]
"""(operator, argument types, attributes) -> result types."""


def verify_program(program: Program, infer: Infer | None = None) -> None:
    """Raises InternalError, with the text of the assignment, unless

    - the entry is a function, each function is filed under its name, and its values have distinct names;
    - each value is defined once, before its use, and outside of a loop or a branch only what the node gives is used;
    - sizes are expressions over the function's dims, whose ranges are not empty, and over the sizes computed so far;
    - constants have the element type and the shape of their values;
    - a loop's states have one type each, and what it stacks has one dimension more; both branches give the types of the results
      (but for sizes that a `Size` behind the node, or at the beginning of the head, defines anew);
    - conditions are bools of rank 0, sizes i64 of rank 0;
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
        self.sizes: dict[str, DType] = {d.name: I64 for d in function.dims}
        self.size_names: set[str] = set(self.sizes)
        self.checker = Checker(f"func {function.name}", {}, self.sizes)
        self.samples = [{d.name: _size(d, step * n) for n, d in enumerate(function.dims, 1)} for step in (0, 1, 7)]
        self.defined: set[Value] = set()
        self.names: set[str] = set()
        self.declared: dict[str, Size] = {}

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

    def nodes(self, nodes: Sequence[Node]) -> None:
        for position, node in enumerate(nodes):
            match node:
                case Assign():
                    self.assign(node)
                case Loop():
                    self.loop(node)
                case If():
                    self.branches(node, _leading_sizes(nodes[position + 1 :]))
                case While():
                    self.whilst(node, _leading_sizes(nodes[position + 1 :]))
                case Size():
                    self.use_scalar(node.value, I64, print_scalar_use(node))
                    self.declare([node])
                case Check():
                    self.use_scalar(node.condition, BOOL, print_scalar_use(node))

    def inside(self, nodes: Sequence[Node], used: Iterable[Value], text: str) -> None:
        """A body whose values and sizes nothing outside of it sees, and what it gives."""
        outside, sizes = set(self.defined), dict(self.sizes)
        self.nodes(nodes)
        self.use(used, text)
        self.defined = outside
        self.forget(sizes)

    def forget(self, sizes: dict[str, DType]) -> None:
        for name in self.sizes.keys() - sizes.keys():
            del self.sizes[name]

    def declare(self, nodes: Iterable[Size]) -> set[str]:
        """Makes computed sizes known; gives their names. What precedes a `Size` may have declared it already."""
        found = set()
        for node in nodes:
            found.add(node.name)
            if self.sizes.get(node.name) is not None and self.declared.get(node.name) is node:
                continue
            if node.name in self.size_names:
                self.checker.fail(f"the size {node.name} is defined twice", print_scalar_use(node))
            if node.high is not None:
                self.checker.shape((node.high,), print_scalar_use(node))
            self.declared[node.name] = node
            self.size_names.add(node.name)
            self.sizes[node.name] = I64
            for number, sample in enumerate(self.samples):
                size = node.low + (0, 3, 11)[number] + len(self.declared) * number
                sample[node.name] = size if node.high is None else max(node.low, min(size, extent_value(node.high, sample)))
        return found

    def use_scalar(self, v: Value, dtype: DType, text: str) -> None:
        self.use((v,), text)
        if v.type != TensorType(dtype, ()):
            self.checker.fail(f"{v.name} is {_type(v.type)}, not {dtype}[],", text)

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

    def same(self, a: TensorType, b: TensorType, anew: Collection[str] = ()) -> bool:
        """Whether two types agree; those of sizes that differ in text at the samples, and not where `a` has one of `anew`."""
        if a.dtype != b.dtype or a.rank != b.rank:
            return False
        pairs = [(x, y) for x, y in zip(a.shape, b.shape, strict=True) if x != y and not _names(x) & set(anew)]
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
        outside, sizes = set(self.defined), dict(self.sizes)
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
        self.forget(sizes)
        self.define((*loop.final, *loop.stacked), text)
        for element, stacked in zip(loop.collected, loop.stacked, strict=True):
            expected = TensorType(element.type.dtype, (loop.count, *element.type.shape))
            if not self.same(stacked.type, expected):
                self.checker.fail(f"{stacked.name} is {_type(stacked.type)}, not {_type(expected)},", text)

    def branches(self, node: If, behind: list[Size]) -> None:
        text = f"if {node.condition.name}"
        self.use_scalar(node.condition, BOOL, text)
        if len({len(node.results), len(node.then_results), len(node.otherwise_results)}) != 1:
            self.checker.fail("the results of the branches do not pair up", text)
        self.inside(node.then, node.then_results, text)
        self.inside(node.otherwise, node.otherwise_results, text)
        anew = self.declare(behind)
        self.define(node.results, text)
        for v, *given in zip(node.results, node.then_results, node.otherwise_results, strict=True):
            self.expect_alike(v, given, anew, text)

    def expect_alike(self, v: Value, given: Iterable[Value], anew: set[str], text: str) -> None:
        for other in given:
            if not self.same(v.type, other.type, anew):
                self.checker.fail(f"{v.name} is {_type(v.type)} and {_type(other.type)}", text)

    def whilst(self, node: While, behind: list[Size]) -> None:
        text = f"while {node.condition.name}"
        groups = (node.carried, node.initial, node.updated, node.final)
        if len({len(g) for g in groups}) != 1:
            self.checker.fail("the states do not pair up", text)
        self.use(node.initial, text)
        outside, sizes = set(self.defined), dict(self.sizes)
        anew = self.declare(_leading_sizes(node.head))
        self.define(node.carried, text)
        self.nodes(node.head)
        self.use_scalar(node.condition, BOOL, text)
        self.inside(node.body, node.updated, text)
        for v, initial, updated in zip(node.carried, node.initial, node.updated, strict=True):
            self.expect_alike(v, (initial, updated), anew, text)
        self.defined = outside
        for v, final in zip(node.carried, node.final, strict=True):
            if not self.same(v.type, final.type, anew):
                self.checker.fail(f"{v.name} is {_type(v.type)} and {_type(final.type)}", text)
        self.forget(sizes)
        self.declare(behind)
        self.define(node.final, text)


def _leading_sizes(nodes: Sequence[Node]) -> list[Size]:
    return list(takewhile(lambda n: isinstance(n, Size), nodes))  # type: ignore[arg-type]


def _names(e: Extent) -> set[str]:
    return set() if isinstance(e, int) else variables(e)


def _size(d: Dim, above: int) -> int:
    size = d.low + above
    return size if d.high is None else min(size, d.high)


def _type(t: TensorType) -> str:
    return print_type(t.dtype, t.shape)
