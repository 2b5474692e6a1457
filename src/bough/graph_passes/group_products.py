"""Sums of products in groups, as instructions of the target take them: both factors in the type that it multiplies.

    s = sum(k) x[i, k] * f32(w[j, k])   ->   s = sum(k, k.group) f32(x.bf16[i, 2*k + k.group]) * f32(w[j, k, k.group])

Who writes x writes x.bf16 as well; an input is copied first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bough.ir.dtypes import F32, DType
from bough.ir.expr import Apply, Cast, Expr, Load, Var, add, floordiv, loads, mod, mul, substitute, variables
from bough.ir.kernel import Axis, Kernel, Let, Operand, Reduce, Statement, Store, axes_over
from bough.ir.sequence import Run, Sequence, expressions, kernels, map_kernels, map_loads, map_statement
from bough.schedule.access import affine_in
from bough.targets import Grouping

Places = dict[str, int]
"""The dimension along which products sum, of each weight."""


@dataclass(frozen=True, slots=True)
class _Product:
    """A reduction that the instruction can take: along `axis`, of activations `x` and the weight `w`, whose dimension `dim` is
    that axis alone."""

    axis: str
    x: Load
    w: Load
    dim: int


def group_products(sequence: Sequence, grouping: Grouping, *, rounded: bool) -> Sequence:
    """The same sequence with products that the instruction can take. With `rounded`, float32 activations are rounded for it;
    without, only those that have its type already are taken."""
    places = _places(sequence, grouping, rounded)
    if not places:
        return sequence
    dtype, size = grouping.dtype, grouping.size
    constants = dict(sequence.constants)
    for name, d in places.items():
        shape = constants[name].shape
        constants[name] = constants[name].reshape(*shape[:d], shape[d] // size, size, *shape[d + 1 :])
    read: dict[str, str] = {}

    def change(kernel: Kernel) -> Kernel:
        products = _products(kernel, sequence, grouping, rounded)
        products = {name: p for name, p in products.items() if p.w.source in places}
        return _narrow(_grouped(kernel, products, places, size), products, read, dtype)

    steps = map_kernels(sequence.steps, change)
    steps = map_kernels(steps, lambda kernel: _also_narrow(kernel, read, dtype))
    arrays = {**sequence.temporaries, **{i.name: i for i in sequence.inputs}}
    copies = tuple(Run(_copy(i, read[i.name], dtype)) for i in sequence.inputs if i.name in read)
    narrow = {new: replace(arrays[old], name=new, dtype=dtype) for old, new in read.items()}
    partly = sequence.partly | {new for old, new in read.items() if old in sequence.partly}
    temporaries = {**sequence.temporaries, **narrow}
    return replace(sequence, steps=(*copies, *steps), constants=constants, temporaries=temporaries, partly=partly)


def _places(sequence: Sequence, grouping: Grouping, rounded: bool) -> Places:
    """The weights that products take in groups, always along the same dimension."""
    found: dict[str, set[int]] = {}
    for kernel in kernels(sequence.steps):
        for p in _products(kernel, sequence, grouping, rounded).values():
            found.setdefault(p.w.source, set()).add(p.dim)
    return {name: dims.pop() for name, dims in found.items() if len(dims) == 1}


def _products(kernel: Kernel, sequence: Sequence, grouping: Grouping, rounded: bool) -> dict[str, _Product]:
    """The reductions of a kernel that the instruction can take, by name. All that run over an axis can, or none of them."""
    if kernel.order is not None:
        return {}
    found: dict[str, _Product] = {}
    for name, reduce in kernel.reductions:
        product = _product(kernel, reduce, sequence, grouping, rounded)
        if product is not None:
            found[name] = product
    others = {a for name, reduce in kernel.reductions if name not in found for a in reduce.axes}
    return {name: p for name, p in found.items() if p.axis not in others}


def _product(kernel: Kernel, reduce: Reduce, sequence: Sequence, grouping: Grouping, rounded: bool) -> _Product | None:
    body = reduce.body
    if reduce.op != "sum" or not isinstance(body, Apply) or body.function != "mul" or body.dtype != F32:
        return None
    factors = [a.value if isinstance(a, Cast) else a for a in body.args]
    for x, w in (factors, factors[::-1]):
        if not isinstance(x, Load) or not isinstance(w, Load):
            continue
        if w.source not in sequence.constants or x.source in sequence.constants:
            continue
        if w.dtype != grouping.dtype or x.dtype not in ((grouping.dtype, F32) if rounded else (grouping.dtype,)):
            continue
        for axis in reversed(reduce.axes):
            extent = kernel.axis(axis).extent
            dims = [d for d, i in enumerate(w.index) if axis in variables(i)]
            if not isinstance(extent, int) or extent % grouping.size or extent == grouping.size:  # one group leaves no loop
                continue
            if len(dims) != 1 or w.index[dims[0]] != Var(axis):
                continue
            if sequence.constants[w.source].shape[dims[0]] == extent and _along_rows(x, axis):
                return _Product(axis, x, w, dims[0])
    return None


def _along_rows(x: Load, axis: str) -> bool:
    """Whether neighbours on the axis are neighbours in memory."""
    *others, last = x.index
    steps = affine_in(last, {axis})
    return steps is not None and steps.get(axis) == 1 and all(axis not in variables(i) for i in others)


def _grouped(kernel: Kernel, products: dict[str, _Product], places: Places, size: int) -> Kernel:
    """The kernel with the axes of its products cut into groups, and with the new shapes of weights."""
    cut = {p.axis: Axis(f"{p.axis}.group", size) for p in products.values()}
    places_of = {a: add(mul(Var(a), size), Var(g.name)) for a, g in cut.items()}

    def whole(load: Load) -> Expr:
        """A load of a weight where it was, in the new shape."""
        if load.source not in places:
            return load
        d = places[load.source]
        at, before, behind = load.index[d], load.index[:d], load.index[d + 1 :]
        axis = next((a for a, e in places_of.items() if at == e), None)
        pair = (Var(axis), Var(cut[axis].name)) if axis else (floordiv(at, size), mod(at, size))
        return Load(load.source, (*before, *pair, *behind), load.dtype)

    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce):
            groups = tuple(cut[a].name for a in s.value.axes if a in cut)
            s = Let(s.name, Reduce(s.value.op, (*s.value.axes, *groups), substitute(s.value.body, dict(places_of))))
        body.append(map_statement(s, lambda e: map_loads(e, whole)))
    axes = tuple(replace(a, extent=a.extent // size) if a.name in cut and isinstance(a.extent, int) else a for a in kernel.axes)

    def shaped(o: Operand) -> Operand:
        d = places.get(o.name)
        if d is None:
            return o
        extent = o.shape[d]
        assert isinstance(extent, int)
        return replace(o, shape=(*o.shape[:d], extent // size, size, *o.shape[d + 1 :]))

    return replace(kernel, axes=(*axes, *cut.values()), inputs=tuple(map(shaped, kernel.inputs)), body=tuple(body))


def _narrow(kernel: Kernel, products: dict[str, _Product], read: dict[str, str], dtype: DType) -> Kernel:
    """The kernel with float32 factors of its products read from arrays of the instruction's type; notes which."""
    taken: dict[str, str] = {}

    def both(product: Expr) -> Expr:
        assert isinstance(product, Apply)
        return replace(product, args=tuple(rounded(a) if isinstance(a, Load) else a for a in product.args))

    def rounded(load: Load) -> Expr:
        return Cast(Load(note(load.source), load.index, dtype), F32)

    def note(name: str) -> str:
        taken[name] = read.setdefault(name, f"{name}.{dtype.name}")
        return taken[name]

    body = tuple(
        Let(s.name, replace(s.value, body=both(s.value.body)))
        if isinstance(s, Let) and isinstance(s.value, Reduce) and s.name in products else s
        for s in kernel.body
    )  # fmt: skip
    if not taken:
        return kernel
    still = {load.source for s in body for e in expressions(s) for load in loads(e)}
    shapes = {i.name: i for i in kernel.inputs}
    inputs = (
        *(i for i in kernel.inputs if i.name in still or i.name not in taken),
        *(replace(shapes[old], name=new, dtype=dtype) for old, new in taken.items()),
    )
    kept = {o.name for o in (*inputs, *kernel.outputs)}
    apart = (*(n for n in kernel.apart if n in kept), *(taken[n] for n in kernel.apart if n in taken))
    return replace(kernel, inputs=inputs, body=body, apart=apart)


def _also_narrow(kernel: Kernel, read: dict[str, str], dtype: DType) -> Kernel:
    """The kernel that stores what it stores to these arrays to their narrow forms, too."""
    body: list[Statement] = []
    outputs = list(kernel.outputs)
    for o in kernel.outputs:
        if o.name in read:
            outputs.append(replace(o, name=read[o.name], dtype=dtype))
    if len(outputs) == len(kernel.outputs):
        return kernel
    for n, s in enumerate(kernel.body):
        if isinstance(s, Store) and s.target in read:
            value = Var(f"{s.target}.value{n}", s.value.dtype)
            body += [Let(value.name, s.value), replace(s, value=value), Store(read[s.target], s.index, Cast(value, dtype))]
        else:
            body.append(s)
    return replace(kernel, outputs=tuple(outputs), body=tuple(body))


def _copy(source: Operand, name: str, dtype: DType) -> Kernel:
    axes = axes_over(source.shape)
    index = tuple(Var(a.name) for a in axes)
    store = Store(name, index, Cast(Load(source.name, index, source.dtype), dtype))
    return Kernel(f"{dtype.name}.{source.name}", axes, (source,), (Operand(name, dtype, source.shape),), (store,))
