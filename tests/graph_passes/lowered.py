"""Functions and modules of tensors as the fused kernels that the later passes get."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from bough.frontends.torch_export import export
from bough.graph_passes.fuse import fuse
from bough.graph_passes.lower_program import lower_function
from bough.ir.sequence import Sequence


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(*args)


def fused(function: Callable[..., Tensor], *args: Tensor) -> Sequence:
    """The kernels of a module or a plain function, fused."""
    module = function if isinstance(function, nn.Module) else Function(function)
    program = export(module.eval(), args).program
    return fuse(lower_function(program.functions[program.entry]))
