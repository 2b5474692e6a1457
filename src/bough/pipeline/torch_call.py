"""Writes the function that stands for a graph of Dynamo: from the graph's inputs to its outputs with the least work in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bough.frontends.dynamo import Captured
from bough.frontends.dynamo_bind import Length

Call = Callable[..., Any]


def write_call(
    captured: Captured,
    arguments: Sequence[int | Length],
    compute: Call,
    examples: Sequence[Any],
    weights: Mapping[int, torch.Tensor],
    changed: Call,
) -> Call:
    """A function of the graph's inputs. `compute` takes those that `arguments` names and gives a tuple: the computed values, and
    the last values of the inputs that the graph writes to. Where one of the `weights`, by number of the input, is not as it is
    now, `changed(*inputs)` is called instead.

    A weight counts as changed when it is another tensor, has other memory, or was written to by PyTorch.
    """
    outputs = captured.outputs
    names: dict[str, Any] = {"changed": changed, "compute": compute, "empty": torch.empty, "byte": torch.uint8}
    inputs = [f"x{n}" for n in range(len(captured.names))]
    values = [f"y{n}" for n in range(len(outputs.computed) + len(outputs.written))]
    lines = [f"def call({', '.join(inputs)}):"]
    tests = []
    for n, weight in weights.items():
        names[f"w{n}"] = weight
        names[f"held{n}"] = weight.detach()  # while it lives, no other memory can have the same address
        tests.append(f"x{n} is not w{n} or x{n}._version != {weight._version} or x{n}.data_ptr() != {weight.data_ptr()}")
    if tests:
        lines.append(f"    if {' or '.join(tests)}: return changed({', '.join(inputs)})")
    if values:
        lines.append(f"    {', '.join(values)}, = compute({', '.join(_argument(a, examples) for a in arguments)})")
    for n, value in zip(outputs.written, values[len(outputs.computed) :], strict=True):
        lines.append(f"    x{n}.copy_({value})")
    computed = values[: len(outputs.computed)]
    if outputs.finish is None:
        lines.append(f"    return ({''.join(f'{v}, ' for v in computed)})")
    else:
        names["finish"] = outputs.finish.forward
        lines.append(f"    return finish({', '.join([*(f'x{n}' for n in outputs.needed), *computed])})")
    exec(compile("\n".join(lines), "<call of a graph>", "exec"), names)
    call: Call = names["call"]
    return call


def _argument(argument: int | Length, examples: Sequence[Any]) -> str:
    if isinstance(argument, Length):
        return f"empty((x{argument.input}, 0), dtype=byte)"
    return f"x{argument}" if examples[argument].is_contiguous() else f"x{argument}.contiguous()"
