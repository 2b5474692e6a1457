"""Where an element of a reshaped tensor comes from."""

from __future__ import annotations

from collections.abc import Sequence

from bough.ir.expr import Apply, Const, Expr, Extent, add, as_expr, floordiv, mod, mul
from bough.ops.building import ZERO

Shape = tuple[Extent, ...]


def _factors(extents: Sequence[Extent]) -> tuple[int, tuple[str, ...]]:
    """A product of extents as its number and its sorted symbolic factors, comparable as far as structure tells."""
    coefficient, symbols = 1, []
    stack: list[Expr] = [as_expr(e) for e in extents]
    while stack:
        e = stack.pop()
        if isinstance(e, Const):
            coefficient *= int(e.value)
        elif isinstance(e, Apply) and e.function == "mul":
            stack.extend(e.args)
        else:
            symbols.append(repr(e))
    return coefficient, tuple(sorted(symbols))


def _groups(source: Sequence[Extent], target: Sequence[Extent]) -> list[tuple[range, range]]:
    """Cuts both shapes into the shortest runs of dimensions with equal products, in order."""
    groups: list[tuple[range, range]] = []
    s = t = 0
    while s < len(source) or t < len(target):
        ends = sorted(
            ((m, n) for m in range(s + 1, len(source) + 1) for n in range(t + 1, len(target) + 1)),
            key=lambda e: (e[0] + e[1], e),
        )
        equal = (e for e in ends if _factors(source[s : e[0]]) == _factors(target[t : e[1]]))
        m, n = next(equal, (len(source), len(target)))
        groups.append((range(s, m), range(t, n)))
        s, t = m, n
    return groups


def reshape_index(source: Shape, target: Shape, index: Sequence[Expr]) -> tuple[Expr, ...]:
    """The index into `source` of the element at `index` of `target`: affine where a dimension is kept or split; where
    dimensions merge, quotients and remainders of the merged index only."""
    kept_source = [d for d, e in enumerate(source) if e != 1]
    kept_target = [d for d, e in enumerate(target) if e != 1]
    result: list[Expr] = [ZERO] * len(source)
    shapes = [source[d] for d in kept_source], [target[d] for d in kept_target]
    for s, t in _groups(*shapes):
        flat: Expr = ZERO
        for n in t:
            d = kept_target[n]
            flat = add(mul(flat, as_expr(target[d])), index[d])
        for n in reversed(s):
            d = kept_source[n]
            result[d] = flat if n == s.start else mod(flat, as_expr(source[d]))
            flat = floordiv(flat, as_expr(source[d]))
    return tuple(result)
