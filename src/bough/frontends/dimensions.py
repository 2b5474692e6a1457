"""Symbolic sizes: what the caller asked for, and whether the traced program keeps it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from bough.base.errors import CompileError
from bough.base.source import Location
from bough.frontends.computed_sizes import ComputedSizes
from bough.frontends.locations import is_internal, is_of_torch
from bough.frontends.supposed_sizes import Answer, turning_points
from bough.ir.program import Dim

DynamicSpec = Mapping[str, Mapping[int, "str | Dim"]]
STAND_IN = 7
"""Traced size of a symbolic dimension whose example has size 0 or 1, which torch would take for fixed."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """`axes[i]` names the symbolic axes of tensor argument i; `sizes` are the sizes to trace with."""

    dims: dict[str, Dim]
    axes: tuple[dict[int, str], ...]
    sizes: dict[str, int]

    def example(self, number: int, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor to trace with in place of the example number `number`. Where sizes are symbolic its elements lie in order:
        of other layouts torch asks which sizes make them so."""
        shape = list(tensor.shape)
        for axis, name in self.axes[number].items():
            shape[axis] = self.sizes[name]
        if shape != list(tensor.shape):
            return tensor.new_empty(shape)
        return tensor.contiguous() if self.axes[number] else tensor


def resolve(dynamic: DynamicSpec | None, paths: Sequence[str], tensors: Sequence[torch.Tensor]) -> Dimensions:
    """Checks the caller's wish against the example arguments."""
    dims: dict[str, Dim] = {}
    examples: dict[str, int] = {}
    axes: list[dict[int, str]] = [{} for _ in paths]
    for path, wish in _entries(dynamic, "dynamic"):
        if not isinstance(path, str):
            raise _misspelt(f"{path!r} is no name of an argument")
        if path not in paths:
            known = ", ".join(paths)
            because = f"the tensor arguments are {known}" if known else "no argument is a tensor"
            raise _error(f"there is no tensor argument `{path}`", because, "name one of them")
        tensor = tensors[paths.index(path)]
        for axis, given in _entries(wish, f"the entry of `{path}`"):
            if not isinstance(axis, int) or not isinstance(given, (str, Dim)):
                raise _misspelt(f"{axis!r}: {given!r} is no axis with a name or a Dim")
            dim = Dim(given) if isinstance(given, str) else given
            if not -tensor.dim() <= axis < tensor.dim():
                because = f"its example has the shape {tuple(tensor.shape)}"
                raise _error(f"`{path}` has no axis {axis}", because, f"name one of its {tensor.dim()} axes, from 0")
            if isinstance(given, str):
                dim = dims.get(dim.name, dim)
            elif dims.get(dim.name, dim) not in (dim, Dim(dim.name)):
                both = f"{_range(dims[dim.name])} and {_range(dim)}"
                raise _error(f"the size `{dim.name}` has two ranges", both, "give both the same, or two names")
            size = tensor.shape[axis]
            if examples.setdefault(dim.name, size) != size:
                because = f"the examples have {examples[dim.name]} and, in `{path}`, {size}"
                raise _error(f"the size `{dim.name}` is not the same everywhere", because, "give them two names")
            if size < dim.low or (dim.high is not None and size > dim.high):
                what = f"the example's size {size} is outside the range of `{dim.name}`"
                raise _error(what, _range(dim), "give an example inside the range, or a wider range")
            dims[dim.name] = dim
            axes[paths.index(path)][axis % tensor.dim()] = dim.name
    return Dimensions(dims, tuple(axes), {n: _traced_size(dims[n], s) for n, s in examples.items()})


def _entries(given: Any, what: str) -> list[tuple[Any, Any]]:
    if not isinstance(given, Mapping | None):
        raise _misspelt(f"{what} is a {type(given).__name__}")
    return list((given or {}).items())


def _misspelt(what: str) -> CompileError:
    return _error(what, "dynamic names axes of arguments", 'write dynamic={"x": {0: "batch", 1: Dim("tokens", 1, 64)}}')


def _traced_size(dim: Dim, size: int) -> int:
    if size >= 2:
        return size
    return max(dim.low, STAND_IN if dim.high is None else min(dim.high, STAND_IN))


def _range(dim: Dim) -> str:
    return f"{dim.name}: {dim.low}.." + ("" if dim.high is None else str(dim.high))


def _error(what: str, because: str, advice: str = "", location: Location | None = None) -> CompileError:
    return CompileError(what, code="BGH-DIM-001", because=because, advice=advice, location=location)


