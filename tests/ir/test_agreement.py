"""Random kernels mean the same to the kernel interpreter, as compiled kernels, and as plain loops, serial and vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_ir import Names, expressions

from bough.ir import loops
from bough.ir.bfloat import to_bf16
from bough.ir.compile_kernel import compile_kernel
from bough.ir.dtypes import BF16, BOOL, F32, F64, I32, I64, DType
from bough.ir.expr import Apply, Const, Expr, Load, Var, children, rebuild
from bough.ir.functions import REDUCTION_FUNCTIONS, reduction_unit
from bough.ir.interpret_kernel import run_kernel
from bough.ir.interpret_loops import run_loops
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Store
from bough.ir.kernel_text import parse_kernel, print_kernel
from bough.ir.verify_kernel import verify_kernel
from bough.ir.verify_loops import verify_loops

Array = np.ndarray[Any, Any]
FREE = (Axis("i", 3), Axis("j", 4))
INPUTS = (
    Operand("x", F32, (3, 4)), Operand("w", F64, (5,)), Operand("b", BF16, (4,)), Operand("n", I64, (2, 3)),
    Operand("m", I32, ()), Operand("p", BOOL, (4, 2)),
)  # fmt: skip


def inside(e: Expr) -> Expr:
    """The expression with every index brought inside its array."""
    new = rebuild(e, tuple(inside(k) for k in children(e)))
    if not isinstance(new, Load):
        return new
    shape = next(o.shape for o in INPUTS if o.name == new.source)
    index = tuple(Apply("mod", (i, Const(int(str(size)))), I64) for i, size in zip(new.index, shape, strict=True))
    return Load(new.source, index, new.dtype)


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    def value(dtype: DType, names: Names) -> Expr:
        return inside(draw(expressions(dtype, names, 3)))

    names = Names(tuple((o.name, o.dtype, len(o.shape)) for o in INPUTS), (("i", I64), ("j", I64)), tame=True)
    axes, body = FREE, []
    if draw(st.booleans()):
        axes = (*FREE, Axis("k", draw(st.integers(0, 5))), Axis("q", 2))
        dtype, op = draw(st.sampled_from([(F32, "max"), (I64, "sum"), (I32, "min"), (BOOL, "any"), (BOOL, "all")]))
        over: tuple[str, ...] = draw(st.sampled_from([("k",), ("q", "k")]))
        inner = names
        for axis in over:
            inner = inner.with_variable(axis)
        body.append(Let("r", Reduce(op, over, value(dtype, inner))))
        names = names.with_variable("r", dtype)
        axes = tuple(a for a in axes if a.name not in ("k", "q") or a.name in over)
    dtype = draw(st.sampled_from([F32, I64, BOOL]))
    body.append(Let("v", value(dtype, names)))
    names = names.with_variable("v", dtype)
    result = draw(st.sampled_from([F32, F64, BF16, I64, I32, BOOL]))
    store = Store("y", (Var("j"), Var("i")), value(result, names))
    return Kernel("random", axes, INPUTS, (Operand("y", result, (4, 3)),), (*body, store))


def lowered(kernel: Kernel, kind: loops.LoopKind) -> loops.Function:
    """One loop per axis, in order; the innermost free one of `kind`."""
    extents = {a.name: Const(int(str(a.extent))) for a in kernel.axes}
    body: list[loops.Stmt] = []
    for s in kernel.body:
        if isinstance(s, Store):
            body.append(loops.Store(s.target, s.index, s.value))
        elif isinstance(s.value, Reduce):
            dtype, total = s.value.body.dtype, f"{s.name}.total"
            at = (Var("j"),)
            combine = Apply(REDUCTION_FUNCTIONS[s.value.op], (Load(total, at, dtype), s.value.body), dtype)
            nest: loops.Stmt = loops.Store(total, at, combine)
            for axis in reversed(s.value.axes):
                nest = loops.For(axis, Const(0), extents[axis], (nest,))
            body.append(loops.Store(total, at, Const(reduction_unit(s.value.op, dtype), dtype)))
            body.append(nest)
            body.append(loops.Let(s.name, Load(total, at, dtype)))
        else:
            body.append(loops.Let(s.name, s.value))
    allocs = tuple(
        loops.Alloc(loops.Buffer(f"{name}.total", r.body.dtype, (4,), "scratch")) for name, r in kernel.reductions
    )
    inner = loops.For("j", Const(0), extents["j"], tuple(body), kind, lanes=4 if kind == "vector" else 0)
    outer = loops.For("i", Const(0), extents["i"], (*allocs, inner), "parallel")
    params = tuple(loops.Buffer(o.name, o.dtype, o.shape) for o in (*kernel.inputs, *kernel.outputs))
    return loops.Function("lowered", (), params, (outer,))


def random_arrays() -> dict[str, Array]:
    rng = np.random.default_rng(1)
    arrays: dict[str, Array] = {}
    for o in INPUTS:
        shape = tuple(int(str(e)) for e in o.shape)
        numbers = rng.standard_normal(shape) * 2 if o.dtype.is_float else rng.integers(-2, 3, shape)
        arrays[o.name] = to_bf16(numbers) if o.dtype == BF16 else np.asarray(numbers).astype(o.dtype.numpy)
    return arrays


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_all_ways_to_run_a_kernel_agree(kernel: Kernel) -> None:
    verify_kernel(kernel, [])
    assert parse_kernel(print_kernel(kernel)) == kernel
    arrays = random_arrays()
    expected = run_kernel(kernel, arrays)["y"]
    y = np.zeros_like(expected)
    with np.errstate(all="ignore"):
        compile_kernel(kernel)(*arrays.values(), y)
    np.testing.assert_array_equal(y, expected)
    kinds: tuple[loops.LoopKind, ...] = ("serial", "vector")
    for kind in kinds:
        function = lowered(kernel, kind)
        verify_loops(function)
        y = np.zeros_like(expected)
        run_loops(function, {**arrays, "y": y}, shuffle=0)
        np.testing.assert_array_equal(y, expected)
