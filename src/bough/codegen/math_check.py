"""Holds the vector math functions against the C library's functions in double precision.

The compared code is compiled for this machine: a loop that evaluates a function with all its lanes and the reference lane
by lane, and writes the distance. Functions of one argument can be checked over all 2^32 inputs, in about a minute each.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from bough.base import settings
from bough.codegen import binding, vector_math
from bough.codegen import llvm_types as t
from bough.codegen.real_functions import emit_real
from bough.codegen.vector_math_lanes import Lanes, choose
from bough.runtime import LoadedObject
from bough.targets import Target, host

Bits = np.ndarray[Any, np.dtype[np.uint32]]
Errors = np.ndarray[Any, np.dtype[np.float32]]

WITHIN_2_ULP = frozenset({
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "silu", "gelu", "erf", "sin", "cos", "sqrt", "rsqrt", "pow",
})  # fmt: skip
"""What networks live on, promised to 2 ULP; the others keep to PyTorch's 1 ULP."""

_PATTERNS = 1 << 32
_CHUNK = 1 << 16
_SPECIAL = np.array(
    [0.0, 1e-45, 1.1754942e-38, 1.1754944e-38, 2.0**-24, 0.5, 0.99999994, 1.0, 1.0000001, 2.0, 3.0, 2.0**24, 3.4028235e38,
     math.inf, math.nan],
    np.float32,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MathReport:
    """What a check of one function found.

    `max_ulp` is the largest |result - exact| in units of the exact value's last place as an f32, infinite where one of the
    two is NaN or infinite and the other is not, or the sign of a zero differs; `worst_input` are the arguments there.
    """

    function: str
    inputs: int
    max_ulp: float
    worst_input: tuple[float, ...]
    bound: float

    @property
    def right(self) -> bool:
        return self.max_ulp <= self.bound


def check_math(
    functions: Sequence[str] | None = None,
    *,
    every: int = 1,
    progress: Callable[[str, float], None] | None = None,
    threads: int | None = None,
) -> list[MathReport]:
    """Compares the named vector math functions, by default all, with references in double precision.

    One of each `every` bit patterns is an argument, and always the special values; 1 means all 2^32. As many pairs are drawn
    for functions of two arguments. `progress` is told the function and the fraction of it that is done. Raises InternalError
    for a name that vector math does not have.
    """
    workers = threads if threads is not None else settings.read(settings.THREADS)
    names = sorted(vector_math.FUNCTIONS) if functions is None else functions
    arities = {name: vector_math.arity(name) for name in names}
    reports = []
    with ThreadPoolExecutor(workers) as pool:
        for function, arity in arities.items():
            comparison = Comparison(function, host())
            inputs = _pairs(every) if arity == 2 else _patterns(every)
            worst, position, count = -1.0, arity * (0.0,), 0
            for arguments, error in _in_order(pool, workers, comparison.worst, inputs):
                count += arguments[0].size
                if error[0] > worst:
                    worst, position = error
                if progress is not None:
                    progress(function, min(1.0, count * every / _PATTERNS))
            bound = 2.0 if function in WITHIN_2_ULP else 1.0
            reports.append(MathReport(function, count, worst, position, bound))
    return reports


class Comparison:
    """One function, compiled to write its errors. Raises InternalError for a name that vector math does not have."""

    def __init__(self, function: str, target: Target) -> None:
        arity = vector_math.arity(function)
        self._lanes = max(target.lanes, 1)
        text = _comparing_loop(function, arity, self._lanes)
        pointers = [ctypes.c_void_p] * (arity + 1)
        program = LoadedObject(binding.compile_object(text, target))
        self._run = program.function("compare", None, *pointers, ctypes.c_int64)

    def errors(self, *arguments: Bits) -> Errors:
        """The error of each result in ULP, for arguments given as bit patterns."""
        size = arguments[0].size
        padded = [np.ascontiguousarray(np.pad(a, (0, -size % self._lanes))) for a in arguments]
        result = np.empty(padded[0].size, np.float32)
        self._run(*(a.ctypes.data for a in (*padded, result)), result.size)
        return result[:size]

    def worst(self, arguments: tuple[Bits, ...]) -> tuple[float, tuple[float, ...]]:
        """The largest error, and where."""
        errors = self.errors(*arguments)
        at = int(errors.argmax())
        return float(errors[at]), tuple(float(a.view(np.float32)[at]) for a in arguments)


def _in_order(
    pool: ThreadPoolExecutor,
    workers: int,
    work: Callable[[tuple[Bits, ...]], tuple[float, tuple[float, ...]]],
    inputs: Iterator[tuple[Bits, ...]],
) -> Iterator[tuple[tuple[Bits, ...], tuple[float, tuple[float, ...]]]]:
    """Each input with its result, computed in the pool with no more than a few inputs in memory."""
    waiting: list[Any] = []
    for arguments in inputs:
        waiting.append((arguments, pool.submit(work, arguments)))
        if len(waiting) > 2 * workers:
            first, future = waiting.pop(0)
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _patterns(every: int) -> Iterator[tuple[Bits, ...]]:
    """The special values of both signs, then one pattern of each `every`, at a place that varies."""
    yield (_specials(),)
    total = _PATTERNS // every
    for start in range(0, total, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, total), dtype=np.uint64)
        offset = np.random.default_rng(start).integers(0, every, index.size, np.uint64) if every > 1 else 0
        yield ((index * np.uint64(every) + offset).astype(np.uint32),)


