"""Hypothesis strategies: well-typed expressions, kernels and loop functions. Texts are read back, nothing is run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from bough.ir.dtypes import BF16, BOOL, DTYPES, F32, F64, I32, I64, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Load, Var
from bough.ir.functions import FUNCTIONS, Function, result_type
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.loops import Alloc, Buffer, Fetch, For, If, Invoke, LoopKind, Slice, Stmt
from bough.ir.loops import Function as LoopFunction
from bough.ir.loops import Let as LoopLet
from bough.ir.loops import Store as LoopStore

TYPES = [F32, F32, F64, BF16, I64, I64, I32, BOOL]
NAMES = ["x", "y.tile", "fc-1 out", "for", "alloc", "axes", "if", "step", "inf", "sum", "exp", "f32", "_q"]


@dataclass(frozen=True)
class Names:
    """Arrays with their rank, and variables, that expressions may use. `tame`: no integer overflows, and no value depends
    on how a float that is too large is converted."""

    arrays: tuple[tuple[str, DType, int], ...] = ()
    variables: tuple[tuple[str, DType], ...] = ()
    tame: bool = False

    def but(self, name: str) -> Names:
        return replace(self, variables=tuple(v for v in self.variables if v[0] != name))

    def with_variable(self, name: str, dtype: DType = I64) -> Names:
        return replace(self.but(name), variables=(*self.but(name).variables, (name, dtype)))

    def with_array(self, name: str, dtype: DType, rank: int) -> Names:
        kept = tuple(a for a in self.arrays if a[0] != name)
        return replace(self, arrays=(*kept, (name, dtype, rank)))


def literals(dtype: DType, tame: bool) -> st.SearchStrategy[Expr]:
    if tame and dtype != BOOL:
        return st.integers(-3, 5).map(lambda v: Const(v + 0.25 if dtype.is_float else v, dtype))
    if dtype == BOOL:
        return st.booleans().map(lambda v: Const(v, BOOL))
    if dtype.is_float:
        return st.floats(allow_nan=False).map(lambda v: Const(v, dtype))
    low = -(1 << (dtype.bits - 1)) if dtype.kind == "int" else 0
    return st.integers(low, (1 << (dtype.bits - 1)) - 1).map(lambda v: Const(v, dtype))


@st.composite
def expressions(draw: st.DrawFn, dtype: DType, names: Names, depth: int = 3) -> Expr:
    """An expression of this type."""
    variables = [Var(n, t) for n, t in names.variables if t == dtype]
    arrays = [a for a in names.arrays if a[1] == dtype]
    kinds = ["literal", *(["variable"] * 2 if variables else [])]
    if depth:
        kinds += ["apply", "apply", "cast", *(["load"] * 2 if arrays else [])]
    match draw(st.sampled_from(kinds)):
        case "variable":
            return draw(st.sampled_from(variables))
        case "load":
            name, _, rank = draw(st.sampled_from(arrays))
            index = [draw(expressions(I64, names, depth - 1)) for _ in range(rank)]
            return Load(name, tuple(index), dtype)
        case "cast":
            tame = [t for t in TYPES if not names.tame or not t.is_float or dtype.is_float or dtype == BOOL]
            return Cast(draw(expressions(draw(st.sampled_from(tame)), names, depth - 1)), dtype)
        case "apply":
            return draw(applications(dtype, names, depth))
        case _:
            return draw(literals(dtype, names.tame))


@st.composite
def applications(draw: st.DrawFn, dtype: DType, names: Names, depth: int) -> Expr:
    if draw(st.integers(0, 9)) == 0:
        args = (BOOL, dtype, dtype)
        return Apply("select", tuple(draw(expressions(t, names, depth - 1)) for t in args), dtype)

    def fits(f: Function) -> bool:
        wild = names.tame and f.name in ("pow", "shl", "mod") and f.result == "same"
        return f.name != "select" and not wild and (dtype == BOOL if f.result == "bool" else dtype.kind in f.kinds)

    function = draw(st.sampled_from([f for f in FUNCTIONS.values() if fits(f)]))
    operand = dtype
    if function.result == "bool":
        operand = draw(st.sampled_from([t for t in TYPES if t.kind in function.kinds]))
    operands = tuple(draw(expressions(operand, names, depth - 1)) for _ in range(function.arity))
    return Apply(function.name, operands, result_type(function.name, *(a.dtype for a in operands)))


def extents() -> st.SearchStrategy[int | Expr]:
    symbols = Names(variables=(("batch", I64), ("n", I64)))
    return st.integers(0, 99) | expressions(I64, symbols, 2).filter(lambda e: not isinstance(e, Const))


shapes = st.lists(extents(), max_size=3).map(tuple)
places = st.sampled_from(["memory", "zmm", "in"])


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    pool = iter([*NAMES, *(f"v{i}" for i in range(30))])
    axes = tuple(Axis(next(pool), draw(extents())) for _ in range(draw(st.integers(0, 3))))
    operands = [
        Operand(next(pool), draw(st.sampled_from(list(DTYPES.values()))), draw(shapes), draw(places)) for _ in range(3)
    ]
    names = Names(
        tuple((o.name, o.dtype, len(o.shape)) for o in operands), tuple((a.name, I64) for a in (*axes, Axis("n", 1)))
    )
    body: list[Statement] = []
    for _ in range(draw(st.integers(0, 3))):
        dtype = draw(st.sampled_from(TYPES))
        name, value = next(pool), draw(expressions(dtype, names))
        some = draw(st.lists(st.sampled_from([a.name for a in axes]), unique=True)) if axes else []
        op = draw(st.sampled_from(["any", "all"] if dtype == BOOL else ["sum", "prod", "max", "min"]))
        body.append(Let(name, Reduce(op, tuple(some), value) if some else value))
        names = names.with_variable(name, dtype)
    target = operands[-1]
    index = tuple(draw(expressions(I64, names, 1)) for _ in target.shape)
    body.append(Store(target.name, index, draw(expressions(target.dtype, names))))
    inputs = operands if draw(st.booleans()) else operands[:-1]
    return Kernel(draw(st.sampled_from(NAMES)), axes, tuple(inputs), (target,), tuple(body))


@st.composite
def blocks(draw: st.DrawFn, names: Names, depth: int) -> tuple[Stmt, ...]:
    body: list[Stmt] = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["let", "store", "alloc", "invoke", "fetch", *(["for", "if"] if depth else [])]))
        match kind:
            case "let":
                dtype = draw(st.sampled_from(TYPES))
                name = draw(st.sampled_from(NAMES))
                body.append(LoopLet(name, draw(expressions(dtype, names, 2))))
                names = names.with_variable(name, dtype)
            case "alloc":
                buffer = draw(buffers())
                body.append(Alloc(buffer))
                names = names.with_array(buffer.name, buffer.dtype, len(buffer.shape))
            case "store":
                array, dtype, rank = draw(st.sampled_from(names.arrays))
                index = tuple(draw(expressions(I64, names, 2)) for _ in range(rank))
                body.append(LoopStore(array, index, draw(expressions(dtype, names, 2))))
            case "fetch":
                array, _, rank = draw(st.sampled_from(names.arrays))
                body.append(Fetch(array, tuple(draw(expressions(I64, names, 2)) for _ in range(rank))))
            case "invoke":
                slices = draw(st.lists(slices_of(names), max_size=3))
                body.append(Invoke(draw(st.sampled_from(["avx512.fma", "for", "if"])), tuple(slices)))
            case "if":
                condition = draw(expressions(BOOL, names, 2))
                then, otherwise = draw(blocks(names, depth - 1)), draw(blocks(names, depth - 1))
                body.append(If(condition, then, otherwise))
            case "for":
                loop_kind: LoopKind = draw(st.sampled_from(["serial", "parallel", "unroll", "vector"]))
                var = draw(st.sampled_from(NAMES))
                start, stop = draw(expressions(I64, names, 1)), draw(expressions(I64, names, 1))
                inner = draw(blocks(names.with_variable(var), depth - 1))
                lanes = draw(st.sampled_from([0, 16]))
                body.append(For(var, start, stop, inner, loop_kind, draw(st.integers(1, 3)), lanes))
    return tuple(body)


@st.composite
def buffers(draw: st.DrawFn, name: str | None = None) -> Buffer:
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    chosen = name or draw(st.sampled_from(NAMES))
    return Buffer(chosen, dtype, draw(shapes), draw(places), draw(st.sampled_from([4, 64])))


@st.composite
def slices_of(draw: st.DrawFn, names: Names) -> Slice:
    array, _, rank = draw(st.sampled_from(names.arrays))
    dims = draw(st.lists(st.sampled_from(range(rank)), unique=True)) if rank else []
    return Slice(array, tuple(draw(expressions(I64, names, 2)) for _ in range(rank)), tuple(dims))


@st.composite
def loop_functions(draw: st.DrawFn) -> LoopFunction:
    params = tuple(draw(buffers(name)) for name in ["a", "b b", "c"])
    names = Names(tuple((b.name, b.dtype, len(b.shape)) for b in params), (("n", I64),))
    return LoopFunction(draw(st.sampled_from(NAMES)), ("n", "batch"), params, draw(blocks(names, 2)))