@contextmanager
def zero_sizes(d: Dimensions, empty: bool) -> Iterator[None]:
    """While active, torch does not take it for granted that sizes are positive, if one of these may be 0 and `empty`."""
    if not empty or all(dim.low > 0 for dim in d.dims.values()):
        yield
        return
    found = ShapeEnv.create_symbol

    def create_symbol(self: ShapeEnv, *args: Any, **kwargs: Any) -> Any:
        made = found(self, *args, **({"positive": None} if len(args) <= 4 else {}) | kwargs)
        if isinstance(made, sympy.Symbol):
            self.var_to_range[made] = ValueRanges(0, int_oo)
        return made

    ShapeEnv.create_symbol = create_symbol  # type: ignore[method-assign]
    try:
        yield
    finally:
        ShapeEnv.create_symbol = found  # type: ignore[method-assign]


def tell_ranges(d: Dimensions, tensors: Sequence[torch.Tensor]) -> None:
    """Tells torch what is known of the sizes of a trace's arguments."""
    for tensor, axes in zip(tensors, d.axes, strict=True):
        for axis, name in axes.items():
            size, dim = tensor.shape[axis], d.dims[name]
            if isinstance(size, torch.SymInt) and isinstance(size.node.expr, sympy.Symbol):
                high = int_oo if dim.high is None else dim.high
                size.node.shape_env.var_to_range[size.node.expr] = ValueRanges(dim.low, high)


def name_symbols(
    d: Dimensions,
    paths: Sequence[str],
    traced: Sequence[torch.Tensor],
    places: Mapping[int, Location],
    computed: ComputedSizes | None = None,
) -> dict[sympy.Symbol, str]:
    """The name of each of torch's symbols, and of those that are computed. `places`: the lines of torch's guards, by number.

    Raises CompileError where the program fixes or ties a symbolic size.
    """
    names: dict[sympy.Symbol, str] = {}
    sizes: list[Any] = [s for t in traced for s in t.shape]
    env = next((s.node.shape_env for s in sizes if isinstance(s, torch.SymInt)), None)
    raw: list[tuple[sympy.Symbol, Any, str, str, int]] = []
    for path, tensor, axes in zip(paths, traced, d.axes, strict=True):
        for axis, name in axes.items():
            size = tensor.shape[axis]
            if isinstance(size, torch.SymInt) and isinstance(size.node._expr, sympy.Symbol):
                raw.append((size.node._expr, size.node.expr, name, path, axis))
                names[size.node._expr] = name
            else:
                raise _narrowed(name, f"axis {axis} of `{path}` can only be {size}", None)
    for symbol, value, name, path, axis in raw:
        if value is symbol or names.get(value) == name:
            continue
        location = _place_of(env, symbol, places)
        if value in names:
            because = f"the model needs {name} = {names[value]} (axis {axis} of `{path}`)"
            raise _error(f"the sizes `{name}` and `{names[value]}` must be equal", because, "give them one name", location)
        raise _narrowed(name, f"axis {axis} of `{path}` can only be {_readable(value, names)}", location)
    if computed is not None:
        names.update({c.symbol: c.name for c in computed.live()})
        check_computed(computed, names)
    guards = list(enumerate(env.guards)) if env is not None else []
    dims: dict[str, Dim] = {}
    bounds: dict[str, Any] = {}
    if computed is not None:
        if computed.guards is not None:
            guards = computed.guards
            dims, bounds = _computed_dims(computed)
        guards = [*guards, *((-1, a) for a in computed.supposed.answers)]
    _check_guards(guards, names, {**d.dims, **dims}, places, bounds)
    return names


def check_decomposed(computed: ComputedSizes, dims: Sequence[Dim], names: Mapping[sympy.Symbol, str]) -> None:
    """Raises CompileError where decomposing operators, which knows of no supposed conditions, has taken more for granted."""
    if computed.supposed.met:
        found = list(enumerate(computed.env.guards))
        _check_guards(found, names, {d.name: d for d in dims} | _computed_dims(computed)[0], {}, _computed_dims(computed)[1])


def check_computed(computed: ComputedSizes, names: Mapping[sympy.Symbol, str]) -> None:
    """Raises CompileError where torch has taken a computed size for a fixed one."""
    for size, value in computed.fixed():
        raise _narrowed(size.name, f"a size that is computed here can only be {_readable(value, names)}", None)


