"""Fewer axes, same kernel: unit axes vanish, and axes that are adjacent in every access become one.

    y[b, c, h, w] = max(x[b, c, h, w], 0)   ->   y[i] = max(x[i], 0)

An array that is only read as if it had one dimension in place of two gets it:

    most = max(k) x[k // 8, k % 8]   ->   most = max(k) x[k]
"""

from __future__ import annotations

from dataclasses import replace

from bough.ir.expr import (
    Apply,
    Const,
    Expr,
    Extent,
    Load,
    Var,
    add,
    as_expr,
    children,
    loads,
    mul,
    rebuild,
    substitute,
    variables,
)
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store
from bough.ir.sequence import expressions, map_loads, map_statement
from bough.schedule.reductions import unit_of


def normalize(kernel: Kernel, rows: tuple[str, ...] = (), apart: frozenset[str] = frozenset()) -> Kernel:
    """The kernel with unit axes removed and adjacent axes fused, but for `rows`. Operands may get other shapes, never another
    layout. `apart`: sizes than which rows may be longer; none of such a size are fused, unless they are summed up."""
    kernel = join_dimensions(drop_unit_axes(drop_empty_reductions(kernel)))
    while True:
        fused = _fuse_pair(kernel, rows, apart)
        if fused is None:
            return kernel
        kernel = fused


def drop_empty_reductions(kernel: Kernel) -> Kernel:
    """A reduction over no points is the value that it starts with."""
    empty = {a.name for a in kernel.axes if a.extent == 0} & set(kernel.reduced)
    if not empty:
        return kernel
    body: list[Statement] = []
    gone: set[str] = set()
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce) and empty & set(s.value.axes):
            gone |= set(s.value.axes)
            s = Let(s.name, unit_of(s.value.op, s.value.body.dtype))
        body.append(s)
    kept = {a for s in body if isinstance(s, Let) and isinstance(s.value, Reduce) for a in s.value.axes}
    axes = tuple(a for a in kernel.axes if a.name not in gone - kept)
    read = {load.source for s in body for e in expressions(s) for load in loads(e)}
    read |= {load.source for a in axes for load in loads(as_expr(a.extent))}
    return replace(
        kernel,
        axes=axes,
        inputs=tuple(i for i in kernel.inputs if i.name in read),
        body=tuple(body),
    )


def drop_unit_reductions(kernel: Kernel) -> Kernel:
    """A reduction over one point is what it reduces there."""
    unit: dict[str, Expr] = {a.name: Const(0) for a in kernel.axes if a.extent == 1} if kernel.reductions else {}
    if not any(unit.keys() & r.axes for _, r in kernel.reductions):
        return kernel
    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce):
            axes = tuple(a for a in s.value.axes if a not in unit)
            point = substitute(s.value.body, unit)
            s = Let(s.name, Reduce(s.value.op, axes, point) if axes else point)
        body.append(s)
    gone = unit.keys() & kernel.reduced
    return replace(kernel, axes=tuple(a for a in kernel.axes if a.name not in gone), body=tuple(body))


