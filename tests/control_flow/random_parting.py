"""Random programs: branches and loops on computed values, nested, over vectors, numbers and sizes of their own."""

from __future__ import annotations

import random

ELEMENTWISE = ("relu", "tanh", "sigmoid", "square", "neg", "sin")
JOINING = ("add", "sub", "mul", "max")


class Writer:
    """Writes one program. `vectors` and `numbers` are what is known where the next line stands."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0

    def fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def line(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    def program(self) -> str:
        vectors, numbers = ["x"], ["n"]
        self.line(1, 'one: i64[] = full(shape=(), value=1, dtype=i64)')
        self.line(1, 'zero: f32[] = full(shape=(), value=0.0, dtype=f32)')
        self.block(1, vectors, numbers, 0)
        results = f"({vectors[-1]}, {numbers[-1]})" if vectors[-1] != "x" else f"({vectors[-1]})"
        head = [f"func main(x: f32[1, 8], n: i64[]) -> {results}"]
        return "\n".join([*head, "  const w: f32[8, 8]", *self.lines]) + "\n"

    def block(self, depth: int, vectors: list[str], numbers: list[str], nested: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            choice = self.random.random()
            if nested < 3 and choice < 0.25:
                self.branch(depth, vectors, numbers, nested)
            elif nested < 3 and choice < 0.4:
                self.loop(depth, vectors, numbers, nested)
            elif choice < 0.55:
                self.cut(depth, vectors, numbers)
            elif choice < 0.7:
                self.count_up(depth, numbers)
            else:
                self.compute(depth, vectors)

    def compute(self, depth: int, vectors: list[str]) -> None:
        y, x = self.fresh("v"), self.random.choice(vectors)
        if self.random.random() < 0.3:
            h = self.fresh("v")
            self.line(depth, f"{h}: f32[1, 8] = linear({x}, w, none)")
            self.line(depth, f"{y}: f32[1, 8] = tanh({h})")
        elif self.random.random() < 0.5:
            self.line(depth, f"{y}: f32[1, 8] = {self.random.choice(ELEMENTWISE)}({x})")
        else:
            h = self.fresh("v")
            self.line(depth, f"{h}: f32[1, 8] = {self.random.choice(JOINING)}({x}, {self.random.choice(vectors)})")
            self.line(depth, f"{y}: f32[1, 8] = tanh({h})")
        vectors.append(y)

    def count_up(self, depth: int, numbers: list[str]) -> None:
        m, k, a = self.fresh("k"), self.fresh("k"), self.random.choice(numbers)
        self.line(depth, f"{m}: i64[] = add({a}, {self.random.choice([*numbers, 'one'])})")
        self.line(depth, f"{k}: i64[] = clamp({m}, low=0, high=7)")
        numbers.append(k)

    def cut(self, depth: int, vectors: list[str], numbers: list[str]) -> None:
        """A part of a vector of a computed size, its softmax, its sum, and both back in a vector."""
        k, s = self.fresh("k"), self.fresh("size")
        self.line(depth, f"{k}: i64[] = clamp({self.random.choice(numbers)}, low=1, high=8)")
        self.line(depth, f"size {s} = {k} in 0..8")
        p, q, r, t, y, z = (self.fresh("v") for _ in range(6))
        self.line(depth, f"{p}: f32[1, {s}] = slice({self.random.choice(vectors)}, axis=1, start=0, stop={s}, step=1)")
        self.line(depth, f"{q}: f32[1, {s}] = {self.random.choice(('flip({}, axes=(1,))', 'softmax({}, axis=1)')).format(p)}")
        self.line(depth, f"{r}: f32[1, {s}] = mul({q}, {p})")
        self.line(depth, f"{t}: f32[1, 1] = reduce_sum({r}, axes=(1,), keep=true)")
        self.line(depth, f"{z}: f32[1, 8] = add({self.random.choice(vectors)}, {t})")
        self.line(depth, f"{y}: f32[1, 8] = tanh({z})")
        vectors.append(y)

    def condition(self, depth: int, vectors: list[str], numbers: list[str]) -> str:
        c = self.fresh("c")
        if self.random.random() < 0.4:
            self.line(depth, f"{c}: bool[] = lt({self.random.choice(numbers)}, {self.random.choice(numbers)})")
        else:
            s = self.fresh("s")
            self.line(depth, f"{s}: f32[] = reduce_sum({self.random.choice(vectors)}, axes=(0, 1), keep=false)")
            self.line(depth, f"{c}: bool[] = gt({s}, zero)")
        return c

    def branch(self, depth: int, vectors: list[str], numbers: list[str], nested: int) -> None:
        c = self.condition(depth, vectors, numbers)
        ends: list[tuple[str, str]] = []
        for head in (f"if {c}", "else"):
            self.line(depth, head)
            mine, counts = list(vectors), list(numbers)
            if head == "if" or self.random.random() < 0.8:
                self.block(depth + 1, mine, counts, nested + 1)
            ends.append((mine[-1], counts[-1]))
        y, k = self.fresh("v"), self.fresh("k")
        self.line(depth, f"join {y}: f32[1, 8] = {ends[0][0]}, {ends[1][0]}")
        self.line(depth, f"join {k}: i64[] = {ends[0][1]}, {ends[1][1]}")
        vectors.append(y)
        numbers.append(k)

    def loop(self, depth: int, vectors: list[str], numbers: list[str], nested: int) -> None:
        h, i, k = self.fresh("v"), self.fresh("k"), self.fresh("k")
        last, final, count = self.fresh("v"), self.fresh("k"), self.fresh("k")
        start, most = self.random.choice(numbers), self.random.choice(numbers)
        self.line(depth, "while")
        self.line(depth + 1, f"carry {h}: f32[1, 8] = {self.random.choice(vectors)}")
        self.line(depth + 1, f"carry {i}: i64[] = {start}")
        self.line(depth + 1, f"carry {k}: i64[] = {self.random.choice(numbers)}")
        inner, counts = [*vectors, h], [*numbers, k]
        short = self.fresh("c")
        self.line(depth + 1, f"{short}: bool[] = lt({i}, {most})")
        test = short
        if self.random.random() < 0.5:
            other = self.condition(depth + 1, inner, counts)
            test = self.fresh("c")
            self.line(depth + 1, f"{test}: bool[] = logical_and({short}, {other})")
        self.line(depth + 1, f"test {test}")
        self.block(depth + 1, inner, counts, nested + 1)
        more = self.fresh("k")
        self.line(depth + 1, f"{more}: i64[] = add({i}, one)")
        self.line(depth + 1, f"next {h} = {inner[-1]} -> {last}: f32[1, 8]")
        self.line(depth + 1, f"next {i} = {more} -> {count}: i64[]")
        self.line(depth + 1, f"next {k} = {counts[-1]} -> {final}: i64[]")
        vectors.append(last)
        numbers += [count, final]
