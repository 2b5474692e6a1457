"""What is known of sizes where a trace is: inside `if x.shape[0] > 5:` the size is larger than 5, also if the example's is not.

torch answers questions about sizes by the example's, and takes its answers for granted from then on. Where conditions are
supposed, questions about their sizes are answered by stand-ins for which the conditions hold, and torch does not learn of them:
each is noted with the conditions, and `dimensions` checks that the answer is right for all sizes for which they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import sympy  # type: ignore[import-untyped]
from torch.fx.experimental.symbolic_shapes import ShapeEnv, uninteresting_files

_STAND_INS = (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 8, 10, 12, 16, 64, 100, 7, 6, 5, 4, 3, 2, 1009, 1024, 0, 1)
"""Sizes to try, those first of which torch takes nothing special for granted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`expr` was taken for granted where the conditions hold; otherwise as a guard of torch's."""

    expr: Any
    sloc: Any
    conditions: tuple[Any, ...]


class SupposedSizes:
    """The conditions that hold where one trace is, the innermost last, and the answers that rest on them."""

    def __init__(self) -> None:
        self.conditions: list[Any] = []
        self.answers: list[Answer] = []
        self.met = False
        """Whether there was a condition."""

    def suppose(self, env: ShapeEnv, condition: Any) -> None:
        """Until `conditions` is cut again, this holds."""
        if not self.met:
            self._install(env)
        self.met = True
        self.conditions.append(condition)

    def _install(self, env: ShapeEnv) -> None:
        uninteresting_files().add(__file__)  # to torch, which notes who asks
        by_example = env.evaluate_expr

        def evaluate(asked: Any, *args: Any, **kwargs: Any) -> Any:
            related = self._related(asked)
            if not related or asked.is_number:
                return by_example(asked, *args, **kwargs)
            known = env._maybe_evaluate_static(asked)
            return known if known is not None else self._answer(env, asked, related)

        env.evaluate_expr = evaluate  # type: ignore[method-assign, assignment]

    def _related(self, asked: Any) -> tuple[Any, ...]:
        """The conditions on sizes that are asked about, and on those that these are related to."""
        symbols, left, found = set(asked.free_symbols), list(self.conditions), []
        while more := [c for c in left if symbols & c.free_symbols]:
            found += more
            left = [c for c in left if c not in more]
            symbols.update(*(c.free_symbols for c in more))
        return tuple(found)

    def _answer(self, env: ShapeEnv, asked: Any, conditions: tuple[Any, ...]) -> Any:
        symbols = sorted({s for e in (asked, *conditions) for s in e.free_symbols}, key=str)
        example = {s: sympy.Integer(int(env.size_hint(s))) for s in symbols}  # type: ignore[arg-type]
        value = asked.xreplace(_stand_in(env, conditions, example))
        holds = asked if value == sympy.true else sympy.Not(asked) if value == sympy.false else sympy.Eq(asked, value)
        self.answers.append(Answer(holds, env._get_sloc(), conditions))
        return value


def _stand_in(env: ShapeEnv, conditions: tuple[Any, ...], example: dict[Any, Any]) -> dict[Any, Any]:
    """Sizes for which the conditions hold; the example's where none is found."""

    def hold(sizes: dict[Any, Any]) -> bool:
        return all(c.xreplace(sizes) == sympy.true for c in conditions)

    if hold(example):
        return example
    concerned = sorted({s for c in conditions for s in c.free_symbols}, key=str)
    near = sorted({v for c in conditions for v in turning_points(c)}, reverse=True)
    for few in (1, 2) if len(concerned) > 1 else (1,):
        for changed in _choices(concerned, few):
            ranges = [env.var_to_range[s] for s in changed]
            tries = [[v for v in (*_STAND_INS, *near) if r.lower <= v <= r.upper] for r in ranges]
            for values in product(*tries):
                sizes = {**example, **dict(zip(changed, map(sympy.Integer, values), strict=True))}
                if hold(sizes):
                    return sizes
    return example


def _choices(symbols: list[Any], count: int) -> Iterator[tuple[Any, ...]]:
    return iter([(s,) for s in symbols] if count == 1 else [(a, b) for a in symbols for b in symbols if str(a) < str(b)])


def turning_points(condition: Any) -> set[int]:
    """Sizes at and around which a condition may change its answer."""
    numbers = {abs(int(n)) for n in condition.atoms(sympy.Integer)}
    found = numbers | {a * b for a in numbers for b in numbers}
    found.update(chain.from_iterable(_roots(r) for r in condition.atoms(sympy.core.relational.Relational)))
    return {v + d for v in found for d in (-1, 0, 1) if v + d >= 0}


def _roots(relation: Any) -> Iterable[int]:
    """Where the two sides of a linear relation in one size are equal, rounded down and up."""
    difference = sympy.expand(relation.lhs - relation.rhs)
    if len(difference.free_symbols) != 1:
        return ()
    (symbol,) = difference.free_symbols
    factor, rest = difference.coeff(symbol), difference.coeff(symbol, 0)
    if not (factor.is_Integer and rest.is_Integer and factor != 0 and difference == factor * symbol + rest):
        return ()
    return int(-rest // factor), int(-(rest // factor))
