"""Torch's functions and tensors' methods with computed numbers among their arguments, and a watch on what writes in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from bough.frontends import markers
from bough.frontends.staging import selections
from bough.frontends.staging.scalars import KINDS, Scalar, cast

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


class Watch(TorchFunctionMode):
    """While active, staging knows which tensors were made when, and which are written in place."""

    def __init__(self, staging: DataStaging) -> None:
        super().__init__()
        self.staging = staging

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == _BASE:  # made by nobody: staging itself asks
            return func(*args)
        self.staging.aliases.use((args, kwargs))
        tensors = written(func, args, kwargs)
        for tensor in tensors:
            self.staging.wrote(tensor)
        result = selections.select(func, args, kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
        note(self.staging, result)
        for tensor in tensors:
            self.staging.aliases.written(tensor)
        return result


_BASE = torch.Tensor._base.__get__  # type: ignore[union-attr]


class NotesNumbers(TorchFunctionMode):
    """Whether Python's numbers were taken out of tensors while it was active."""

    met = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.met = self.met or getattr(func, "__name__", "") in _NUMBERS
        return func(*args, **(kwargs or {}))


_NUMBERS = frozenset({"item", "tolist", "__int__", "__float__", "__bool__", "__index__", "__format__"})


def note(staging: DataStaging, result: Any) -> None:
    """Tensors that a function has made."""
    if isinstance(result, torch.Tensor):
        staging.made_here([result])
    elif isinstance(result, (tuple, list)):
        for value in result:
            note(staging, value)


