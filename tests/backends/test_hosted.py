"""Modules with decisions under other compilers: the answers of eager PyTorch, the same sub-network compiled once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bough
from bough.backends import COMPILERS, Hosted, run_under
from bough.base.errors import CompileError, InputError
from bough.frontends.staging import trace_module
from bough.frontends.subnetworks import Branch, Run, Whilst, split


class Gated(nn.Module):
    """Blocks that run or do not, with weights of their own; the last one repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU()) for _ in range(4))
        self.gates = nn.ModuleList(nn.Linear(8, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        count = 0
        for block, gate in zip(self.blocks, self.gates):
            if gate(x).mean() > 0:
                x = x + block(x)
                count += 1
        while x.norm() < 20:
            x = x * 1.5 + self.blocks[0](x)
        assert x.sum() < 1000, "too large"
        return x, count


class Decoder(nn.Module):
    """Grows a list of tokens until one is the last."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(10, 8), nn.GRUCell(8, 8), nn.Linear(8, 10)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        tokens = torch.zeros(1, dtype=torch.int64)
        while tokens.shape[0] < 12:
            h = self.cell(self.embed(tokens[-1:]), h)
            tokens = torch.cat([tokens, self.head(h).argmax(-1)])
            if tokens[-1] == 3:
                break
        return tokens


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.early, self.late = nn.Linear(4, 5), nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).flatten(1)
        scores = self.early(x)
        if scores.softmax(-1).max() > 0.28:
            return scores
        return self.late(x)


def build(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def inputs(kind: type[nn.Module]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    shape = {Gated: (2, 8), Decoder: (1, 8), Images: (1, 3, 8, 8)}[kind]
    return [torch.randn(shape) * scale for scale in (0.3, 1.0, 2.0, 4.0)]


def same(got: object, wanted: object) -> None:
    if isinstance(wanted, (list, tuple)):
        assert isinstance(got, type(wanted))
        for g, w in zip(got, wanted, strict=True):
            same(g, w)
    elif isinstance(wanted, torch.Tensor):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    else:
        assert got == wanted and type(got) is type(wanted)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "best"])
@pytest.mark.parametrize("kind", [Gated, Decoder, Images])
def test_like_eager(kind: type[nn.Module], backend: str) -> None:
    for name in ("onnxruntime", "openvino") if backend == "best" else (backend,):
        pytest.importorskip(name)
    module = build(kind)
    compiled = bough.compile(module, (inputs(kind)[0],), backend=backend, threads=1)
    assert isinstance(compiled, Hosted)
    with torch.no_grad():
        for x in inputs(kind):
            same(compiled(x), module(x))
    if backend != "best":
        assert any(c.compiler == backend for c in compiled.choices), compiled.explain()
    same(compiled.map(inputs(kind)[:2]), [compiled(x) for x in inputs(kind)[:2]])


def test_equal_sub_networks_are_one() -> None:
    program = split(trace_module(build(Gated), (inputs(Gated)[0],)))
    branches = [s for s in program.steps if isinstance(s, Branch)]
    assert len(branches) == 4 and any(isinstance(s, Whilst) for s in program.steps)
    blocks = {s.network for b in branches for s in b.then if isinstance(s, Run)}
    assert len(blocks) == 2  # the first count is a constant, the others add to it


def test_checks_of_the_module() -> None:
    pytest.importorskip("onnxruntime")
    compiled = bough.compile(build(Gated), (inputs(Gated)[0],), backend="onnxruntime", threads=1)
    with pytest.raises(AssertionError, match="too large"):
        compiled(torch.full((2, 8), 1000.0))
    assert issubclass(InputError, ValueError)


def test_arguments_that_do_not_fit() -> None:
    pytest.importorskip("onnxruntime")
    compiled = bough.compile(build(Gated), (inputs(Gated)[0],), backend="onnxruntime", threads=1)
    same(compiled(inputs(Gated)[0].numpy())[1], compiled(inputs(Gated)[0])[1])
    for wrong, code in ((torch.ones(3, 8), "007"), (torch.ones(8), "006"), (torch.ones(2, 8).double(), "005"), ((), "002")):
        with pytest.raises(InputError, match=f"BGH-IN-{code}"):
            compiled(*(wrong if isinstance(wrong, tuple) else (wrong,)))


def test_what_is_not_known_or_not_installed() -> None:
    with pytest.raises(CompileError, match="BGH-BACK-003"):
        bough.compile(build(Gated), (inputs(Gated)[0],), backend="nothing")
    if COMPILERS["tvm"].packages and __import__("importlib.util").util.find_spec("tvm") is None:
        with pytest.raises(CompileError, match=r"(?s)BGH-BACK-001.*tvm"):
            bough.compile(build(Gated), (inputs(Gated)[0],), backend="tvm")


def test_graphs_as_arguments_are_refused() -> None:
    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,))

    with pytest.raises(CompileError, match="BGH-BACK-002"):
        run_under(trace_module(Module(), (torch.ones(3),)), "best", 1)


def test_inductor_compiles_every_network_on_its_own() -> None:
    """Dynamo gives up on code that it has compiled some times, and runs it as it is."""
    torch.manual_seed(0)
    module = Images().eval()
    x = torch.randn(1, 3, 8, 8)
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        hosted = bough.compile(module, (x,), backend="inductor", threads=1)
        torch.testing.assert_close(hosted(x), module(x))
    assert sum(": inductor" in line for line in str(hosted.explain()).splitlines()) > 1
