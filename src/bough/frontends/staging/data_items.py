"""Elements of tensors, lists and tables at computed positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bough.frontends import markers
from bough.frontends.staging import data_writes, growing, texts, torch_calls
from bough.frontends.staging.choices import Choice, each_alternative, question, settled
from bough.frontends.staging.outcomes import Unreachable
from bough.frontends.staging.scalars import Scalar, cast, constant, is_whole
from bough.frontends.staging.scopes import Content
from bough.frontends.staging.texts import Text

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

_TABLES = (list, tuple, nn.ModuleList, nn.ParameterList, nn.Sequential, str, range)


def item(staging: DataStaging, owner: Any, key: Any) -> Any:
    """`owner[key]`, where either may be computed."""
    owner, key = settled(owner), settled(key)
    if isinstance(owner, Choice) or isinstance(key, Choice):
        return each_alternative(staging, staging.item, owner, key)
    if staging.varied_content(owner) is not None:
        return growing.item(staging, owner, key)
    if isinstance(owner, torch.Tensor):
        return _of_tensor(staging, owner, key)
    if isinstance(key, torch.Tensor) and isinstance(owner, _TABLES):
        key = torch_calls.number_of(staging, key)
    if isinstance(key, Scalar) and isinstance(owner, _TABLES):
        return _of_table(staging, owner, key)
    if isinstance(key, Scalar) and isinstance(owner, (dict, nn.ModuleDict, nn.ParameterDict)):
        return _of_dictionary(staging, owner, key)
    if isinstance(key, Text) and isinstance(owner, (dict, nn.ModuleDict, nn.ParameterDict)):
        return named(staging, texts.matches(key, owner), owner.__getitem__, "KeyError")
    if isinstance(key, slice) and any(isinstance(v, (Scalar, torch.Tensor)) for v in (key.start, key.stop, key.step)):
        return growing.item_of(staging, growing.rows(staging, owner), key)
    method = getattr(type(owner), "__getitem__", None)
    if hasattr(method, "__code__"):
        return staging.call(method, owner, key)
    if isinstance(owner, defaultdict):  # which may make an entry
        staging.touch(Content(owner, staging.varied))
    try:
        return staging.fresh(owner[key]) if isinstance(owner, defaultdict) and key not in owner else owner[key]
    except (IndexError, KeyError, TypeError) as error:
        raise staging.python_error(error) from None


def _of_table(staging: DataStaging, owner: Any, key: Scalar) -> Any:
    """`table[i]`: one of its elements."""
    count = len(owner)
    if count == 0:
        raise staging.python_error(IndexError("list index out of range"))
    position = checked(staging, key, count, f"{type(owner).__name__} index out of range")
    values = list(owner)
    found = resolved(staging, Choice(staging, position, values))
    if not isinstance(found, torch.Tensor):
        return found

    def read() -> torch.Tensor:
        made: torch.Tensor = resolved(staging, Choice(staging, position, values))
        return made

    def write_back() -> None:
        for n, value in enumerate(values):
            staging.aliases.overwrite(value, torch.where(position.tensor == n, found, value))

    staging.aliases.stands_for(found, values, read, write_back, (owner, key))
    return found


def resolved(staging: DataStaging, choice: Choice) -> Any:
    """Numbers and tensors of one form as one value; a choice where the alternatives differ."""
    values = choice.alternatives
    if all(isinstance(v, torch.Tensor) for v in values) and len({(v.dtype, v.shape) for v in values}) == 1:
        return torch.stack(values).index_select(0, choice.selector.tensor.reshape(1)).squeeze(0)
    kinds = {v.kind if isinstance(v, Scalar) else type(v) for v in values}
    of_one = all(isinstance(is_whole(v), bool) for v in values)
    if len(kinds) == 1 and kinds <= {bool, int, float} and of_one:
        (kind,) = kinds
        tensors = [v.tensor if isinstance(v, Scalar) else constant(v, kind) for v in values]
        return Scalar(staging, torch.stack(tensors).index_select(0, choice.selector.tensor.reshape(1)).reshape(()))
    return choice


def _of_dictionary(staging: DataStaging, owner: Any, key: Scalar) -> Any:
    return named(staging, {k: key == k for k in owner if type(k) in (bool, int, float)}, owner.__getitem__, "KeyError")


def named(staging: DataStaging, tests: dict[Any, Any], get: Callable[[Any], Any], error: str, *default: Any) -> Any:
    """What `get` gives for the name whose test holds; where none does, the default or, without one, an error."""
    position = texts.position(staging, tests.values(), len(tests))
    values = [*map(get, tests), *default]
    if not default:
        staging.check_that(position < len(tests), error, "a computed key" if error == "KeyError" else "a computed name")
        if not tests:
            raise Unreachable
    return values[0] if len(values) == 1 else resolved(staging, Choice(staging, position, values))


def checked(staging: DataStaging, key: Scalar, count: Any, message: str) -> Scalar:
    """A position with negative ones counted from the end; one outside ends the call with an IndexError."""
    number = cast(key.tensor, torch.int64)
    length = count.tensor if isinstance(count, Scalar) else count
    if isinstance(count, torch.SymInt):
        length = markers.scalar(count)
    inside = torch.logical_and(number >= -length, number < length)
    staging.check_that(Scalar(staging, inside), "IndexError", message)
    return Scalar(staging, torch.where(number < 0, number + length, number))


# -- tensors ---------------------------------------------------------------------------------------------------------------


def _is_position(key: Any) -> bool:
    if isinstance(key, Scalar):
        return key.kind is int
    return isinstance(key, torch.Tensor) and key.dim() == 0 and key.dtype in (torch.int64, torch.int32, torch.uint8, torch.int16)


def is_computed(key: Any) -> bool:
    """Whether a key needs a computed position or bound."""
    if isinstance(key, slice):
        return any(isinstance(v, (Scalar, torch.Tensor)) for v in (key.start, key.stop, key.step))
    return isinstance(key, Scalar) or _is_position(key)


def _of_tensor(staging: DataStaging, owner: torch.Tensor, key: Any) -> Any:
    staging.aliases.use([owner])
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(key, list) and any(isinstance(k, Scalar) for k in key):
        return owner[torch_calls.tensor_of(staging, (key,), {})]
    grown = any(map(markers.is_computed, owner.shape))
    if not grown and not any(map(is_computed, keys)):
        return owner[key]
    axis, plain = 0, []
    later: list[tuple[int, Any]] = []
    keys = without_ellipsis(owner, keys)
    of_axes = iter(owner.shape)
    for k in keys:
        size = None if k is None else next(of_axes, None)
        if is_computed(k) or (_cuts(k) and markers.is_computed(size)):
            later.append((axis, k))
            plain.append(slice(None))
            axis += 1
            continue
        plain.append(k)
        axis += 0 if isinstance(k, int) else 1
    made = owner[tuple(plain)] if any(p != slice(None) for p in plain) else owner
    if not later:
        return made
    steps = []
    for position, k in reversed(later):
        steps.append(_taking(staging, made.shape[position], position, k))
        made = steps[-1](made)

    def read() -> torch.Tensor:
        return reduce(lambda t, step: step(t), steps, owner[tuple(plain)])

    staging.aliases.stands_for(made, [owner], read, lambda: data_writes.write(staging, owner, key, made), (owner, key))
    return made


def _cuts(key: Any) -> bool:
    """Whether a key takes a known element or part of an axis."""
    return type(key) is int or (isinstance(key, slice) and key.step in (None, 1) and key != slice(None))


def without_ellipsis(owner: torch.Tensor, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """The keys, one for each axis up to the last that they name."""
    where = next((n for n, k in enumerate(keys) if k is Ellipsis), None)
    if where is None:
        return keys
    missing = owner.dim() - sum(k is not None and k is not Ellipsis for k in keys)
    return (*keys[:where], *[slice(None)] * missing, *keys[where + 1 :])


def _taking(staging: DataStaging, size: Any, axis: int, key: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """What takes one axis at a computed position, or a computed part of it."""
    if isinstance(key, slice):
        start, length = known_bounds(size, key) or window(staging, size, key) or bounds(staging, size, key)
        return lambda owner: markers.narrow(owner, axis, start, length)
    if type(key) is int:
        if markers.at_least(size) >= (key + 1 if key >= 0 else -key):
            first = key if key >= 0 else size + key
            return lambda owner: markers.narrow(owner, axis, first, 1).squeeze(axis)
        key = Scalar(staging, torch.full((), key, dtype=torch.int64))
    position = torch_calls.number_of(staging, key) if isinstance(key, torch.Tensor) else key
    message = f"index is out of bounds for dimension {axis}"
    number = checked(staging, position, size, message)
    return lambda owner: owner.index_select(axis, number.tensor.reshape(1)).squeeze(axis)


def known_bounds(size: Any, key: slice) -> tuple[Any, Any] | None:
    """Start and length of a slice of an axis of computed size that is surely long enough."""
    start, stop = 0 if key.start is None else key.start, key.stop
    if any(not isinstance(v, int) for v in (start, 0 if stop is None else stop)) or key.step not in (None, 1):
        return None
    least = markers.at_least(size)
    if start > least or -start > least or (stop is not None and (stop > least or -stop > least)):
        return None
    first = start if start >= 0 else size + start
    last = size if stop is None else stop if stop >= 0 else size + stop
    length = last - first
    return (first, length) if markers.at_least(length) >= 0 else None


def window(staging: DataStaging, size: Any, key: slice) -> tuple[Any, Any] | None:
    """Start and length of a slice that ends a known number of elements behind a computed start, where the model needs to know
    how many it has: the call ends with an error where the axis ends before it does."""
    if not isinstance(key.start, Scalar) or not isinstance(key.stop, Scalar) or key.step not in (None, 1):
        return None
    (base, first), (same, last) = key.start.origin, key.stop.origin
    if base is not same or last < first:
        return None
    staging.met_window = True
    if not staging.windows:
        return None
    length = markers.scalar(size) if isinstance(size, torch.SymInt) else size
    inside = torch.logical_and(key.start.tensor >= 0, key.stop.tensor <= length)
    message = f"a slice of {last - first} elements reaches over the end of its axis"
    staging.check_that(Scalar(staging, inside), "RuntimeError", message)
    return markers.size(key.start.tensor, high=size), last - first


def bounds(staging: DataStaging, size: Any, key: slice) -> tuple[Any, Any]:
    """Where a slice with computed bounds begins, and how long it is, as sizes: Python's own rule."""
    if key.step is not None and not (isinstance(key.step, int) and key.step == 1):
        raise staging.refused(
            "a tensor is sliced with a step and computed bounds",
            "there is no rule for it",
            "slice without the step first, and then with the step from the start",
        )
    length = markers.scalar(size) if isinstance(size, torch.SymInt) else torch.full((), size, dtype=torch.int64)

    def at(value: Any, default: torch.Tensor) -> torch.Tensor:
        if value is None:
            return default
        if isinstance(value, torch.Tensor):
            value = torch_calls.number_of(staging, value)
        number = value.tensor if isinstance(value, Scalar) else torch.full((), value, dtype=torch.int64)
        number = torch.where(number < 0, number + length, number)
        return torch.minimum(torch.clamp(number, min=0), length)

    start, stop = at(key.start, torch.full((), 0, dtype=torch.int64)), at(key.stop, length)
    count = torch.clamp(stop - start, min=0)
    first = 0 if key.start is None or (type(key.start) is int and key.start == 0) else markers.size(start, high=size)
    return first, markers.size(count, high=size)


