"""Values that a loop over a list of unknown length adds up, multiplies, or takes the largest or smallest of."""

from __future__ import annotations

from typing import Any, NoReturn

import torch

from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import Arithmetic, Number, leaves

_FOLDS: dict[Any, str] = {
    torch.add: "add", torch.Tensor.add: "add", torch.Tensor.__add__: "add", torch.Tensor.__radd__: "add",
    torch.Tensor.add_: "iadd", torch.mul: "mul", torch.Tensor.mul: "mul", torch.Tensor.__mul__: "mul",
    torch.Tensor.__rmul__: "mul", torch.maximum: "maximum", torch.Tensor.maximum: "maximum", torch.max: "maximum",
    torch.Tensor.max: "maximum", torch.minimum: "minimum", torch.Tensor.minimum: "minimum", torch.min: "minimum",
    torch.Tensor.min: "minimum", torch.Tensor.__sub__: "sub", torch.sub: "sub", torch.Tensor.sub: "sub",
    torch.Tensor.__iadd__: "iadd", torch.Tensor.__imul__: "imul", torch.Tensor.__isub__: "isub",
}  # fmt: skip


class Carried:
    """A value that the body of a loop adds to: `total + x`, `total * x`, `torch.maximum(total, x)`, one of them, however often.

    `loop` has the run and the elements of the walk."""

    def __init__(self, loop: Any, name: str, function: str | None = None, terms: tuple[Any, ...] = ()) -> None:
        self.loop, self.name, self.function, self.terms = loop, name, function, terms

    def step(self, function: str, other: Any) -> Any:
        if isinstance(other, Carried) or self.function not in (None, function):
            self._refused()
        return Carried(self.loop, self.name, function, (*self.terms, other))

    def __add__(self, other: Any) -> Any:
        return self.step("add", other)

    def __mul__(self, other: Any) -> Any:
        return self.step("mul", other)

    def __sub__(self, other: Any) -> Any:
        return self.step("sub", other)

    def __iadd__(self, other: Any) -> Any:
        return self.step("iadd", other)

    def __isub__(self, other: Any) -> Any:
        return self.step("isub", other)

    def __imul__(self, other: Any) -> Any:
        return self.step("imul", other)

    __radd__, __rmul__ = __add__, __mul__

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        own = next((a for a in args if isinstance(a, Carried)), None)
        others = [a for a in args if a is not own]
        if own is None or kwargs or len(others) != 1 or func not in _FOLDS:
            (own or next(a for a in leaves((args, kwargs or {})) if isinstance(a, Carried)))._refused()
        return own.step(_FOLDS[func], others[0])

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        self.loop.needs_turns()
        raise refuse_source(
            f"`{self.name}` goes from one element of a list to the next in a way that no rule covers",
            "the number of elements is not known",
            "recurse over a linked list, or combine torch.stack of the results",
        )

    __getattr__ = __rsub__ = __truediv__ = __matmul__ = __rmatmul__ = __getitem__ = __bool__ = __iter__ = __call__ = _refused
    __neg__ = __pow__ = __lt__ = __gt__ = __eq__ = __ne__ = _refused
    __hash__ = object.__hash__

    def folded(self, first: Any) -> Any:
        """The value after the loop."""
        run, elements = self.loop.run, self.loop.elements
        assert elements is not None and self.function is not None
        total = run.number(first) if isinstance(first, Arithmetic) else first
        for term in self.terms:
            made = run.staging.stacked(term, elements.each)
            total = _fold(self.function, total, made)
        if all(isinstance(t, (Arithmetic, int, float)) for t in (first, *self.terms)):
            return Number(run, total)
        return total


def _fold(function: str, total: Any, stacked: torch.Tensor) -> Any:
    match function:
        case "iadd":
            total += stacked.sum(0)
            return total
        case "isub":
            total -= stacked.sum(0)
            return total
        case "imul":
            total *= stacked.prod(0)
            return total
        case "add":
            return total + stacked.sum(0)
        case "sub":
            return total - stacked.sum(0)
        case "mul":
            return total * stacked.prod(0)
        case "maximum":
            return torch.maximum(total, stacked.amax(0))
    return torch.minimum(total, stacked.amin(0))
