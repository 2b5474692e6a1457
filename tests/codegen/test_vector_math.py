"""The elementary functions: accuracy by samples, special values as PyTorch, the same bits for every number of lanes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from llvmlite import ir

from bough.base.errors import InternalError
from bough.codegen import binding, check_math, vector_math
from bough.codegen import llvm_types as t
from bough.codegen.math_check import Bits, Comparison
from bough.codegen.vector_math_lanes import Lanes, choose
from bough.runtime import LoadedObject
from bough.targets import host

NAMES = sorted(vector_math.FUNCTIONS)
SPECIAL = np.array([0.0, 1e-45, 1e-38, 0.5, 1.0, 1.5, 2.0, 3.0, 100.0, 1e10, 3.4028235e38, math.inf, math.nan], np.float32)
SPECIALS = np.concatenate([SPECIAL, -SPECIAL])
TORCH: dict[str, Callable[..., torch.Tensor]] = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}
BOUNDARIES = {
    "exp": (-103.97, -87.33654, -80.0, 0.3465736, 88.72284),
    "exp2": (-149.0, -126.0, -100.0, 0.5, 127.5, 128.0),
    "expm1": (-30.0, -17.3, -0.3465736, 0.3465736, 1.0397208, 88.72284),
    "log": (1.1754944e-38, 0.70710678, 1.0, 1.41421356),
    "log1p": (-1.0, -0.29289322, 0.41421356, 1.6777216e7, 2.4061597e38, 3.4028235e38),
    "tanh": (-0.1732868, 0.1732868, 0.5198604, 9.0109, 10.0),
    "sigmoid": (-112.0, -103.97, -87.33654, -0.3465736, 0.0, 17.3),
    "silu": (-112.0, -108.0, -87.33654, -0.3465736, 40.0),
    "gelu": (-36.7, -14.3, -13.0, -1.0, 0.0, 5.9),
    "gelu_tanh": (-14.0, -10.0, -1.0, 0.0, 5.9),
    "erf": (-0.98, 0.98, 3.9192059, 4.0),
    "erfc": (-3.9, 0.98, 9.2, 10.05, 26.0),
    "sin": (0.7853982, 3.1415927, 131072.0, 16777216.0, 2.0**127),
    "cos": (0.7853982, 1.5707964, 131072.0, 16777216.0, 2.0**127),
    "tan": (0.7853982, 1.5707964, 131072.0, 2.0**127),
    "asin": (-1.0, 0.70710678, 1.0),
    "acos": (-1.0, 0.70710678, 1.0),
    "atan": (-1.0, 1.0),
    "sinh": (-89.41599, 0.3465736, 89.41599),
    "cosh": (-89.41599, 89.41599),
    "acosh": (1.0, 2.0),
    "atanh": (-1.0, 0.17157288, 1.0),
}


def compile_all(lanes: int) -> dict[str, Callable[..., np.ndarray]]:
    """Every function as a loop over arrays of f32, `lanes` at a time (1: scalars)."""
    module = ir.Module(context=ir.Context())
    for name in NAMES:
        pointers = [t.POINTER] * (vector_math.arity(name) + 1)
        function = ir.Function(module, ir.FunctionType(t.VOID, [*pointers, t.INT64]), f"run_{name}")
        entry, body, done = (function.append_basic_block() for _ in range(3))
        b = ir.IRBuilder(entry)
        b.branch(body)
        b.position_at_end(body)
        index = b.phi(t.INT64)
        index.add_incoming(t.int64(0), entry)
        *sources, result, count = function.args
        vector = t.shaped(t.FLOAT, lanes if lanes > 1 else 0)
        values = [b.load(b.gep(s, [index], source_etype=t.FLOAT), typ=vector, align=4) for s in sources]
        b.store(vector_math.emit(b, name, values), b.gep(result, [index], source_etype=t.FLOAT), align=4)
        following = b.add(index, t.int64(lanes))
        index.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, count), body, done)
        b.position_at_end(done)
        b.ret_void()
    program = LoadedObject(binding.compile_object(str(module), host()))

    def runner(name: str) -> Callable[..., np.ndarray]:
        arity = vector_math.arity(name)
        run = program.function(f"run_{name}", None, *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64)

        def call(*arrays: np.ndarray) -> np.ndarray:
            result = np.empty(arrays[0].size, np.float32)
            run(*(a.ctypes.data for a in (*arrays, result)), result.size)
            return result

        return call

    return {name: runner(name) for name in NAMES}


@pytest.fixture(scope="module")
def scalars() -> dict[str, Callable[..., np.ndarray]]:
    return compile_all(1)


def sample(seed: int, count: int = 1 << 15) -> np.ndarray:
    """Patterns of all magnitudes, ordinary numbers, and the special values, in an order of their own."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 1 << 32, count // 2, np.uint32).view(np.float32)
    numbers = rng.normal(0.0, 10.0, count - patterns.size - SPECIALS.size).astype(np.float32)
    return rng.permutation(np.concatenate([patterns, numbers, SPECIALS]))


@pytest.mark.parametrize("name", NAMES)
def test_samples_keep_the_bound(name: str) -> None:
    (report,) = check_math([name], every=1 << 12, threads=1)
    assert report.inputs > 1 << 20
    assert report.right, report