# -- writing ---------------------------------------------------------------------------------------------------------------


def store(staging: DataStaging, owner: Any, key: Any, value: Any) -> None:
    """`owner[key] = value`, where any of them may be computed."""
    owner, key = settled(owner), settled(key)
    if staging.aliases.is_part(value, owner, key):  # `owner[key] += 1` has written it
        return
    if isinstance(owner, Choice) or isinstance(key, Choice):
        each_alternative(staging, lambda o, k: staging.store_item(o, k, value), owner, key)
        return
    if isinstance(owner, torch.Tensor):
        data_writes.write(staging, owner, key, settled(value))
        return
    if staging.varied_content(owner) is not None:
        growing.store(staging, owner, key, value)
        return
    if isinstance(owner, (list, dict)):
        staging.touch(Content(owner, staging.varied))
        if isinstance(key, torch.Tensor) and isinstance(owner, list):
            key = torch_calls.number_of(staging, key)
        if isinstance(key, Scalar) and isinstance(owner, list):
            position = checked(staging, key, len(owner), "list assignment index out of range")
            for n, old in enumerate(list(owner)):
                owner[n] = staging.choose(position == n, lambda: value, lambda old=old: old)  # type: ignore[misc]
            return
    method = getattr(type(owner), "__setitem__", None)
    if hasattr(method, "__code__"):
        staging.call(method, owner, key, value)
    else:
        owner[key] = value


