"""Random programs with branches, loops and computed sizes, whose results depend on which way they go."""

from __future__ import annotations

from random import Random

import numpy as np

from bough.frontends.builder import Builder
from bough.frontends.regions import NewSize, Regions
from bough.ir.dtypes import BOOL, F32, I64
from bough.ir.expr import Var, add, as_extent
from bough.ir.program import CAPACITY, Check, Dim, Function, Program, TensorType, Value

WIDTH = 3
VECTOR, COUNT = TensorType(F32, (WIDTH,)), TensorType(I64, ())


class RandomControl:
    """One program. `vectors` and `counts` are the values that can be used where the generator is; most are never used."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.b = Builder()
        self.regions = Regions(self.b)
        self.sizes = 0

    def program(self) -> Program:
        x, n = self.b.value(VECTOR, "x"), self.b.value(COUNT, "n")
        w = self.b.constant(np.array([0.5, -1.0, 0.25], np.float32), F32, "w")
        vectors, counts = [x, w], [n, self.b.number(1, I64)]
        self.statements(vectors, counts, 3)
        results = (self.random.choice(vectors), vectors[-1], counts[-1])
        (body,) = self.b.bodies
        return Program({"main": Function("main", (x, n), self.b.constants, body, results, (Dim(CAPACITY),))})

    def statements(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        """Adds what the statements compute to the values that can be used."""
        kinds = [self.arithmetic, self.arithmetic, self.count, self.check]
        kinds += [self.branch, self.loop, self.growing] if depth else []
        for _ in range(self.random.randint(1, 4)):
            self.random.choice(kinds)(vectors, counts, depth)

    def arithmetic(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        a, b = self.random.choice(vectors), self.random.choice(vectors)
        op = self.random.choice(["add", "mul", "sub", "tanh", "relu"])
        vectors.append(self.b.emit(op, a) if op in ("tanh", "relu") else self.b.emit("tanh", self.b.emit(op, a, b)))

    def count(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        total = self.b.emit("add", self.random.choice(counts), self.random.choice(counts))
        counts.append(self.b.emit("mod", total, self.b.number(5, I64)))

    def condition(self, vectors: list[Value], counts: list[Value]) -> Value:
        if self.random.random() < 0.1:
            return self.b.number(self.random.random() < 0.5, BOOL)
        if self.random.random() < 0.5:
            return self.b.emit("gt", self.random.choice(counts), self.b.number(self.random.randint(0, 3), I64))
        total = self.b.emit("reduce_sum", self.random.choice(vectors), axes=(0,), keep=False)
        return self.b.emit("gt", total, self.b.number(self.random.choice([-0.5, 0.0, 0.5]), F32))

    def check(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        holds = self.b.emit("lt", self.random.choice(counts), self.b.number(self.random.choice([4, 100]), I64))
        self.b.bodies[-1].append(Check(holds, "ValueError", f"check {len(vectors)}"))

    def branch(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        self.regions.begin_if(self.condition(vectors, counts))
        ends = []
        for side in range(2):
            own_vectors, own_counts = list(vectors), list(counts)
            if self.random.random() < 0.8:
                self.statements(own_vectors, own_counts, depth - 1)
            ends.append([self.random.choice(own_vectors), own_vectors[-1], own_counts[-1]])
            if side == 0:
                self.regions.begin_else()
        a, b, n = self.regions.end_if(ends[0], ends[1], [VECTOR, VECTOR, COUNT])
        vectors += [a, b]
        counts.append(n)

    def loop(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        zero = self.b.number(0, I64)
        initial = [zero, self.random.choice(vectors), self.random.choice(vectors), self.random.choice(counts)]
        i, *states, count = self.regions.begin_while(initial, [COUNT, VECTOR, VECTOR, COUNT])
        own_vectors, own_counts = [*vectors, *states], [*counts, i, count]
        if self.random.random() < 0.3:
            self.statements(own_vectors, own_counts, 0)
        more = self.b.emit("lt", i, self.b.number(self.random.randint(0, 3), I64))
        self.regions.test(self.b.emit("logical_and", more, self.condition(own_vectors, own_counts)) if depth > 1 else more)
        self.statements(own_vectors, own_counts, depth - 1)
        kept = states[1] if self.random.random() < 0.5 else self.random.choice(own_vectors)
        updated = [self.b.emit("add", i, self.b.number(1, I64)), own_vectors[-1], kept, self.random.choice(own_counts)]
        _, a, b, n = self.regions.end_while(updated, [COUNT, VECTOR, VECTOR, COUNT])
        vectors += [a, b]
        counts.append(n)

    def growing(self, vectors: list[Value], counts: list[Value], depth: int) -> None:
        """A list of vectors that grows, summed up at the end."""
        self.sizes += 1
        name, after = f"k{self.sizes}", f"m{self.sizes}"
        rows = TensorType(F32, (Var(name), WIDTH))
        first = self.b.reshape(self.random.choice(vectors), (1, WIDTH))
        size = NewSize(name, 1, None, 0, 0)
        collected, count = self.regions.begin_while([first, self.random.choice(counts)], [rows, COUNT], [size])
        self.regions.test(self.b.emit("lt", count, self.b.number(5, I64)))
        own_vectors, own_counts = list(vectors), [*counts, count]
        self.statements(own_vectors, own_counts, depth - 1)
        longer = self.b.emit("concat", collected, self.b.reshape(own_vectors[-1], (1, WIDTH)), axis=0)
        assert longer.type.shape[0] == as_extent(add(Var(name), 1))
        more = self.b.emit("add", count, self.b.number(1, I64))
        size = NewSize(after, 1, None, 0, 0)
        collected, count = self.regions.end_while([longer, more], [TensorType(F32, (Var(after), WIDTH)), COUNT], [size])
        if self.random.random() < 0.7:
            vectors.append(self.b.emit("tanh", self.b.emit("reduce_sum", collected, axes=(0,), keep=False)))
        if self.random.random() < 0.7:
            counts.append(self.b.emit("mod", self.b.symbolic(Var(after)), self.b.number(5, I64)))
