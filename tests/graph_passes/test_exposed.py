"""What steps read that they have not written: gone through backwards it is what a plain walk forwards finds, at every place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from bough.frontends.staging import export_module
from bough.graph_passes.effects import Region, covers, fills, region
from bough.graph_passes.exposed import exposed, exposures
from bough.graph_passes.fuse import fuse
from bough.graph_passes.lower_program import lower_function
from bough.graph_passes.normalize import normalize
from bough.ir.expr import Expr, as_expr, loads
from bough.ir.kernel import Kernel
from bough.ir.sequence import (
    Branch,
    Repeat,
    Sequence,
    Step,
    Whilst,
    bodies,
    expressions,
    host_expressions,
    map_kernels,
    phase,
)

Written = dict[str, list[Region]]


def forward(steps: tuple[Step, ...], more: Iterable[Expr] = ()) -> set[str]:
    """What the steps, and the host's expressions `more` behind them, read that a kernel earlier in the same steps has not
    written."""
    found: set[str] = set()
    written: Written = {}
    _expose(steps, written, found)
    _host_reads(more, written, found)
    return found


def _expose(steps: tuple[Step, ...], written: Written, found: set[str]) -> None:
    for s in steps:
        if isinstance(s, Whilst):
            _expose(s.head, written, found)
        _host_reads(host_expressions(s), written, found)
        match s:
            case Repeat() | Whilst():
                _expose(s.body, _copy(written), found)  # it may run no time
            case Branch():
                yes, no = _copy(written), _copy(written)
                _expose(s.then, yes, found)
                _expose(s.otherwise, no, found)
                for n in yes.keys() & no.keys():
                    written[n] = [r for r in yes[n] if r in no[n]]
            case _:
                for k in phase(s):
                    _expose_kernel(k, written, found)


def _expose_kernel(k: Kernel, written: Written, found: set[str]) -> None:
    for load in {load for s in k.body for e in expressions(s) for load in loads(e)}:
        here = region(k, load.source, load.index)
        before = written.get(load.source, [])
        if load.source in k.apart or not (any(covers(w, here) for w in before) or fills(before)):
            found.add(load.source)
    found.update(load.source for a in k.ragged for load in loads(as_expr(a.extent)))
    for store in k.stores:
        written.setdefault(store.target, []).append(region(k, store.target, store.index))


def _host_reads(expressions: Iterable[Expr], written: Written, found: set[str]) -> None:
    """An element counts as written where all of its array is."""
    for load in (load for e in expressions for load in loads(e)):
        if not any(not any(parts) for _, parts in written.get(load.source, ())):
            found.add(load.source)


def _copy(written: Written) -> Written:
    return {n: list(regions) for n, regions in written.items()}


class Gated(nn.Module):
    """Blocks that a computed value leaves out, parts that are written into one array, and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log = torch.zeros(4, 6)
        for number, layer in enumerate(self.layers):
            if x.sum() > 0:
                x = torch.cat([layer(x)[:3], x[3:] * 2])
            elif x[0] > -1:
                x = nn.functional.pad(x[1:5], (1, 1))
            log[number] = x
        return x, log


class Writes(nn.Module):
    """A loop within a loop, what grows, and an end in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        state, rows, n = x, [x], 0
        while n < 6:
            state = self.cell(x, state)
            while state.norm() > 1:
                state = state / 2
                n += 1
            rows.append(state)
            if state.sum() > 0.7:
                break
            n += 1
        return torch.cat(rows), n


def sequence_of(module: nn.Module, x: Tensor) -> Sequence:
    program = export_module(module.eval(), (x,)).program
    return lower_function(program.functions[program.entry])


def all_steps(steps: tuple[Step, ...]) -> list[tuple[Step, ...]]:
    return [steps, *(inner for s in steps for body in bodies(s) for inner in all_steps(body))]


@pytest.mark.parametrize("module, x", [(Gated(), torch.randn(6)), (Writes(), torch.randn(1, 4))])
def test_like_a_walk_forwards(module: nn.Module, x: Tensor) -> None:
    plain = sequence_of(module, x)
    fused = fuse(plain)
    simple = map_kernels(fused.steps, normalize)
    for steps in (s for whole in (plain.steps, fused.steps, simple) for s in all_steps(whole)):
        found = exposures(steps)
        assert len(found) == len(steps) + 1
        for n in range(len(steps) + 1):
            wanted = forward(steps[n:])
            assert found[n] == wanted == exposed(steps[n:])
