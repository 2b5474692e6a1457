"""Tensors of the generic element of a walk: the code of one element, run once on all of them.

A `PerElement` of shape [h] is a tensor of shape [elements, h]. What torch's functions do to the one is said here as what they
do to the other, function by function; a function without a rule is an error at the user's line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from bough.frontends.staging import refusals
from bough.frontends.staging.folds import Carried
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import Arithmetic

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run

Rule = Callable[..., Any]
"""`rule(function, *args, **kwargs)` with PerElements among the arguments; gives stacked tensors."""


class PerElement:
    """One tensor per element of walk `each`; `stacked` has them along its first axis."""

    def __init__(self, run: Run, each: int, stacked: torch.Tensor) -> None:
        self.run, self.each, self.stacked = run, each, stacked

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return per_element_call(func, args, kwargs or {})

    @property
    def shape(self) -> torch.Size:
        return self.stacked.shape[1:]

    @property
    def dtype(self) -> torch.dtype:
        return self.stacked.dtype

    @property
    def device(self) -> torch.device:
        return self.stacked.device

    @property
    def ndim(self) -> int:
        return self.stacked.dim() - 1

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return self.shape.numel()

    @property
    def T(self) -> Any:
        return per_element_call(torch.t, (self,), {})

    def __len__(self) -> int:
        return int(self.shape[0])

    def __bool__(self) -> bool:
        raise refusals.decided_for_each()

    def __getattr__(self, name: str) -> Any:
        found = getattr(torch.Tensor, name)
        if name.startswith("is_") or not callable(found):
            return getattr(self.stacked, name)
        return lambda *args, **kwargs: per_element_call(found, (self, *args), kwargs)


def _operator(name: str, reverse: bool = False) -> Any:
    def method(self: PerElement, *others: Any) -> Any:
        return per_element_call(getattr(torch.Tensor, name), (self, *others), {})

    return method


for _name in (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul neg abs invert "
    "eq ne lt le gt ge and or xor getitem"
).split():
    setattr(PerElement, f"__{_name}__", _operator(f"__{_name}__"))
PerElement.__hash__ = object.__hash__  # type: ignore[method-assign]


def per_element_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function on one element's tensors, as the function on all elements' tensors."""
    values = _values((args, kwargs))
    found = [v for v in values if isinstance(v, PerElement)]
    if not found:
        return function(*args, **kwargs)
    run, each = found[0].run, found[0].each
    if any(isinstance(v, Carried) for v in values):
        return Carried.__torch_function__(function, (), args, kwargs)
    if any(isinstance(v, Arithmetic) for v in values):
        return run.torch_call(function, args, kwargs)
    if any(v.each != each for v in found):
        raise refuse_source("elements of different lists meet", "lists may have different lengths", "walk over one at a time")
    name = getattr(function, "__name__", str(function))
    rule = RULES.get(name.strip("_").removesuffix("_") if name.startswith("__") else name)
    if rule is None:
        raise refuse_source(
            f"`{name}` is used on an element of a list whose length is not known",
            "no rule says how it works on all elements at once",
            "call it on stacked tensors, outside of the loop",
        )
    result = rule(function, *args, **kwargs)
    if isinstance(result, torch.Tensor):
        return PerElement(run, each, result)
    return type(result)(PerElement(run, each, r) for r in result) if type(result) in (tuple, list) else tuple(
        PerElement(run, each, r) for r in result
    )  # fmt: skip


def _values(tree: Any) -> list[Any]:
    if isinstance(tree, (list, tuple)):
        return [v for t in tree for v in _values(t)]
    return [v for t in tree.values() for v in _values(t)] if isinstance(tree, dict) else [tree]


def _rank(value: Any) -> int:
    return value.dim() if isinstance(value, (PerElement, torch.Tensor)) else 0


def _aligned(value: Any, rank: int) -> Any:
    """The stacked tensor with axes of size 1 behind its first, so that its elements broadcast to `rank` axes."""
    if not isinstance(value, PerElement):
        return value
    return value.stacked[(slice(None), *[None] * (rank - value.dim()))]


def _plain(value: Any) -> Any:
    return value.stacked if isinstance(value, PerElement) else value


def _spread(value: Any, count: Any) -> torch.Tensor:
    """A stacked tensor; what is the same for all elements is repeated."""
    return value.stacked if isinstance(value, PerElement) else value.expand(count, *value.shape)


