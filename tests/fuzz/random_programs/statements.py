"""Random statements: assignments, branches, loops and jumps, written as indented source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from random_programs.expressions import Expressions, Helper
from random_programs.grammar import STATEMENTS
from random_programs.scope import TYPES, Scope

TURNS = 12
"""Bound on the turns of nested loops, multiplied."""
DEEPEST_BLOCK = 3


class Statements(Expressions):
    """Writes the body of one function that returns `result`."""

    def __init__(self, scope: Scope, helpers: list[Helper], result: tuple[str, ...], indent: int) -> None:
        super().__init__(scope, helpers)
        self.result, self.indent = result, indent
        self.lines: list[str] = []
        self.nesting, self.turns, self.in_loop = 0, 1, False

    def write(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    @contextmanager
    def under(self, head: str, names: dict[str, str] | None = None, loop: int = 0) -> Iterator[None]:
        """The lines written inside stand under `head`; `loop`: it is a loop of so many turns."""
        self.write(head)
        before = self.turns, self.in_loop
        self.turns, self.in_loop = self.turns * max(loop, 1), self.in_loop or loop > 0
        self.indent, self.nesting = self.indent + 1, self.nesting + 1
        with self.scope.block(names or {}):
            yield
        self.indent, self.nesting = self.indent - 1, self.nesting - 1
        self.turns, self.in_loop = before

    def block(self, count: int) -> None:
        """Up to `count` statements, at least one; a jump ends it."""
        for _ in range(self.random.randint(1, count)):
            if self.statement():
                return

    def statement(self) -> bool:
        """Writes one; says whether the block ends with it."""
        has, deep = self.scope.has, self.nesting < DEEPEST_BLOCK
        if self.nesting and self.scope.chance(0.12) and (jumps := self.jumps()):
            self.random.choice(jumps)()
            return True
        ways: list[tuple[str, float, bool, Callable[[], None]]] = [
            ("", 8, True, self.simple), ("", 4, deep, self.branch), ("while", 2, deep and self.turns < TURNS, self.repeat),
            ("for", 2.5, deep and self.turns < TURNS, self.walk), ("raises", 0.4, deep, self.refuse),
            ("optional", 1, deep, self.where_there_is), ("closures", 0.5, deep, self.closure),
        ]  # fmt: skip
        open_ways = [(w, make) for feature, w, open_, make in ways if open_ and has(feature)]
        weights, makes = zip(*open_ways, strict=True)
        self.random.choices(makes, weights)[0]()
        return False

    def jumps(self) -> list[Callable[[], None]]:
        has = self.scope.has
        found: list[Callable[[], None]] = [self.leave] if has("return") else []
        if self.in_loop:
            found += [lambda w=word: self.write(w) for word in ("break", "continue") if has(word)]  # type: ignore[misc]
        return found

    # -- without blocks --------------------------------------------------------------------------------------------------

    def simple(self) -> None:
        template = self.pick(STATEMENTS)
        if template == "<bound>":
            self.assign(self.random.choice([t for t in (*TYPES, "vec", "vec", "int", "float") if self.scope.has_type(t)]))
            return
        for line in self.fill(template).split("; "):
            self.write(line)

    def assign(self, kind: str) -> str:
        """`name = expression`, to a variable of the type or a new one."""
        value = self.bounded(kind)
        names = self.scope.known(kind, assigned=True)
        name = self.scope.fresh(kind) if not names or self.scope.chance(0.4) else self.random.choice(names)
        self.write(f"{name} = {value}")
        if name not in names:
            self.scope.declare(name, kind)
        return name

    def leave(self) -> None:
        self.write(f"return {', '.join(self.bounded(t) for t in self.result)}")

    # -- branches --------------------------------------------------------------------------------------------------------

    def branch(self) -> None:
        walrus = self.scope.has("walrus") and self.scope.chance(0.4)
        with self.under(f"if (int0 := {self.of('int')}) > 1:" if walrus else f"if {self.condition()}:"):
            self.block(3)
        while self.scope.chance(0.2):
            with self.under(f"elif {self.condition()}:"):
                self.block(2)
        if self.scope.chance(0.5):
            with self.under("else:"):
                self.block(3)

    def where_there_is(self) -> None:
        """What is done with a variable where it is not None."""
        kind, inner = self.random.choice([("maybe", "vec"), ("some", "int")])
        names = self.scope.known(kind, assigned=True)
        if not names:
            name = self.scope.fresh(kind)
            self.write(f"{name} = None")
            self.scope.declare(name, kind)
            return
        name = self.random.choice(names)
        with self.under(f"if {name} is not None:", {name: inner}):
            self.block(2)

    def refuse(self) -> None:
        with self.under(f"if {self.of('float')} > {self.random.choice([1.9, 3.5])}:"):
            self.write(f'raise {self.random.choice(["ValueError", "RuntimeError", "KeyError"])}("refused")')

    def closure(self) -> None:
        """A function inside, of what is around it."""
        name, parameter = self.scope.fresh("inner"), self.scope.fresh("vec")
        self.write(f"def {name}({parameter}):")
        with self.scope.block({parameter: "vec"}):
            self.write(f"    return {self.bounded('vec')}")
        self.write(f"{self.random.choice(self.scope.known('vec'))} = {name}({self.of('vec')})")

    # -- loops -----------------------------------------------------------------------------------------------------------

    def repeat(self) -> None:
        """A `while` that a counter ends at the latest."""
        counter, bound = self.scope.fresh("int"), self.random.randrange(2, 5)
        self.write(f"{counter} = 0")
        self.scope.declare(counter, "int")
        forms = [f"while {self.condition()} and {counter} < {bound}:", f"while {counter} < {bound}:"]
        forms += ["while True:"] * self.scope.has("break") + [f"while {counter} < {self.of('int')} % {bound}:"]
        head = self.random.choice(forms)
        with self.scope.lock(counter), self.under(head, loop=bound):
            self.write(f"{counter} += 1")
            if head == "while True:":
                with self.under(f"if {counter} > {bound} or {self.condition()}:"):
                    self.write("break")
            self.block(4)
        if head != "while True:":
            self.loop_else()

    def loop_else(self) -> None:
        if self.scope.has("else_of_loop") and self.scope.chance(0.3):
            with self.under("else:"):
                self.block(2)

    def walk(self) -> None:
        """A `for`."""
        r, scope = self.random, self.scope
        i, row, bound = scope.fresh("int"), scope.fresh("vec"), r.randrange(2, 4)
        heads: list[tuple[str, dict[str, str]]] = [(f"for {i} in range({bound}):", {i: "int"})]
        heads += [(f"for {i} in range({self.of('int')} % {bound + 1}):", {i: "int"})] * 2
        heads.append((f"for {i} in range({self.of('int')} % 2, {bound}):", {i: "int"}))
        if scope.has("rows"):
            heads += [(f"for {row} in {self.of('mat')}:", {row: "vec"}), (f"for {i}, {row} in enumerate({self.of('mat')}):", {i: "int", row: "vec"})]
            heads += [(f"for {row} in {name}:", {row: "vec"}) for name in scope.known("grown")[:2]]
        lists = scope.known("filled") + scope.known("items")
        if lists:
            name = r.choice(lists)
            heads += [(f"for {row} in {name}:", {row: "vec"}), (f"for {i}, {row} in enumerate({name}):", {i: "int", row: "vec"})]
            heads += [(f"for {row}, {i} in zip({name}, range(3)):", {i: "int", row: "vec"}), (f"for {row} in reversed({name}):", {row: "vec"})]
        if counts := scope.known("counts"):
            lists += counts
            heads.append((f"for {i} in {r.choice(counts)}:", {i: "int"}))
        layer = scope.fresh("layer")
        heads += [(f"for {layer} in self.layers:", {})] * scope.has("modules")
        head, names = r.choice(heads)
        with scope.lock(i, *(n for n in lists if occurs(n, head))), self.under(head, names, loop=bound):
            if layer in head:
                self.write(f"{r.choice(scope.known('vec'))} = {layer}({self.of('vec')})")
            self.block(4)
        self.loop_else()


def occurs(name: str, text: str) -> bool:
    """Whether a name occurs in a text."""
    return any(word == name for word in "".join(c if c.isalnum() else " " for c in text).split())