def drop_unit_axes(kernel: Kernel) -> Kernel:
    """Axes with one point are replaced by 0, and dimensions of size 1 vanish from operands."""
    unit: dict[str, Expr] = {a.name: Const(0) for a in kernel.axes if a.extent == 1}
    narrow = {n: o.shape for n, o in kernel.operands.items() if 1 in o.shape}
    if not unit and not narrow:
        return kernel

    def index_of(operand: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(i for i, e in zip(index, narrow[operand]) if e != 1) if operand in narrow else index

    def narrowed(load: Load) -> Expr:
        return Load(load.source, index_of(load.source, load.index), load.dtype)

    def extent(e: Extent) -> Extent:
        return e if isinstance(e, int) else map_loads(substitute(e, unit), narrowed)

    body: list[Statement] = []
    for s in kernel.body:
        s = map_statement(s, lambda e: map_loads(substitute(e, unit), narrowed))
        if isinstance(s, Store):
            s = Store(s.target, index_of(s.target, s.index), s.value)
        elif isinstance(s.value, Reduce):
            axes = tuple(a for a in s.value.axes if a not in unit)
            s = Let(s.name, Reduce(s.value.op, axes, s.value.body) if axes else s.value.body)
        body.append(s)
    inputs, outputs = (tuple(_without_units(o) for o in group) for group in (kernel.inputs, kernel.outputs))
    left = tuple(Axis(a.name, extent(a.extent)) for a in kernel.axes if a.name not in unit)
    return replace(kernel, axes=left, inputs=inputs, outputs=outputs, body=tuple(body))


def _without_units(o: Operand) -> Operand:
    return Operand(o.name, o.dtype, tuple(e for e in o.shape if e != 1), o.place) if 1 in o.shape else o


def join_dimensions(kernel: Kernel) -> Kernel:
    """Neighbouring dimensions of an input that is indexed by `e // size, e % size` alone become one, indexed by `e`."""
    while True:
        found = next((pair for o in kernel.inputs if (pair := _divided(kernel, o)) is not None), None)
        if found is None:
            return kernel
        kernel = _joined(kernel, *found)


def _divided(kernel: Kernel, o: Operand) -> tuple[str, int] | None:
    """The input, and the first of two of its dimensions that are only named together."""
    if any(x.name == o.name for x in kernel.outputs) or any(loads(as_expr(a.extent)) for a in kernel.axes):
        return None
    indices = {x.index for s in kernel.body for e in expressions(s) for x in loads(e) if x.source == o.name}
    for n, size in enumerate(o.shape[1:]):
        if isinstance(size, int) and indices and all(_quotient(i[n], i[n + 1], size) is not None for i in indices):
            return o.name, n
    return None


def _quotient(whole: Expr, rest: Expr, size: int) -> Expr | None:
    """`e`, where the indices are `e // size` and `e % size`."""
    match whole, rest:
        case Apply("floordiv", (a, by), _), Apply("mod", (b, by_too), _) if a == b and by == by_too == Const(size):
            return a
    return None


def _joined(kernel: Kernel, name: str, n: int) -> Kernel:
    size = kernel.operands[name].shape[n + 1]
    assert isinstance(size, int)

    def change(load: Load) -> Expr:
        whole = _quotient(load.index[n], load.index[n + 1], size) if load.source == name else None
        return load if whole is None else Load(name, (*load.index[:n], whole, *load.index[n + 2 :]), load.dtype)

    def reshape(o: Operand) -> Operand:
        if o.name != name:
            return o
        return Operand(name, o.dtype, (*o.shape[:n], _product(o.shape[n], o.shape[n + 1]), *o.shape[n + 2 :]), o.place)

    body = tuple(map_statement(s, lambda e: map_loads(e, change)) for s in kernel.body)
    return replace(kernel, inputs=tuple(map(reshape, kernel.inputs)), body=body)


def _fuse_pair(kernel: Kernel, rows: tuple[str, ...], apart: frozenset[str]) -> Kernel | None:
    for a, b in _adjacent(kernel):
        if a in rows or b in rows:
            continue
        if b not in kernel.reduced and not apart.isdisjoint(variables(as_expr(kernel.axis(b).extent))):
            continue
        places = _places(kernel, a, b)
        if places is not None:
            return _fused(kernel, a, b, places)
    return None


def _adjacent(kernel: Kernel) -> list[tuple[str, str]]:
    """Pairs of axes that stand next to each other in some access, and may share a loop."""
    reduced = set(kernel.reduced)
    found: dict[tuple[str, str], None] = {}
    indices = [s.index for s in kernel.stores]
    indices += [load.index for s in kernel.body for e in expressions(s) for load in loads(e)]
    ragged = kernel.ragged
    names = {a.name for a in kernel.axes} - {v for a in ragged for v in (a.name, *variables(as_expr(a.extent)))}
    names -= {kernel.order[0]} if kernel.order else set()
    for index in indices:
        for x, y in zip(index, index[1:]):
            if isinstance(x, Var) and isinstance(y, Var) and x.name in names and y.name in names and x != y:
                together = (x.name in reduced) == (y.name in reduced)
                if together and all(_neighbours(r, x.name, y.name) for _, r in kernel.reductions):
                    found[x.name, y.name] = None
    return list(found)


def _neighbours(reduce: Reduce, a: str, b: str) -> bool:
    if a not in reduce.axes and b not in reduce.axes:
        return True
    if a not in reduce.axes or b not in reduce.axes:
        return False
    return reduce.axes.index(b) == reduce.axes.index(a) + 1


def _places(kernel: Kernel, a: str, b: str) -> dict[str, int] | None:
    """Operand -> dimension at which it has `[a, b]`; None where the pair occurs in any other way."""
    extent = kernel.axis(b).extent
    shapes = {n: o.shape for n, o in kernel.operands.items()}
    places: dict[str, int] = {}

    def index_fits(operand: str, index: tuple[Expr, ...]) -> bool:
        n = 0
        while n < len(index):
            if index[n] == Var(a):
                if n + 1 >= len(index) or index[n + 1] != Var(b) or shapes[operand][n + 1] != extent:
                    return False
                if places.setdefault(operand, n) != n:
                    return False
                n += 2
            elif {a, b} & variables(index[n]):
                return False
            else:
                n += 1
        return True

    def fits(e: Expr) -> bool:
        if isinstance(e, Load):
            return index_fits(e.source, e.index)
        if isinstance(e, Var):
            return e.name not in (a, b)
        return all(fits(k) for k in children(e))

    for s in kernel.body:
        values = [s.value] if isinstance(s, Store) else list(expressions(s))
        if isinstance(s, Store) and not index_fits(s.target, s.index):
            return None
        for e in values:
            if not isinstance(e, Reduce) and not fits(e):
                return None
    return places


def _fused(kernel: Kernel, a: str, b: str, places: dict[str, int]) -> Kernel:
    inner = kernel.axis(b).extent

    def index_of(operand: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        if operand not in places:
            return index
        n = places[operand]
        pair = Var(a) if index[n] == Var(a) else add(mul(index[n], inner), index[n + 1])
        return (*index[:n], pair, *index[n + 2 :])

    def change(e: Expr) -> Expr:
        new = rebuild(e, tuple(change(k) for k in children(e)))
        if isinstance(new, Load) and isinstance(e, Load):
            return Load(new.source, index_of(new.source, new.index), new.dtype)
        return new

    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Store):
            body.append(Store(s.target, index_of(s.target, s.index), change(s.value)))
        elif isinstance(s.value, Reduce):
            over = tuple(x for x in s.value.axes if x != b)
            body.append(Let(s.name, Reduce(s.value.op, over, change(s.value.body))))
        else:
            body.append(Let(s.name, change(s.value)))
    axes = tuple(
        Axis(x.name, _product(x.extent, inner)) if x.name == a else x for x in kernel.axes if x.name != b
    )  # fmt: skip

    def reshape(o: Operand) -> Operand:
        if o.name not in places:
            return o
        n = places[o.name]
        return Operand(o.name, o.dtype, (*o.shape[:n], _product(o.shape[n], o.shape[n + 1]), *o.shape[n + 2 :]), o.place)

    inputs, outputs = tuple(map(reshape, kernel.inputs)), tuple(map(reshape, kernel.outputs))
    return replace(kernel, axes=axes, inputs=inputs, outputs=outputs, body=tuple(body))


def _product(a: Extent, b: Extent) -> Extent:
    result = mul(a, b)
    return int(result.value) if isinstance(result, Const) else result
