"""Decisions that are known when compiling: constant conditions, conditions asked twice, states that never change, values that are
computed twice."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bough import ops
from bough.graph_passes.decisions.join import join_branches
from bough.graph_passes.decisions.truths import CONDITION, Array, Facts, Truths
from bough.graph_passes.decisions.walk import L, names_of, replaced, with_decisions, with_states
from bough.ir.dtypes import BF16
from bough.ir.program import Assign, Check, Function, If, Loop, Node, Program, Value, While
from bough.ir.program_print import print_attribute

Seen = ChainMap[Any, tuple[Value, ...]]
ROUNDS = 4
"""How often a function is gone through as long as something new turns up."""


def fold_decisions(program: Program) -> Program:
    """The program without decisions whose outcome is known."""
    return with_decisions(program, _function)


def _function(f: Function) -> Function:
    for _ in range(ROUNDS):
        fold = _Fold(f)
        f = fold.run()
        if not fold.again:
            break
    return f


class _Fold:
    """One round. `values` has what stands for values that are gone."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.constants = dict(function.constants)
        self.truths = Truths(self.constants)
        self.values: dict[Value, Value] = {}
        self.again = False

    def run(self) -> Function:
        f = self.function
        body = self.body(f.body, {}, ChainMap())
        return replace(f, body=body, constants=self.constants, results=self.now(f.results))

    def now(self, values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(self.values.get(v, v) for v in values)

    def body(self, nodes: Sequence[Node], facts: Facts, seen: Seen) -> list[Node]:
        """The nodes of a body where `facts` hold. `seen`: what has been computed, by how."""
        out: list[Node] = []
        facts = dict(facts)
        self.into(out, nodes, facts, seen)
        return out

    def into(self, out: list[Node], nodes: Sequence[Node], facts: Facts, seen: Seen) -> None:
        for given in nodes:
            node = replaced(given, self.values)
            match node:
                case Assign():
                    self.assign(out, node, seen)
                case If():
                    self.branches(out, node, facts, seen)
                case While():
                    self.whilst(out, node, facts, seen)
                case Loop():
                    out.append(self.loop(node, facts, seen))
                case Check():
                    if self.truths.known(node.condition, facts) is not True:
                        out.append(node)
                        facts.update(self.truths.assume(node.condition, True, facts))
                case _:
                    out.append(node)

    # assignments

    def assign(self, out: list[Node], node: Assign, seen: Seen) -> None:
        attributes = tuple((k, print_attribute(v)) for k, v in node.attributes.items())
        key = (node.op, node.args, attributes, tuple((r.type.dtype, r.type.shape) for r in node.results))
        if key in seen:
            self.values.update(zip(node.results, seen[key], strict=True))
            return
        array = self.scalar(node)
        if array is not None:
            self.constants[node.results[0]] = array
            return
        seen[key] = node.results
        self.truths.note(node)
        out.append(node)

    def scalar(self, node: Assign) -> Array | None:
        """The value of an assignment of rank 0 whose arguments are constants."""
        types = [v.type for v in (*node.args, *node.results) if v is not None]
        if len(node.results) != 1 or any(t.rank or t.dtype == BF16 for t in types) or names_of(node.attributes.values()):
            return None
        if not all(a is not None and a in self.constants for a in node.args):
            return None
        arrays = [None if a is None else self.constants[a] for a in node.args]
        (array,) = ops.evaluate(node.op, arrays, node.attributes, (node.results[0].type,))
        return np.asarray(array)

    # branches

    def branches(self, out: list[Node], node: If, facts: Facts, seen: Seen) -> None:
        condition, denied = self.truths.positive(node.condition)
        if denied:
            node = replace(
                node, condition=condition, then=node.otherwise, then_results=node.otherwise_results,
                otherwise=node.then, otherwise_results=node.then_results,
            )  # fmt: skip
        taken = self.truths.known(condition, facts)
        if taken is not None and _same_types(node.results, node.then_results if taken else node.otherwise_results):
            self.into(out, node.then if taken else node.otherwise, facts, seen)
            self.values.update(zip(node.results, self.now(node.then_results if taken else node.otherwise_results), strict=True))
            return
        sides = []
        for holds, body, results in ((True, node.then, node.then_results), (False, node.otherwise, node.otherwise_results)):
            assumed = self.truths.assume(condition, holds, facts)
            nodes = self.body(body, assumed, seen.new_child())
            sides.append((nodes, [self.settled(v, assumed) for v in self.now(results)]))
        self.join(out, node, sides)

    def settled(self, v: Value, facts: Facts) -> Value:
        """A value; the constant, where it is a condition that is known."""
        truth = self.truths.known(v, facts)
        return v if truth is None or v in self.constants else self.truth(truth)

    def truth(self, holds: bool) -> Value:
        for v, array in self.constants.items():
            if v.type == CONDITION and bool(array) == holds:
                return v
        taken = {v.name for v in self.constants}
        name = f"known.{str(holds).lower()}"
        while name in taken:
            name += "_"
        value = Value(name, CONDITION)
        self.constants[value] = np.array(holds)
        return value

    def join(self, out: list[Node], node: If, sides: list[tuple[list[Node], list[Value]]]) -> None:
        """Appends the branches with those results that they really choose."""
        (then, then_results), (otherwise, otherwise_results) = sides
        kept: list[tuple[Value, Value, Value]] = []
        known: dict[tuple[Value, Value], Value] = {}
        behind: list[Node] = []
        for result, a, b in zip(node.results, then_results, otherwise_results, strict=True):
            truths = [bool(self.constants[v]) if v in self.constants and v.type == CONDITION else None for v in (a, b)]
            if a is b and a.type == result.type:
                self.values[result] = a
            elif (a, b) in known and known[a, b].type == result.type:
                self.values[result] = known[a, b]
            elif truths == [True, False]:
                self.values[result] = node.condition
            elif truths == [False, True]:
                denial = Assign((result,), "logical_not", (node.condition,), {}, node.location)
                self.truths.note(denial)
                behind.append(denial)
            else:
                kept.append((result, a, b))
                known[a, b] = result
        self.again |= len(kept) < len(node.results)
        if not (then or otherwise or kept):
            out += behind
            return
        results, firsts, seconds = (tuple(group) for group in zip(*kept, strict=True)) if kept else ((), (), ())
        new = replace(
            node, then=then, then_results=firsts, otherwise=otherwise, otherwise_results=seconds, results=results
        )
        self.again |= join_branches(out, new)
        out += behind

    # loops

    def whilst(self, out: list[Node], node: While, facts: Facts, seen: Seen) -> None:
        if self.truths.known(node.condition, facts) is False and _same_types(node.carried, node.initial):
            self.values.update(zip((*node.carried, *node.final), (*node.initial, *node.initial), strict=True))
            self.into(out, node.head, facts, seen)
            return
        node = self.without_constant_states(node)
        inner = seen.new_child()
        head = self.body(node.head, facts, inner)
        (condition,) = self.now([node.condition])
        body = self.body(node.body, self.truths.assume(condition, True, facts), inner.new_child())
        updated = self.now(node.updated)
        self.again |= any(u is c for u, c in zip(updated, node.carried, strict=True))
        out.append(replace(node, head=head, condition=condition, body=body, updated=updated))

    def loop(self, node: Loop, facts: Facts, seen: Seen) -> Loop:
        node = self.without_constant_states(node)
        body = self.body(node.body, facts, seen.new_child())
        return replace(node, body=body, updated=self.now(node.updated), collected=self.now(node.collected))

    def without_constant_states(self, node: L) -> L:
        """The loop without states that keep their first value, and without those that are the same as another."""
        kept: list[int] = []
        known: dict[tuple[Value, Value], int] = {}
        states = zip(node.carried, node.initial, node.updated, node.final, strict=True)
        for n, (carried, initial, updated, final) in enumerate(states):
            other = known.get((initial, updated))
            if updated in (carried, initial) and _same_types([carried, final], [initial, initial]):
                self.values.update({carried: initial, final: initial})
            elif other is not None and _same_types([carried, final], [node.carried[other], node.final[other]]):
                self.values.update({carried: node.carried[other], final: node.final[other]})
            else:
                kept.append(n)
                known[initial, updated] = n
        return with_states(node, kept)


def _same_types(a: Sequence[Value], b: Sequence[Value]) -> bool:
    return all(x.type == y.type for x, y in zip(a, b, strict=True))
