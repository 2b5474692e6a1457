"""Programs whose samples part: at branches, in loops of different length, over sizes of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A program's text, the shapes of its constants, and how inputs for one sample are drawn."""

    text: str
    inputs: Callable[[np.random.Generator], tuple[Array, ...]]
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def constants(self) -> dict[str, Array]:
        rng = np.random.default_rng(1)
        return {n: (rng.standard_normal(s) / np.sqrt(s[-1])).astype(np.float32) for n, s in self.weights.items()}


def vector(rng: np.random.Generator) -> tuple[Array, ...]:
    return (rng.standard_normal((1, 24)).astype(np.float32),)


GATES = """func main(x: f32[1, 24]) -> (z)
  const w: f32[24, 24]
  const v: f32[24, 24]
  zero: f32[] = full(shape=(), value=0.0, dtype=f32)
  s: f32[] = reduce_sum(x, axes=(0, 1), keep=false)
  c: bool[] = gt(s, zero)
  if c
    a: f32[1, 24] = linear(x, w, none)
    b: f32[1, 24] = relu(a)
  else
  join y: f32[1, 24] = b, x
  s2: f32[] = reduce_sum(y, axes=(0, 1), keep=false)
  c2: bool[] = gt(s2, zero)
  if c2
    d: f32[1, 24] = linear(y, v, none)
    s3: f32[] = reduce_sum(d, axes=(0, 1), keep=false)
    c3: bool[] = gt(s3, zero)
    if c3
      e: f32[1, 24] = add(d, y)
    else
      f: f32[1, 24] = sub(d, x)
    join g: f32[1, 24] = e, f
  else
    h: f32[1, 24] = tanh(y)
  join z: f32[1, 24] = g, h
"""

REFINE = """func main(x: f32[1, 24], most: i64[]) -> (out, turns)
  const w: f32[24, 24]
  zero: i64[] = full(shape=(), value=0, dtype=i64)
  one: i64[] = full(shape=(), value=1, dtype=i64)
  limit: f32[] = full(shape=(), value=9.0, dtype=f32)
  while
    carry h: f32[1, 24] = x
    carry n: i64[] = zero
    s: f32[] = reduce_sum(h, axes=(0, 1), keep=false)
    small: bool[] = lt(s, limit)
    few: bool[] = lt(n, most)
    more: bool[] = logical_and(small, few)
    test more
    a: f32[1, 24] = linear(h, w, none)
    b: f32[1, 24] = tanh(a)
    c: f32[1, 24] = add(b, h)
    m: i64[] = add(n, one)
    next h = c -> out: f32[1, 24]
    next n = m -> turns: i64[]
"""

CACHE = """func main(x: f32[1, 16], most: i64[]) -> (out, all, turns)
  const w: f32[16, 16]
  const v: f32[16, 16]
  zero: i64[] = full(shape=(), value=0, dtype=i64)
  one: i64[] = full(shape=(), value=1, dtype=i64)
  while
    carry h: f32[1, 16] = x
    carry cache: f32[length, 16] = x
    carry n: i64[] = one
    size length = n in 0..
    more: bool[] = lt(n, most)
    test more
    q: f32[1, 16] = linear(h, w, none)
    keys: f32[16, length] = permute(cache, order=(1, 0))
    scores: f32[1, length] = matmul(q, keys)
    weights: f32[1, length] = softmax(scores, axis=1)
    mixed: f32[1, 16] = matmul(weights, cache)
    t: f32[1, 16] = linear(mixed, v, none)
    g: f32[1, 16] = tanh(t)
    longer: f32[length + 1, 16] = concat(cache, g, axis=0)
    m: i64[] = add(n, one)
    next h = g -> out: f32[1, 16]
    next cache = longer -> all: f32[final, 16]
    next n = m -> turns: i64[]
  size final = turns in 0..
"""

PICK = """func main(x: f32[2, 8], n: i64[]) -> (y, whole, middle)
  size count = n in 0..8
  part: f32[2, count] = slice(x, axis=1, start=0, stop=count, step=1)
  sums: f32[2] = reduce_sum(part, axes=(1,), keep=false)
  whole: f32[] = reduce_sum(sums, axes=(0,), keep=false)
  y: f32[2, count] = exp(part)
  middle: f32[2, count] = flip(part, axes=(1,))
"""


def bounded(rng: np.random.Generator) -> tuple[Array, ...]:
    return (*vector(rng), np.int64(rng.integers(0, 7)))


def prompt(rng: np.random.Generator) -> tuple[Array, ...]:
    return (rng.standard_normal((1, 16)).astype(np.float32), np.int64(rng.integers(0, 12)))


def picked(rng: np.random.Generator) -> tuple[Array, ...]:
    return (rng.standard_normal((2, 8)).astype(np.float32), np.int64(rng.integers(0, 9)))


PROGRAMS: dict[str, Case] = {
    "gates": Case(GATES, vector, {"w": (24, 24), "v": (24, 24)}),
    "refine": Case(REFINE, bounded, {"w": (24, 24)}),
    "cache": Case(CACHE, prompt, {"w": (16, 16), "v": (16, 16)}),
    "pick": Case(PICK, picked),
}
