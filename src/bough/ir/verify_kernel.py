"""Checks that a kernel keeps the promises of its level."""

from __future__ import annotations

from collections.abc import Collection

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Expr, Load, as_expr, loads, variables
from bough.ir.functions import FUNCTIONS, REDUCTION_FUNCTIONS
from bough.ir.kernel import Axis, Kernel, Reduce, Statement, Store
from bough.ir.kernel_text import print_statement
from bough.ir.text import print_expr
from bough.ir.verify_expr import Checker


def verify_kernel(kernel: Kernel, scalars: Collection[str] | None = None) -> None:
    """Raises InternalError, with the text of the statement, unless

    - axes and operands have distinct names, axes and locals too, and an operand on both sides is the same on both;
    - expressions are well typed, and indices have the rank of what they index;
    - reduced axes occur only in reductions over them; everything else that is named is an axis, an earlier local, or one
      of `scalars` (None: any name is taken for a scalar);
    - each output is stored, at a place that depends on every free axis of more than one point;
    - accumulators (operands on both sides) are read at the place they are stored to, and not after the store; or in
      another slab, where the indices in some dimension depend on no axis and differ (the two halves of a state); or
      wherever, if the kernel promises that what it reads is `apart`;
    - the order of reductions is along a reduced axis, or along none;
    - extents are over scalars; those of reduced axes also over free axes and loads of `i64` inputs at these.
    """
    _Verifier(kernel, scalars).run()


