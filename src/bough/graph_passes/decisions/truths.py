"""What is known about conditions: constants, what a branch takes for granted, and what follows from either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bough.ir.dtypes import BOOL
from bough.ir.program import Assign, TensorType, Value

Array = np.ndarray[Any, Any]
Facts = dict[Value, bool]
"""Conditions that hold, or do not, where a node runs."""
CONDITION = TensorType(BOOL, ())
_NOT, _AND, _OR = ("logical_not", "not"), ("logical_and", "and"), ("logical_or", "or")
_DEEPEST = 20
"""How many operators deep an answer is looked for."""


class Truths:
    """Answers questions about the conditions of a function, from its constants and how conditions are made of each other."""

    def __init__(self, constants: Mapping[Value, Array]) -> None:
        self.constants = constants
        self._made: dict[Value, Assign] = {}

    def note(self, node: Assign) -> None:
        """Takes in how a condition is made."""
        if node.op in _NOT + _AND + _OR and all(a is not None and a.type == CONDITION for a in node.args):
            self._made[node.results[0]] = node

    def positive(self, v: Value) -> tuple[Value, bool]:
        """The condition that `v` denies, and True; or `v`, and False."""
        denied = False
        while (node := self._made.get(v)) is not None and node.op in _NOT:
            assert node.args[0] is not None
            v, denied = node.args[0], not denied
        return v, denied

    def known(self, v: Value, facts: Facts, depth: int = _DEEPEST) -> bool | None:
        """Whether a condition holds; None where that is not known."""
        if v.type != CONDITION or depth == 0:
            return None
        if v in self.constants:
            return bool(self.constants[v])
        if v in facts:
            return facts[v]
        node = self._made.get(v)
        if node is None:
            return None
        answers = [self.known(a, facts, depth - 1) for a in node.args if a is not None]
        if node.op in _NOT:
            return None if answers[0] is None else not answers[0]
        decisive = node.op in _OR
        if decisive in answers:
            return decisive
        return None if None in answers else not decisive

    def assume(self, v: Value, holds: bool, facts: Facts) -> Facts:
        """The facts, and that a condition holds or not, with what that says about those that it is made of."""
        facts = dict(facts)
        stack = [(v, holds)]
        while stack:
            condition, truth = stack.pop()
            facts[condition] = truth
            node = self._made.get(condition)
            if node is None:
                continue
            if node.op in _NOT:
                stack += [(a, not truth) for a in node.args if a is not None]
            elif truth == (node.op in _AND):
                stack += [(a, truth) for a in node.args if a is not None]
        return facts