@pytest.mark.parametrize("name", sorted(BOUNDARIES))
def test_bound_holds_where_a_formula_gives_way_to_another(name: str) -> None:
    comparison = Comparison(name, host())
    bound = check_math([name], every=1 << 30, threads=1)[0].bound
    for boundary in BOUNDARIES[name]:
        centre = int(np.float32(boundary).view(np.uint32))
        bits: Bits = (np.arange(-4000, 4000) + centre).astype(np.uint32)
        assert comparison.errors(bits).max() <= bound, boundary


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_every_width_gives_the_bits_of_the_scalar(lanes: int, scalars: dict[str, Callable[..., np.ndarray]]) -> None:
    for name, vectors in compile_all(lanes).items():
        arrays = [sample(seed) for seed in range(vector_math.arity(name))]
        expected, got = scalars[name](*arrays), vectors(*arrays)
        assert np.array_equal(np.isnan(expected), np.isnan(got)), name
        numbers = ~np.isnan(expected)
        assert np.array_equal(expected.view(np.uint32)[numbers], got.view(np.uint32)[numbers]), name


@pytest.mark.parametrize("name", NAMES)
def test_special_values_are_those_of_pytorch(name: str, scalars: dict[str, Callable[..., np.ndarray]]) -> None:
    arrays = [SPECIALS]
    if vector_math.arity(name) == 2:
        arrays = [np.repeat(SPECIALS, SPECIALS.size), np.tile(SPECIALS, SPECIALS.size)]
    eager = TORCH.get(name) or getattr(torch, name)
    # One at a time: PyTorch's vectorised gelu gives NaN at infinity where its scalar gives infinity.
    expected = np.array([eager(*(torch.tensor([x]) for x in xs)).item() for xs in zip(*arrays)], np.float32)
    got = scalars[name](*arrays)
    for select in (np.isnan, np.isinf):
        assert np.array_equal(select(got), select(expected)), arrays[0][select(got) != select(expected)]
    settled = np.isinf(expected) | ((expected == 0.0) & (got == 0.0))
    assert np.array_equal(np.signbit(got[settled]), np.signbit(expected[settled]))


def test_angles_of_any_size_are_reduced_exactly(scalars: dict[str, Callable[..., np.ndarray]]) -> None:
    # The first is the f32 next to a multiple of pi/2 among all.
    angles = np.array([16367173.0 * 2.0**72, 3.4028235e38, 1e22, 131073.0, 33554432.0], np.float32)
    with mpmath.workprec(400):
        for name, exact in (("sin", mpmath.sin), ("cos", mpmath.cos), ("tan", mpmath.tan)):
            wanted = np.array([float(exact(mpmath.mpf(float(x)))) for x in angles])
            np.testing.assert_allclose(scalars[name](angles), wanted, rtol=2.0**-22)


def test_a_wrong_function_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def slightly_wrong(x: Lanes) -> Lanes:
        return x.sqrt() * 1.0000004

    def wrong_for_zero(x: Lanes) -> Lanes:
        return (x + 0.0).sqrt()

    def wrong_for_nan(x: Lanes) -> Lanes:
        return choose(x.lt(0.0), x, x.sqrt())

    for wrong, found in ((slightly_wrong, 2.0), (wrong_for_zero, math.inf), (wrong_for_nan, math.inf)):
        monkeypatch.setitem(vector_math._UNARY, "sqrt", wrong)
        (report,) = check_math(["sqrt"], every=1 << 20, threads=1)
        assert not report.right
        assert report.max_ulp >= found
        assert not math.isinf(found) or report.worst_input[0] <= 0.0


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[str, float]] = []
    check_math(["sqrt", "pow"], every=1 << 14, progress=lambda name, part: seen.append((name, part)))
    assert ("sqrt", 1.0) in seen
    assert seen[-1] == ("pow", 1.0)


def test_a_function_is_defined_once_for_each_number_of_lanes() -> None:
    module = ir.Module(context=ir.Context())
    for lanes in (0, 8, 16):
        kind = t.shaped(t.FLOAT, lanes)
        function = ir.Function(module, ir.FunctionType(kind, [kind]), f"user{lanes}")
        b = ir.IRBuilder(function.append_basic_block())
        b.ret(vector_math.emit(b, "exp", [vector_math.emit(b, "exp", function.args)]))
    defined = [f.name for f in module.functions if f.name.startswith("bough.")]
    assert defined == ["bough.math.exp", "bough.math.exp.v8", "bough.math.exp.v16"]


def test_what_vector_math_does_not_have_is_refused() -> None:
    module = ir.Module(context=ir.Context())
    function = ir.Function(module, ir.FunctionType(t.FLOAT, [t.FLOAT, t.DOUBLE]), "user")
    b = ir.IRBuilder(function.append_basic_block())
    with pytest.raises(InternalError, match="no gamma of float"):
        vector_math.emit(b, "gamma", function.args[:1])
    with pytest.raises(InternalError, match="no exp of double"):
        vector_math.emit(b, "exp", function.args[1:])
    with pytest.raises(InternalError, match="no gamma"):
        check_math(["gamma"])
