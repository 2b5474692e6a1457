"""Lists of which only the call decides how long they are: the elements stacked, so that the first axis is the list's."""

from __future__ import annotations

import builtins
from collections.abc import Callable, ItemsView, KeysView, Sequence, ValuesView
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends import markers
from bough.frontends.staging import data_items, layouts
from bough.frontends.staging.choices import Choice, each_alternative
from bough.frontends.staging.scalars import Scalar, cast
from bough.frontends.staging.scopes import Content, Entries, Items

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


class Rows:
    """Elements of the form `part`, whose leaves are stacked in `leaves`. It never changes: what changes is which a list has."""

    __slots__ = ("leaves", "part", "staging")

    def __init__(self, staging: DataStaging, part: layouts.Layout, leaves: Sequence[torch.Tensor]) -> None:
        self.staging, self.part, self.leaves = staging, part, tuple(leaves)

    def __repr__(self) -> str:
        return "<a list of computed length>"

    @property
    def length(self) -> Any:
        size = self.leaves[0].shape[0]
        return size if isinstance(size, int) else Scalar(self.staging, None, size)

    def at(self, position: Any) -> Any:
        """One element; the position is inside."""
        number = position.tensor.reshape(1) if isinstance(position, Scalar) else torch.full((1,), position, dtype=torch.int64)
        leaves = [self.derived(t.index_select(0, number).squeeze(0), t) for t in self.leaves]
        return layouts.build(self.staging, self.part, iter(leaves))

    def part_of(self, key: builtins.slice) -> Rows:
        start, length = data_items.bounds(self.staging, self.leaves[0].shape[0], key)
        self.staging.aliases.use(self.leaves)
        leaves = [self.derived(markers.narrow(t, 0, start, length), t) for t in self.leaves]
        return Rows(self.staging, self.part, leaves)

    def joined(self, others: Rows) -> Rows:
        pairs = zip(self.leaves, others.leaves, strict=True)
        return Rows(self.staging, self.part, [self.derived(torch.cat([a, cast(b, a.dtype)]), a, b) for a, b in pairs])

    def replaced(self, position: Scalar, value: Any) -> Rows:
        """With another element at a position."""
        new = rows(self.staging, [value], self)
        here = torch.arange(self.leaves[0].shape[0]) == position.tensor
        made = []
        for a, b in zip(self.leaves, new.leaves, strict=True):
            made.append(self.derived(torch.where(here.reshape(-1, *[1] * (a.dim() - 1)), b, a), a, b))
        return Rows(self.staging, self.part, made)

    def derived(self, made: torch.Tensor, *rows: torch.Tensor) -> torch.Tensor:
        """Rows, or one, made of these. The elements of a list are tensors that others may know, too."""
        self.staging.aliases.derived(made, rows)
        return made


def rows(staging: DataStaging, values: Any, like: Rows | None = None) -> Rows:
    """A sequence as rows; `like`: of the form of these."""
    if isinstance(values, Rows):
        return values
    items = Items(values)
    form: Any = layouts.layout_of(staging, items)
    if like is not None:
        form = layouts.unify(layouts.RowsOf(Items, like.part), form, True)
        if form != layouts.RowsOf(Items, like.part):
            raise _mixed(staging)
    else:
        form = layouts.as_rows(form)
        if form is None:
            raise _mixed(staging)
    leaves = layouts.rows_of(staging, form.part, items)
    if leaves and leaves[0] is layouts.EMPTY:
        assert like is not None
        leaves = [t.new_zeros((0, *t.shape[1:])) for t in like.leaves]
    return Rows(staging, form.part, leaves)


def extended(staging: DataStaging, content: Rows, values: Any) -> Rows:
    """Rows with those of a sequence behind them; ints among floats stay ints."""
    more = layouts.layout_of(staging, values if isinstance(values, Rows) else Items(values))
    form = layouts.unify(layouts.RowsOf(Items, content.part), more, True)
    if isinstance(form, layouts.RowsOf) and form.part != content.part:
        content = Rows(staging, form.part, layouts.rows_of(staging, form.part, content))
        if isinstance(values, Rows):
            values = Rows(staging, form.part, layouts.rows_of(staging, form.part, values))
    return content.joined(rows(staging, values, content))


def _mixed(staging: DataStaging) -> Exception:
    return staging.refused(
        "a list of which only the call decides how long it is has elements of different kinds",
        "they are kept as rows of one tensor, so they need one type and one shape",
        "keep tensors of one shape in the list",
    )


def new_list(staging: DataStaging, content: Any) -> list[Any]:
    """A list with such a content."""
    made: list[Any] = staging.fresh([])
    Content(made, staging.varied).write(content)
    return made


def rows_list(staging: DataStaging, tensor: torch.Tensor) -> list[Any]:
    """The rows of a tensor as a list."""
    return new_list(staging, Rows(staging, layouts.row_of(tensor), [tensor]))


_VIEWS = (KeysView, ValuesView, ItemsView)


# -- methods of lists ------------------------------------------------------------------------------------------------------


