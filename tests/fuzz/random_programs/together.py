"""`map` of a program's inputs: it gives the bits that calls one by one give, and raises what the first of them to fail raises."""

from __future__ import annotations

import struct
from typing import Any

import torch

from bough.base.errors import InputError
from random_programs.judge import Raised, Verdict, called, loaded, native, text_of
from random_programs.program import Case

TIMES = 3
"""How often each input is among those of one `map`."""


def judge_map(case: Case, precision: str = "float32") -> Verdict:
    """Compiles the program and compares `map` with calls."""
    with loaded(case.source) as module:
        try:
            compiled: Any = native(module, case.inputs[0], precision)
        except Exception as error:  # what fails here is for `judge`
            return Verdict("refused", getattr(error, "code", type(error).__name__), str(error))
        inputs = [args[0] if len(args) == 1 else args for args in case.inputs] * TIMES
        wanted = [called(compiled, args) for args in case.inputs] * TIMES
        good = [n for n, want in enumerate(wanted) if not isinstance(want, Raised)]
        got = called(compiled.map, ([inputs[n] for n in good],))
        if isinstance(got, Raised):
            return Verdict("broken", type(got.error).__name__, text_of(got.error))
        for n, one in zip(good, got, strict=True):
            if not same_bits(one, wanted[n]):
                return Verdict("wrong", text=f"input {n}: got {one!r}, wanted {wanted[n]!r}")
        if len(good) < len(wanted):
            first = next(n for n, want in enumerate(wanted) if isinstance(want, Raised))
            failed, want = called(compiled.map, (inputs,)), wanted[first].error
            if not isinstance(failed, Raised) or type(failed.error).__name__ != type(want).__name__ or not named(failed.error, first):
                return Verdict("wrong", text=f"got {text_of(failed.error) if isinstance(failed, Raised) else failed!r}, wanted {want!r}")
    return Verdict("equal")


def named(error: Exception, number: int) -> bool:
    return not isinstance(error, InputError) or f"input {number}:" in str(error)


def same_bits(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and same_bits(list(a.values()), list(b.values()))
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return struct.pack("d", a) == struct.pack("d", b) if isinstance(a, float) else a == b
