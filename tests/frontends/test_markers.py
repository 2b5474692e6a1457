"""Marked traces become branches and loops that do what eager Python does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from comparing import call, compare
from torch import nn

from bough.base.errors import CompileError
from bough.frontends import markers
from bough.frontends.torch_export import export
from bough.ir.interpret_program import CheckFailed
from bough.ir.program import CAPACITY, Dim, If, Size, While
from bough.ir.program_text import print_program

Tensors = list[torch.Tensor]


def choose(condition: torch.Tensor, then: Callable[[], Tensors], otherwise: Callable[[], Tensors]) -> Tensors:
    markers.if_begin(condition)
    a = then()
    markers.if_else()
    return markers.if_end(a, otherwise())


def repeat(initial: Tensors, test: Callable[..., torch.Tensor], turn: Callable[..., Tensors]) -> Tensors:
    """A loop, tried until its growing axes are known."""
    growths: tuple[markers.Growth, ...] = ()
    while True:
        markers.attempt_begin()
        carried = markers.while_begin(initial, growths)
        markers.while_test(test(*carried))
        updated = turn(*carried)
        wanted = markers.growths(updated)
        if wanted == growths:
            final = markers.while_end(updated)
            markers.attempt_keep()
            return final
        markers.attempt_abort()
        growths = wanted


def zero() -> torch.Tensor:
    return torch.zeros((), dtype=torch.int64)


class Branches(nn.Module):
    """What it computes with markers, `eager` computes with Python."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.gru = nn.Linear(4, 4), nn.LayerNorm(4), nn.GRU(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (y,) = choose(x.sum() > 0, lambda: [self.norm(self.linear(x))], lambda: [self.gru(x)[0] - x])
        return y * 2

    def eager(self, x: torch.Tensor) -> torch.Tensor:
        return (self.norm(self.linear(x)) if x.sum() > 0 else self.gru(x)[0] - x) * 2


