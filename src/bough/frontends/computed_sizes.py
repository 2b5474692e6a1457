"""Sizes that are computed while the compiled function runs, as symbols of torch's while it is traced.

torch calls a size that is computed an unbacked one and asks it nothing, on which many of its operators fail. Here it is a
symbol with a hint, as the sizes of dynamic inputs are: torch goes on as if the hint were the size and notes what it took for
granted, and `dimensions` checks that this holds for every size there can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any, Union

import sympy  # type: ignore[import-untyped]
import torch
from torch._dynamo.source import ConstantSource
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.utils._sympy import functions as torch_sympy
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from bough.base.errors import InternalError
from bough.frontends.host_calls import HostCall
from bough.frontends.supposed_sizes import SupposedSizes

Size = Union[int, torch.SymInt]
Axis = tuple[int, int]
"""A tensor's number and an axis of it."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Axes whose sizes change together, by a computed amount: they always differ by as much as they do at first, and it is known
    which of them is the longer one. `low` and `high` bound the size of the first of them."""

    axes: tuple[Axis, ...]
    low: int = 0
    high: Size | sympy.Expr | None = field(default=None, compare=False)
    name: str | None = field(default=None, compare=False)


@dataclass(slots=True)
class Declared:
    """A computed size: its name, its inclusive bounds (`high` over sizes that are known before the call) and its symbol."""

    name: str
    low: int
    high: Any | None
    symbol: sympy.Symbol | None = None
    number: torch.SymInt | None = None


@dataclass(frozen=True, slots=True)
class OpenLoop:
    initial: Sequence[torch.Tensor]
    carried: Sequence[torch.Tensor]
    growths: tuple[Growth, ...]


class ComputedSizes:
    """Those of one trace. `taken`: names that they cannot have."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.declared: list[Declared] = []
        self.loops: list[OpenLoop] = []
        self.hosts: list[HostCall] = []
        """The calls that stay in Python, by their numbers."""
        self.guards: list[tuple[int, Any]] | None = None
        """What torch took for granted about all sizes of the trace, numbered; None where no size is computed."""
        self.supposed = SupposedSizes()
        self._env: ShapeEnv | None = None
        self._taken = set(taken)
        self._attempts: list[tuple[int, int, int]] = []
        self._branches: list[int] = []
        self._dropped: set[int] = set()
        self._hints: set[int] = set()

    @contextmanager
    def active(self) -> Iterator[ComputedSizes]:
        """While active, markers find them."""
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)

    def declare(self, low: int, high: Size | sympy.Expr | None, name: str | None = None) -> int:
        """Gives the number of a new size."""
        wishes = chain([name] if name else [], (f"{name or 'size'}{n}" for n in count()))
        chosen = next(n for n in wishes if n not in self._taken)
        self._taken.add(chosen)
        self.declared.append(Declared(chosen, low, None if high is None else self.upper(expression(high))))
        return len(self.declared) - 1

    def declare_all(self, growths: Sequence[Growth], shapes: Sequence[Sequence[Size]]) -> tuple[list[int], list[Size]]:
        """New sizes for axes of tensors that have these shapes at first: (tensor, axis, number) one after the other, and by
        how much each axis is longer than its size."""
        sizes: list[int] = []
        offsets: list[Size] = []
        for g in growths:
            number = self.declare(g.low, g.high, g.name)
            tensor, axis = g.axes[0]
            first = shapes[tensor][axis]
            for tensor, axis in g.axes:
                sizes += (tensor, axis, number)
                offsets.append(_plain(shapes[tensor][axis] - first))
        return sizes, offsets

    def symbol(self, number: int) -> torch.SymInt:
        """The size of this number as torch knows it."""
        size = self.declared[number]
        if size.number is None:
            env = self.env
            hint = self._hint(size)
            source = ConstantSource(f"bough_{size.name}")
            size.symbol = env.create_symbol(
                hint, source, DimDynamic.DYNAMIC, None, True if size.low > 0 else None, do_not_specialize_zero_one=True
            )
            high = max(int(size.high), hint) if isinstance(size.high, (int, sympy.Integer)) else int_oo
            env.var_to_range[size.symbol] = ValueRanges(size.low, high)
            size.number = env.create_symintnode(size.symbol, hint=hint, source=source)  # type: ignore[assignment]
        assert size.number is not None
        return size.number

    @property
    def env(self) -> ShapeEnv:
        if self._env is None:
            mode = torch._guards.detect_fake_mode(())
            if mode is None or mode.shape_env is None:
                raise InternalError("a size is computed outside of a trace")
            self._env = mode.shape_env
            self._take_nothing_for_granted(mode.shape_env)
        return self._env

    def _take_nothing_for_granted(self, env: ShapeEnv) -> None:
        """Has torch not conclude from one condition on computed sizes to others: many of the conditions that it meets only choose
        between layouts, and are not held against the range. So each that matters is noted for itself."""
        refine, implications = env._refine_ranges, env.get_implications

        def refine_others(e: Any) -> None:
            if not self.depends(e):
                refine(e)

        def implications_of_others(e: Any) -> Any:
            return () if self.depends(e) else implications(e)

        env._refine_ranges = refine_others  # type: ignore[method-assign, assignment]
        env.get_implications = implications_of_others  # type: ignore[assignment]

    def _hint(self, size: Declared) -> int:
        """A size to trace with that no other has, as far as the bounds allow; never 0 or 1, which torch would take for fixed."""
        high = None if size.high is None else int(str(self.env.size_hint(sympy.sympify(size.high))))
        candidates = [p for p in _PRIMES if p >= size.low and (high is None or p <= high)]
        chosen = next((p for p in candidates if p not in self._hints), max(size.low, high or 0, 2))
        self._hints.add(chosen)
        return chosen

    def depends(self, e: Any) -> bool:
        return any(d.symbol in e.free_symbols for d in self.declared if d.symbol is not None)

    def upper(self, e: Any) -> Any | None:
        """An upper bound of an expression over sizes that are known before the call; None where there is none."""
        computed = {d.symbol: d for d in self.declared if d.symbol is not None}
        if not any(s in computed for s in e.free_symbols):
            return e
        if isinstance(e, sympy.Symbol):
            return computed[e].high
        if isinstance(e, (sympy.Min, torch_sympy.Min)):
            bounds = [b for a in e.args if (b := self.upper(a)) is not None]
            return torch_sympy.Min(*bounds) if bounds else None  # type: ignore[no-untyped-call]
        if isinstance(e, (sympy.Add, sympy.Max, torch_sympy.Max)):
            bounds = [self.upper(a) for a in e.args]
            combine = sympy.Add if isinstance(e, sympy.Add) else torch_sympy.Max
            return None if any(b is None for b in bounds) else combine(*bounds)
        if isinstance(e, sympy.Mul) and e.args[0].is_Integer:
            rest = e / e.args[0]
            bound = self.upper(rest) if e.args[0] > 0 else self.lower(rest)
            return None if bound is None else e.args[0] * bound
        return None

    def lower(self, e: Any) -> int | None:
        """A lower bound that is a number."""
        low = self.env.bound_sympy(e).lower
        return int(low) if low.is_Integer else None

    def open_loop(self, initial: Sequence[torch.Tensor], carried: Sequence[torch.Tensor], growths: Sequence[Growth]) -> None:
        self.loops.append(OpenLoop(tuple(initial), tuple(carried), tuple(growths)))

    def begin_if(self) -> None:
        self._branches.append(len(self.declared))

    def end_if(self) -> set[sympy.Symbol]:
        """The sizes that are computed in the branches that end."""
        return {d.symbol for d in self.declared[self._branches.pop() :] if d.symbol is not None}

    def begin_attempt(self) -> None:
        self._attempts.append((len(self.declared), len(self.loops), len(self._branches)))

    def keep_attempt(self) -> None:
        self._attempts.pop()

    def abort_attempt(self) -> None:
        declared, loops, branches = self._attempts.pop()
        self._dropped.update(range(declared, len(self.declared)))
        del self.loops[loops:]
        del self._branches[branches:]

    def live(self) -> list[Declared]:
        """Those that occur outside of aborted attempts."""
        return [d for n, d in enumerate(self.declared) if n not in self._dropped and d.symbol is not None]

    def hints(self) -> dict[str, int]:
        """The sizes to trace with, by name."""
        return {d.name: int(d.number.node.hint) for d in self.declared if d.number is not None}

    def fixed(self) -> Iterator[tuple[Declared, Any]]:
        """The sizes that torch has taken for others, with these."""
        for d in self.live():
            assert d.number is not None
            if d.number.node.expr != d.symbol:
                yield d, d.number.node.expr

    def take_guards(self) -> None:
        """Takes what torch took for granted about these sizes off its list: it would look for the inputs they come from."""
        mine = {d.symbol for d in self.declared if d.symbol is not None}
        if mine:
            self.guards = list(enumerate(self.env.guards))
            self.env.guards[:] = [g for _, g in self.guards if not g.expr.free_symbols & mine]


