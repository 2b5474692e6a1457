"""Runs an operator all ways: its type rule, its NumPy meaning and its kernels, on concrete and on symbolic shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from bough import ops
from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import BF16, from_numpy
from bough.ir.evaluate import Precision, shape_value
from bough.ir.expr import Extent, Var
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Operand
from bough.ir.program import TensorType
from bough.ir.verify_kernel import verify_kernel

Array = np.ndarray[Any, Any]
Argument = torch.Tensor | None


def to_numpy(x: torch.Tensor) -> Array:
    x = x.detach().resolve_conj().contiguous()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def type_of(a: Array) -> TensorType:
    return TensorType(BF16 if a.dtype == np.uint16 else from_numpy(a.dtype), a.shape)


def symbolic(t: TensorType, fixed: frozenset[int]) -> TensorType:
    """Sizes above 1 become symbols named after the size, so that equal sizes stay equal."""
    shape: tuple[Extent, ...] = tuple(e if e in fixed or e == 1 else Var(f"size{e}") for e in t.shape)
    return TensorType(t.dtype, shape)


def run_lowered(
    op: str, arrays: Sequence[Array | None], types: Sequence[TensorType | None], attributes: dict[str, Any], sizes: dict[str, int],
    precision: Precision = "native",
) -> tuple[Array, ...]:  # fmt: skip
    results = ops.infer(op, types, attributes)
    args = [None if t is None else Operand(f"x{n}", t.dtype, t.shape) for n, t in enumerate(types)]
    outs = [Operand(f"y{n}", t.dtype, t.shape) for n, t in enumerate(results)]
    memory = {a.name: v for a, v in zip(args, arrays) if a is not None and v is not None}
    for kernel in ops.lower(op, args, outs, attributes):
        assert all(o.name in memory for o in kernel.inputs), f"{kernel.name} reads what nothing has written"
        assert all(o.name.startswith("y") for o in kernel.outputs)
        verify_kernel(kernel)
        memory.update(run_kernel(kernel, memory, sizes, precision))
    return tuple(memory[o.name] for o in outs)


def close(got: Array, want: Array, rtol: float, atol: float) -> None:
    assert got.shape == want.shape, (got.shape, want.shape)
    got, want = (from_bf16(a) if a.dtype == np.uint16 else a for a in (got, want))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, equal_nan=True)


def check_reference(
    op: str, arrays: Sequence[Array | None], types: Sequence[TensorType | None], attributes: dict[str, Any],
    results: tuple[TensorType, ...],
) -> None:  # fmt: skip
    """Asserts that meaning and kernels of a float32 operator agree in float64 too, where no constant may be rounded."""
    wide = [a.astype(np.float64) if a is not None and a.dtype == np.float32 else a for a in arrays]
    meant = ops.evaluate(op, wide, attributes, results)
    for got, m, t in zip(run_lowered(op, wide, types, attributes, {}, "float64"), meant, results, strict=True):
        assert m.dtype == np.float64 or not t.dtype.is_float
        close(got, m, 1e-10, 1e-10)


def check_operator(
    op: str,
    args: Sequence[Argument],
    want: torch.Tensor | Sequence[torch.Tensor],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    dynamic: bool = True,
    fixed: frozenset[int] = frozenset(),
    **attributes: Any,
) -> None:
    """Asserts that type rule and meaning agree with what PyTorch gave, and the kernels with the meaning."""
    arrays = [None if a is None else to_numpy(a) for a in args]
    wanted = [to_numpy(w) for w in ((want,) if isinstance(want, torch.Tensor) else want)]
    types = [None if a is None else type_of(a) for a in arrays]
    results = ops.infer(op, types, attributes)
    assert [(str(r.dtype), r.shape) for r in results] == [(str(type_of(w).dtype), w.shape) for w in wanted]
    meant = ops.evaluate(op, arrays, attributes, results)
    for m, w in zip(meant, wanted, strict=True):
        close(m, w, rtol, atol)
    for got, m in zip(run_lowered(op, arrays, types, attributes, {}), meant, strict=True):
        close(got, m, rtol, atol)
    # A cast from float64 must round, and a float64 array does not tell whether it stands for float32 here.
    if op != "cast" and any(a is not None and a.dtype == np.float32 for a in arrays):
        check_reference(op, arrays, types, attributes, results)
    if not dynamic:
        return
    free = [None if t is None else symbolic(t, fixed) for t in types]
    sizes = {f"size{e}": int(e) for t in types if t is not None for e in t.shape}
    for r, w in zip(ops.infer(op, free, attributes), wanted, strict=True):
        assert shape_value(r.shape, sizes) == w.shape
    for got, m in zip(run_lowered(op, arrays, free, attributes, sizes), meant, strict=True):
        close(got, m, rtol, atol)


Check = Callable[..., None]


@pytest.fixture(scope="session")
def check() -> Check:
    return check_operator