class Shapes(nn.Module):
    """Branches that differ in a size, and one that has a value which the other has not."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        markers.if_begin(x[0] > 0)
        a = [x[:2], torch.stack([x, x])[:, :2], x * 2, None]
        markers.if_else()
        n = markers.size((x > 0).sum(), high=x.shape[0])
        b = [x, torch.stack([x, x]), None, torch.ones(n)]
        y, pair, left, right = markers.if_end(a, b)
        return y + 1, pair @ y, left.sum(), right.sum()

    def eager(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        zero = torch.zeros(())
        if x[0] > 0:
            return x[:2] + 1, torch.stack([x, x])[:, :2] @ x[:2], (x * 2).sum(), zero
        return x + 1, torch.stack([x, x]) @ x, zero, torch.ones(int((x > 0).sum())).sum()


class InPlace(nn.Module):
    """A tensor, and a view of it, that one branch writes to; kept and restored as staging does it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x * 2
        view = y[0]
        before = y.clone()
        markers.if_begin(y.sum() > 0)
        view.add_(1)
        then = y.clone()
        y.copy_(before)
        markers.if_else()
        seen = view.sum()
        y[1] = 7
        otherwise = y.clone()
        y.copy_(before)
        joined, seen = markers.if_end([then, zero().float()], [otherwise, seen])
        y.copy_(joined)
        view.mul_(3)
        return y, view, seen

    def eager(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x * 2
        view, seen = y[0], torch.zeros(())
        if y.sum() > 0:
            view.add_(1)
        else:
            seen = view.sum()
            y[1] = 7
        view.mul_(3)
        return y, view, seen


class Growing(nn.Module):
    """Two caches that grow together, a list of tokens one longer, attention over what there is, and a list from empty."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def test(self, i: torch.Tensor, tokens: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return tokens.sum() < 8

    def turn(self, i: torch.Tensor, tokens: torch.Tensor, *caches: torch.Tensor) -> Tensors:
        keys, values, steps = caches
        new = self.linear(keys[-1:])
        found = nn.functional.scaled_dot_product_attention(new, keys, values)
        return [
            i + 1,
            torch.cat([tokens, (found.sum() > 0).long().reshape(1) + 1]),
            torch.cat([keys, new]),
            torch.cat([values, found]),
            torch.cat([steps, i.reshape(1)]),
        ]

    def start(self, x: torch.Tensor) -> Tensors:
        return [zero(), torch.ones(3, dtype=torch.int64), x, x + 1, torch.zeros(0, dtype=torch.int64)]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(repeat(self.start(x), self.test, self.turn))

    def eager(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = self.start(x)
        while self.test(*state):
            state = self.turn(*state)
        return tuple(state)


class Sliced(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n = markers.size((x > 0).sum(), high=x.shape[0])
        first = markers.narrow(x, 0, 0, n)
        last = markers.narrow(x, 0, x.shape[0] - n, n)
        markers.check(markers.scalar(n) > 0, "ValueError", "nothing is positive")
        return first * last, torch.zeros(n, 3), markers.scalar(n * 2)

    def eager(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n = int((x > 0).sum())
        return x[:n] * x[len(x) - n :], torch.zeros(n, 3), torch.tensor(n * 2)


def inputs(*shape: int) -> Tensors:
    torch.manual_seed(1)
    x = torch.randn(shape)
    return [x, -x, x.abs(), -x.abs() + 0.1]


@pytest.mark.parametrize("dynamic", [None, {"x": {0: Dim("rows", 2)}}])
@pytest.mark.parametrize("kind", [Branches, Shapes, InPlace, Growing, Sliced])
def test_like_eager(kind: type[nn.Module], dynamic: dict[str, dict[int, Dim]] | None) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    shape = (4,) if kind in (Shapes, Sliced) else (3, 4)
    imported = export(module, (inputs(*shape)[0],), dynamic=dynamic)
    for x in inputs(*shape) + (inputs(5, *shape[1:]) if dynamic else []):
        if kind is not Sliced or (x > 0).any():
            compare(call(imported, x), module.eager(x))  # type: ignore[operator]


def test_what_grows_together_has_one_size() -> None:
    program = export(Growing().eval(), (inputs(3, 4)[0],)).program
    (loop,) = [n for n in program.functions["main"].body if isinstance(n, While)]
    assert [n.low for n in loop.head if isinstance(n, Size)] == [0]
    assert [str(v.type.shape[0]) for v in loop.carried[1:5]]
    assert CAPACITY in [d.name for d in program.functions["main"].dims]
    assert "attempt" not in print_program(program)


def test_a_check_names_the_error() -> None:
    imported = export(Sliced(), (torch.randn(4),))
    with pytest.raises(CheckFailed, match="ValueError: nothing is positive") as failed:
        call(imported, -torch.ones(4))
    assert failed.value.error == "ValueError"


def test_a_size_has_bounds() -> None:
    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(markers.size(x.sum().long(), low=1, high=4))

    imported = export(Module(), (torch.ones(3),))
    compare(call(imported, torch.ones(3)), torch.zeros(3))
    for wrong in (torch.zeros(3), torch.full((3,), 2.0)):
        with pytest.raises(CheckFailed, match=r"is not in 1\.\.4"):
            call(imported, wrong)


def test_what_holds_for_some_sizes_only_is_an_error() -> None:
    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.zeros(markers.size(x.sum().long(), high=100))
            return y + 1 if y.shape[0] > 5 else y

    with pytest.raises(CompileError, match="BGH-DIM-001"):
        export(Module(), (torch.ones(3),))


class Deep(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.level(x, self.depth)

    def level(self, x: torch.Tensor, depth: int) -> torch.Tensor:
        if depth == 0:
            return x
        (y,) = choose(x.sum() > depth, lambda: [self.level(x * 0.9, depth - 1)], lambda: [x + depth])
        return y


def test_deep_nesting_takes_linear_time() -> None:
    def seconds(depth: int) -> float:
        begin = time.process_time()
        imported = export(Deep(depth), (torch.ones(3),))
        node = imported.program.functions["main"].body
        for _ in range(depth):
            (branch,) = [n for n in node if isinstance(n, If)]
            node = branch.then
        return time.process_time() - begin

    seconds(2)
    assert seconds(40) < 8 * seconds(10) + 0.5
    with pytest.raises(CompileError, match="BGH-CTRL-002"):
        export(Deep(101), (torch.ones(3),))


def test_missing_operators_inside_branches_are_listed() -> None:
    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            (y,) = choose(x.sum() > 0, lambda: [torch.linalg.svd(x)[0]], lambda: [torch.linalg.inv(x)])
            return y

    with pytest.raises(CompileError, match=r"(?s)BGH-OP-001.*svd"):
        export(Module(), (torch.eye(3),))
