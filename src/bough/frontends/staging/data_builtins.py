"""What Python's builtin functions and tensors' methods mean where control depends on computed values."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bough.frontends import markers
from bough.frontends.staging import growing, iterables, layouts, torch_calls
from bough.frontends.staging.choices import Choice, each_alternative, is_there, settled
from bough.frontends.staging.data_items import named
from bough.frontends.staging.generators import Generated, numbered
from bough.frontends.staging.growing import Rows
from bough.frontends.staging.iterables import Backwards, Numbered, Range, is_computed_iterable
from bough.frontends.staging.scalars import Scalar, constant, convert, kind_of, number_tensor, of_sizes
from bough.frontends.staging.scopes import MISSING
from bough.frontends.staging.texts import Text, matches, text_of

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


def _converted(kind: type) -> Callable[..., Any]:
    """int(), float(), bool()."""

    def rule(staging: DataStaging, *args: Any, **kwargs: Any) -> Any:
        value = of_sizes(staging, args[0]) if len(args) == 1 and not kwargs else None
        if isinstance(value, torch.Tensor) and kind is not bool:
            if value.numel() != 1:
                raise staging.python_error(ValueError("only one element tensors can be converted to Python scalars"))
            value = torch_calls.number_of(staging, value)
        if kind is bool and args:
            return staging.truth(args[0])
        if kind is int and isinstance(args[0], torch.SymInt):
            return args[0]
        return convert(value, kind) if isinstance(value, Scalar) else NotImplemented

    return rule


def _len(staging: DataStaging, value: Any) -> Any:
    if isinstance(value, Rows):
        return value.length
    if isinstance(value, torch.Tensor) and value.dim() > 0:
        return torch_calls.computed(staging, value.shape[0])
    method = getattr(type(value), "__len__", None)
    return staging.call(method, value) if hasattr(method, "__code__") else NotImplemented


def _whole(staging: DataStaging, values: Rows) -> torch.Tensor:
    if len(values.leaves) != 1:
        raise staging.refused(
            "a list of computed length is summed whose elements are no tensors or numbers",
            "there is no rule",
            "put tensors or numbers into the list",
        )
    return values.leaves[0]


def _joined(name: str) -> Callable[..., Any]:
    """torch.stack and torch.cat."""

    def rule(staging: DataStaging, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
        if not isinstance(tensors, Rows):
            return NotImplemented
        return growing.stacked(staging, tensors, name, kwargs.get("axis", dim))

    return rule


def _extreme(name: str) -> Callable[..., Any]:
    """`max(a, b, ...)`: the first, unless a later one is greater."""
    order: Callable[[Any, Any], Any] = operator.gt if name == "max" else operator.lt

    def rule(staging: DataStaging, *values: Any, **kwargs: Any) -> Any:
        if len(values) == 1:
            if isinstance(values[0], Rows) and isinstance(values[0].part, layouts.Number) and not kwargs:
                staging.check_that(values[0].length > 0, "ValueError", f"{name}() arg is an empty sequence")
                if values[0].part.mixed:
                    return values[0].at(Scalar(staging, getattr(values[0].leaves[0], f"arg{name}")()))
                return Scalar(staging, getattr(values[0].leaves[0], f"a{name}")())
            if isinstance(values[0], torch.Tensor):
                return NotImplemented if values[0].dim() == 0 else rule(staging, *values[0].unbind(0), **kwargs)
            values = tuple(staging.elements(values[0]))
        if any(isinstance(v, Scalar) for v in values) or not all(isinstance(v, (int, torch.SymInt)) for v in values):
            values = tuple(of_sizes(staging, v) for v in values)
        elif any(isinstance(v, torch.SymInt) for v in values) and not kwargs:
            return reduce(torch.sym_max if name == "max" else torch.sym_min, values)
        if kwargs or not any(isinstance(v, (Scalar, Choice, torch.Tensor)) for v in values):
            return NotImplemented if "key" not in kwargs else _by_key(staging, name, order, values, kwargs["key"])
        return reduce(lambda a, b: _better(staging, order, a, b), values)

    return rule


def _by_key(staging: DataStaging, name: str, order: Any, values: tuple[Any, ...], key: Any) -> Any:
    best, found = values[0], staging.call(key, values[0])
    for value in values[1:]:
        mine = staging.call(key, value)
        test = staging.truth(order(mine, found))
        best = staging.choose(test, lambda v=value: v, lambda b=best: b)  # type: ignore[misc]
        found = staging.choose(test, lambda m=mine: m, lambda f=found: f)  # type: ignore[misc]
    return best


def _better(staging: DataStaging, order: Any, a: Any, b: Any) -> Any:
    test = order(b, a)
    kinds = kind_of(a), kind_of(b)
    if None not in kinds and isinstance(test, Scalar) and len({k for k in kinds if k is not bool}) == 1:
        kind = next(k for k in kinds if k is not bool)
        x, y = (number_tensor(v, kind) if isinstance(v, Scalar) else constant(v, kind) for v in (a, b))  # type: ignore[arg-type]
        return Scalar(staging, torch.where(test.tensor, y, x))
    return staging.choose(test, lambda: b, lambda: a)


def _sum(staging: DataStaging, values: Any, start: Any = 0) -> Any:
    if isinstance(values, Rows) and isinstance(values.part, layouts.Number) and values.part.mixed:
        number = Scalar(staging, values.leaves[0].sum(0))
        number.whole = values.leaves[1].all()
        return number + start
    if isinstance(values, Rows):
        total = _whole(staging, values).sum(0)
        if isinstance(values.part, layouts.Tensor):
            return total + start
        number = Scalar(staging, total)
        if number.kind is float and isinstance(values.length, Scalar):  # the sum of no floats is an int
            number.whole = (values.length == 0).tensor
        return number + start
    return reduce(lambda a, b: a + b, staging.elements(values), start)


def _all_close(staging: DataStaging, a: torch.Tensor, b: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """torch.allclose, whose result is Python's."""
    return Scalar(staging, torch.isclose(a, b, *args, **kwargs).all())


