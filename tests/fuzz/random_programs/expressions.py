"""Random expressions of a wanted type, as source text. All of them have a value whatever the inputs are."""

from __future__ import annotations

from collections.abc import Callable

from random_programs.scope import (
    BOOL,
    FLOAT,
    GROWN,
    INT,
    MATRIX,
    NUMBER,
    ROWS,
    VECTOR,
    WIDTH,
    ListOf,
    Optional,
    Pair,
    Plain,
    Scope,
    Table,
    Tensor,
    Type,
)  # fmt: skip

Make = Callable[[], str]
SIGNATURE = tuple[str, tuple[Type, ...], Type]
"""A helper: how it is called, with {} for the arguments, its parameters, its result."""


class Expressions:
    """Writes expressions. `depth` bounds their nesting."""

    def __init__(self, scope: Scope, helpers: list[SIGNATURE]) -> None:
        self.scope, self.random, self.helpers = scope, scope.random, helpers
        self.depth = 0

    def of(self, wanted: Type) -> str:
        """An expression of the type."""
        if isinstance(wanted, Plain):
            return {"int": self.whole, "float": self.real, "bool": self.truth}[wanted.kind]()
        if isinstance(wanted, Tensor):
            return self.tensor(wanted)
        if isinstance(wanted, ListOf):
            return self.items(wanted)
        if isinstance(wanted, Optional):
            return "None" if self.scope.chance(0.4) else self.tensor(wanted.inner)
        if isinstance(wanted, Table):
            return f'{{"a": {self.tensor(wanted.a)}, "b": {self.tensor(wanted.b)}}}'
        return f"({self.of(wanted.first)}, {self.of(wanted.second)})"

    def pick(self, leaves: list[Make], inner: list[Make]) -> str:
        """One of the ways, a leaf where it is deep already."""
        ways = leaves if self.depth >= 3 or (leaves and self.scope.chance(0.3)) else [*leaves, *inner]
        self.depth += 1
        made = self.random.choice(ways)()
        self.depth -= 1
        return made

    def either(self, make: Make) -> str:
        return f"({make()} if {self.condition()} else {make()})"

    def shared(self, wanted: Type, leaves: list[Make], inner: list[Make]) -> str:
        """What every type has besides its own ways: variables, calls of helpers, the parts of pairs, conditional expressions."""
        scope = self.scope
        names = scope.known(wanted)
        ways: list[Make] = [lambda: self.random.choice(names)] * (4 if names else 0)
        if scope.has("conditional"):
            inner = [*inner, lambda: self.either(lambda: self.of(wanted))]
        calls = [h for h in self.helpers if h[2] == wanted]
        if calls:
            inner = [*inner, lambda: self.call(self.random.choice(calls))]
        for pair in (Pair(VECTOR, INT), Pair(FLOAT, MATRIX)):
            for position, part in enumerate((pair.first, pair.second)):
                if part == wanted and (held := scope.known(pair)):
                    ways.append(lambda held=held, position=position: f"{self.random.choice(held)}[{position}]")
        return self.pick([*ways, *leaves], inner)

    def call(self, helper: SIGNATURE) -> str:
        return helper[0].format(", ".join(self.argument(p) for p in helper[1]))

    def argument(self, wanted: Type) -> str:
        if isinstance(wanted, ListOf):
            free = self.scope.known(wanted, assigned=True)
            return self.random.choice(free) if free else self.items(wanted)
        return self.of(wanted)

    # -- Python numbers --------------------------------------------------------------------------------------------------

    def whole(self) -> str:
        r = self.random
        leaves: list[Make] = [lambda: str(r.randrange(4)), lambda: "self.depth"]
        leaves += [lambda: f"int({self.element()} * 3)", lambda: f"{r.choice(self.scope.known(VECTOR))}.argmax().item()"]
        lists = [n for e in (VECTOR, NUMBER) for f in (True, False) for n in self.scope.known(ListOf(e, f))]
        if lists:
            leaves.append(lambda: f"len({r.choice(lists)})")
        if grown := self.scope.known(GROWN):
            leaves += [lambda: f"{r.choice(grown)}.shape[0]", lambda: f"len({r.choice(grown)})", lambda: f"{r.choice(grown)}.size(0)"]
        inner: list[Make] = [
            lambda: f"int({self.tensor(NUMBER)} * 3)",
            lambda: f"int({self.tensor(VECTOR)}.argmax())",
            lambda: f"{self.tensor(VECTOR)}.argmax().item()",
            lambda: f"int(({self.tensor(VECTOR)} > {self.constant()}).sum())",
            lambda: f"({self.whole()} {r.choice('+-*')} {self.whole()})",
            lambda: f"({self.whole()} {r.choice(['//', '%'])} {r.choice([2, 3, -3])})",
            lambda: f"{r.choice(['min', 'max'])}({self.whole()}, {self.whole()})",
            lambda: f"abs({self.whole()})",
            lambda: f"int({self.truth()})",
            lambda: f"int({self.real()})",
            lambda: f"(-{self.whole()})",
            lambda: f"round({self.real()})",
        ]
        if self.scope.has("faults"):
            inner.append(lambda: f"({self.whole()} // {self.whole()})")
        return self.shared(INT, leaves, inner)

    def constant(self) -> str:
        return str(round(self.random.uniform(-1, 1), 2))

    def real(self) -> str:
        r = self.random
        inner: list[Make] = [
            lambda: f"{self.tensor(NUMBER)}.item()",
            lambda: f"float({self.tensor(NUMBER)})",
            lambda: f"({self.real()} {r.choice('+-*')} {self.real()})",
            lambda: f"({self.whole()} * {self.constant()})",
            lambda: f"({self.whole()} / {r.choice([2, 3])})",
            lambda: f"{r.choice(['min', 'max'])}({self.real()}, {self.real()})",
            lambda: f"abs({self.real()})",
            lambda: f"float({self.whole()})",
            lambda: f"(-{self.real()})",
        ]
        if self.scope.has("faults"):
            inner.append(lambda: f"({self.real()} / {self.whole()})")
        leaves: list[Make] = [self.constant, lambda: "self.limit", *[lambda: f"{self.element()}.item()"] * 2]
        return self.shared(FLOAT, leaves, inner)

    def truth(self) -> str:
        """A bool of Python."""
        r = self.random
        compare = ["<", ">", "<=", ">="]
        inner: list[Make] = [
            lambda: f"({self.real()} {r.choice(compare)} {self.constant()})",
            lambda: f"({self.whole()} {r.choice([*compare, '==', '!='])} {self.whole()})",
            lambda: f"bool({self.tensor(NUMBER)} {r.choice(compare)} {self.constant()})",
            lambda: f"bool(({self.tensor(VECTOR)} > {self.constant()}).{r.choice(['any', 'all'])}())",
            lambda: f"({self.constant()} {r.choice(compare)} {self.real()} {r.choice(compare)} {self.real()})",
            lambda: f"(not {self.condition()})",
            lambda: f"({self.truth()} {r.choice(['and', 'or'])} {self.truth()})",
            lambda: f"({self.whole()} in ({r.randrange(3)}, {r.randrange(5)}))",
        ]
        if maybe := [n for t in (NUMBER, VECTOR) for n in self.scope.known(Optional(t))]:
            inner += [lambda: f"({r.choice(maybe)} is {r.choice(['', 'not '])}None)"] * 3
        leaves: list[Make] = [lambda: f"bool({self.element()} > {self.constant()})"] * 2 + [lambda: "self.flag"]
        return self.shared(BOOL, leaves, inner)

    def condition(self) -> str:
        """Anything that has a truth value."""
        r = self.random
        ways: list[Make] = [
            self.truth, self.truth, self.whole,
            lambda: f"{self.tensor(NUMBER)} {r.choice('<>')} {self.constant()}",
            lambda: f"({self.tensor(VECTOR)} > {self.constant()}).any()",
            lambda: f"{self.condition()} {r.choice(['and', 'or'])} {self.condition()}",
            lambda: f"not {self.condition()}",
        ]  # fmt: skip
        if lists := self.scope.known(ListOf(VECTOR, False)):
            ways.append(lambda: r.choice(lists))
        return f"({self.pick(ways[:4], ways)})"

    # -- tensors ---------------------------------------------------------------------------------------------------------

    def tensor(self, wanted: Tensor) -> str:
        again: Make = lambda: self.tensor(wanted)  # noqa: E731
        r = self.random
        inner: list[Make] = [
            lambda: f"torch.{r.choice(['tanh', 'sigmoid', 'relu', 'abs', 'sin'])}({again()})",
            lambda: f"({again()} {r.choice('+-*')} {again()})",
            lambda: f"({again()} {r.choice('+-*')} {self.real()})",
            lambda: f"({again()} {r.choice('+*')} {self.tensor(NUMBER)})",
            lambda: f"(-{again()})",
        ]
        if wanted != GROWN:  # sizes that are computed are equal by chance only
            inner.append(lambda: f"torch.where({again()} > {self.constant()}, {again()}, {again()})")
        else:
            del inner[1]
        if wanted.shape[-1:] == (WIDTH,):
            inner += [lambda: f"self.{r.choice(['first', 'second'])}({again()})"] * 2
            inner.append(lambda: f"torch.softmax({again()}, -1)")
        if held := self.scope.known(Optional(wanted)):
            name = r.choice(held)
            inner += [lambda: f"({name} if {name} is not None else {again()})"] * 2
        for table in (Table(VECTOR, NUMBER), Table(MATRIX, VECTOR)):
            for key, part in (("a", table.a), ("b", table.b)):
                if part == wanted and (tables := self.scope.known(table)):
                    inner += [lambda tables=tables, key=key: f'{r.choice(tables)}["{key}"]'] * 2
        if self.scope.has("attributes") and wanted == VECTOR:
            inner.append(lambda: "self.kept")
        leaves, more = {NUMBER: self.number, VECTOR: self.vector, MATRIX: self.matrix, GROWN: self.grown}[wanted]()
        return self.shared(wanted, leaves, [*inner, *more, *self.of_list(wanted)])

    def of_list(self, wanted: Tensor) -> list[Make]:
        """What lists of tensors of this type give."""
        r, scope = self.random, self.scope
        ways: list[Make] = []
        if filled := scope.known(ListOf(wanted, True)):
            name = r.choice(filled)
            ways += [lambda: f"{name}[-1]", lambda: f"{name}[0]", lambda: f"torch.stack({name}).mean(0)", lambda: f"sum({name})"]
            if scope.has("index"):
                ways.append(lambda: f"{name}[{self.whole()} % len({name})]")
        if unsure := scope.known(ListOf(wanted, False)):
            name = r.choice(unsure)
            ways += [lambda: f"({name}[-1] if {name} else {self.tensor(wanted)})"]
            if scope.has("faults"):
                ways.append(lambda: f"{name}[{r.randrange(3)}]")
        return ways

    def element(self) -> str:
        """An element of a vector, of which there always is one."""
        return f"{self.random.choice(self.scope.known(VECTOR))}[{self.random.randrange(WIDTH)}]"

    def number(self) -> tuple[list[Make], list[Make]]:
        r = self.random
        inner: list[Make] = [
            lambda: f"{self.tensor(VECTOR)}.{r.choice(['sum', 'mean', 'max', 'min'])}()",
            lambda: f"{self.tensor(MATRIX)}.{r.choice(['sum', 'mean', 'max'])}()",
            lambda: f"{self.tensor(VECTOR)}[{r.randrange(WIDTH)}]",
            lambda: f"torch.tensor(float({self.real()}))",
        ]
        if self.scope.has("index"):
            inner.append(lambda: f"{self.tensor(VECTOR)}[{self.whole()} % {WIDTH}]")
            inner.append(lambda: f"{self.tensor(MATRIX)}[{self.whole()} % {ROWS}, {self.whole()} % {WIDTH}]")
        if grown := self.scope.known(GROWN):
            inner += [lambda: f"{r.choice(grown)}.{r.choice(['sum', 'mean', 'max'])}()"] * 2
        return [self.element], inner

    def vector(self) -> tuple[list[Make], list[Make]]:
        r = self.random
        inner: list[Make] = [
            lambda: f"{self.tensor(MATRIX)}.{r.choice(['sum(0)', 'mean(0)', 'max(0).values'])}",
            lambda: f"{self.tensor(MATRIX)}[{r.randrange(ROWS)}]",
            lambda: f"{self.tensor(MATRIX)}[{self.tensor(VECTOR)}[:{ROWS}].argmax()]",
        ]
        if self.scope.has("index"):
            inner.append(lambda: f"{self.tensor(MATRIX)}[{self.whole()} % {ROWS}]")
        if self.scope.has("faults"):
            inner.append(lambda: f"{self.tensor(MATRIX)}[{self.whole()}]")
        if grown := self.scope.known(GROWN):
            name = r.choice(grown)
            inner += [lambda: f"{name}.{r.choice(['mean(0)', 'sum(0)', 'max(0).values'])}", lambda: f"{name}[-1]", lambda: f"{name}[0]"]
            if self.scope.has("index"):
                inner.append(lambda: f"{name}[{self.whole()} % {name}.shape[0]]")
            inner.append(lambda: f"(torch.softmax({name} @ {self.tensor(VECTOR)}, 0) @ {name})")
        if self.scope.has("comprehensions"):
            inner.append(lambda: f"sum([row * {self.constant()} for row in {self.tensor(MATRIX)}])")
        return [lambda: f"torch.{r.choice(['zeros', 'ones'])}({WIDTH})"], inner

    def matrix(self) -> tuple[list[Make], list[Make]]:
        r = self.random
        inner: list[Make] = [
            lambda: f"torch.stack([{', '.join(self.tensor(VECTOR) for _ in range(ROWS))}])",
            lambda: f"({self.tensor(MATRIX)} + {self.tensor(VECTOR)})",
            lambda: f"torch.cat([{self.tensor(MATRIX)}[1:], {self.tensor(VECTOR)}[None]])",
        ]
        if self.scope.has("comprehensions"):
            inner.append(lambda: f"torch.stack([self.first(row) if {r.choice(['i % 2', 'row[0] > 0'])} else row for i, row in enumerate({self.tensor(MATRIX)})])")
        return [lambda: f"torch.stack([{', '.join(r.choice(self.scope.known(VECTOR)) for _ in range(ROWS))}])"], inner

    def grown(self) -> tuple[list[Make], list[Make]]:
        r = self.random
        leaves: list[Make] = [lambda: f"{self.tensor(MATRIX)}[:{r.randrange(1, ROWS)}]"] if not self.scope.known(GROWN) else []
        inner: list[Make] = []
        if self.scope.known(GROWN) and self.depth < 2:
            inner.append(lambda: f"torch.cat([{r.choice(self.scope.known(GROWN))}, {self.tensor(VECTOR)}[None]])")
        if self.scope.has("slices"):
            inner.append(lambda: f"{self.tensor(MATRIX)}[:max(1, {self.whole()} % 4)]")
            inner.append(lambda: f"torch.zeros({self.whole()} % 4 + 1, {WIDTH})")
            inner.append(lambda: f"{self.tensor(MATRIX)}[{self.whole()} % {ROWS}:]")
        for filled in self.scope.known(ListOf(VECTOR, True)):
            inner.append(lambda filled=filled: f"torch.stack({filled})")
        return leaves, inner

    def items(self, wanted: ListOf) -> str:
        count = self.random.randrange(1 if wanted.filled else 0, 3)
        fresh = f"[{', '.join(self.tensor(wanted.element) for _ in range(count))}]"
        names = self.scope.known(wanted)
        return self.random.choice([fresh, f"list({self.random.choice(names)})", f"{self.random.choice(names)} + {fresh}"]) if names else fresh