_CURRENT: ContextVar[ComputedSizes] = ContextVar("computed sizes")
_PRIMES = (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 7, 5, 3, 2)


def current() -> ComputedSizes:
    """Those of the trace that is going on."""
    computed = _CURRENT.get(None)
    if computed is None:
        raise InternalError("control flow was marked outside of a trace")
    return computed


def expression(size: Size | sympy.Expr) -> Any:
    """A size as an expression over torch's symbols."""
    return size.node.expr if isinstance(size, torch.SymInt) else sympy.sympify(size)


def surely_equal(a: Size, b: Size) -> bool:
    """Whether two sizes are equal in every call; torch is not asked, which would take its answer for granted."""
    return bool(expression(a) == expression(b))


def _plain(size: Size) -> Size:
    e = expression(size)
    return int(e) if e.is_Integer else size


def join_growths(
    then: Sequence[torch.Tensor | None], otherwise: Sequence[torch.Tensor | None], inner: set[sympy.Symbol]
) -> tuple[Growth, ...]:
    """The axes in which the results of two branches differ. Where one branch has no tensor, its sizes are those of the other, but
    0 for those that depend on `inner` ones, which that branch does not know."""
    together: dict[Any, list[Axis]] = {}
    ends: dict[Axis, tuple[Any, Any]] = {}
    for tensor, (a, b) in enumerate(zip(then, otherwise, strict=True)):
        for axis in range((a if a is not None else b).dim()):  # type: ignore[union-attr]
            sizes = [None if t is None else expression(t.shape[axis]) for t in (a, b)]
            known = next(e for e in sizes if e is not None)
            absent = sympy.Integer(0) if known.free_symbols & inner else known
            x, y = (absent if e is None else e for e in sizes)
            if x != y:
                ends[tensor, axis] = (x, y)
                together.setdefault(sympy.expand(x - y), []).append((tensor, axis))
    parts = (_comparable(axes, lambda axis: ends[axis][0]) for axes in together.values())
    return tuple(_join(axes, ends) for part in parts for axes in part)


