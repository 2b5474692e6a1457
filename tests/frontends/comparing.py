"""Runs imported Programs by the NumPy meaning of the operators and compares with eager PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bough import ops
from bough.frontends.structure import Slot, fill
from bough.frontends.torch_export import Imported, export
from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import BF16
from bough.ir.interpret_program import run_program
from bough.ir.program import CAPACITY, Assign
from bough.ir.verify_program import verify_program


def call(imported: Imported, *args: Any, **kwargs: Any) -> Any:
    """The imported program called like the module."""
    program = imported.program.functions[imported.program.entry]
    arrays: dict[int, np.ndarray] = {}

    def note(structure: Any, given: Any) -> None:
        if isinstance(structure, Slot):
            plain = given.detach().contiguous()
            arrays[structure.index] = (plain.view(torch.uint16) if plain.dtype is torch.bfloat16 else plain).numpy()
        elif isinstance(structure, dict):
            for key, inner in structure.items():
                note(inner, given[key])
        elif isinstance(structure, (tuple, list)):
            for inner, value in zip(structure, given, strict=True):
                note(inner, value)

    note(imported.inputs, (args, kwargs))
    verify_program(imported.program, ops.infer)
    sizes = {CAPACITY: 1000}
    results = run_program(imported.program, [arrays[i] for i in range(len(arrays))], ops.evaluate, given=sizes)
    wide = [
        torch.from_numpy(np.array(from_bf16(r))).to(torch.bfloat16) if v.type.dtype == BF16 else torch.from_numpy(np.array(r))
        for r, v in zip(results, program.results, strict=True)
    ]
    return fill(imported.outputs, wide, lambda value: value.item())


def flat(tree: Any) -> list[Any]:
    if isinstance(tree, (tuple, list)):
        return [leaf for t in tree for leaf in flat(t)]
    if isinstance(tree, dict):
        return [leaf for t in tree.values() for leaf in flat(t)]
    return [tree]


def compare(got: Any, wanted: Any, tolerance: float = 2e-5) -> None:
    got, wanted = flat(got), flat(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        if not isinstance(w, torch.Tensor):
            assert type(g) is type(w) and g == (pytest.approx(w, rel=tolerance, abs=tolerance) if type(w) is float else w)
            continue
        assert g.dtype == w.dtype
        assert g.shape == w.shape
        torch.testing.assert_close(g, w, rtol=tolerance, atol=tolerance, equal_nan=True)


def check(
    module: Any, *args: Any, dynamic: Any = None, also: list[tuple[Any, ...]] | None = None, tolerance: float = 2e-5,
    kwargs: dict[str, Any] | None = None,
) -> Imported:  # fmt: skip
    """Imports once; compares with eager on the example arguments and on those in `also`."""
    if isinstance(module, torch.nn.Module):
        module.eval()
    imported = export(module, args, dynamic=dynamic, kwargs=kwargs)
    verify_program(imported.program, ops.infer)
    with torch.no_grad():
        for given in [args, *(also or [])]:
            compare(call(imported, *given, **(kwargs or {})), module(*given, **(kwargs or {})), tolerance)
    return imported


def operators(imported: Imported) -> list[str]:
    """The names of the operators, those inside loops included."""

    def names(nodes: list[Any]) -> list[str]:
        return [n for node in nodes for n in ([node.op] if isinstance(node, Assign) else ["loop", *names(node.body)])]

    return names(imported.program.functions[imported.program.entry].body)
