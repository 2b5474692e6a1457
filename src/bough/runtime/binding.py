"""Checks the arguments of a call against a manifest, and says what is wrong with them in the user's terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.records import Record
from bough.runtime import sizes
from bough.runtime.arrays import NUMPY, dtype_name, is_torch, to_torch, torch, torch_dtype
from bough.runtime.manifest import Leaf, Manifest, Plain, Tensor, Tree

_LIKE_THE_EXAMPLE = "call it like the example that it was compiled for"


@dataclass(frozen=True, slots=True)
class Bound:
    """A call's arguments in order: contiguous and all of one library, and as they came (but in that library)."""

    tensors: tuple[Any, ...]
    given: tuple[Any, ...]
    of_torch: bool


def bind(manifest: Manifest, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Bound:
    """Checks and converts a call's arguments. Raises `InputError` naming the argument, what came and what is expected."""
    given = by_position(manifest, args, kwargs)
    found: dict[int, Any] = {}
    for name, tree, value in zip(manifest.parameters, manifest.inputs, given, strict=True):
        _flatten(name, tree, value, found)
    values = [found[i] for i in range(len(manifest.arguments))]
    of_torch = any(is_torch(v) for v in values) or (not values and torch() is not None)
    for tensor, value in zip(manifest.arguments, values, strict=True):
        _check_kind(tensor, value)
    check_sizes(manifest, [tuple(value.shape) for value in values])
    tensors = tuple(_convert(tensor, value, of_torch) for tensor, value in zip(manifest.arguments, values, strict=True))
    as_given = tuple(
        value if is_torch(value) == of_torch and not isinstance(value, np.generic) else tensor
        for value, tensor in zip(values, tensors, strict=True)
    )
    return Bound(tensors, as_given, of_torch)


def several(manifest: Manifest, inputs: Any) -> list[tuple[Any, ...]]:
    """The arguments of each of several calls: one input each where there is one parameter, else a tuple of all."""
    single = len(manifest.parameters) == 1
    rows = list(inputs) if isinstance(inputs, Iterable) else None
    if rows is None or (not single and not all(isinstance(x, (tuple, list)) for x in rows)):
        raise InputError(
            f"map was given {'an object of class ' + type(inputs).__name__ if single else 'inputs that are no tuples'}",
            code="BGH-IN-014",
            because="it computes several inputs" + ("" if single else ", each a tuple of all arguments"),
            advice="pass a list of inputs; for one input, call the function itself",
        )
    return [(x,) for x in rows] if single else [tuple(x) for x in rows]


def by_position(manifest: Manifest, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """The call's arguments in the order of the parameters. Raises `InputError` for missing and unknown ones."""
    parameters = manifest.parameters
    signature = f"it was compiled for {len(parameters)} argument(s): {', '.join(parameters) or 'none'}"
    if len(args) > len(parameters):
        raise InputError(f"{len(args)} arguments are too many", code="BGH-IN-001", because=signature, advice=_LIKE_THE_EXAMPLE)
    given = dict(zip(parameters, args, strict=False))
    for name, value in kwargs.items():
        if name not in parameters or name in given:
            what = "is given twice" if name in given else "is unknown"
            raise InputError(f"argument {name} {what}", code="BGH-IN-001", because=signature, advice=_LIKE_THE_EXAMPLE)
        given[name] = value
    missing = [name for name in parameters if name not in given]
    if missing:
        what = f"argument {', '.join(missing)} is missing"
        raise InputError(what, code="BGH-IN-001", because=signature, advice=_LIKE_THE_EXAMPLE)
    return [given[name] for name in parameters]


def _flatten(path: str, tree: Tree, value: Any, found: dict[int, Any]) -> None:
    def unfit(expected: str) -> InputError:
        return InputError(
            f"argument {path} is {_describe(value)}",
            code="BGH-IN-002",
            because=f"{expected} is expected, as in the example that the function was compiled for",
            advice="pass the same nesting of tuples, lists and dicts, or compile with an example of this one",
        )

    match tree:
        case Leaf():
            found[int(tree.key)] = value
        case Plain(expected):
            if type(value) is not type(expected) or value != expected:
                raise InputError(
                    f"argument {path} is {_describe(value)}",
                    code="BGH-IN-011",
                    because=f"the function was compiled for the value {expected!r}, and values that are no tensors are fixed",
                    advice="compile the model again with this value, or pass it as a tensor",
                )
        case Record(fields=fields, parts=parts):
            if any(not hasattr(value, name) for name in fields):
                raise unfit(f"an object with {', '.join(fields)}")
            for name, part in zip(fields, parts, strict=True):
                _flatten(f"{path}.{name}", part, getattr(value, name), found)
        case tuple() | list():
            if not isinstance(value, type(tree)) or len(value) != len(tree):
                raise unfit(f"a {type(tree).__name__} of {len(tree)}")
            for i, (part, item) in enumerate(zip(tree, value, strict=True)):
                _flatten(f"{path}[{i}]", part, item, found)
        case dict():
            if not isinstance(value, dict) or value.keys() != tree.keys():
                raise unfit(f"a dict with the keys {', '.join(map(repr, tree))}")
            for key, part in tree.items():
                _flatten(f"{path}[{key!r}]", part, value[key], found)


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, value))}" if value else "an empty dict"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if is_torch(value) or isinstance(value, np.ndarray):
        return f"a tensor of shape {_shape(value.shape)}"
    return f"of type {type(value).__module__}.{type(value).__qualname__}"