def written(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors that a call writes in place."""
    name = getattr(function, "__name__", "")
    found: list[Any] = []
    in_place = name.endswith("_") and not name.startswith("__") and name not in _HARMLESS
    if in_place or name in _WRITES:
        found.append(args[0] if args else kwargs.get("input"))
    elif _has_inplace(function) and _flag(function, args, kwargs):
        found.append(args[0])
    out = kwargs.get("out")
    found += out if isinstance(out, (tuple, list)) else [out]
    return [t for t in found if isinstance(t, torch.Tensor)]


_HARMLESS = frozenset({"requires_grad_", "__get__", "retain_grad_"})
_WRITES = frozenset({
    "__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__", "__iand__",
    "__ior__", "__ixor__", "__imatmul__", "__idiv__", "__ilshift__", "__irshift__",
})  # fmt: skip


@cache
def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _has_inplace(function: Any) -> bool:
    if getattr(function, "__module__", None) != "torch.nn.functional":
        return False
    signature = _signature(function)
    return signature is not None and "inplace" in signature.parameters


def _flag(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    signature = _signature(function)
    assert signature is not None
    return bool(signature.bind(*args, **kwargs).arguments.get("inplace", False))


# -- computed numbers ------------------------------------------------------------------------------------------------------


_SIZES = frozenset({
    "view", "reshape", "expand", "zeros", "ones", "empty", "rand", "randn", "new_zeros", "new_ones", "new_empty", "new_full",
    "arange", "narrow", "repeat", "topk", "split", "chunk", "unflatten", "tile", "roll", "eye", "pad", "interpolate",
    "tensor_split", "select", "unfold", "linspace", "repeat_interleave", "tril", "triu", "diagonal", "flip", "one_hot", "full",
    "permute", "range", "broadcast_to", "unsqueeze", "squeeze", "transpose", "adaptive_avg_pool2d", "adaptive_avg_pool1d",
})  # fmt: skip
"""Functions whose whole numbers are sizes, positions and counts."""


def torch_call(staging: DataStaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of torch's with computed numbers among its arguments."""
    name = getattr(function, "__name__", "")
    special = _SPECIAL.get(name)
    if special is not None and (made := special(staging, args, kwargs)) is not NotImplemented:
        return made
    if name in _SIZES:
        return function(*_sizes(staging, args), **_sizes(staging, kwargs))
    return function(*_values(staging, args, (args, kwargs)), **_values(staging, kwargs, (args, kwargs)))


def _sizes(staging: DataStaging, tree: Any) -> Any:
    if isinstance(tree, Scalar):
        return as_size(staging, tree) if tree.kind is int else tree.tensor
    if isinstance(tree, (list, tuple)):
        return type(tree)(_sizes(staging, v) for v in tree)
    if isinstance(tree, dict):
        return {k: _sizes(staging, v) for k, v in tree.items()}
    return tree


def as_size(staging: DataStaging, value: Any, high: Any = None) -> Any:
    """A number as a size: one symbol for one number."""
    if not isinstance(value, Scalar):
        return value
    if value.size is not None:
        return value.size
    scope = staging.scope
    while scope is not None:
        if id(value.tensor) in scope.sizes:
            return scope.sizes[id(value.tensor)]
        scope = scope.parent  # type: ignore[assignment]
    made = markers.size(cast(value.tensor, torch.int64), high=high)
    staging.scope.sizes[id(value.tensor)] = made
    staging.scope.held.append(value.tensor)
    return made


def _values(staging: DataStaging, tree: Any, call: Any) -> Any:
    """Numbers as tensors of the type that Python's numbers would be taken for."""
    if isinstance(tree, Scalar):
        return cast(tree.tensor, _promoted(tree, call))
    if isinstance(tree, list | tuple):
        made = [_values(staging, v, call) for v in tree]
        return made if isinstance(tree, list) else tuple(made)
    if isinstance(tree, dict):
        return {k: _values(staging, v, call) for k, v in tree.items()}
    return tree


def _promoted(value: Scalar, call: Any) -> torch.dtype:
    tensors = _tensors(call)
    plain = {bool: torch.bool, int: torch.int64, float: torch.get_default_dtype()}[value.kind]
    if not any(t.dtype.is_floating_point or t.dtype.is_complex for t in tensors):
        value.one_kind()
    if not tensors:
        return plain
    dtype = tensors[0].dtype
    for t in tensors[1:]:
        dtype = torch.promote_types(dtype, t.dtype)
    widens = (value.kind is float and not (dtype.is_floating_point or dtype.is_complex)) or dtype is torch.bool
    return plain if widens else dtype


def _tensors(tree: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    work = [tree]
    while work:
        value = work.pop()
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            work.extend(value)
        elif isinstance(value, dict):
            work.extend(value.values())
    return found


def _full(staging: DataStaging, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.full with a computed value."""
    named = dict(zip(("size", "fill_value"), args, strict=False)) | kwargs
    size, value = named.pop("size"), named.pop("fill_value")
    if not isinstance(value, Scalar):
        return NotImplemented
    dtype = named.pop("dtype", None) or {bool: torch.bool, int: torch.int64, float: torch.get_default_dtype()}[value.one_kind()]
    shape = _sizes(staging, tuple(size) if isinstance(size, (list, tuple, torch.Size)) else (size,))
    return value.tensor.to(dtype).expand(shape).clone()


def _full_like(staging: DataStaging, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    named = dict(zip(("input", "fill_value"), args, strict=False)) | kwargs
    if not isinstance(named["fill_value"], Scalar):
        return NotImplemented
    like = named["input"]
    return named["fill_value"].tensor.to(named.get("dtype") or like.dtype).expand(like.shape).clone()


def tensor_of(staging: DataStaging, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.tensor and its kin of computed numbers, also nested in lists."""
    data, dtype = args[0], kwargs.get("dtype")
    if isinstance(data, torch.Tensor):
        return NotImplemented
    numbers = _leaves(data)
    if dtype is None:
        kinds = {v.one_kind() if isinstance(v, Scalar) else type(v) for v in numbers if not isinstance(v, torch.Tensor)}
        dtype = torch.get_default_dtype() if float in kinds else torch.int64 if int in kinds else torch.bool
        if not kinds:
            dtype = next(v.dtype for v in numbers)
    return _stacked(data, dtype)


def _leaves(data: Any) -> list[Any]:
    if isinstance(data, (list, tuple)):
        return [x for v in data for x in _leaves(v)]
    return [data]


def _stacked(data: Any, dtype: torch.dtype) -> torch.Tensor:
    if isinstance(data, (list, tuple)):
        return torch.stack([_stacked(v, dtype) for v in data])
    if isinstance(data, Scalar):
        return data.tensor.to(dtype)
    return data.to(dtype).reshape(()) if isinstance(data, torch.Tensor) else torch.full((), data, dtype=dtype)


def _triangle(upper: bool) -> Callable[..., Any]:
    """torch.triu and tril from a computed diagonal on."""

    def rule(staging: DataStaging, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        named = dict(zip(("input", "diagonal"), args, strict=False)) | kwargs
        x, diagonal = named["input"], named["diagonal"]
        if not isinstance(x, torch.Tensor) or not isinstance(diagonal, Scalar):
            return NotImplemented
        distance = torch.arange(x.shape[-1]) - torch.arange(x.shape[-2]).unsqueeze(-1)
        kept = distance >= diagonal.tensor if upper else distance <= diagonal.tensor
        return torch.where(kept, x, torch.zeros((), dtype=x.dtype))

    return rule


def _roll(staging: DataStaging, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.roll by computed numbers."""
    named = dict(zip(("input", "shifts", "dims"), args, strict=False)) | kwargs
    x, shifts, axes = named["input"], named["shifts"], named.get("dims", ())
    if axes == () or axes is None:
        return _roll(staging, (x.flatten(), shifts, 0), {}).reshape(x.shape)
    pairs = [(shifts, axes)] if isinstance(axes, int) else zip(shifts, axes, strict=True)
    for shift, axis in pairs:
        by = shift.tensor if isinstance(shift, Scalar) else torch.full((), shift, dtype=torch.int64)
        x = x.index_select(axis, torch.remainder(torch.arange(x.shape[axis]) - by, x.shape[axis]))
    return x


_SPECIAL: dict[str, Callable[..., Any]] = {
    "triu": _triangle(True), "tril": _triangle(False), "roll": _roll,
    "full": _full, "full_like": _full_like, "tensor": tensor_of, "as_tensor": tensor_of, "scalar_tensor": tensor_of,
    "LongTensor": tensor_of, "fill_": lambda s, a, k: a[0].copy_(a[1].tensor.to(a[0].dtype)),
}  # fmt: skip


# -- what tensors are asked ------------------------------------------------------------------------------------------------


def attribute(staging: DataStaging, owner: torch.Tensor, name: str) -> Any:
    value = getattr(owner, name)
    if name == "shape" and any(map(markers.is_computed, value)):
        return tuple(computed(staging, s) for s in value)
    return value


def computed(staging: DataStaging, value: Any) -> Any:
    """A size that torch gave, as a computed number where it is one."""
    if isinstance(value, torch.SymInt) and markers.is_computed(value):
        return Scalar(staging, None, value)
    if isinstance(value, torch.Size) and any(map(markers.is_computed, value)):
        return tuple(computed(staging, s) for s in value)
    return value


def number_of(staging: DataStaging, tensor: torch.Tensor) -> Any:
    """`tensor.item()`."""
    single = _only_element(staging, tensor)
    if single.dtype.is_complex:
        raise staging.refused(
            "a complex number is taken out of a tensor",
            "computed numbers are bools, ints and floats",
            "take its real and its imaginary part with torch.view_as_real",
        )
    kind = torch.bool if single.dtype is torch.bool else torch.float64 if single.dtype.is_floating_point else torch.int64
    return Scalar(staging, single.to(kind) if single.dtype != kind else single.clone())


def _only_element(staging: DataStaging, tensor: torch.Tensor) -> torch.Tensor:
    """The element of a tensor that has but one."""
    message = "a Tensor with more than one element cannot be converted to Scalar"
    if markers.is_computed(tensor.numel()):
        staging.check_that(Scalar(staging, markers.scalar(tensor.numel()) == 1), "RuntimeError", message)
        return tensor.reshape(-1).index_select(0, torch.zeros(1, dtype=torch.int64)).reshape(())
    if tensor.numel() != 1:
        raise staging.python_error(RuntimeError(message))
    return tensor.reshape(())


def listed(staging: DataStaging, tensor: torch.Tensor) -> Any:
    """`tensor.tolist()`."""
    if tensor.dim() == 0:
        return number_of(staging, tensor)
    if markers.is_computed(tensor.shape[0]):
        return staging.rows_of(tensor)
    return staging.fresh([listed(staging, row) for row in tensor.unbind(0)])


__all__ = ["KINDS", "Watch", "as_size", "attribute", "computed", "listed", "number_of", "tensor_of", "torch_call"]
