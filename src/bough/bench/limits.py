"""What the machine can do: arithmetic and reading, measured with code of Bough's own generator on a thread team."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, repeat

from bough.base.clock import Stopwatch
from bough.bench.problem import Traffic, Work
from bough.codegen import compile_functions
from bough.ir.loops_text import parse_loops
from bough.runtime.arrays import Array, allocate
from bough.runtime.loader import LoadedObject
from bough.runtime.team import team, team_text
from bough.targets import host

SMALLEST, LARGEST = 1 << 18, 1 << 30
"""Bytes of the smallest and of the largest working set."""
STEPS = 2
"""Measured sizes from one to its double."""
SECONDS = 0.002
"""How long one measurement takes at least."""
TRIES = 5
STREAMS = (1, 4)
"""In how many places each thread reads at a time: what is fastest differs between processors and caches."""
LEAST_FLOPS, MOST_FLOPS = 10**7, 10**9
"""Of a thread, in a call that stands for the arithmetic of a case: from a tenth of a millisecond to some milliseconds."""
MARGIN = 50
"""A rest of less than one part in so many of the bytes to read is not read: a call of its own would cost more."""
CHAINS = 12
"""Sums that run side by side: enough to hide the latency of an addition, few enough for 16 registers."""

# Every chain tends to 2, so that no value overflows and the arithmetic cannot be left out.
PEAK = """
func peak(steps) (factors: f32[2], sums: f32[{threads}, {chains}, {lanes}])
  parallel p in 0..{threads}
    a = factors[0]
    b = factors[1]
    alloc acc: f32[{chains}, {lanes}] in {place}
    unroll c in 0..{chains}
      vector l in 0..{lanes} lanes {lanes}
        acc[c, l] = sums[p, c, l]
    for i in 0..steps
      unroll c in 0..{chains}
        vector l in 0..{lanes} lanes {lanes}
          acc[c, l] = fma(acc[c, l], a, b)
    unroll c in 0..{chains}
      vector l in 0..{lanes} lanes {lanes}
        sums[p, c, l] = acc[c, l]