def delete(staging: DataStaging, owner: Any, key: Any) -> None:
    if isinstance(key, (Scalar, Choice)) or isinstance(owner, Choice):
        raise staging.refused(
            "an element at a computed position is deleted",
            "there is no rule for it",
            "make a new list of the others, or keep a mask of those that count",
        )
    if staging.varied_content(owner) is not None:
        raise staging.refused("an element of a list of computed length is deleted", "there is no rule for it", "use pop")
    staging.touch(Content(owner, staging.varied))
    del owner[key]


# -- containers ------------------------------------------------------------------------------------------------------------


_COMPUTED = (Scalar, torch.Tensor, torch.SymInt, torch.SymFloat)


def contains(staging: DataStaging, container: Any, value: Any) -> Any:
    """`value in container`, where either may be computed: a truth value that may be, too."""
    container, value = settled(container), settled(value)
    if isinstance(container, Choice) or isinstance(value, Choice):
        return each_alternative(staging, staging.contains, container, value)
    container = growing.as_argument(staging, container)
    if isinstance(container, Choice):
        return each_alternative(staging, lambda c: contains(staging, c, value), container)
    if isinstance(container, growing.Rows) and len(container.leaves) == 1:
        container = container.leaves[0]
    if isinstance(value, Text):
        if not isinstance(container, (dict, list, tuple, set, frozenset, nn.ModuleDict, nn.ParameterDict)):
            return staging.text(value)
        tests = list(texts.matches(value, container).values())
        return staging.any_true(True, tests[0], *(lambda t=t: t for t in tests[1:])) if tests else False
    if isinstance(container, dict):
        container = list(container)
    if isinstance(container, torch.Tensor):
        inner = value.tensor if isinstance(value, Scalar) else value
        return staging.truth((container == inner).any())
    if isinstance(value, torch.Tensor) and isinstance(container, (set, frozenset, range)):
        value = torch_calls.number_of(staging, value)
    if isinstance(container, (list, tuple, set, frozenset, range)) and (
        isinstance(value, _COMPUTED) or any(isinstance(v, _COMPUTED) for v in container)
    ):
        if isinstance(container, range) and container.step == 1 and len(container) > 8:
            return staging.all_true(True, value >= container.start, lambda: value < container.stop)
        tests = [lambda v=v: v is value or v == value for v in container]
        return staging.any_true(True, tests[0](), *tests[1:]) if tests else False
    return value in container


