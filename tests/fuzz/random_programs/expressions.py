"""Random expressions of a wanted type, as source text, from the grammar. All of them have a value whatever the inputs are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from random_programs.grammar import CONDITIONS, INNER, LEAVES, Way
from random_programs.scope import Scope

PLACE = re.compile(r"<(\w+)(?::(\w+))?>")
DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Helper:
    """A function of the program: how it is called, with {} for the arguments, and its types."""

    call: str
    params: tuple[str, ...]
    result: str


class Expressions:
    """Writes expressions. `depth` is how far the present one is nested."""

    def __init__(self, scope: Scope, helpers: list[Helper]) -> None:
        self.scope, self.random, self.helpers = scope, scope.random, helpers
        self.depth = 0

    def of(self, kind: str) -> str:
        """An expression of a type."""
        names = self.scope.known(kind)
        if names and self.scope.chance(0.3 + 0.2 * self.depth):
            return self.random.choice(names)
        leaf = self.depth >= DEEPEST and kind in LEAVES
        own = LEAVES[kind] if leaf else [*LEAVES.get(kind, ()), *INNER[kind]]
        calls = [] if leaf else [h for h in self.helpers if h.result == kind]
        if calls and self.scope.chance(0.3):
            return self.call(self.random.choice(calls))
        if not leaf and self.scope.has("conditional") and self.scope.chance(0.08):
            return self.nested("(<k> if <cond> else <k>)".replace("<k>", f"<{kind}>"))
        return self.nested(self.pick(own))

    def nested(self, template: str) -> str:
        self.depth += 1
        made = self.fill(template)
        self.depth -= 1
        return made

    def pick(self, rows: list[Way]) -> str:
        """A template for which the program has the features and the variables."""
        possible = [w for w in rows if self.possible(w)]
        return self.random.choices(possible, [w.weight for w in possible])[0].text

    def possible(self, way: Way) -> bool:
        if not self.scope.has(way.feature):
            return False
        for kind, what in PLACE.findall(way.text):
            if what in ("var", "target") and not self.scope.known(kind, assigned=what == "target"):
                return False
        return True

    def fill(self, template: str) -> str:
        """The template with its places filled."""
        chosen: dict[str, str] = {}

        def place(found: re.Match[str]) -> str:
            kind, what = found.groups()
            if what in ("var", "target"):
                chosen[kind] = self.random.choice(self.scope.known(kind, assigned=what == "target"))
            if what in ("var", "target", "same"):
                return chosen[kind]
            return self.bounded(kind) if what == "bounded" else self.place(kind)

        return PLACE.sub(place, template)

    def place(self, kind: str) -> str:
        r = self.random
        if kind.isdigit():
            return str(r.randrange(int(kind)))
        if kind == "const":
            return str(round(r.uniform(-1, 1), 2))
        if kind in ("op", "cmp"):
            return r.choice(["+", "-", "*"] if kind == "op" else ["<", ">", "<=", ">="])
        if kind == "element":  # there always is a vector
            return f"{r.choice(self.scope.known('vec'))}[{r.randrange(4)}]"
        return self.condition() if kind == "cond" else self.of(kind)

    def condition(self) -> str:
        """Anything that has a truth value."""
        if self.depth >= DEEPEST:
            return self.of("bool")
        return f"({self.nested(self.pick(CONDITIONS))})"

    def bounded(self, kind: str) -> str:
        """An expression whose value stays small however often it is assigned."""
        made = self.of(kind)
        if kind == "int":
            return f"({made} % {self.random.randrange(2, 7)})"
        if kind == "float":
            mixed = self.scope.has("mixed") and self.scope.chance(0.1)
            return self.of("int") if mixed else f"max(-2.0, min(2.0, {made}))"
        if kind in ("num", "vec", "mat", "grown"):
            return self.random.choice([f"torch.tanh({made})", f"({made}).clamp(-2, 2)"])
        return made

    def call(self, helper: Helper) -> str:
        return helper.call.format(", ".join(self.argument(p) for p in helper.params))

    def argument(self, kind: str) -> str:
        """Not a list that a loop walks over, which the helper could make longer."""
        if kind in ("filled", "items", "values", "counts"):
            free = self.scope.known(kind, assigned=True)
            return self.random.choice(free) if free else self.fill(self.pick(LEAVES[kind]))
        return self.of(kind)
