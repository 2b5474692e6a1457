"""Attributes of modules that a call reads and changes: state, which compiled functions do not keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module


class Module(nn.Module):
    calls: int
    seen: Tensor
    table: Tensor

    def __init__(self, body: Callable[[Module, Tensor], Tensor], decides: bool) -> None:
        super().__init__()
        self.inner, self.body, self.decides, self.scale = nn.Linear(4, 4), body, decides, 2.0
        self.past: list[Tensor] = []
        self.own: list[Tensor] = []
        self.tables: dict[object, Tensor] = {}
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self, x)
        return -y if self.decides and x.sum() > 0 else y


def count(self: Module, x: Tensor) -> Tensor:
    self.calls = getattr(self, "calls", 0) + 1
    return x * self.calls


def follow(self: Module, x: Tensor) -> Tensor:
    self.scale = 0.9 * self.scale + 0.1 * len(x)
    return x * self.scale


def history(self: Module, x: Tensor) -> Tensor:
    self.past.append(x)
    return x * len(self.past)


def renamed(self: Module, x: Tensor) -> Tensor:
    past = self.past
    past.append(x)
    return x * len(past)


def newest(self: Module, x: Tensor) -> Tensor:
    self.past += [x]
    return x + self.past[0]


def difference(self: Module, x: Tensor) -> Tensor:
    before = getattr(self, "seen", None)
    self.seen = self.inner(x)
    return x if before is None else x - before


def window(self: Module, x: Tensor) -> Tensor:
    """The slice is known to lie inside only in the second try."""
    before = getattr(self, "seen", None)
    self.seen = self.inner(x)
    at = int(x.argmax())
    piece = torch.cat([x, x])[at : at + 4] @ self.inner.weight
    return piece if before is None else piece - before


def cached(self: Module, x: Tensor) -> Tensor:
    if "x" not in self.tables:
        self.tables["x"] = x * 2
    return x + self.tables["x"]


def positions(self: Module, x: Tensor) -> Tensor:
    """Made of sizes alone, whichever call is the first."""
    if len(x) not in self.tables:
        self.tables[len(x)] = torch.arange(len(x)) * torch.ones_like(x)
    return x + self.tables[len(x)]


def notes(self: Module, x: Tensor) -> Tensor:
    self.tables["note"] = x
    return x


def steps(self: Module, x: Tensor) -> Tensor:
    """What is none before the call, and set to none in it."""
    self.last = None
    for n in range(3):
        x = x if self.last is None else x + self.last
        self.last = self.inner(x) * n
    return x


def traces(self: Module, x: Tensor) -> Tensor:
    """Adds to what stays, and reads what was emptied before."""
    self.past.append(x)
    self.own.clear()
    for n in range(3):
        self.own.append(x * n)
    return torch.stack(self.own).sum(0)


def note(self: Module, x: Tensor) -> Tensor:
    self.seen = self.inner.seen = x * 2
    self.scale = 3.0
    return x * 4 + self.seen * self.scale


def remember(self: Module, x: Tensor) -> Tensor:
    if getattr(self, "table", None) is None:
        self.table = torch.arange(4.0)
    return x + self.table


REFUSED = [
    (count, "calls"), (follow, "scale"), (history, "past"), (newest, "past"), (renamed, "past"), (difference, "seen"), (cached, "tables"),
    (window, "seen"),
]  # fmt: skip


@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize(("body", "name"), REFUSED)
def test_what_is_read_and_changed_is_refused(body: Callable[[Module, Tensor], Tensor], name: str, decides: bool) -> None:
    with pytest.raises(CompileError, match=f"changes `{name}`") as error:
        export_module(Module(body, decides).eval(), (torch.ones(4),))
    assert error.value.code == "BGH-MUT-001"


@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize("body", [note, remember, traces, positions, notes, steps])
def test_what_each_call_makes_anew_is_not_state(body: Callable[[Module, Tensor], Tensor], decides: bool) -> None:
    """And the module is as before: nothing of the trace stays in it."""
    module = Module(body, decides).eval()
    before = set(vars(module)), set(vars(module.inner))
    export_module(module, (torch.ones(4),))
    assert (set(vars(module)), set(vars(module.inner))) == before
    assert module.scale == 2.0
