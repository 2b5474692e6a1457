"""A value that is one of several, which only the call decides: tensors of different kinds, None or a tensor, one of two modules.

Whatever is done to it is done to each alternative where that is the one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bough.frontends.staging.scalars import Scalar
from bough.frontends.staging.scopes import MISSING

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Choice, *others: Any) -> Any:
        return each_alternative(self.staging, lambda value, *rest: self.staging.operator(name, value, *rest), self, *others)

    return method


def _reflected(name: str) -> Callable[..., Any]:
    def method(self: Choice, other: Any) -> Any:
        return each_alternative(self.staging, lambda value: self.staging.operator(name, other, value), self)

    return method


class Choice:
    """`alternatives[selector]`."""

    __slots__ = ("alternatives", "selector", "staging")

    def __init__(self, staging: DataStaging, selector: Scalar, alternatives: Sequence[Any]) -> None:
        self.staging, self.selector, self.alternatives = staging, selector, tuple(alternatives)

    def __repr__(self) -> str:
        return f"<one of {list(self.alternatives)}>"

    def __format__(self, spec: str) -> str:
        return self.staging.text(self)

    __add__, __sub__, __mul__, __truediv__ = _forward("add"), _forward("sub"), _forward("mul"), _forward("truediv")
    __floordiv__, __mod__, __pow__, __matmul__ = _forward("floordiv"), _forward("mod"), _forward("pow"), _forward("matmul")
    __and__, __or__, __xor__ = _forward("and_"), _forward("or_"), _forward("xor")
    __radd__, __rsub__, __rmul__, __rtruediv__ = _reflected("add"), _reflected("sub"), _reflected("mul"), _reflected("truediv")
    __rfloordiv__, __rmod__, __rpow__, __rmatmul__ = (
        _reflected("floordiv"), _reflected("mod"), _reflected("pow"), _reflected("matmul"),
    )  # fmt: skip
    __lt__, __le__, __gt__, __ge__ = _forward("lt"), _forward("le"), _forward("gt"), _forward("ge")
    __neg__, __pos__, __abs__, __invert__ = _forward("neg"), _forward("pos"), _forward("abs"), _forward("invert")
    __eq__, __ne__ = _forward("eq"), _forward("ne")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self.staging.attribute(self, name)

    def __getitem__(self, key: Any) -> Any:
        return self.staging.item(self, key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.staging.call(self, *args, **kwargs)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        values = [*args, *(kwargs or {}).values(), *(v for a in args if isinstance(a, (list, tuple)) for v in a)]
        found = next(v for v in values if isinstance(v, Choice))
        return found.staging.call(func, *args, **(kwargs or {}))

    def _fixed(self, *_: object) -> Any:
        raise self.staging.refused_use(self)

    __bool__ = __index__ = __int__ = __float__ = __iter__ = __len__ = __hash__ = _fixed


def question(choice: Choice, holds: Callable[[Any], bool]) -> bool | Scalar:
    """Whether something holds of the alternative that it is; `holds` knows it of each."""
    staging, selector = choice.staging, choice.selector
    left = staging.scope.possible(selector.tensor, len(choice.alternatives))
    yes = frozenset(n for n in left if holds(choice.alternatives[n]))
    no = frozenset(left) - yes
    if not yes or not no:
        return bool(yes)
    tests = [selector.tensor == n for n in sorted(yes if len(yes) <= len(no) else no)]
    any_of = tests[0]
    for test in tests[1:]:
        any_of = torch.logical_or(any_of, test)
    made = Scalar(staging, any_of if len(yes) <= len(no) else torch.logical_not(any_of))
    made.about = (selector.tensor, yes, no)
    return made


def is_there(value: Any) -> bool | Scalar:
    """Whether a name is bound, or an attribute there."""
    return question(value, lambda v: v is not MISSING) if isinstance(value, Choice) else value is not MISSING


def settled(value: Any) -> Any:
    """The only alternative that is left, where there is only one; a name that may not be bound is checked."""
    if not isinstance(value, Choice):
        return value
    staging = value.staging
    left = staging.scope.possible(value.selector.tensor, len(value.alternatives))
    if len(left) > 1 and any(value.alternatives[n] is MISSING for n in left):
        staging.check_that(is_there(value), "UnboundLocalError", "a local variable is used before it is assigned")
        left = staging.scope.possible(value.selector.tensor, len(value.alternatives))
    return value.alternatives[left[0]] if len(left) == 1 else value


def each_alternative(staging: DataStaging, function: Callable[..., Any], *args: Any) -> Any:
    """The function's result, computed for each alternative of those arguments that are choices."""
    args = tuple(map(settled, args))
    position = next((n for n, a in enumerate(args) if isinstance(a, Choice)), None)
    if position is None:
        return function(*args)
    choice = args[position]
    left = staging.scope.possible(choice.selector.tensor, len(choice.alternatives))

    def at(numbers: list[int]) -> Any:
        if len(numbers) == 1:
            value = choice.alternatives[numbers[0]]
            return each_alternative(staging, function, *args[:position], value, *args[position + 1 :])
        half = len(numbers) // 2 if len(choice.alternatives) > 4 else 1
        chosen = frozenset(numbers[:half])
        is_first = question_of(choice, chosen)
        return staging.choose(is_first, lambda: at(numbers[:half]), lambda: at(numbers[half:]))

    return at(left)


def question_of(choice: Choice, numbers: frozenset[int]) -> Any:
    """Whether the alternative is one of these; more than one must be the first ones that are left."""
    tensor = choice.selector.tensor
    test = tensor == min(numbers) if len(numbers) == 1 else tensor <= max(numbers)
    made = Scalar(choice.staging, test)
    made.about = (tensor, numbers, frozenset(range(len(choice.alternatives))) - numbers)
    return made
