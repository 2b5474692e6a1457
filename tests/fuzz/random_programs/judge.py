"""What becomes of a program: eager PyTorch says what each call should give, an engine compiles and calls it."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import bough
from bough import ops
from bough.base.errors import CompileError, InputError
from bough.frontends.staging import export_module
from bough.frontends.structure import fill
from bough.ir.interpret_program import CheckFailed, run_program
from bough.ir.program import CAPACITY
from bough.ir.verify_program import verify_program
from random_programs.program import Case

Call = Callable[..., Any]
Engine = Callable[[nn.Module, tuple[Any, ...]], Call]
"""Compiles a module for example arguments."""
Kind = Literal["equal", "refused", "wrong", "broken", "invalid", "unstable"]
EXPECTED = (AssertionError, IndexError, ValueError, ZeroDivisionError, OverflowError, KeyError, RuntimeError)
"""What a valid program may raise."""
TOLERANCE = 1e-4
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind`: equal; refused, with a CompileError of this code; wrong: other results or another exception than eager; broken: an
    error that is a bug; invalid: eager itself fails in a way that programs should not; unstable: eager's own answer changes with
    the last bits of the inputs."""

    kind: Kind
    code: str = ""
    text: str = ""
    paths: int = 0

    @property
    def bug(self) -> bool:
        return self.kind in ("wrong", "broken")


def native(module: nn.Module, args: tuple[Any, ...], precision: str = "float32") -> Call:
    return bough.compile(module, args, cache=False, threads=1, precision=precision)


def through_interpreter(module: nn.Module, args: tuple[Any, ...]) -> Call:
    """Up to the Program level, which is interpreted."""
    imported = export_module(module, args)
    verify_program(imported.program, ops.infer)

    def call(*given: torch.Tensor) -> Any:
        try:
            results = run_program(imported.program, [g.numpy() for g in given], ops.evaluate, given={CAPACITY: 256})
        except CheckFailed as failed:
            raise InputError(f"{failed.error}: {failed.message}", code="BGH-IN-012") from None
        made = [torch.from_numpy(np.array(r)) for r in results]
        return fill(imported.outputs, made, lambda number: number.item())

    return call


@contextmanager
def loaded(source: str) -> Iterator[nn.Module]:
    """The program's module, made with weights that do not depend on the program; its source is in a file meanwhile."""
    name = f"random_program_{next(_numbers)}"
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        file = importlib.util.module_from_spec(spec)
        sys.modules[name] = file
        try:
            spec.loader.exec_module(file)
            torch.manual_seed(0)
            yield file.Model().eval().requires_grad_(False)
        finally:
            del sys.modules[name]


@dataclass(frozen=True, slots=True)
class Raised:
    error: Exception


def called(function: Call, args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return Raised(error)


def judge(case: Case, engine: Engine = native) -> Verdict:
    """Compiles the program once and calls it with all inputs."""
    with ExitStack() as stack:
        try:
            module = stack.enter_context(loaded(case.source))
        except Exception as error:
            return Verdict("invalid", type(error).__name__, text_of(error))
        wanted = [called(module, args) for args in case.inputs]
        for result in wanted:
            if isinstance(result, Raised) and not isinstance(result.error, EXPECTED):
                return Verdict("invalid", type(result.error).__name__, text_of(result.error))
        try:
            compiled = engine(module, case.inputs[0])
        except CompileError as error:
            return Verdict("refused", error.code, str(error))
        except Exception as error:
            return Verdict("broken", type(error).__name__, text_of(error))
        for args, want in zip(case.inputs, wanted, strict=True):
            before = [a.clone() for a in args]
            got = called(compiled, args)
            wrong = difference(got, want) or difference(list(args), before)
            if wrong and stable(module, before, want):
                kind: Kind = "broken" if isinstance(got, Raised) and not isinstance(got.error, InputError) else "wrong"
                code = type(got.error).__name__ if isinstance(got, Raised) else ""
                return Verdict(kind, code, wrong)
            if wrong:
                return Verdict("unstable", text=wrong)
        return Verdict("equal", paths=len({shape_of(w) for w in wanted}))


def text_of(error: Exception) -> str:
    return "".join(traceback.format_exception(error)[-6:])


def shape_of(result: Any) -> str:
    return type(result.error).__name__ if isinstance(result, Raised) else repr(result)


def stable(module: nn.Module, args: list[torch.Tensor], wanted: Any) -> bool:
    """Whether eager gives the same for inputs that differ in the last bits."""
    drawn = torch.Generator().manual_seed(0)
    for _ in range(12):
        near = tuple(a * (1 + 3e-6 * (torch.rand(a.shape, generator=drawn) - 0.5)) for a in args)
        if difference(called(module, near), wanted, 1e-3):
            return False
    return True


def difference(got: Any, want: Any, tolerance: float = TOLERANCE) -> str:
    """How a result is not the wanted one; empty where it is. An exception is the wanted one if it is of its class or names it."""
    if isinstance(want, Raised) or isinstance(got, Raised):
        if not (isinstance(want, Raised) and isinstance(got, Raised)):
            return f"got {text_of(got.error) if isinstance(got, Raised) else got!r}, wanted {want!r}"
        name = type(want.error).__name__
        named = type(got.error) is type(want.error) or (isinstance(got.error, InputError) and name in str(got.error))
        return "" if named else f"raised {text_of(got.error)}, wanted {want.error!r}"
    if isinstance(want, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.dtype != want.dtype or got.shape != want.shape:
            return f"got {got!r}, wanted {want!r}"
        return "" if torch.allclose(got, want, tolerance, tolerance, equal_nan=True) else f"got {got!r}, wanted {want!r}"
    if type(got) is not type(want):
        return f"got {got!r}, wanted {want!r}"
    if isinstance(want, dict):
        if list(got) != list(want):
            return f"got the keys {list(got)}, wanted {list(want)}"
        got, want = list(got.values()), list(want.values())
    if isinstance(want, (tuple, list)):
        if len(got) != len(want):
            return f"got {len(got)} values, wanted {len(want)}: {got!r}, {want!r}"
        return next((d for g, w in zip(got, want, strict=True) if (d := difference(g, w, tolerance))), "")
    if isinstance(want, float):
        same = math.isclose(got, want, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(got) and math.isnan(want))
        return "" if same else f"got {got!r}, wanted {want!r}"
    return "" if got == want else f"got {got!r}, wanted {want!r}"