def _axis(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def pointwise(function: Any, *args: Any, **kwargs: Any) -> Any:
    rank = max(_rank(v) for v in _values((args, kwargs)))
    return function(*[_aligned(a, rank) for a in args], **{k: _aligned(v, rank) for k, v in kwargs.items()})


def along(position: int, default: Any = None, name: str = "dim") -> Rule:
    """For functions with an axis (or several, or None for all) as argument number `position`."""

    def rule(function: Any, x: PerElement, *args: Any, **kwargs: Any) -> Any:
        given = list(args)
        if position < len(given):
            axis = given[position]
        else:
            axis = kwargs.pop(name, default)
            given += [None] * (position - len(given))
        if axis is None:
            axis = tuple(range(1, x.dim() + 1))
            if function in (torch.Tensor.max, torch.max, torch.Tensor.min, torch.min):
                return (torch.amax if "max" in function.__name__ else torch.amin)(x.stacked, axis)
        else:
            axis = tuple(map(_axis, axis)) if isinstance(axis, (tuple, list)) else _axis(axis)
        before, after = given[:position], given[position + 1 :]
        return function(x.stacked, *before, axis, *after, **kwargs) if position <= len(args) else function(
            x.stacked, *args, **{name: axis}, **kwargs
        )  # fmt: skip

    return rule


def maximum(function: Any, x: PerElement, *args: Any, **kwargs: Any) -> Any:
    if args and not isinstance(args[0], int):
        return pointwise(function, x, *args)
    return along(0)(function, x, *args, **kwargs)


def shaped(function: Any, x: PerElement, *shape: Any) -> Any:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return function(x.stacked, (x.stacked.shape[0], *sizes))


def flat(function: Any, x: PerElement, start_dim: int = 0, end_dim: int = -1) -> Any:
    return function(x.stacked, _axis(start_dim), _axis(end_dim))


def axes(function: Any, x: PerElement, a: int, b: int) -> Any:
    return function(x.stacked, _axis(a), _axis(b))


def permuted(function: Any, x: PerElement, *order: Any) -> Any:
    plain = order[0] if len(order) == 1 and isinstance(order[0], (tuple, list)) else order
    return x.stacked.permute(0, *(o % x.dim() + 1 for o in plain))


def transposed(function: Any, x: PerElement) -> Any:
    return x.stacked.transpose(-1, -2) if x.dim() == 2 else x.stacked


def joined(function: Any, tensors: Any, dim: int = 0) -> Any:
    count = next(t for t in tensors if isinstance(t, PerElement)).stacked.shape[0]
    return function([_spread(t, count) for t in tensors], _axis(dim))


def linear(function: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    if isinstance(weight, PerElement) or isinstance(bias, PerElement):
        y = matmul(torch.matmul, x, per_element_call(torch.t, (weight,), {}))
        return y if bias is None else pointwise(torch.add, PerElement(weight.run, weight.each, y), bias)
    return function(x.stacked, weight, bias)


def matmul(function: Any, a: Any, b: Any) -> Any:
    """Products of which one side or both have an axis of elements, by the ranks that they have for one element."""
    ranks = _rank(a), _rank(b)
    if function is torch.Tensor.__rmatmul__:
        return matmul(torch.matmul, b, a)
    x, y = _plain(a), _plain(b)
    if ranks == (1, 1):
        return (x * y).sum(-1)
    if ranks == (2, 1):
        if not isinstance(a, PerElement):
            return functional.linear(y, x)
        return torch.matmul(x, y.unsqueeze(-1)).squeeze(-1)
    if ranks == (1, 2) and isinstance(b, PerElement):
        return torch.matmul(x.unsqueeze(-2), y).squeeze(-2)
    if min(ranks) >= 2:
        rank = max(ranks)
        x, y = _aligned(a, rank), _aligned(b, rank)
    return torch.matmul(x, y)


def outer(function: Any, a: Any, b: Any) -> Any:
    return _plain(a).unsqueeze(-1) * _plain(b).unsqueeze(-2)


def bilinear(function: Any, a: Any, b: Any, weight: Any, bias: Any = None) -> Any:
    count = next(t for t in (a, b) if isinstance(t, PerElement)).stacked.shape[0]
    return function(_spread(a, count), _spread(b, count), weight, bias)


def taken(function: Any, x: Any, key: Any) -> Any:
    if isinstance(x, PerElement) and not any(isinstance(k, PerElement) for k in _values(key)):
        return x.stacked[(slice(None), *key) if isinstance(key, tuple) else (slice(None), key)]
    if isinstance(key, PerElement) and not isinstance(x, PerElement):
        return x[key.stacked]
    raise refuse_source(
        "an element of a list indexes another",
        "no rule says how this works on all elements at once",
        "use torch.gather or an embedding of the index in place of it",
    )


def summed(function: Any, equation: Any, *operands: Any) -> Any:
    """torch.einsum with the letter Z for the elements."""
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        raise refuse_source("torch.einsum of an element of a list", "its equation has no `->`", "write out the result's axes")
    inputs, output = equation.split("->")
    parts = ["Z" + p.strip() if isinstance(o, PerElement) else p for p, o in zip(inputs.split(","), operands, strict=True)]
    return function(f"{','.join(parts)}->Z{output.strip()}", *map(_plain, operands))


def indexed(x: Any, key: Any) -> Any:
    """`x[key]`. Numbers of the structure among the indices stay tensors; torch itself would ask for their value."""
    keys = key if isinstance(key, tuple) else (key,)
    numbers = [isinstance(k, torch.Tensor) and k.dim() == 0 and not k.is_floating_point() and k.dtype != torch.bool for k in keys]
    if not any(numbers):
        return x[key]
    rest = tuple(slice(None) if n else k for n, k in zip(numbers, keys, strict=True))
    if any(not isinstance(k, slice) for k in rest):
        raise refuse_source(
            "a number of the structure stands among indices of other kinds",
            "no rule says what this means",
            "index with the number alone, and with the others in a second step",
        )
    return torch.ops.aten.index.Tensor(x[rest], [k if n else None for n, k in zip(numbers, keys, strict=True)])


def embedding(function: Any, indices: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
    return function(_plain(indices), _plain(weight), *args, **kwargs)


def rows(function: Any, x: Any, states: Any, *weights: Any) -> Any:
    """Cells of recurrent layers take [1, width] of one element and [elements, width] of all."""
    count = next(t for t in _values((x, states)) if isinstance(t, PerElement)).stacked.shape[0]

    def of(value: Any) -> Any:
        return _spread(value, count).squeeze(1)

    result = function(of(x), [of(s) for s in states] if isinstance(states, (list, tuple)) else of(states), *weights)
    return result.unsqueeze(1) if isinstance(result, torch.Tensor) else tuple(r.unsqueeze(1) for r in result)


def normalized(function: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return function(x.stacked, *args, **kwargs)


def repeated(function: Any, value: torch.Tensor | Any, count: Any) -> torch.Tensor:
    return _spread(value, count)


_POINTWISE = """add sub rsub mul div true_divide truediv floordiv floor_divide mod remainder fmod pow neg abs exp exp2 expm1 log
log1p log2 log10 sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh sigmoid relu relu6 silu gelu elu selu
celu leaky_relu softplus hardtanh hardsigmoid hardswish mish logsigmoid tanhshrink softsign erf clamp clip minimum maximum where
lerp addcmul addcdiv eq ne lt le gt ge invert and or xor logical_not logical_and logical_or sign floor ceil round detach clone
float double half bfloat16 long int bool to type_as contiguous zeros_like ones_like rand_like full_like dropout radd rmul
rtruediv rpow rfloordiv rmod reciprocal multiply subtract divide absolute negative nan_to_num isnan isinf requires_grad_
""".split()
_REDUCTIONS = "sum mean prod amax amin logsumexp std var norm all any argmax argmin softmax log_softmax cumsum normalize".split()

RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE, pointwise), **dict.fromkeys(_REDUCTIONS, along(0)),
    "max": maximum, "min": maximum, "normalize": along(1, 1), "norm": along(1), "logsumexp": along(0),
    "chunk": along(1, 0), "split": along(1, 0), "unsqueeze": along(0), "squeeze": along(0), "select": along(0),
    "narrow": along(0), "flip": along(0, name="dims"), "unbind": along(0, 0), "cumsum": along(0),
    "view": shaped, "reshape": shaped, "flatten": flat, "transpose": axes, "permute": permuted, "t": transposed,
    "cat": joined, "concat": joined, "stack": joined, "linear": linear, "matmul": matmul, "rmatmul": matmul, "mv": matmul,
    "mm": matmul, "bmm": matmul, "dot": matmul, "outer": outer, "bilinear": bilinear, "getitem": taken, "indexed": taken,
    "embedding": embedding, "einsum": summed, "layer_norm": normalized, "rms_norm": normalized,
    "gru_cell": rows, "lstm_cell": rows, "rnn_tanh_cell": rows, "rnn_relu_cell": rows,
}  # fmt: skip
