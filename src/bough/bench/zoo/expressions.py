"""An encoder of algebraic expressions: two kinds of inner nodes, and functions that call each other."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor, nn


class Function(enum.Enum):
    SIN = 0
    EXP = 1
    LOG = 2


@dataclass(eq=False)
class Number:
    value: float


@dataclass(eq=False)
class Symbol:
    index: int


@dataclass(eq=False)
class Applied:
    """A function of a sum."""

    function: Function
    argument: Sum


@dataclass(eq=False)
class Product:
    factors: list[Factor]
    negative: bool


@dataclass(eq=False)
class Sum:
    terms: list[Product]


Factor = Union[Number, Symbol, Applied, Sum]


class ExpressionEncoder(nn.Module):
    """Encodes sums of products of factors, each kind of node with weights of its own (after Allamanis et al., "Learning
    continuous semantic representations of symbolic expressions", ICML 2017); the terms of a sum share attention (Bahdanau et
    al., ICLR 2015), since their order means nothing."""

    def __init__(self, hidden: int, symbols: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols, hidden)
        self.functions = nn.Embedding(len(Function), hidden)
        self.number = nn.Linear(1, hidden)
        self.apply_function = nn.Linear(2 * hidden, hidden)
        self.factor = nn.Linear(hidden, hidden)
        self.product = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.query = nn.Parameter(torch.randn(hidden) / hidden**0.5)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, expression: Sum) -> Tensor:
        return self.encode_sum(expression)

    def encode_sum(self, node: Sum) -> Tensor:
        terms = torch.stack([self.encode_product(term) for term in node.terms])
        weights = torch.softmax(torch.tanh(self.key(terms)) @ self.query, dim=0)
        normal: Tensor = self.norm(weights @ terms)
        return normal

    def encode_product(self, node: Product) -> Tensor:
        total = self.encode_factor(node.factors[0])
        for factor in node.factors[1:]:
            total = total + self.factor(self.encode_factor(factor))
        state = torch.tanh(self.product(total))
        return -state if node.negative else state

    def encode_factor(self, node: Factor) -> Tensor:
        match node:
            case Number(value=value):
                return torch.tanh(self.number(self.number.weight.new_tensor([value])))
            case Symbol(index=index):
                return self.symbols.weight[index]
            case Applied(function=function, argument=argument):
                name = self.functions.weight[function.value]
                return torch.tanh(self.apply_function(torch.cat((name, self.encode_sum(argument)))))
            case Sum():
                return self.encode_sum(node)


def expression(draw: random.Random, symbols: int, depth: int = 3) -> Sum:
    """A random sum whose factors nest at most `depth` other sums."""
    return Sum([_product(draw, symbols, depth) for _ in range(draw.randint(1, 3))])


def _product(draw: random.Random, symbols: int, depth: int) -> Product:
    return Product([_factor(draw, symbols, depth) for _ in range(draw.randint(1, 3))], draw.random() < 0.3)


def _factor(draw: random.Random, symbols: int, depth: int) -> Factor:
    choice = draw.random()
    if depth and choice < 0.25:
        return expression(draw, symbols, depth - 1)
    if depth and choice < 0.5:
        return Applied(draw.choice(list(Function)), expression(draw, symbols, depth - 1))
    return Number(round(draw.uniform(-5, 5), 2)) if choice < 0.75 else Symbol(draw.randrange(symbols))