def _computed_dims(computed: ComputedSizes) -> tuple[dict[str, Dim], dict[str, Any]]:
    """The ranges of the computed sizes, and those upper bounds that depend on other sizes."""
    dims: dict[str, Dim] = {}
    bounds: dict[str, Any] = {}
    for size in computed.live():
        high = None if size.high is None else sympy.sympify(size.high)
        dims[size.name] = Dim(size.name, size.low, int(high) if high is not None and high.is_Integer else None)
        if high is not None and not high.is_Integer:
            bounds[size.name] = high
    return dims, bounds


def _narrowed(name: str, because: str, location: Location | None, condition: str = "") -> CompileError:
    what = f"the size `{name}` cannot have its whole range" + (f": the model needs {condition}" if condition else "")
    return _error(what, because, "give it a narrower range (Dim(name, low, high)) or leave it fixed", location)


def _place_of(env: ShapeEnv | None, symbol: sympy.Symbol, places: Mapping[int, Location]) -> Location | None:
    for number, guard in enumerate(env.guards if env is not None else ()):
        if symbol in guard.expr.free_symbols and (found := _user_place(guard) or places.get(number)) is not None:
            return found
    return None


def _user_place(guard: Any) -> Location | None:
    frame = guard.sloc.framework_loc
    if frame is None or isinstance(frame, str) or is_internal(frame.filename):
        return None
    return Location(frame.filename, frame.lineno, frame.name)


_OF_LAYOUT = ("meta_copy_", "conv", "is_contiguous")
"""Functions inside torch whose conditions on sizes concern overlapping memory and strides of results."""


def _asks_for_layout(guard: Any) -> bool:
    frame = guard.sloc.framework_loc
    if frame is None or isinstance(frame, str):
        return isinstance(guard.expr, sympy.Ne)
    return is_of_torch(frame.filename) and (isinstance(guard.expr, sympy.Ne) or frame.name in _OF_LAYOUT)


def _check_guards(
    guards: Sequence[tuple[int, Any]],
    names: Mapping[sympy.Symbol, str],
    dims: Mapping[str, Dim],
    places: Mapping[int, Location],
    bounds: Mapping[str, Any],
) -> None:
    """Every condition on sizes that tracing took for granted must hold in the whole range. `bounds` are upper bounds of computed
    sizes that depend on others. Some guards are `supposed_sizes.Answer`s, which count where their conditions hold.

    Tested on the small sizes of the range, where conditions on sizes change their answer, and on large ones. Inside
    torch, `!=` asks whether a shortcut for size 1 or for contiguous arrays may be taken, copying whether memory overlaps,
    and convolutions which strides their results get: all answers mean the same.
    """
    for number, guard in guards:
        conditions = guard.conditions if isinstance(guard, Answer) else ()
        symbols = {s for e in (guard.expr, *conditions) for s in e.free_symbols if s in names}
        place = _user_place(guard)
        if not symbols or (place is None and _asks_for_layout(guard)):
            continue
        bounding = [(names[s], bounds[names[s]]) for s in symbols if names[s] in bounds]
        symbols.update(s for _, bound in bounding for s in bound.free_symbols)
        involved = sorted({names[s] for s in symbols})
        few = {1: 40, 2: 8}.get(len(involved), 2)
        near = {v for e in (guard.expr, *conditions) for v in turning_points(e)}
        points = [_points(dims[n], few, near) for n in involved]
        for values in itertools.product(*points):
            sizes = dict(zip(involved, values, strict=True))
            numbers = {s: sympy.Integer(sizes[names[s]]) for s in symbols}
            if any(sizes[name] > bound.xreplace(numbers) for name, bound in bounding):
                continue
            if guard.expr.xreplace(numbers) == sympy.false and not any(c.xreplace(numbers) == sympy.false for c in conditions):
                shown = ", ".join(f"{n} = {v}" for n, v in sizes.items())
                condition = _readable(guard.expr, names)
                raise _narrowed(", ".join(involved), f"it does not hold for {shown}", place or places.get(number), condition)


def _points(dim: Dim, few: int, near: Iterable[int]) -> list[int]:
    """Sizes of the range to test: a few small ones, large ones, and some of those `near` which a condition changes its answer."""
    high = dim.high if dim.high is not None else dim.low + (1 << 20)
    small = range(dim.low, min(high, dim.low + few) + 1)
    large = (dim.low + 63, dim.low + 64, dim.low + 999, dim.low + 1000, high - 1, high)
    turning = sorted(v for v in near if v > dim.low + few)[:few]
    return sorted({*small, *(v for v in (*large, *turning) if dim.low <= v <= high)})


def _readable(e: Any, names: Mapping[sympy.Symbol, str]) -> str:
    return str(e.xreplace({s: sympy.Symbol(n) for s, n in names.items()}))
