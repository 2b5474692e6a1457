"""The encoder of expressions batched by hand: all sums of one height together, with their products and factors.

States lie in buckets: symbols, numbers, then for each height the sums, and the functions that were applied to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bough.bench.zoo.expressions import Applied, ExpressionEncoder, Factor, Number, Sum, Symbol

BUCKET = 32
"""A state is called `bucket << BUCKET | position` until the sizes of all buckets are known."""
SYMBOLS, NUMBERS = 0, 1


@dataclass(slots=True)
class Height:
    """The sums of one height: the first factor of each product, the other factors with the product of each, the sign of each
    product and the sum that it belongs to; the functions applied to sums, with the sum of each."""

    sums: int = 0
    first: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    product: list[int] = field(default_factory=list)
    sign: list[float] = field(default_factory=list)
    sum: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)


class Walk:
    """One walk over some expressions."""

    def __init__(self, expressions: Sequence[Sum]) -> None:
        self.heights: list[Height] = []
        self.numbers: list[float] = []
        self.roots = [self.visit(expression) for expression in expressions]

    def visit(self, node: Sum) -> int:
        terms = [[self.factor(factor) for factor in term.factors] for term in node.terms]
        level = max(0, *(name >> BUCKET for names in terms for name in names)) // 2
        if level == len(self.heights):
            self.heights.append(Height())
        height = self.heights[level]
        for term, (first, *rest) in zip(node.terms, terms):
            height.product += [len(height.first)] * len(rest)
            height.first.append(first)
            height.rest += rest
            height.sign.append(-1.0 if term.negative else 1.0)
            height.sum.append(height.sums)
        height.sums += 1
        return (2 + 2 * level) << BUCKET | (height.sums - 1)

    def factor(self, node: Factor) -> int:
        if isinstance(node, Symbol):
            return node.index
        if isinstance(node, Number):
            self.numbers.append(node.value)
            return NUMBERS << BUCKET | (len(self.numbers) - 1)
        if isinstance(node, Sum):
            return self.visit(node)
        return self.applied(node)

    def applied(self, node: Applied) -> int:
        name = self.visit(node.argument)
        height = self.heights[(name >> BUCKET) // 2 - 1]
        height.functions.append(node.function.value)
        height.arguments.append(name & ((1 << BUCKET) - 1))
        return (name >> BUCKET) + 1 << BUCKET | (len(height.functions) - 1)


def expressions(model: ExpressionEncoder, linear: Callable[..., Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """The batched encoder; `linear` makes a layer from weights, bias and function."""
    hidden = model.factor.out_features
    factor, product = linear(model.factor.weight, model.factor.bias), linear(model.product.weight, model.product.bias, "tanh")
    key, apply = linear(model.key.weight, model.key.bias, "tanh"), linear(model.apply_function.weight[:, hidden:], None)
    names = model.functions.weight @ model.apply_function.weight[:, :hidden].t() + model.apply_function.bias

    def run(roots: Sequence[Any]) -> Sequence[Any]:
        walk = Walk(roots)
        symbols = model.symbols.weight
        sizes = [len(symbols), len(walk.numbers), *(n for h in walk.heights for n in (h.sums, len(h.functions)))]
        start = np.cumsum([0, *sizes])
        states = symbols.new_empty(int(start[-1]), hidden)
        states[: len(symbols)] = symbols
        torch.tanh(model.number(torch.tensor(walk.numbers).unsqueeze(-1)), out=states[start[1] : start[2]])

        def rows(called: list[int]) -> Tensor:
            found = np.array(called, np.int64)
            return states.index_select(0, torch.from_numpy(start[found >> BUCKET] + (found & ((1 << BUCKET) - 1))))

        for level, height in enumerate(walk.heights):
            total = rows(height.first)
            if height.rest:
                total.index_add_(0, torch.tensor(height.product), factor(rows(height.rest)))
            terms = product(total).mul_(torch.tensor(height.sign).unsqueeze(-1))
            scores = key(terms) @ model.query
            weights = torch.exp(scores - scores.max())
            owners = torch.tensor(height.sum)
            mixed = terms.new_zeros(height.sums, hidden).index_add_(0, owners, terms * weights.unsqueeze(-1))
            mixed /= weights.new_zeros(height.sums).index_add_(0, owners, weights).unsqueeze(-1)
            sums = states[start[2 + 2 * level] : start[3 + 2 * level]]
            sums.copy_(model.norm(mixed))
            if height.functions:
                applied = apply(sums[torch.tensor(height.arguments)]).add_(names[torch.tensor(height.functions)])
                torch.tanh(applied, out=states[start[3 + 2 * level] : start[4 + 2 * level]])
        return rows(walk.roots).unbind()

    return run
