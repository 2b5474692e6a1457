"""A binary TreeLSTM of 256 units: Bough on Python objects against C written by hand for it, given its index arrays ready-made.

    PYTHONPATH=src python tests/recursion_models/bench_tree_lstm.py SENTENCES [--threads N] [--rounds N]

Both take turns. Microseconds of a call, the median of the turns' medians and the fastest; `even` shares the nodes of a level out
evenly among tiles, `rest` takes those one by one that fill no tile. Needs a C compiler with OpenMP and a processor with AVX-512.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bough
from bough.bench.measure import Plan, take_turns
from bough.bench.problem import Choice
from bough.bench.suites import trees
from bough.runtime.arrays import allocate

SOURCE = Path(__file__).with_name("tree_lstm.c")
UNITS, LANES, GATES = 256, 16, 5
Array = Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cases = {case.name: case for case in trees.cases(Choice(quick=True, sentences=options.sentences))}
    with tempfile.TemporaryDirectory() as folder:
        libraries = {"even": build(Path(folder), "even"), "rest": build(Path(folder), "rest", "-DREST")}
        for name in ("treelstm/sentences-256-b1", "treelstm/sentences-256-b10"):
            compare(name, cases[name].build(), libraries, options.threads, options.rounds)


def build(folder: Path, name: str, *flags: str) -> Any:
    library = folder / f"{name}.so"
    subprocess.run(["cc", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", *flags, str(SOURCE), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def compare(name: str, problem: Any, libraries: dict[str, Any], threads: int, rounds: int) -> None:
    module, calls = problem.module.eval(), problem.calls
    compiled = bough.compile(module, calls[0][:1], threads=threads)
    weights, bias, *leaves = parameters(module)
    structures = [Flat([args[0] if isinstance(args, tuple) else args for args in call]) for call in calls]

    def run(library: Any) -> None:
        for s in structures:
            arrays = (weights, bias, *leaves, s.words)
            library.tree_lstm(*map(place, arrays), ctypes.c_long(s.leaves), place(s.left), place(s.right), place(s.levels),
                              ctypes.c_long(len(s.levels) - 1), place(s.h), place(s.c), ctypes.c_int(threads))  # fmt: skip

    def ours() -> None:
        for call in calls:
            compiled.map(call)

    for library in libraries.values():
        run(library)
        expected = torch.stack(list(compiled.map(calls[0])))
        np.testing.assert_allclose(structures[0].h[structures[0].roots], expected.numpy(), rtol=1e-4, atol=1e-5)
    work: dict[str, Callable[[], object]] = {"bough": ours}
    work |= {kind: (lambda library=library: run(library)) for kind, library in libraries.items()}
    for _ in range(rounds):
        times = take_turns(work, Plan(3.0))
        found = ((k, 1e6 * t.median / len(calls), 1e6 * t.fastest / len(calls)) for k, t in times.items())
        print(name, "  ".join(f"{kind} {median:.0f} ({fastest:.0f})" for kind, median, fastest in found), flush=True)


def parameters(module: Any) -> list[Array]:
    """The weights and the bias in blocks of units, and the states of leaves by their word."""
    weight, bias = module.gates.weight.detach().numpy(), module.gates.bias.detach().numpy()
    blocks = UNITS // LANES
    with torch.no_grad():
        i, o, u = module.input(module.embedding.weight).chunk(3, 1)
        c = torch.sigmoid(i) * torch.tanh(u)
        h = torch.sigmoid(o) * torch.tanh(c)
    packed = weight.reshape(GATES, blocks, LANES, 2 * UNITS).transpose(1, 3, 0, 2)
    return [aligned(a) for a in (packed, bias.reshape(GATES, blocks, LANES).transpose(1, 0, 2), h.numpy(), c.numpy())]


class Flat:
    """Trees as index arrays: leaves first, then level by level."""

    def __init__(self, roots: list[Any]) -> None:
        height: dict[int, int] = {}
        nodes: list[Any] = []

        def walk(node: Any) -> int:
            height[id(node)] = 0 if node.is_leaf else 1 + max(walk(node.left), walk(node.right))
            nodes.append(node)
            return height[id(node)]

        highest = max(map(walk, roots))
        nodes.sort(key=lambda node: height[id(node)])
        number = {id(node): n for n, node in enumerate(nodes)}
        heights = [height[id(node)] for node in nodes]
        self.leaves = heights.count(0)
        self.words = np.array([node.word for node in nodes[: self.leaves]], np.int32)
        self.left, self.right = (
            np.array([0 if node.is_leaf else number[id(getattr(node, side))] for node in nodes], np.int32) for side in ("left", "right")
        )
        self.levels = np.array([sum(h <= level for h in heights) for level in range(highest + 1)], np.int64)
        self.h, self.c = (aligned(np.zeros((len(nodes), UNITS), np.float32)) for _ in range(2))
        self.roots = [number[id(root)] for root in roots]


def aligned(array: Array) -> Array:
    """A copy at the beginning of a cache line."""
    copy = allocate(array.size * 4).view("f4")[: array.size].reshape(array.shape)
    copy[...] = array
    return copy


def place(array: Array) -> Any:
    return ctypes.c_void_p(array.ctypes.data)


if __name__ == "__main__":
    main()