def _equal(staging: DataStaging, a: torch.Tensor, b: torch.Tensor) -> Any:
    """torch.equal, whose result is Python's."""
    if markers.same_shape(a, b):
        return Scalar(staging, (a == b).all())
    return NotImplemented if any(isinstance(s, torch.SymInt) for s in (*a.shape, *b.shape)) else False


def _all_of(conjunction: bool) -> Callable[..., Any]:
    def rule(staging: DataStaging, values: Any) -> Any:
        thunks = [lambda v=v: v for v in staging.elements(values)]
        if not thunks:
            return conjunction
        decide = staging.all_true if conjunction else staging.any_true
        return decide(True, thunks[0](), *thunks[1:])

    return rule


def _round(staging: DataStaging, value: Any, digits: Any = None) -> Any:
    value = of_sizes(staging, value)
    return value.__round__(digits) if isinstance(value, Scalar) else NotImplemented


def _absolute(staging: DataStaging, value: Any) -> Any:
    return abs(value) if isinstance(value, Scalar) else NotImplemented


def _isinstance(staging: DataStaging, value: Any, classes: Any) -> Any:
    value = of_sizes(staging, value)
    if not isinstance(value, Scalar):
        return NotImplemented
    answers = issubclass(int, classes), issubclass(value.kind, classes)
    if value.whole is None or answers[0] == answers[1]:
        return answers[1]
    return Scalar(staging, value.whole if answers[0] else torch.logical_not(value.whole))


def _type(staging: DataStaging, value: Any, *rest: Any) -> Any:
    value = of_sizes(staging, value)
    return value.one_kind() if isinstance(value, Scalar) and not rest else NotImplemented


def _print(staging: DataStaging, *args: Any, **_: Any) -> None:
    """Compiled code prints nothing; that is said once."""
    if not staging.warned:
        warnings.warn("print in a compiled model prints nothing", stacklevel=2)
        staging.warned = True


