"""Programs at the edge: NaN in conditions, loops without end, deep nesting, conditions that have no truth value."""

from __future__ import annotations

import time
from textwrap import dedent, indent

import pytest
import torch
from random_programs import Case, judge, loaded, native

import bough

X = torch.tensor([0.5, -1.0, 2.0, 0.25])
NAN = torch.tensor([float("nan"), 1.0, -1.0, 0.0])
INF = torch.tensor([float("inf"), 1.0, -1.0, 0.0])


def module_of(body: str) -> str:
    """A module whose forward takes `x`."""
    return (
        "import math\nimport torch\nfrom torch import nn\n\n\nclass Model(nn.Module):\n"
        + "    def forward(self, x):\n" + indent(dedent(body).strip(), "        ") + "\n"
    )  # fmt: skip


def check(body: str, *inputs: torch.Tensor) -> None:
    verdict = judge(Case(module_of(body), tuple((x,) for x in inputs)), native)
    assert verdict.kind == "equal", verdict


@pytest.mark.parametrize(
    "condition",
    ["x[0] > 0", "x[0] < 0", "not x[0] > 0", "x[0] == x[0]", "x[0] != x[0]", "x[0]", "x.sum().item()", "float(x[0]) >= 0", "0 < x[0] < 1",
     "(x > 0).all()", "(x > 0).any()", "x.max() > 0", "min(x[0].item(), 1.0) > 0", "min(1.0, x[0].item()) > 0", "max(x[0].item(), 1.0) > 0.5",
     "x[0].isnan()", "x.isfinite().all()", "math.isnan(x[0].item())"],
)  # fmt: skip
def test_conditions_of_nan_are_pythons(condition: str) -> None:
    check(f"if {condition}:\n    return x * 2\nreturn x - 1", X, NAN, INF, -INF)


def test_nan_ends_a_loop() -> None:
    check("n = 0\nwhile x.sum() < 10 and n < 50:\n    x = x * 1.5 + 0.1\n    n += 1\nreturn x, n", X, NAN, INF)


@pytest.mark.parametrize("expression", ["int(x[0].item())", "round(x[0].item())", "int(x[0])", "x[0].item() // 1", "1 / x[3].item()", "1 % int(x[3])"])
def test_numbers_that_python_refuses(expression: str) -> None:
    """int(nan) is a ValueError, int(inf) an OverflowError, division by zero a ZeroDivisionError, in the compiled call too."""
    check(f"n = {expression}\nif n > 0:\n    return x + n\nreturn x", X, NAN, INF)


def test_a_loop_without_end() -> None:
    with loaded(module_of("while x.sum() > 0:\n    x = x * 1.0\nreturn x")) as module:
        compiled = bough.compile(module, (-X.abs(),), cache=False, threads=1)
        torch.testing.assert_close(compiled(-X.abs()), -X.abs())
        start = time.perf_counter()
        with pytest.raises(bough.InputError, match="BGH-IN-015"):
            compiled(X)
        assert time.perf_counter() - start < 60


@pytest.mark.parametrize("statement", ["if x > 0: x = x + 1", "while x > 0: x = x - 1", "assert x > 0", "x = x + 1 if x else x", "x = x > 0 and x", "x = not x"])
def test_a_condition_of_several_elements(statement: str) -> None:
    """What Python refuses at the call is refused when it is compiled, with the line."""
    with loaded(module_of(f"{statement}\nreturn x")) as module:
        with pytest.raises(RuntimeError, match="ambiguous"):
            module(X)
        with pytest.raises(bough.CompileError, match="ambiguous") as caught:
            bough.compile(module, (X,), cache=False, threads=1)
        assert caught.value.location is not None and caught.value.location.text.strip().startswith(statement.split(":")[0].split("=")[0].strip())


def nested(depth: int) -> str:
    """`if` in `if`, each with work on both sides."""
    body = "x = x.relu()"
    for level in range(depth):
        body = f"if x[{level % 4}] > {level * 0.01 - 0.2}:\n    x = x * 1.01\n{indent(body, '    ')}\nelse:\n    x = x - 0.01"
    return body + "\nreturn x"


def test_forty_branches_in_branches() -> None:
    """Time grows with the program, not with the number of ways through it."""
    seconds = {}
    for depth in (10, 40):
        start = time.perf_counter()
        check(nested(depth), X, -X, X * 3)
        seconds[depth] = time.perf_counter() - start
    assert seconds[40] < 20 * seconds[10] + 1


def test_forty_returns_one_after_the_other() -> None:
    """An early return puts what follows into the other branch."""
    lines = [f"if x[{i % 4}] > {3 - i * 0.05}:\n    return x * {i}\nx = x + 0.1" for i in range(40)]
    start = time.perf_counter()
    check("\n".join(lines) + "\nreturn x", X, -X, X * 3)
    assert time.perf_counter() - start < 60


def test_forty_branches_one_after_the_other() -> None:
    lines = [f"if x[{i % 4}] > {i * 0.02 - 0.3}:\n    x = x * 1.1\nelse:\n    x = x - 0.05" for i in range(40)]
    check("\n".join(lines) + "\nreturn x", X, -X, X * 3)