def unpacked(staging: DataStaging, value: Any, pattern: Any) -> Any:
    """A value as the target of an assignment unpacks it."""
    value = settled(value)
    if not isinstance(pattern, tuple):
        return value
    if isinstance(value, Choice):
        value = each_alternative(staging, lambda v: tuple(unpacked(staging, v, pattern)), value)
        if isinstance(value, Choice):
            parts = range(len(pattern))
            return tuple(each_alternative(staging, lambda v, n=n: v[n], value) for n in parts)
    if isinstance(value, torch.Tensor):
        value = tuple(value.unbind(0))
    return value


def elements_of(staging: DataStaging, value: Any) -> Any:
    """What a library function may iterate over."""
    value = growing.as_argument(staging, settled(value))
    if isinstance(value, growing.Rows):
        raise staging.refused(
            "a list of which only the call decides how long it is is walked over by a library function",
            "how often is not known",
            "write a loop",
        )
    if isinstance(value, Choice):
        found = each_alternative(staging, lambda v: tuple(elements_of(staging, v)), value)
        if isinstance(found, Choice):
            what = "lists of which only the call decides one are walked over by a library function"
            raise staging.refused(what, "their lengths differ", "compare lists of one length, or their lengths first")
        return found
    if isinstance(value, torch.Tensor):
        return value.unbind(0)
    return value


__all__ = ["contains", "delete", "elements_of", "item", "question", "store", "unpacked"]
