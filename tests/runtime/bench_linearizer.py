"""What linearizing costs: `python tests/runtime/bench_linearizer.py`. Medians, in microseconds a call and nanoseconds a node."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bough.base.visits import Ask, Attribute, Call, Each, Item, Payload, Question, Variant, Visit, Visits
from bough.codegen import binding, emit_walk
from bough.runtime import LoadedObject
from bough.runtime.linearize import linearize
from bough.runtime.linearizer import Linearizer
from bough.targets import host

LEFT, RIGHT, WORD, CHILDREN = ((Attribute(n),) for n in ("left", "right", "word", "children"))
ENTRY = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),))


class Plain:
    def __init__(self, word: Any = 0, left: Any = None, right: Any = None) -> None:
        self.word, self.left, self.right = word, left, right


@dataclass(slots=True)
class Slotted:
    word: Any = 0
    left: Any = None
    right: Any = None


@dataclass
class Phrase:
    word: int = 0
    children: list[Any] = field(default_factory=list)


def binary(leaf: Payload) -> Visits:
    inner = Variant("inner", calls=(Call("encode", LEFT), Call("encode", RIGHT)))
    decision = Ask(Question(LEFT, "is_none"), 0, 1)
    return Visits((ENTRY, Visit("encode", decision, (Variant("leaf", payloads=(leaf,)), inner))), "forward")


def nary() -> Visits:
    node = Variant("node", (Each(CHILDREN),), (Call("encode", (), 0),), (Payload(WORD, "i64"),))
    return Visits((ENTRY, Visit("encode", 0, (node,))), "forward")


def tree(leaves: int, make: Callable[..., Any], word: Callable[[], Any]) -> Any:
    if leaves == 1:
        return make(word())
    left = random.randrange(1, leaves)
    return make(0, tree(left, make, word), tree(leaves - left, make, word))


def phrase(nodes: int) -> Phrase:
    made = [Phrase(random.randrange(100)) for _ in range(nodes)]
    for n in range(1, nodes):
        made[random.randrange(n)].children.append(made[n])
    return made[0]


def median(run: Callable[[], Any], count: int) -> float:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def report(label: str, visits: Visits, make: Callable[[], Any], nodes: int) -> None:
    names = linearize(visits, [])
    arrays, sizes = list(names.arrays), list(names.sizes)
    program = LoadedObject(binding.compile_object(emit_walk(visits, arrays, sizes), host()))
    linearizer = Linearizer(visits, arrays, sizes, program)
    flat = linearizer.flat()
    one, many = [(make(),)], [(make(),) for _ in range(10_000)]
    linearizer.fill(flat, many)
    call, whole = median(lambda: linearizer.fill(flat, one), 2000), median(lambda: linearizer.fill(flat, many), 5)
    plain = median(lambda: linearize(visits, one), 20)
    print(f"{label:24} {call * 1e6:10.2f} {call * 1e9 / nodes:10.0f} {whole * 1e9 / nodes / 1e4:12.0f} {plain * 1e6:12.0f}")


if __name__ == "__main__":
    random.seed(1)
    print(f"{'':24} {'us a call':>10} {'ns a node':>10} {'10,000 trees':>12} {'reference us':>12}")
    number = lambda: random.randrange(100)  # noqa: E731
    features = lambda: np.ones(8, np.float32)  # noqa: E731
    report("binary, plain class", binary(Payload(WORD, "i64")), lambda: tree(20, Plain, number), 39)
    report("binary, slots", binary(Payload(WORD, "i64")), lambda: tree(20, Slotted, number), 39)
    report("lists of children", nary(), lambda: phrase(40), 40)
    report("arrays at the leaves", binary(Payload(WORD, "f32", (8,))), lambda: tree(20, Plain, features), 39)
    report("one object", binary(Payload(WORD, "i64")), lambda: tree(1, Plain, number), 1)