"""

# Each thread reads its own part again and again, in several streams.
READ = """
func {name}(blocks, times) (data: f32[{threads}, {streams}, blocks * {block}], sums: f32[{threads}, {chains}, {lanes}])
  parallel p in 0..{threads}
    alloc acc: f32[{chains}, {lanes}] in {place}
    unroll c in 0..{chains}
      vector l in 0..{lanes} lanes {lanes}
        acc[c, l] = 0.0
    for t in 0..times
      for i in 0..blocks
        unroll c in 0..{chains}
          vector l in 0..{lanes} lanes {lanes}
            acc[c, l] = acc[c, l] + data[p, c % {streams}, i * {block} + c // {streams} * {lanes} + l]
    unroll c in 0..{chains}
      vector l in 0..{lanes} lanes {lanes}
        sums[p, c, l] = acc[c, l]
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """FLOP/s in f32 and bytes/s read, of all threads together. `curve` gives the bandwidth of growing working sets, the
    last of which lies in memory as good as wholly."""

    threads: int
    peak: float
    curve: tuple[tuple[int, float], ...]

    @property
    def memory_bandwidth(self) -> float:
        return self.curve[-1][1]

    def best(self, other: Limits) -> Limits:
        """The better of two measurements of the same machine: what disturbs one makes it slower, never faster."""
        curve = tuple((size, max(mine, its)) for (size, mine), (_, its) in zip(self.curve, other.curve))
        return Limits(self.threads, max(self.peak, other.peak), curve)

    def seconds_from_memory(self, work: Work) -> float:
        """What the work takes at the least where nothing stays in a cache from one call or step to the next."""
        return max(work.flops / self.peak, work.bytes / self.memory_bandwidth)


class Meter:
    """The compiled loops that measure the machine we run on, and the memory that they read.

    `largest` is the size of the working set that stands for memory: at least eight times the last cache is taken.
    """

    def __init__(self, threads: int, largest: int = LARGEST) -> None:
        target = host()
        caches = [m.bytes * (1 if m.shared else threads) for m in target.memories if m.kind == "cache" and m.bytes]
        self.largest = max(largest, 8 * max(caches, default=0))
        sizes = {"threads": threads, "chains": CHAINS, "lanes": target.lanes, "place": target.vector_place}
        self.blocks = {streams: CHAINS // streams * target.lanes for streams in STREAMS}
        functions = [parse_loops(PEAK.format(**sizes))]
        for streams, block in self.blocks.items():
            text = READ.format(name=f"read{streams}", streams=streams, block=block, **sizes)
            functions.append(parse_loops(text))
        code = compile_functions(functions, target, team=team_text(target.triple.partition("-")[0]))
        self.loaded = LoadedObject(code)
        self.run = self.loaded.function("bough_team_run", ctypes.c_int32, *[ctypes.c_void_p] * 4)
        self.team = team("own", threads)
        self.threads, self.lanes = threads, target.lanes
        self.data = allocate(self.largest // 4 * 4).view("f4")
        self.data[:] = 1.0
        self.sums = allocate(4 * threads * CHAINS * target.lanes).view("f4")
        self.sums[:] = 1.0
        self.factors = allocate(8).view("f4")
        self.factors[:] = 0.5, 1.0

    def limits(self) -> Limits:
        """Measures the machine at its best of several tries; takes a few seconds."""
        steps = math.ceil(STEPS * math.log2(self.largest / SMALLEST))
        sizes = [round(SMALLEST * 2 ** (i / STEPS)) for i in range(steps + 1)]
        curve = tuple((size, max(self.read(size, streams) for streams in STREAMS)) for size in sizes)
        return Limits(self.threads, self.peak(), curve)

    def readings(self, work: Work) -> dict[str, Callable[[], None]]:
        """Calls that read as many bytes as the work does, of working sets as large: one for each way to read."""
        return {f"read{streams}": self._reading(work, streams) for streams in STREAMS}

    def _reading(self, work: Work, streams: int) -> Callable[[], None]:
        parts = [part for traffic in work.traffic for part in self._parts(traffic, streams)]
        name = f"read{streams}"

        def read() -> None:
            for windows, blocks, times in parts:
                self._call(name, [next(windows), self.sums], [blocks, times])

        return read

    def _parts(self, traffic: Traffic, streams: int) -> Iterator[tuple[Iterator[Array], int, int]]:
        """Where to read, how many blocks of each stream, and how often: whole passes over the working set, and the rest,
        which is taken from another place of it in each call."""
        stride = self._stride(streams)
        held = max(1, round(min(traffic.working_set, self.data.nbytes - stride) / stride))
        passes, rest = divmod(round(traffic.bytes / stride), held)
        if passes:
            yield repeat(self.data), held, passes
        if rest * MARGIN > passes * held:
            yield cycle([self.data[start * stride // 4 :] for start in range(0, held - rest + 1, rest)]), rest, 1

    def arithmetic(self, work: Work) -> tuple[Callable[[], None], float]:
        """A call that multiplies and adds in registers, and how often it does as much as the work: neither so little that
        entering the team counts, nor so much that it tells no more."""
        least, most = (self.threads * flops for flops in (LEAST_FLOPS, MOST_FLOPS))
        steps = math.ceil(min(max(work.flops, least), most) / self._flops_of_step)
        arrays = [self.factors, self.sums]
        return lambda: self._call("peak", arrays, [steps]), steps * self._flops_of_step / work.flops if work.flops else math.inf

    def peak(self) -> float:
        """FLOP/s."""
        return _fastest(lambda steps: self._call("peak", [self.factors, self.sums], [steps])) * self._flops_of_step

    @property
    def _flops_of_step(self) -> int:
        return 2 * self.threads * CHAINS * self.lanes

    def read(self, size: int, streams: int) -> float:
        """Bytes/s."""
        stride = self._stride(streams)
        blocks = max(1, min(size, self.data.nbytes) // stride)
        call = _fastest(lambda times: self._call(f"read{streams}", [self.data, self.sums], [blocks, times]))
        return call * blocks * stride

    def _stride(self, streams: int) -> int:
        """Bytes that all threads read in one step of their loops."""
        return 4 * self.threads * streams * self.blocks[streams]

    def _call(self, name: str, buffers: list[Array], scalars: list[int]) -> None:
        entry = self.loaded.symbols[f"bough_{name}"]
        pointers = (ctypes.c_void_p * len(buffers))(*(b.ctypes.data for b in buffers))
        sizes = (ctypes.c_int64 * len(scalars))(*scalars)
        self.run(self.team.start(self.loaded), entry, pointers, sizes)


def _fastest(call: Callable[[int], None]) -> float:
    """Repetitions per second of a loop inside `call`, at the best of several calls that take long enough to tell."""
    count = 1
    while True:
        taken = math.inf
        for _ in range(TRIES):
            with Stopwatch() as watch:
                call(count)
            taken = min(taken, watch.seconds)
        if taken >= SECONDS:
            return count / taken
        count = min(16 * count, math.ceil(1.2 * count * SECONDS / taken))