def _of_math(name: str) -> Callable[..., Any]:
    def rule(staging: DataStaging, *values: Any) -> Any:
        values = tuple(of_sizes(staging, v) for v in values)
        if not any(isinstance(v, (Scalar, torch.Tensor)) for v in values):
            return NotImplemented
        numbers = [torch_calls.number_of(staging, v) if isinstance(v, torch.Tensor) else v for v in values]
        tensors = [number_tensor(v, float) if isinstance(v, Scalar) else constant(v, float) for v in numbers]
        if name in _DOMAINS:
            staging.check_that(Scalar(staging, _DOMAINS[name](tensors[0])), "ValueError", "math domain error")
        if name == "log" and len(tensors) == 2:
            return Scalar(staging, torch.log(tensors[0]) / torch.log(tensors[1]))
        made = Scalar(staging, getattr(torch, _NAMES.get(name, name))(*tensors))
        return convert(made, int) if name in ("floor", "ceil", "trunc") else made

    return rule


_NAMES = {"fabs": "abs", "pow": "pow"}
_DOMAINS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sqrt": lambda t: torch.logical_not(t < 0), **{n: lambda t: torch.logical_not(t <= 0) for n in ("log", "log2", "log10")},
}  # fmt: skip


def _listed(kind: Any) -> Callable[..., Any]:
    """list(), tuple() and sorted() of what staging can walk over."""

    def rule(staging: DataStaging, values: Any = ()) -> Any:
        if isinstance(values, Rows):
            return growing.new_list(staging, values)
        if isinstance(values, torch.Tensor) and is_computed_iterable(values):
            return growing.rows_list(staging, values)
        found = staging.elements(values)
        return kind(found) if isinstance(found, (list, tuple)) else NotImplemented

    return rule


def _zip(staging: DataStaging, *values: Any, strict: bool = False) -> Any:
    return iterables.zipped(staging, values, strict)


def _enumerate(staging: DataStaging, values: Any, start: int = 0) -> Any:
    if isinstance(values, Generated):
        return numbered(staging, values, start)
    if is_computed_iterable(values):
        return Numbered(values, start)
    return list(enumerate(staging.elements(values), start)) if isinstance(start, int) else NotImplemented


def _range(staging: DataStaging, *bounds: Any) -> Any:
    bounds = tuple(torch_calls.number_of(staging, b) if isinstance(b, torch.Tensor) else b for b in bounds)
    bounds = tuple(of_sizes(staging, b) for b in bounds)
    if not any(isinstance(b, Scalar) for b in bounds):
        return NotImplemented
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    return Range(start, stop, step)


def _map(staging: DataStaging, function: Any, *values: Any) -> Any:
    found = iterables.zipped(staging, values, strict=False)
    if isinstance(found, list):
        return [staging.call(function, *v) for v in found]
    return staging.comprehend("list", found, lambda v: staging.call(function, *v), [], False)


def _reversed(staging: DataStaging, values: Any) -> Any:
    if isinstance(values, Range) and values.step in (1, -1):
        return Range(values.stop - values.step, values.start - values.step, -values.step)
    return Backwards(values) if is_computed_iterable(values) else list(staging.elements(values))[::-1]


def _unbind(staging: DataStaging, tensor: torch.Tensor, dim: int = 0) -> Any:
    """The slices along an axis of which only the call knows how long it is."""
    if not isinstance(tensor.shape[dim], torch.SymInt):
        return NotImplemented
    return growing.rows_list(staging, tensor.movedim(dim, 0))


def _split(staging: DataStaging, tensor: torch.Tensor, split_size: Any, dim: int = 0) -> Any:
    """Parts of one element each along such an axis; longer ones would differ in size."""
    if not isinstance(tensor.shape[dim], torch.SymInt) or split_size != 1:
        return NotImplemented
    return growing.rows_list(staging, tensor.movedim(dim, 0).unsqueeze(dim % tensor.dim() + 1))


