"""Random statements: assignments, updates in place, branches, loops and jumps, written as indented source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from random_programs.expressions import SIGNATURE, Expressions
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

TURNS = 12
"""Bound on the turns of nested loops, multiplied."""
DEEPEST = 3
"""Bound on blocks in blocks."""


class Statements(Expressions):
    """Writes the body of one function that returns `result`."""

    def __init__(self, scope: Scope, helpers: list[SIGNATURE], result: tuple[Type, ...], indent: int) -> None:
        super().__init__(scope, helpers)
        self.result, self.indent = result, indent
        self.lines: list[str] = []
        self.nesting, self.turns, self.in_loop = 0, 1, False

    def write(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    @contextmanager
    def under(self, head: str, loop: int = 0, **names: Type) -> Iterator[None]:
        """The lines written inside stand under `head`; `loop`: it is a loop of so many turns."""
        self.write(head)
        before = self.turns, self.in_loop
        self.turns, self.in_loop = self.turns * max(loop, 1), self.in_loop or loop > 0
        self.indent, self.nesting = self.indent + 1, self.nesting + 1
        with self.scope.block(**names):
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
        has, nested = self.scope.has, self.nesting
        ways: list[tuple[float, Callable[[], object]]] = [(5, self.assign), (2, self.assign_numbers)]
        deep = nested < DEEPEST
        ways += [(4.0 if deep else 0.3, self.branch)]
        ways += [(w, make) for feature, w, make in (
            ("while", 2, self.repeat), ("for", 2.5, self.walk),
        ) if has(feature) and deep and self.turns < TURNS]  # fmt: skip
        ways += [(w, make) for feature, w, make in (
            ("in_place", 2, self.in_place), ("lists", 2, self.change_list), ("tables", 1, self.change_table), ("growth", 1.5, self.grow),
            ("asserts", 0.5, self.check), ("raises", 0.4, self.refuse), ("attributes", 1, self.keep), ("unpacking", 0.7, self.unpack),
            ("optional", 1, self.optional),
        ) if has(feature)]  # fmt: skip
        jumps: list[Callable[[], object]] = []
        if self.in_loop:
            jumps += [lambda: self.write("break")] * has("break") + [lambda: self.write("continue")] * has("continue")
        jumps += [self.leave] * has("return")
        if jumps and nested and self.scope.chance(0.15):
            self.random.choice(jumps)()
            return True
        weights, makes = zip(*ways, strict=True)
        self.random.choices(makes, weights)[0]()
        return False

    # -- assignments -----------------------------------------------------------------------------------------------------

    def bounded(self, wanted: Type) -> str:
        """An expression whose value stays small however often it is assigned."""
        made = self.of(wanted)
        if wanted == INT:
            return f"{made} % {self.random.randrange(2, 7)}"
        if wanted == FLOAT:
            return made if self.scope.has("mixed") and self.scope.chance(0.1) else f"max(-2.0, min(2.0, {made}))"
        if isinstance(wanted, Tensor):
            return self.random.choice([f"torch.tanh({made})", f"({made}).clamp(-2, 2)"])
        return made

    def store(self, wanted: Type, new: float = 0.4) -> str:
        """`name = expression`, to a variable of the type or a new one."""
        value = self.bounded(wanted)
        names = self.scope.known(wanted, assigned=True)
        name = self.scope.fresh(wanted) if not names or self.scope.chance(new) else self.random.choice(names)
        self.write(f"{name} = {value}")
        if name not in names:
            self.scope.declare(name, wanted)
        return name

    def assign(self) -> None:
        kinds: list[Type] = [NUMBER, VECTOR, VECTOR, VECTOR, MATRIX]
        has = self.scope.has
        kinds += [GROWN] * (has("growth") or has("slices")) + [ListOf(VECTOR, False), ListOf(VECTOR, True)] * has("lists")
        kinds += [Table(VECTOR, NUMBER)] * has("tables") + [Pair(VECTOR, INT), Pair(FLOAT, MATRIX)] * has("pairs")
        kinds += [Optional(VECTOR)] * has("optional")
        self.store(self.random.choice(kinds))

    def assign_numbers(self) -> None:
        kind = self.random.choice([INT, INT, FLOAT, FLOAT, BOOL])
        names = self.scope.known(kind, assigned=True)
        if kind == INT and names and self.scope.chance(0.4):
            name = self.random.choice(names)
            self.write(f"{name} {self.random.choice(['+=', '-='])} {self.whole()}")
            self.write(f"{name} %= 7")
        elif kind == FLOAT and names and self.scope.chance(0.3):
            self.write(f"{self.random.choice(names)} *= 0.5")
        else:
            self.store(kind)

    def unpack(self) -> None:
        a, b = self.random.choice([(VECTOR, FLOAT), (INT, VECTOR), (INT, INT), (VECTOR, VECTOR)])
        names = self.scope.known(a, assigned=True)
        if a == b and len(names) > 1:
            x, y = self.random.sample(names, 2)
            self.write(f"{x}, {y} = {y}, {x}")
            return
        x, y = self.scope.fresh(a), self.scope.fresh(b)
        self.write(f"{x}, {y} = {self.bounded(a)}, {self.bounded(b)}")
        self.scope.declare(x, a)
        self.scope.declare(y, b)

    def keep(self) -> None:
        self.write(f"self.kept = {self.bounded(VECTOR)}")

    def grow(self) -> None:
        names = self.scope.known(GROWN, assigned=True)
        if not names:
            self.store(GROWN)
            return
        name, row = self.random.choice(names), f"{self.bounded(VECTOR)}"
        forms = [f"torch.cat([{name}, {row}[None]])", f"torch.cat([{name}, ({row}).unsqueeze(0)], dim=0)", f"torch.cat([{name}[1:], {row}[None]], 0)"]
        self.write(f"{name} = {self.random.choice(forms)}")

    def in_place(self) -> None:
        kind = self.random.choice([VECTOR, VECTOR, MATRIX, NUMBER, *[GROWN] * self.scope.has("growth")])
        names = self.scope.known(kind)
        if not names:
            self.store(kind)
            return
        name, index = self.random.choice(names), self.whole() if self.scope.has("index") else str(self.random.randrange(3))
        ways = [f"{name}.mul_({self.constant()})", f"{name} += {self.bounded(NUMBER)}", f"{name}.clamp_(-2, 2)", f"{name} *= {self.constant()}"]
        if kind == VECTOR:
            ways += [f"{name}[{index} % {WIDTH}] = {self.bounded(FLOAT)}", f"{name}[{index} % {WIDTH}] += {self.constant()}", f"{name}.copy_({self.bounded(VECTOR)})",
                     f"{name}.add_({self.bounded(VECTOR)})", f"{name}[{index} % {WIDTH}] = {self.bounded(NUMBER)}", f"{name}[:2] *= {self.constant()}"]  # fmt: skip
        if kind == MATRIX:
            ways += [f"{name}[{index} % {ROWS}] = {self.bounded(VECTOR)}", f"{name}[{index} % {ROWS}].mul_({self.constant()})", f"{name}[:, 1] = {self.constant()}"]
        if kind == GROWN:
            ways += [f"{name}[{index} % len({name})] = {self.bounded(VECTOR)}", f"{name}[-1].mul_({self.constant()})"]
        self.write(self.random.choice(ways))
        if self.scope.chance(0.3):
            self.write(f"{name}.clamp_(-2, 2)")

    def change_list(self) -> None:
        kind = ListOf(self.random.choice([VECTOR, VECTOR, NUMBER]), self.scope.chance(0.5))
        names = self.scope.known(kind, assigned=True)
        if not names:
            self.store(kind)
            return
        name, item = self.random.choice(names), self.bounded(kind.element)
        ways = [f"{name}.append({item})"] * 5
        ways += [f"{name}[-1] = {item}"] if kind.filled else [f"{name} = {name} + [{item}]"]
        self.write(self.random.choice(ways))

    def change_table(self) -> None:
        names = self.scope.known(Table(VECTOR, NUMBER), assigned=True)
        if not names:
            self.store(Table(VECTOR, NUMBER))
            return
        key, kind = self.random.choice([("a", VECTOR), ("b", NUMBER)])
        self.write(f'{self.random.choice(names)}["{key}"] = {self.bounded(kind)}')

    # -- branches --------------------------------------------------------------------------------------------------------

    def branch(self) -> None:
        with self.under(f"if {self.condition()}:"):
            self.block(3)
        while self.scope.chance(0.2):
            with self.under(f"elif {self.condition()}:"):
                self.block(2)
        if self.scope.chance(0.5):
            with self.under("else:"):
                self.block(3)

    def optional(self) -> None:
        """A variable that is None on some ways, and what is done where it is not."""
        kind = Optional(VECTOR)
        names = self.scope.known(kind, assigned=True)
        if not names:
            name = self.scope.fresh(kind)
            self.write(f"{name} = None")
            self.scope.declare(name, kind)
        elif self.nesting < DEEPEST:
            name = self.random.choice(names)
            with self.under(f"if {name} is not None:", **{name: VECTOR}):
                self.block(2)
        else:
            self.store(kind, new=0)

    def check(self) -> None:
        holds = [f"{self.tensor(VECTOR)}.shape[0] == {WIDTH}", f"{self.tensor(NUMBER)}.abs() < 1000", f"{self.whole()} > -1000"]
        if self.scope.has("faults"):
            holds += [f"{self.real()} > -1.5", f'{self.tensor(NUMBER)} < 2, "too large"']
        self.write(f"assert {self.random.choice(holds)}")

    def refuse(self) -> None:
        with self.under(f"if {self.real()} > {self.random.choice([1.9, 3.5])}:"):
            self.write(f'raise {self.random.choice(["ValueError", "RuntimeError", "KeyError"])}("refused")')

    def leave(self) -> None:
        values = [self.bounded(t) for t in self.result]
        self.write(f"return {values[0] if len(values) == 1 else ', '.join(values)}")

    # -- loops -----------------------------------------------------------------------------------------------------------

    def repeat(self) -> None:
        """A `while` that a counter ends at the latest."""
        counter, bound = self.scope.fresh(INT), self.random.randrange(2, 5)
        self.scope.declare(counter, INT)
        self.scope.counters.add(counter)
        self.write(f"{counter} = 0")
        forms = [f"while {self.condition()} and {counter} < {bound}:", f"while {counter} < {bound}:"]
        forms += ["while True:"] * self.scope.has("break") + [f"while {counter} < {self.whole()} % {bound}:"]
        head = self.random.choice(forms)
        with self.under(head, loop=bound):
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
        index, row = scope.fresh(INT), scope.fresh(VECTOR)
        bound = r.randrange(2, 4)
        heads: list[tuple[str, dict[str, Type], str]] = [
            (f"for {index} in range({bound}):", {index: INT}, ""),
            (f"for {index} in range({self.whole()} % {bound + 1}):", {index: INT}, ""),
            (f"for {index} in range({self.whole()} % 2, {bound}):", {index: INT}, ""),
        ]
        if scope.has("rows"):
            matrix = self.tensor(MATRIX)
            heads += [(f"for {row} in {matrix}:", {row: VECTOR}, ""), (f"for {index}, {row} in enumerate({matrix}):", {index: INT, row: VECTOR}, "")]
            heads += [(f"for {row} in {name}:", {row: VECTOR}, "") for name in scope.known(GROWN)[:2]]
            layer = scope.fresh(VECTOR)
            heads.append((f"for {layer} in self.layers:", {}, layer))
        if lists := scope.known(ListOf(VECTOR, True)) + scope.known(ListOf(VECTOR, False)):
            heads += [(f"for {row} in {r.choice(lists)}:", {row: VECTOR}, "")] * 2
            name = r.choice(lists)
            heads.append((f"for {index}, {row} in enumerate({name}):", {index: INT, row: VECTOR}, ""))
        head, names, layer = r.choice(heads)
        locked = next((n for n in lists if n in head), "")
        with scope.lock(locked), self.under(head, loop=bound, **names):
            scope.counters.update(n for n, t in names.items() if isinstance(t, Plain))
            if layer:
                value = scope.known(VECTOR, assigned=True)
                self.write(f"{r.choice(value) if value else self.store(VECTOR)} = {layer}({self.tensor(VECTOR)})")
            self.block(4)
        self.loop_else()
