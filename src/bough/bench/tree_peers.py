"""Who runs the models of the zoo: Bough, eager PyTorch, and PyTorch batched by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import torch

from bough.base.clock import Stopwatch
from bough.bench.peers import TRIALS, Peer, Session
from bough.bench.tree_peers_batched import BATCHED
from bough.bench.tree_peers_dgl import open_dgl
from bough.bench.tree_problem import TreeProblem, tree_session
from bough.pipeline import compile as compile_module
from bough.recursion import Switches


def open_compiled(problem: TreeProblem, threads: int, _: Path, switches: Switches | None = None) -> Session:
    """Bough: `compiled(x)` for calls of one structure, `compiled.map(xs)` for others. Walking the structures is part of it."""
    compiled = compile_module(problem.module, problem.calls[0][:1], threads=threads, cache=False, switches=switches)
    if len(problem.calls[0]) == 1:
        return tree_session(problem, lambda structures: [compiled(*structures)])
    return tree_session(problem, compiled.map)


def turned(switch: str) -> Peer[TreeProblem]:
    """Bough with one switch of the lowering of recursion as it is not by default."""
    off = getattr(Switches(), switch) is not False
    switches = replace(Switches(), **{switch: not off})
    name = f"{'no-' if off else 'with-'}{switch.replace('_', '-')}"
    return Peer(name, (), "", functools.partial(open_compiled, switches=switches))


def open_eager(problem: TreeProblem, threads: int) -> Session:
    return tree_session(problem, lambda structures: [problem.eager(structure) for structure in structures], threads)


def open_batched(problem: TreeProblem, threads: int) -> Session:
    return tree_session(problem, BATCHED[type(problem.module)](problem.module), threads)


def faster(open_: Callable[[TreeProblem, int], Session]) -> Callable[[TreeProblem, int, Path], Session]:
    """On one thread or on all, whichever takes less time: small operators often run slower on many threads."""

    def open_faster(problem: TreeProblem, threads: int, _: Path) -> Session:
        with torch.inference_mode():
            return min((open_(problem, count) for count in sorted({1, threads})), key=_seconds)

    return open_faster


def _seconds(session: Session) -> float:
    session.call()
    best = float("inf")
    for _ in range(TRIALS):
        with Stopwatch() as watch:
            session.call()
        best = min(best, watch.seconds)
    return best


TREE_PEERS: dict[str, Peer[TreeProblem]] = {
    peer.name: peer
    for peer in (
        Peer("torch", ("torch",), "pip install torch", faster(open_eager)),
        Peer("eager1", ("torch",), "pip install torch", lambda problem, threads, _: open_eager(problem, 1)),
        Peer("eager", ("torch",), "pip install torch", lambda problem, threads, _: open_eager(problem, threads)),
        Peer("batched", ("torch",), "pip install torch", faster(open_batched)),
        Peer("dgl", ("dgl",), "pip install dgl==1.1.3 'numpy<2' 'setuptools<70'", open_dgl),
    )
}
ABLATIONS: dict[str, Peer[TreeProblem]] = {peer.name: peer for peer in (turned(switch.name) for switch in fields(Switches))}