def method(staging: DataStaging, owner: list[Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of a list with a computed content."""
    content = staging.varied_content(owner)
    if isinstance(content, Choice):

        def use() -> Any:
            made = staging.call(getattr(owner, name), *args, **kwargs)
            return staging.fresh(list(made)) if isinstance(made, _VIEWS) else made  # a view would show what comes later

        return _as_each(staging, owner, content, use)
    assert isinstance(content, Rows)
    place = Content(owner, staging.varied)
    staging.touch(place)
    new, result = _applied(staging, content, name, args)
    place.write(new)
    return result


def _as_each(staging: DataStaging, owner: Any, content: Any, use: Callable[[], Any]) -> Any:
    """What a use of a container gives, made with each alternative of its content in turn as what it holds."""
    place = Content(owner, staging.varied)
    staging.touch(place)

    def apply(alternative: Any) -> Any:
        staging.touch(place)
        place.write(alternative)
        return use()

    return each_alternative(staging, apply, content)


def _applied(staging: DataStaging, content: Rows, name: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """What is in the list afterwards, and the method's result."""
    match name, args:
        case "append", (value,):
            return extended(staging, content, [value]), None
        case "extend", (values,):
            other = opened(staging, values)
            return extended(staging, content, other), None
        case "insert", (0, value):
            return rows(staging, [value], content).joined(content), None
        case "pop", () | (-1,):
            last = _position(staging, content, -1, "pop from empty list")
            return content.part_of(slice(0, -1)), content.at(last)
        case "pop", (0,):
            first = _position(staging, content, 0, "pop from empty list")
            return content.part_of(slice(1, None)), content.at(first)
        case "clear", ():
            return Items(()), None
        case "copy", ():
            return content, new_list(staging, content)
        case "reverse", ():
            return Rows(staging, content.part, [t.flip(0) for t in content.leaves]), None
        case "__len__", ():
            return content, content.length
    raise staging.refused(
        f"`{name}` of a list of which only the call decides how long it is",
        "there is no rule for it",
        "append, extend, index and walk over such a list, or stack it and use torch's functions",
    )


def _position(staging: DataStaging, content: Rows, key: Any, message: str) -> Scalar:
    number = key if isinstance(key, Scalar) else Scalar(staging, torch.full((), key, dtype=torch.int64))
    return data_items.checked(staging, number, content.leaves[0].shape[0], message)


def opened(staging: DataStaging, values: Any) -> Any:
    """What is in a list, where that is computed; else the values themselves."""
    content = staging.varied_content(values)
    return values if content is None else content


def item(staging: DataStaging, owner: Any, key: Any) -> Any:
    """`owner[key]` of a list or dictionary with a computed content."""
    content = staging.varied_content(owner)
    if isinstance(owner, dict):
        return _as_each(staging, owner, content, lambda: staging.item(owner, key))
    return each_alternative(staging, lambda c: item_of(staging, c, key), content)


def item_of(staging: DataStaging, content: Any, key: Any) -> Any:
    if not isinstance(content, Rows):
        return staging.item(_known(staging, content), key)
    if isinstance(key, slice):
        return new_list(staging, content.part_of(key))
    if isinstance(key, torch.Tensor):
        key = staging.call(key.item)
    return content.at(_position(staging, content, key, "list index out of range"))


def store(staging: DataStaging, owner: list[Any], key: Any, value: Any) -> None:
    """`list[key] = value`."""
    content = staging.varied_content(owner)
    if isinstance(content, Choice):
        _as_each(staging, owner, content, lambda: staging.store_item(owner, key, value))
        return
    place = Content(owner, staging.varied)
    staging.touch(place)
    position = _position(staging, content, key, "list assignment index out of range")
    place.write(content.replaced(position, value))


def stacked(staging: DataStaging, content: Rows, name: str, dim: int) -> torch.Tensor:
    """torch.stack and torch.cat of the elements."""
    if not isinstance(content.part, layouts.Tensor):
        raise staging.python_error(TypeError("expected Tensor as element of the list"))
    (leaf,) = content.leaves
    staging.check_that(content.length > 0, "RuntimeError", f"torch.{name} expects a non-empty list of tensors")
    if name == "stack":
        return leaf.movedim(0, dim).contiguous() if dim % leaf.dim() else leaf
    if leaf.dim() == 1:
        raise staging.python_error(RuntimeError("zero-dimensional tensor cannot be concatenated"))
    axis = dim % (leaf.dim() - 1)
    return leaf.movedim(0, axis).flatten(axis, axis + 1)


def as_argument(staging: DataStaging, value: Any) -> Any:
    """A list or dictionary with a computed content as a function that is not rewritten gets it: rows, or a choice of some that
    are known."""
    content = value if isinstance(value, (Items, Entries)) else staging.varied_content(value)
    if isinstance(content, Choice):
        return Choice(staging, content.selector, [as_argument(staging, c) for c in content.alternatives])
    if isinstance(content, (Items, Entries)):
        return _known(staging, content)
    return value if content is None else content


def _known(staging: DataStaging, content: Any) -> Any:
    """A new list or dictionary of what one held."""
    return staging.fresh(dict(content) if isinstance(content, Entries) else list(content))