class _Verifier:
    def __init__(self, kernel: Kernel, scalars: Collection[str] | None) -> None:
        self.kernel = kernel
        self.outputs = {o.name: o for o in kernel.outputs}
        self.inputs = {o.name: o for o in kernel.inputs}
        self.reduced = set(kernel.reduced)
        self.depends: dict[str, set[str]] = {}
        self.stored: dict[str, tuple[Expr, ...]] = {}
        arrays = {o.name: (o.dtype, len(o.shape)) for o in kernel.inputs}
        known: dict[str, DType] = dict.fromkeys(scalars or (), I64)
        self.checker = Checker(f"kernel {kernel.name}", arrays, known, scalars is None)

    def run(self) -> None:
        self.header()
        self.checker.variables = {**self.checker.variables, **{a.name: I64 for a in self.kernel.axes}}
        for s in self.kernel.body:
            self.statement(s)
        for name in self.outputs:
            if name not in self.stored:
                raise InternalError(f"kernel {self.kernel.name}: output {name} is never stored")
        self.accumulators()

    def header(self) -> None:
        kernel = self.kernel
        names = [*(a.name for a in kernel.axes), *self.inputs, *(n for n in self.outputs if n not in self.inputs)]
        repeated = {n for n in names if names.count(n) > 1}
        if repeated or len(self.inputs) != len(kernel.inputs) or len(self.outputs) != len(kernel.outputs):
            self.checker.fail("a name stands twice", "its axes and operands")
        axes = [a.name for a in kernel.axes]
        for a in kernel.axes:
            if a in kernel.ragged:
                self.ragged(a)
            else:
                self.checker.shape((a.extent,), f"axis {a.name}", axes)
        for name in kernel.apart:
            if name not in self.inputs:
                self.checker.fail(f"{name} is no input", f"apart {', '.join(kernel.apart)}")
        if kernel.order is not None and kernel.order != ("", 0) and kernel.order[0] not in self.reduced:
            self.checker.fail(f"{kernel.order[0]} is not reduced", f"order {kernel.order[0]}")
        for o in (*kernel.inputs, *kernel.outputs):
            if self.inputs.get(o.name, o) != self.outputs.get(o.name, o):
                self.checker.fail(f"{o.name} is not the same on both sides", "its operands")
            self.checker.shape(o.shape, f"operand {o.name}", axes)

    def ragged(self, axis: Axis) -> None:
        text, extent = f"axis {axis.name}", as_expr(axis.extent)
        if axis.name not in self.reduced:
            self.checker.fail("the extent of a free axis is loaded", text)
        counts = {n: (o.dtype, len(o.shape)) for n, o in self.inputs.items() if o.dtype == I64 and n not in self.outputs}
        free = {a.name: I64 for a in self.kernel.free}
        Checker(self.checker.where, counts, {**self.checker.variables, **free}, self.checker.open).expr(extent, text, I64)
        if variables(extent) & self.reduced:
            self.checker.fail("the extent depends on a reduced axis", text)

    def statement(self, s: Statement) -> None:
        text = print_statement(s)
        if isinstance(s, Store):
            self.store(s, text)
            return
        value = s.value
        if s.name in self.checker.variables:  # an operand may be called the same
            self.checker.fail(f"{s.name} is defined twice", text)
        if isinstance(value, Reduce):
            self.reduce(value, text)
            body = value.body
        else:
            body = value
            self.expr(body, text)
        self.checker.variables = {**self.checker.variables, s.name: s.dtype}
        bound = set(value.axes) if isinstance(value, Reduce) else set()
        self.depends[s.name] = self.axes_of(body) - bound

    def reduce(self, reduce: Reduce, text: str) -> None:
        if not reduce.axes or len(set(reduce.axes)) != len(reduce.axes):
            self.checker.fail("a reduction needs distinct axes", text)
        for axis in reduce.axes:
            if axis not in {a.name for a in self.kernel.axes}:
                self.checker.fail(f"{axis} is no axis", text)
        function = FUNCTIONS[REDUCTION_FUNCTIONS[reduce.op]]
        logical = reduce.op in ("any", "all")
        if reduce.body.dtype.kind not in function.kinds or (logical and reduce.body.dtype != BOOL):
            self.checker.fail(f"{reduce.op} is not defined on {reduce.body.dtype},", text)
        self.expr(reduce.body, text, reduce.axes)

    def expr(self, e: Expr, text: str, bound: Collection[str] = (), dtype: DType | None = None) -> None:
        for load in loads(e):
            if load.source in self.outputs and load.source not in self.inputs:
                self.checker.fail(f"{load.source} is no input", text)
        self.checker.expr(e, text, dtype)
        stray = (variables(e) & self.reduced) - set(bound)
        if stray:
            self.checker.fail(f"the reduced axis {', '.join(sorted(stray))} stands outside its reduction", text)

    def store(self, s: Store, text: str) -> None:
        output = self.outputs.get(s.target)
        if output is None:
            self.checker.fail(f"{s.target} is no output", text)
        if len(s.index) != len(output.shape):
            self.checker.fail(f"{s.target} has {len(output.shape)} dimensions, its index has {len(s.index)}", text)
        for i in s.index:
            self.expr(i, text, dtype=I64)
        self.expr(s.value, text, dtype=output.dtype)
        reached = set().union(*(self.axes_of(i) for i in s.index))
        for axis in self.kernel.free:
            if axis.extent != 1 and axis.name not in reached:
                self.checker.fail(f"points along {axis.name} store to one place", text)
        if s.target in self.inputs and self.stored.get(s.target, s.index) != s.index:
            self.checker.fail(f"the accumulator {s.target} is stored to another place too", text)
        self.stored[s.target] = s.index

    def axes_of(self, e: Expr) -> set[str]:
        """The axes that a value depends on, through locals."""
        found: set[str] = set()
        for name in variables(e):
            found |= self.depends.get(name, {name})
        return found

    def axes_in(self, index: tuple[Expr, ...]) -> bool:
        reached = set().union(*(self.axes_of(i) for i in index))
        return not reached.isdisjoint(a.name for a in self.kernel.axes)

    def accumulators(self) -> None:
        written: set[str] = set()
        for s in self.kernel.body:
            value = s.value.body if isinstance(s.value, Reduce) else s.value
            for e in (*s.index, value) if isinstance(s, Store) else (value,):
                for load in loads(e):
                    if load.source in self.outputs:
                        self.accumulator(load, load.source in written, print_statement(s))
            if isinstance(s, Store):
                written.add(s.target)

    def accumulator(self, load: Load, written: bool, text: str) -> None:
        stored = self.stored[load.source]
        slabs = any(a != b and not self.axes_in((a, b)) for a, b in zip(load.index, stored, strict=True))
        if slabs or load.source in self.kernel.apart:
            return
        if written:
            self.checker.fail(f"{load.source} is read after its store", text)
        if load.index != stored:
            place = ", ".join(map(print_expr, stored))
            self.checker.fail(f"{load.source} is read elsewhere than at [{place}], where it is stored,", text)
