"""Writes the function that stands for a graph of Dynamo: from the graph's inputs to its outputs with the least work in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bough.frontends.dynamo import Captured
from bough.frontends.dynamo_bind import Length
from bough.runtime.executable import Executable

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Resorts:
    """What is called with a graph's inputs where compiled code does not fit them: `changed` where weights are other ones,
    `eager` where an input that the graph writes to shares memory with another argument."""

    changed: Call
    eager: Call


def write_call(
    captured: Captured,
    arguments: Sequence[int | Length],
    executable: Executable | None,
    examples: Sequence[Any],
    weights: Mapping[int, torch.Tensor],
    resorts: Resorts,
) -> Call:
    """A function of the graph's inputs. `executable` takes those that `arguments` names and gives a tuple: the computed values,
    and the last values of the inputs that the graph writes to (None where there are none). `weights`, by number of the input,
    are constants of the executable.

    A weight counts as changed when it is another tensor, has other memory, or was written to by PyTorch.
    """
    outputs = captured.outputs
    names: dict[str, Any] = {"executable": executable, "empty": torch.empty, "byte": torch.uint8, "outer": resorts}
    inputs = [f"x{n}" for n in range(len(captured.names))]
    values = [f"y{n}" for n in range(len(outputs.computed) + len(captured.written))]
    computed = values[: len(outputs.computed)]
    lines = [f"def call({', '.join(inputs)}):"]
    for resort, tests in (("changed", _changes(weights, names)), ("eager", _overlaps(captured.written, arguments))):
        if tests:
            lines.append(f"    if {' or '.join(tests)}: return outer.{resort}({', '.join(inputs)})")
    if values:
        lines.append(f"    {', '.join(values)}, = executable.call({', '.join(_argument(a, examples) for a in arguments)})")
    for n, value in zip(captured.written, values[len(computed) :], strict=True):
        lines.append(f"    x{n}.copy_({value})")
    if outputs.finish is None:
        lines.append(f"    return ({''.join(f'{v}, ' for v in computed)})")
    else:
        names["finish"] = outputs.finish.forward
        lines.append(f"    return finish({', '.join([*(f'x{n}' for n in outputs.needed), *computed])})")
    exec(compile("\n".join(lines), "<call of a graph>", "exec"), names)
    call: Call = names["call"]
    return call


def _changes(weights: Mapping[int, torch.Tensor], names: dict[str, Any]) -> list[str]:
    tests = []
    for n, weight in weights.items():
        names[f"w{n}"] = weight
        names[f"held{n}"] = weight.detach()  # while it lives, no other memory can have the same address
        tests.append(f"x{n} is not w{n} or x{n}._version != {weight._version} or x{n}.data_ptr() != {weight.data_ptr()}")
    return tests


def _overlaps(written: Sequence[int], arguments: Sequence[int | Length]) -> list[str]:
    memory = "x{}.untyped_storage().data_ptr()".format
    tensors = [a for a in arguments if isinstance(a, int)]
    pairs = {(min(a, w), max(a, w)) for w in written for a in tensors if a != w}
    return [f"{memory(a)} == {memory(b)}" for a, b in sorted(pairs)]


def _argument(argument: int | Length, examples: Sequence[Any]) -> str:
    if isinstance(argument, Length):
        return f"empty((x{argument.input}, 0), dtype=byte)"
    return f"x{argument}" if examples[argument].is_contiguous() else f"x{argument}.contiguous()"