def _pairs(every: int) -> Iterator[tuple[Bits, ...]]:
    """All pairs of special values, then random pairs, every second one of magnitudes between 2^-8 and 2^8."""
    specials = _specials()
    yield np.repeat(specials, specials.size), np.tile(specials, specials.size)
    total = _PATTERNS // every
    for start in range(0, total, _CHUNK):
        drawn = np.random.default_rng(start).integers(0, _PATTERNS, (2, min(_CHUNK, total - start)), np.uint32)
        exponents = (drawn[:, ::2] >> 23 & 15) + np.uint32(127 - 8)
        drawn[:, ::2] = (drawn[:, ::2] & np.uint32(0x807FFFFF)) | exponents << 23
        yield drawn[0], drawn[1]


def _specials() -> Bits:
    return np.concatenate([_SPECIAL, -_SPECIAL]).view(np.uint32)


def _comparing_loop(function: str, arity: int, lanes: int) -> str:
    """The text of `compare(arguments..., errors, count)`, count a multiple of `lanes`."""
    module = ir.Module("check", context=ir.Context())
    signature = ir.FunctionType(t.VOID, [t.POINTER] * (arity + 1) + [t.INT64])
    compare = ir.Function(module, signature, "compare")
    entry, body, done = (compare.append_basic_block(name) for name in ("entry", "body", "done"))
    b = ir.IRBuilder(entry)
    *sources, errors, count = compare.args
    b.branch(body)
    b.position_at_end(body)
    index = b.phi(t.INT64)
    index.add_incoming(t.int64(0), entry)

    def place(base: Any) -> Any:
        return b.gep(base, [index], source_etype=t.FLOAT)

    arguments = [b.load(place(s), typ=t.shaped(t.FLOAT, lanes), align=4) for s in sources]
    result = Lanes(b, vector_math.emit(b, function, arguments))
    exact = _reference(b, function, [Lanes(b, a).widened() for a in arguments])
    b.store(_error(result, exact).value, place(errors), align=4)
    following = b.add(index, t.int64(lanes))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, count), body, done)
    b.position_at_end(done)
    b.ret_void()
    return str(module)


def _reference(builder: Any, function: str, arguments: list[Lanes]) -> Lanes:
    if function == "sqrt":
        return arguments[0].sqrt()
    return Lanes(builder, emit_real(builder, function, [a.value for a in arguments]))


def _error(result: Lanes, exact: Lanes) -> Lanes:
    """The distance in ULP as `MathReport` defines it, an f32; an infinity of both counts as 2^128."""
    rounded = exact.narrowed()
    got, wanted = (v.at_least(-(2.0**128)).at_most(2.0**128) for v in (result.widened(), exact))
    power = (wanted.as_bits() & (0x7FF << 52)).as_float()
    unit = (power * 2.0**-23).at_least(2.0**-149).at_most(2.0**104)
    error = ((got - wanted).abs() / unit).narrowed()
    other_nan = result.ne(result) ^ rounded.ne(rounded)
    other_infinity = result.abs().eq(math.inf) ^ rounded.abs().eq(math.inf)
    other_zero = exact.eq(0.0) & (result.as_bits() ^ rounded.as_bits()).lt(0)
    error = choose(result.ne(result), error.constant(0.0), error)
    return choose(other_nan | other_infinity | other_zero, error.constant(math.inf), error)
