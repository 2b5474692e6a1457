"""A TreeLSTM tells which package of Python's library a function comes from, by the function's syntax tree.

It is compiled from plain recursion once, for every tree.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import python_functions
import torch
from comparing import Call, largest, latencies, table, torch_threads
from python_functions import Node, Sample
from rich.console import Console
from tree_reader import TreeReader, by_depth, classify_by_depth, train

import bough

NODES = (20, 30, 50, 75, 100, 150, 200, 300)
TOGETHER = (8, 64)
EAGER, BY_HAND, MINE = "PyTorch", "by hand", "Bough"


@torch.no_grad()
def run(console: Console, picture: Path, quick: bool) -> int:
    """Predictions that differ from PyTorch's. Writes latencies to `picture`. `quick`: little training, few measurements."""
    torch.manual_seed(7)
    names, training, held_back = python_functions.read()
    console.print(
        f"{len(training)} functions to train with, {len(held_back)} of other files held back; packages: {', '.join(names)}"
    )
    model = TreeReader(len(names))
    begin = time.perf_counter()
    with torch.enable_grad(), torch_threads(1):  # which suits layers of this size, and bears a busy machine
        train(model, training, epochs=1 if quick else 8)
    trained = time.perf_counter()
    compiled = bough.compile(model, (training[0].tree,))
    built = time.perf_counter()
    console.print(f"TreeReader: trained in {trained - begin:.1f} s, compiled in {built - trained:.2f} s")

    different = compare(console, model, compiled, held_back)
    draw(picture, measure(console, model, compiled, sorted((s.tree for s in held_back), key=len), quick))
    console.print(f"\nPicture of these latencies: {picture.resolve()}", soft_wrap=True)
    return different


def compare(console: Console, model: TreeReader, compiled: bough.Compiled, held_back: Sequence[Sample]) -> int:
    """Prints how predictions and errors compare. Counts predictions that differ, and trees to which `map` says other bits."""
    trees, packages = [s.tree for s in held_back], torch.tensor([s.package for s in held_back])
    double = copy.deepcopy(model).double()
    with torch_threads(1):
        eager, exact = torch.stack([model(t) for t in trees]), torch.stack([double(t) for t in trees])
    mine, together = torch.stack([compiled(t) for t in trees]), torch.stack(compiled.map(trees))
    wrong = int((eager.argmax(1) != mine.argmax(1)).sum())
    other_bits = int((mine != together).any(1).sum())
    accuracy, guessing = (mine.argmax(1) == packages).double().mean(), packages.bincount().max() / len(packages)
    answers = table("network", "accuracy", "guessing", "different predictions", "Bough's error", "PyTorch's error")
    answers.add_row(
        type(model).__name__, f"{accuracy:.1%}", f"{guessing:.1%}", f"{wrong} of {len(trees)}", f"{largest(mine, exact):.1e}",
        f"{largest(eager, exact):.1e}",
    )  # fmt: skip
    console.print("\nOn the held-back functions (guessing: always the package that most of them come from)")
    console.print(answers)
    console.print(f"`map` gives the bits of single calls for {len(trees) - other_bits} of {len(trees)} trees.")
    return wrong + other_bits


def measure(
    console: Console, model: TreeReader, compiled: bough.Compiled, trees: Sequence[Node], quick: bool
) -> dict[int, dict[str, float]]:
    """Prints milliseconds a call, for trees of many sizes and for many trees; returns those of single trees by size."""
    rows = table("functions", "nodes", f"{EAGER}, ms", f"{BY_HAND}, ms", f"{MINE}, ms", "times as fast", "as by hand")
    single: dict[int, dict[str, float]] = {}
    seconds = 0.05 if quick else 1.0
    alone = [[min(trees, key=lambda t: abs(len(t) - size))] for size in (NODES[::3] if quick else NODES)]
    together = [[trees[n * len(trees) // count] for n in range(count)] for count in (TOGETHER[:1] if quick else TOGETHER)]
    for batch in alone + together:
        pytorch: dict[str, Call] = {
            EAGER: lambda: [model(t) for t in batch],  # noqa: B023
            BY_HAND: lambda: classify_by_depth(model, by_depth(batch)),  # noqa: B023
        }
        size = sum(map(len, batch))
        if len(batch) == 1:
            taken = single[size] = latencies(pytorch, lambda: compiled(batch[0]), seconds)  # noqa: B023
        else:
            taken = latencies(pytorch, lambda: compiled.map(batch), seconds)  # noqa: B023
        eager, by_hand, mine = taken.values()
        rows.add_row(
            str(len(batch)), str(size), f"{eager:.3f}", f"{by_hand:.3f}", f"{mine:.3f}", f"{eager / mine:.1f}",
            f"{by_hand / mine:.1f}",
        )  # fmt: skip
    console.print(
        f"\nLatency of a call, or of `map` for several functions: medians of calls taken in turns. Both ways of PyTorch are on "
        f"one thread or {torch.get_num_threads()}, whichever is faster; by hand: the code that trains, a depth at once."
    )
    console.print(rows)
    return single


def draw(picture: Path, single: dict[int, dict[str, float]]) -> None:
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    sizes = sorted(single)
    for name, marker, colour in ((EAGER, "s", "#b5482a"), (BY_HAND, "^", "#8a8a8a"), (MINE, "o", "#1f6f4a")):
        axes.plot(sizes, [single[size][name] for size in sizes], marker=marker, color=colour, label=name, linewidth=2)
        label = "PyTorch,\nby hand" if name == BY_HAND else name
        axes.annotate(
            label, (sizes[-1], single[sizes[-1]][name]), xytext=(8, 0), textcoords="offset points", va="center", color=colour
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="nodes of the syntax tree", ylabel="milliseconds a call")
    axes.set_title("TreeLSTM over one function's syntax tree", loc="left")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=150)
    plt.close(figure)
