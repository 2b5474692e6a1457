"""Sums over concatenated rows, taken apart where one row ends and the next begins.

    s = sum(k) select(k < 256, a[n, k], b[n, k - 256]) * w[j, k]
      ->  s.0 = sum(k.0) a[n, k.0] * w[j, k.0]                    over 256 elements each
          s.1 = sum(k.1) b[n, k.1] * w[j, k.1 + 256]
          s = s.0 + s.1

Each part is a product without a guard, which instructions fit and registers hold; nothing is copied together. A sum that reads
a matrix of its own at each point, along the matrix's rows, is folded instead where the parts are of one length:

    s = sum(k) select(k < 64, a[n, k], b[n, k - 64]) * m[n, j, k]
      ->  s = sum(k.0) a[n, k.0] * m[n, j, k.0] + b[n, k.0] * m[n, j, k.0 + 64]

Nothing of it is used twice, so vectors lie along the sum, which has to be one for that.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from bough.base.names import fresh
from bough.ir.expr import Apply, Const, Expr, Load, Var, add, children, loads, rebuild, variables
from bough.ir.kernel import Axis, Kernel, Let, Reduce, Statement
from bough.schedule.access import affine_in, load_accesses

MOST_PARTS = 4


def is_concatenation(kernel: Kernel) -> bool:
    """Whether it only lines up rows, one after the other along one axis, some of them from places that are looked up."""
    axes = {a.name for a in kernel.axes}
    if len(kernel.body) != len(kernel.stores) or kernel.reductions:
        return False
    for s in kernel.stores:
        parts = _parts(s.value, axes)
        if parts is None or not 2 <= len(parts) <= MOST_PARTS or not any(loads(i) for p in parts for i in p.index):
            return False
    return True


def _parts(e: Expr, axes: set[str]) -> list[Load] | None:
    if isinstance(e, Load):
        return [e] if all(affine_in(i, axes, indirect=True) is not None for i in e.index) else None
    if not isinstance(e, Apply) or e.function != "select" or _cut(e.args[0]) is None:
        return None
    first, rest = _parts(e.args[1], axes), _parts(e.args[2], axes)
    return None if first is None or rest is None else [*first, *rest]


def _cut(condition: Expr) -> tuple[str, int] | None:
    """The axis and the place of a test `axis < place`."""
    match condition:
        case Apply("lt", (Var(name, _), Const(value, _)), _):
            return name, int(value)
        case Apply("lt", (Apply("add", (Var(name, _), Const(start, _)), _), Const(value, _)), _):
            return name, int(value) - int(start)
    return None


def split_sums(kernel: Kernel) -> Kernel:
    """Every sum whose terms are chosen by its own axis as one sum for each choice."""
    while True:
        found = _first_cut(kernel)
        if found is None:
            return kernel
        axis, place = found
        kernel = _folded(kernel, axis, place) if _folds(kernel, axis, place) else _split(kernel, axis, place)


def _first_cut(kernel: Kernel) -> tuple[str, int] | None:
    for _, r in kernel.reductions:
        if r.op == "sum":
            for test in _tests(r.body):
                cut = _cut(test)
                if cut is not None and cut[0] in r.axes:
                    extent = kernel.axis(cut[0]).extent
                    if isinstance(extent, int) and 0 < cut[1] < extent:
                        return cut
    return None


def _tests(e: Expr) -> list[Expr]:
    own = [e.args[0]] if isinstance(e, Apply) and e.function == "select" else []
    return [*own, *(t for k in children(e) for t in _tests(k))]


def _split(kernel: Kernel, axis: str, place: int) -> Kernel:
    """All sums over the axis in two, before and from `place` on."""
    extent = kernel.axis(axis).extent
    assert isinstance(extent, int)
    taken = {a.name for a in kernel.axes} | {s.name for s in kernel.body if isinstance(s, Let)}
    sizes = {fresh(f"{axis}.0", taken): place, fresh(f"{axis}.1", taken): extent - place}
    (first, _), (second, _) = sizes.items()
    body: list[Statement] = []
    for s in kernel.body:
        if not isinstance(s, Let) or not isinstance(s.value, Reduce) or axis not in s.value.axes:
            body.append(s)
            continue
        r = s.value
        names: list[str] = []
        for part, start in ((first, 0), (second, place)):
            name = fresh(f"{s.name}.{len(names)}", taken)
            names.append(name)
            term = _choose(r.body, axis, place, start == 0)
            over = tuple(part if a == axis else a for a in r.axes)
            body.append(Let(name, Reduce(r.op, over, _moved(term, axis, part, start))))
        body.append(Let(s.name, Apply("add", (Var(names[0], s.dtype), Var(names[1], s.dtype)), s.dtype)))
    axes = tuple(new for a in kernel.axes for new in ([Axis(n, e) for n, e in sizes.items()] if a.name == axis else [a]))
    return replace(kernel, axes=axes, body=tuple(body))


def _folds(kernel: Kernel, axis: str, place: int) -> bool:
    """Whether some sum over the axis reads each element of an array once, along that axis, and its parts are as long as the
    first."""
    extent = kernel.axis(axis).extent
    assert isinstance(extent, int)
    sums = {name: r for name, r in kernel.reductions if axis in r.axes}
    cuts = [cut for r in sums.values() for cut in map(_cut, _tests(r.body)) if cut is not None and cut[0] == axis]
    if extent % place or extent // place > MOST_PARTS or any(at % place for _, at in cuts):
        return False
    if any(r.op != "sum" or r.axes != (axis,) for r in sums.values()):
        return False
    here = [x for x in load_accesses(kernel) if x.reduction in sums]
    points = {a.name for a in kernel.free}
    once = any(x.stride(axis) == 1 and points <= {v for i in x.index for v in variables(i)} for x in here)
    return once and all(x.stride(axis) in (0, 1) for x in here)


def _folded(kernel: Kernel, axis: str, place: int) -> Kernel:
    """All sums over the axis with the terms of all parts added up at each point of the first."""
    extent = kernel.axis(axis).extent
    assert isinstance(extent, int)
    taken = {a.name for a in kernel.axes} | {s.name for s in kernel.body if isinstance(s, Let)}
    name = fresh(f"{axis}.0", taken)
    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce) and axis in s.value.axes:
            r = s.value
            terms = [_moved(_part(r.body, axis, start, place), axis, name, start) for start in range(0, extent, place)]
            total = reduce(lambda a, b: Apply("add", (a, b), a.dtype), terms)
            s = Let(s.name, Reduce(r.op, (name,), total))
        body.append(s)
    axes = tuple(Axis(name, place) if a.name == axis else a for a in kernel.axes)
    return replace(kernel, axes=axes, body=tuple(body))


def _part(e: Expr, axis: str, start: int, size: int) -> Expr:
    """The expression between `start` and `start + size`."""
    return _choose(_choose(e, axis, start, before=False), axis, start + size, before=True)


def _choose(e: Expr, axis: str, place: int, before: bool) -> Expr:
    """The expression on one side of `place`, where tests of the axis against that or a place beyond are decided."""
    if isinstance(e, Apply) and e.function == "select":
        cut = _cut(e.args[0])
        if cut is not None and cut[0] == axis and (cut[1] >= place if before else cut[1] <= place):
            return _choose(e.args[1] if before else e.args[2], axis, place, before)
    return rebuild(e, tuple(_choose(k, axis, place, before) for k in children(e)))


def _moved(e: Expr, axis: str, part: str, start: int) -> Expr:
    """The expression with the axis at `start` and the part's own place behind it."""
    match e:
        case Var(name, _) if name == axis:
            return add(Var(part), start)
        case Apply("add" | "sub", (Var(name, _), Const(value, _)), _) if name == axis:
            return add(Var(part), start + (int(value) if e.function == "add" else -int(value)))
    return rebuild(e, tuple(_moved(k, axis, part, start) for k in children(e)))