def _divmod(staging: DataStaging, a: Any, b: Any) -> Any:
    return a // b, a % b


def _tensor(staging: DataStaging, *args: Any, **kwargs: Any) -> Any:
    if isinstance(args[0], Rows):
        made = _whole(staging, args[0])
        kind = torch.get_default_dtype() if made.dtype is torch.float64 else made.dtype
        return made.to(kwargs.get("dtype") or kind)
    if not torch_calls._tensors(args) and not any(isinstance(v, Scalar) for v in torch_calls._leaves(args[0])):
        return NotImplemented
    return torch_calls.tensor_of(staging, args, kwargs)


def _getattr(staging: DataStaging, owner: Any, name: Any, *default: Any) -> Any:
    name, owner = settled(name), settled(owner)
    if isinstance(name, Choice):
        return each_alternative(staging, lambda n: _getattr(staging, owner, n, *default), name)
    if isinstance(name, Text):
        tests = matches(name, dir(owner))
        return named(staging, tests, lambda n: staging.attribute(owner, n), "AttributeError", *default)
    if not default:
        return staging.attribute(owner, name)
    return staging.choose(_hasattr(staging, owner, name), lambda: staging.attribute(owner, name), lambda: default[0])


def _hasattr(staging: DataStaging, owner: Any, name: Any) -> Any:
    owner = settled(owner)
    if isinstance(owner, Choice):
        return each_alternative(staging, lambda o: _hasattr(staging, o, name), owner)
    found = getattr(owner, name, MISSING)
    if isinstance(owner, nn.Module):
        staging.state.read(owner, name, found)
    return is_there(found)


def _setattr(staging: DataStaging, owner: Any, name: str, value: Any) -> Any:
    staging.store_attribute(owner, name, value)


def _as_array(staging: DataStaging, tensor: torch.Tensor, **_: Any) -> Any:
    """`tensor.numpy()`."""
    raise staging.refused(
        "a computed tensor becomes a NumPy array",
        "what NumPy computes is not traced",
        "move this into a function of its own that takes and gives tensors: calls of such a function stay in Python",
    )


SPECIAL: dict[Any, Callable[..., Any]] = {
    int: _converted(int), float: _converted(float), bool: _converted(bool), len: _len, max: _extreme("max"), min: _extreme("min"),
    sum: _sum, all: _all_of(True), any: _all_of(False), round: _round, abs: _absolute, isinstance: _isinstance, type: _type,
    print: _print, list: _listed(list), tuple: _listed(tuple), zip: _zip, enumerate: _enumerate, range: _range, map: _map,
    reversed: _reversed, divmod: _divmod, getattr: _getattr, hasattr: _hasattr, setattr: _setattr, str: text_of,
    torch.allclose: _all_close, torch.equal: _equal,
    torch.unbind: _unbind, torch.split: _split,
    torch.stack: _joined("stack"), torch.cat: _joined("cat"), torch.concat: _joined("cat"),
    torch.tensor: _tensor, torch.as_tensor: _tensor, torch.is_tensor: lambda staging, v: isinstance(v, torch.Tensor),
    **{getattr(math, n): _of_math(n) for n in (
        "exp", "log", "sqrt", "tanh", "sin", "cos", "log2", "log1p", "floor", "ceil", "trunc", "fabs", "pow", "log10", "expm1",
        "isnan", "isinf", "isfinite",
    )},
}  # fmt: skip
"""Functions by what they mean here; NotImplemented leaves it to the function itself."""

METHODS: dict[str, Callable[..., Any]] = {
    "item": torch_calls.number_of, "tolist": torch_calls.listed, "allclose": _all_close, "equal": _equal,
    "unbind": _unbind, "split": _split,
    "__bool__": lambda staging, t: staging.truth(t), "numpy": _as_array,
}  # fmt: skip
"""Methods of tensors that give Python's values."""