def _comparable(axes: list[Axis], size_of: Callable[[Axis], Any]) -> list[list[Axis]]:
    """The axes in parts of which it is known which is the longer one: how much longer the width is than the height is not, and
    would have to be checked for every size there can be."""
    parts: list[list[Axis]] = []
    for axis in axes:
        for part in parts:
            bounds = current().env.bound_sympy(sympy.expand(size_of(axis) - size_of(part[0])))
            if bounds.lower >= 0 or bounds.upper <= 0:
                part.append(axis)
                break
        else:
            parts.append([axis])
    return parts


def _join(axes: list[Axis], ends: dict[Axis, tuple[Any, Any]]) -> Growth:
    computed = current()
    low, first = min((min(computed.lower(e) or 0 for e in ends[axis]), axis) for axis in axes)
    bounds = [computed.upper(e) for e in ends[first]]
    high = None if None in bounds else torch_sympy.Max(*bounds)  # type: ignore[no-untyped-call]
    return Growth((first, *(a for a in axes if a != first)), max(low, 0), high)


def loop_growths(loop: OpenLoop, updated: Sequence[torch.Tensor]) -> tuple[Growth, ...]:
    """The axes in which updated values of a loop differ from the carried ones, those together that grow by the same."""
    known = {axis: g for g in loop.growths for axis in g.axes}
    together: dict[Any, list[Axis]] = {}
    for tensor, axis in _axes(updated):
        before, after = expression(loop.carried[tensor].shape[axis]), expression(updated[tensor].shape[axis])
        growth = known.get((tensor, axis))
        if growth is not None or before != after:
            number = -1 if growth is None else loop.growths.index(growth)
            together.setdefault((number, sympy.expand(after - before)), []).append((tensor, axis))

    def first(axis: Axis) -> Any:
        return expression(loop.initial[axis[0]].shape[axis[1]])

    parts = ([axes] if number >= 0 else _comparable(axes, first) for (number, _), axes in together.items())
    found = tuple(_growth(loop, updated, axes, known) for part in parts for axes in part)
    if any(g.axes[0] not in known and g.low < _first(loop, g) for g in found):
        return tuple(g if g.axes[0] in known else replace(g, low=0) for g in found)  # where one shrinks, others will
    return found


def _first(loop: OpenLoop, growth: Growth) -> int:
    """A lower bound of a size before the loop."""
    tensor, axis = growth.axes[0]
    return max(current().lower(expression(loop.initial[tensor].shape[axis])) or 0, 0)


def _growth(loop: OpenLoop, updated: Sequence[torch.Tensor], axes: list[Axis], known: dict[Axis, Growth]) -> Growth:
    lower = current().lower
    given = known.get(axes[0])
    if given is None or given.axes[0] not in axes:
        lows = {a: lower(expression(loop.initial[a[0]].shape[a[1]])) or 0 for a in axes}
        first = min(axes, key=lambda a: (lows[a], a))
        after = lower(expression(updated[first[0]].shape[first[1]]))
        low = lows[first] if after is None else min(lows[first], after)
        return Growth((first, *(a for a in axes if a != first)), max(low, 0), *_kept(given))
    first = given.axes[0]
    size = expression(updated[first[0]].shape[first[1]])
    after = lower(size)
    low = given.low if after is not None and after >= given.low else int(size) if size.is_Integer else 0
    return Growth(tuple(a for a in given.axes if a in axes), low, given.high, given.name)


def _kept(given: Growth | None) -> tuple[Size | sympy.Expr | None, str | None]:
    return (None, None) if given is None else (given.high, given.name)


def _axes(tensors: Sequence[torch.Tensor]) -> Iterator[Axis]:
    return ((n, axis) for n, t in enumerate(tensors) for axis in range(t.dim()))

