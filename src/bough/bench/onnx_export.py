"""Whole modules as ONNX models, as PyTorch's exporter writes them."""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bough.bench.onnx_models import OPSET
from bough.bench.runtimes import MODEL


def write_module(folder: Path, module: nn.Module, args: tuple[Any, ...]) -> Path:
    """The module for arguments of these sizes, as a model whose inputs are the tensors in them: x0, x1, and so on."""
    file = folder / MODEL
    names = [f"x{number}" for number in range(len(tensors(args)))]
    with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, str(file), input_names=names, opset_version=OPSET, dynamo=False)
    return file


def tensors(args: Any) -> list[Tensor]:
    """The tensors of nested arguments or results."""
    return [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]
