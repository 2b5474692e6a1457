"""Kernels of constant extents as Python functions: how instructions run when loops are interpreted.

The same meaning as `run_kernel`, with everything that depends on the axes alone worked out once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from bough.base.errors import InternalError
from bough.ir.dtypes import BF16
from bough.ir.emit_python import ExpressionEmitter, Scope
from bough.ir.evaluate import clip_index, compute_type, evaluate, extent_value, shape_value
from bough.ir.expr import Expr, Load, Var, loads, variables
from bough.ir.functions import reduction_unit
from bough.ir.interpret_kernel import REDUCERS
from bough.ir.kernel import Kernel, Let, Reduce, Store


@lru_cache(maxsize=256)
def compile_kernel(kernel: Kernel) -> Callable[..., None]:
    """A function that runs `kernel` in place on arrays: its inputs in order, then the outputs that are no inputs.

    Callers silence NumPy's floating-point warnings. Raises InternalError where an extent is not constant, or an index
    outside.
    """
    emitter = _KernelEmitter(kernel)
    exec(compile(emitter.source(), f"<kernel {kernel.name}>", "exec"), emitter.namespace)
    run: Callable[..., None] = emitter.namespace["run"]
    return run


class _KernelEmitter(ExpressionEmitter):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.axes = [a.name for a in kernel.axes]
        self.extents = {a.name: extent_value(a.extent, {}) for a in kernel.axes}
        self.shapes = {o.name: shape_value(o.shape, {}) for o in kernel.operands.values()}
        self.namespace["broadcast_to"] = np.broadcast_to

    def source(self) -> str:
        scope = Scope(varying=frozenset(self.axes))
        for axis in self.axes:
            scope.names[axis] = self.share("axis", self.grid(axis))
        for name in self.kernel.operands:
            scope.names[name] = self.fresh("operand")
        lines = [f"def run({', '.join(scope.names[name] for name in self.kernel.operands)}):"]
        stores = []
        for s in self.kernel.body:
            value = self.reduce(s.value, scope) if isinstance(s.value, Reduce) else self.expr(s.value, scope)
            if isinstance(s, Let):
                varies = isinstance(s.value, Reduce) or scope.varies(s.value)
                scope.varying |= {s.name} if varies else frozenset()
                scope.names[s.name] = self.fresh("local")
                lines.append(f" {scope.names[s.name]} = {value}")
            else:
                stores.append(self.store(s, value, scope))
        return "\n".join([*lines, *stores])

    def grid(self, axis: str) -> Any:
        shape = [self.extents[a] if a == axis else 1 for a in self.axes]
        return np.arange(self.extents[axis], dtype=np.int64).reshape(shape)

    def reduce(self, reduce: Reduce, scope: Scope) -> str:
        dtype = compute_type(reduce.body.dtype)
        body = self.expr(reduce.body, scope)
        inner = {a: self.extents[a] for a in reduce.axes}
        places = tuple(self.axes.index(a) for a in reduce.axes)

        def run(values: Any) -> Any:
            shape = list(np.shape(values)) or [1] * len(self.axes)
            for axis, extent in inner.items():
                shape[self.axes.index(axis)] = extent
            unit = reduction_unit(reduce.op, reduce.body.dtype)
            whole = np.broadcast_to(values, shape)
            return REDUCERS[reduce.op].reduce(whole, axis=places, dtype=dtype, keepdims=True, initial=unit)

        return f"{self.share('reduce', run)}({body})"

    def load(self, e: Load, scope: Scope, mask: str | None) -> str:
        subscript = self.subscript(e.source, e.index, mask is not None) if scope.varies(e) else None
        return f"{scope.names[e.source]}[{subscript}]" if subscript else super().load(e, scope, mask)

    def store(self, s: Store, value: str, scope: Scope) -> str:
        if s.value.dtype == BF16:
            value = f"to_bf16({value})"
        subscript = self.subscript(s.target, s.index, False)
        if subscript is None:
            raise InternalError(f"kernel {self.kernel.name} stores at a place that it computes")
        return f" {scope.names[s.target]}[{subscript}] = {value}"

    def subscript(self, name: str, index: tuple[Expr, ...], masked: bool) -> str | None:
        """The place of elements as an array over the box of all axes; None where it depends on more than the axes, or is
        outside at points that a mask may leave out."""
        if not all(_over(i, self.axes) for i in index):
            return None
        used = [i.name for i in index if isinstance(i, Var)]
        whole = [self.extents[a] for a in used] == list(self.shapes[name])
        if whole and len(used) == len(index) and used == [a for a in self.axes if a in used]:
            return ", ".join(":" if a in used else "None" for a in self.axes) or "()"
        grids = {a: self.grid(a) for a in self.axes}
        places = tuple(np.asarray(evaluate(i, grids)) for i in index)
        shape = np.broadcast_shapes((1,) * len(self.axes), *(p.shape for p in places))
        try:
            clip_index(name, places, self.shapes[name])
        except InternalError:
            if masked:
                return None
            raise
        return self.share("place", tuple(np.broadcast_to(p, shape) for p in places)) if index else "None, " * len(shape)


def _over(e: Expr, axes: list[str]) -> bool:
    """Whether `e` depends on nothing but axes."""
    return not loads(e) and variables(e) <= set(axes)