def _check_kind(tensor: Tensor, value: Any) -> None:
    """That it is an array on the CPU with the right element type."""
    of_torch = is_torch(value)
    if not of_torch and not isinstance(value, (np.ndarray, np.generic)):
        raise InputError(
            f"argument {tensor.name} is {_describe(value)}",
            code="BGH-IN-003",
            because="a torch tensor or a NumPy array is expected",
            advice="convert it, for instance with torch.as_tensor or numpy.asarray",
        )
    if of_torch and value.device.type != "cpu":
        raise InputError(
            f"argument {tensor.name} is on the device {value.device}",
            code="BGH-IN-004",
            because="the function was compiled for the CPU",
            advice=f"pass {tensor.name}.cpu()",
        )
    if of_torch and (value.layout != torch().strided or value.is_nested):
        layout, dense = ("of nested tensors", "to_padded_tensor(0)") if value.is_nested else (value.layout, "to_dense()")
        raise InputError(
            f"argument {tensor.name} has the layout {layout}",
            code="BGH-IN-013",
            because="only dense tensors are taken",
            advice=f"pass {tensor.name}.{dense}",
        )
    expected = torch_dtype(tensor.dtype) if of_torch else NUMPY[tensor.dtype]
    if value.dtype != expected:
        came = value.dtype if of_torch or value.dtype.isnative else f"{value.dtype.name} of the other byte order"
        name = dtype_name(tensor.dtype, of_torch)
        raise InputError(
            f"argument {tensor.name} has the element type {came}",
            code="BGH-IN-005",
            because=f"the function was compiled for {name}" + _bits(tensor, of_torch),
            advice=f"pass {tensor.name}." + (f"to({name})" if of_torch else f"astype(numpy.{name})"),
        )


def _bits(tensor: Tensor, of_torch: bool) -> str:
    return " holding the bits of bfloat16" if tensor.dtype == "bf16" and not of_torch else ""


def check_sizes(manifest: Manifest, shapes: Sequence[tuple[int, ...]]) -> None:
    """That ranks and sizes are right, those in range, and equal where they have the same name."""
    read: dict[str, tuple[int, str]] = {}
    limits = {scalar.name: scalar for scalar in manifest.scalars}
    for tensor, shape in zip(manifest.arguments, shapes, strict=True):
        if len(shape) != len(tensor.shape):
            raise InputError(
                f"argument {tensor.name} has {len(shape)} axes, its shape being {_shape(shape)}",
                code="BGH-IN-006",
                because=f"the function was compiled for {len(tensor.shape)} axes: {_shape(tensor.shape)}",
                advice="reshape it, or compile for this number of axes",
            )
        for axis, (size, expected) in enumerate(zip(shape, tensor.shape, strict=True)):
            if isinstance(expected, str):
                _check_symbolic(tensor, axis, size, limits[expected].low, limits[expected].high, expected, read)
            elif isinstance(expected, int) and size != expected:
                raise InputError(
                    f"axis {axis} of argument {tensor.name} has size {size}, its shape being {_shape(shape)}",
                    code="BGH-IN-007",
                    because=f"the function was compiled for {expected}: {_shape(tensor.shape)}",
                    advice=f"pass that size, or compile with dynamic={{{tensor.name!r}: {{{axis}: 'a name'}}}}",
                )
    scalars = {name: value for name, (value, _) in read.items()}
    for tensor, shape in zip(manifest.arguments, shapes, strict=True):
        for axis, (size, expected) in enumerate(zip(shape, tensor.shape, strict=True)):
            if isinstance(expected, tuple) and size != sizes.evaluate(expected, scalars):
                values = ", ".join(f"{name} = {scalars[name]}" for name in dict.fromkeys(sizes.names(expected)))
                raise InputError(
                    f"axis {axis} of argument {tensor.name} has size {size}, its shape being {_shape(shape)}",
                    code="BGH-IN-010",
                    because=f"it must be {sizes.text(expected)} = {sizes.evaluate(expected, scalars)} with {values}",
                    advice="make the sizes of the arguments agree",
                )


def _check_symbolic(
    tensor: Tensor, axis: int, size: int, low: int, high: int | None, name: str, read: dict[str, tuple[int, str]]
) -> None:
    place = f"axis {axis} of argument {tensor.name}"
    if size < low or (high is not None and size > high):
        bounds = f"at least {low}" if high is None else f"{low} to {high}"
        raise InputError(
            f"{place} has size {size}",
            code="BGH-IN-008",
            because=f"the function was compiled for {name} = {bounds}",
            advice=f"pass a size in that range, or compile with a wider range for {name}",
        )
    first, where = read.setdefault(name, (size, place))
    if first != size:
        raise InputError(
            f"{place} has size {size}",
            code="BGH-IN-009",
            because=f"it is the size {name}, which is {first} on {where}",
            advice="make the sizes of the arguments agree",
        )


def _shape(shape: Any) -> str:
    return "[" + ", ".join(sizes.text(size) for size in shape) + "]"


def _convert(tensor: Tensor, value: Any, of_torch: bool) -> Any:
    """The same elements, contiguous, in the library of the call."""
    if is_torch(value):
        value = value.detach().resolve_neg().contiguous()
        try:
            value.data_ptr()
        except RuntimeError:
            raise InputError(
                f"argument {tensor.name} has no memory of its own",
                code="BGH-IN-013",
                because="it belongs to a transformation (torch.func, fake tensors), not to plain data",
                advice="call the compiled function outside of the transformation",
            ) from None
        return value
    array = np.require(value, requirements=["C", "A"])
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)
    return to_torch(array, tensor.dtype) if of_torch else array
