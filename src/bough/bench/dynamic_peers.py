"""Who runs the networks with control flow on computed values: Bough, eager PyTorch, torch.compile, and ONNX Runtime in parts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from bough.base.clock import Stopwatch
from bough.bench.dynamic_peers_onnx import parts_in_onnxruntime
from bough.bench.dynamic_problem import Args, DynamicProblem, dynamic_session
from bough.bench.peers import TRIALS, Peer, Session
from bough.pipeline import compile as compile_module

PATIENCE = 180.0
"""Seconds that torch.compile may take for one network."""


def open_compiled(problem: DynamicProblem, threads: int, _: Path) -> Session:
    """Bough: `compiled(*args)` for calls of one input, `compiled.map(inputs)` for others."""
    compiled = compile_module(problem.module, problem.checked[0], dynamic=problem.dynamic, threads=threads, cache=False)
    if len(problem.calls[0]) == 1:
        return dynamic_session(problem, one_by_one(compiled))
    return dynamic_session(problem, lambda inputs: compiled.map([args[0] if len(args) == 1 else args for args in inputs]))


def open_singly(problem: DynamicProblem, threads: int, _: Path) -> Session:
    """Bough without `map`."""
    compiled = compile_module(problem.module, problem.checked[0], dynamic=problem.dynamic, threads=threads, cache=False)
    return dynamic_session(problem, one_by_one(compiled))


def open_eager(problem: DynamicProblem, threads: int, _: Path) -> Session:
    return faster(problem, problem.module, threads)


def open_torch_compile(problem: DynamicProblem, threads: int, _: Path) -> Session:
    """With its defaults: the graph breaks at each decision. All inputs run once, so that what it compiles when an input takes a
    new way is part of the compile time."""
    torch.compiler.reset()
    compiled = torch.compile(problem.module)
    with torch.inference_mode(), time_limit(PATIENCE, "torch.compile"):
        for args in problem.checked:
            compiled(*args)
    return faster(problem, compiled, threads)


def open_onnxruntime(problem: DynamicProblem, threads: int, folder: Path) -> Session:
    """Each straight part of the network in a session of its own, between them the author's Python."""
    network = parts_in_onnxruntime(problem.module, problem.checked, threads, folder)
    return faster(problem, network, threads)


def one_by_one(network: Callable[..., Any]) -> Callable[[tuple[Args, ...]], list[Any]]:
    return lambda inputs: [network(*args) for args in inputs]


def faster(problem: DynamicProblem, network: Callable[..., Any], threads: int) -> Session:
    """With one of PyTorch's threads or all, whichever takes less time: small operators often run slower on many threads."""
    sessions = [dynamic_session(problem, with_threads(one_by_one(network), count)) for count in sorted({1, threads})]
    with torch.inference_mode():
        return min(sessions, key=_seconds)


def with_threads(run: Callable[[tuple[Args, ...]], list[Any]], threads: int) -> Callable[[tuple[Args, ...]], list[Any]]:
    """Sets the threads of PyTorch meanwhile, which takes about a microsecond."""

    def run_with_threads(inputs: tuple[Args, ...]) -> list[Any]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return run(inputs)
        finally:
            torch.set_num_threads(before)

    return run_with_threads


def _seconds(session: Session) -> float:
    best = float("inf")
    for _ in range(1 + TRIALS):
        with Stopwatch() as watch:
            session.call()
        best = min(best, watch.seconds)
    return best


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Raises TimeoutError in the main thread after so many seconds."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{what} took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


DYNAMIC_PEERS: dict[str, Peer[DynamicProblem]] = {
    peer.name: peer
    for peer in (
        Peer("torch", ("torch",), "pip install torch", open_eager),
        Peer("torch-compile", ("torch",), "pip install torch", open_torch_compile),
        Peer("onnxruntime", ("onnxruntime", "onnx"), "pip install onnxruntime onnx", open_onnxruntime),
    )
}
SINGLY: dict[str, Peer[DynamicProblem]] = {"no-map": Peer("no-map", (), "", open_singly)}
