"""Truth values that may be computed, and the expressions that evaluate only some of their parts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sympy  # type: ignore[import-untyped]
import torch

from bough.frontends import markers
from bough.frontends.staging.branches import Thunk, symbolic
from bough.frontends.staging.choices import Choice, each_alternative, settled
from bough.frontends.staging.outcomes import NEVER, Held, Return, Unreachable
from bough.frontends.staging.scalars import Scalar, of_sizes

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging


def truth(staging: DataStaging, value: Any) -> bool | Scalar:
    """What `if` asks of a value: known, or a computed bool."""
    value = settled(value)
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, Choice):
        made = each_alternative(staging, staging.truth, value)
        return made if isinstance(made, (bool, Scalar)) else truth(staging, made)
    if isinstance(value, Scalar):
        return _known(staging, value if value.kind is bool else value != 0)
    if isinstance(value, torch.Tensor):
        return _of_tensor(staging, value)
    if isinstance(value, (torch.SymInt, torch.SymBool, torch.SymFloat)):
        return _of_size(staging, value)
    if staging.varied_content(value) is not None:
        return truth(staging, staging.call(len, value) > 0)
    method = getattr(type(value), "__bool__", None) or getattr(type(value), "__len__", None)
    if method is not None and hasattr(method, "__code__"):
        return staging.truth(staging.call(method, value))
    return bool(value)


def _known(staging: DataStaging, value: Scalar) -> bool | Scalar:
    known = staging.scope.fact(value.tensor)
    if known is None and value.about is not None:
        selector, yes, no = value.about
        left = set(staging.scope.possible(selector, max((*yes, *no)) + 1)) & (yes | no)
        known = True if left <= yes else False if left <= no else None
    return value if known is None else known


def _of_tensor(staging: DataStaging, value: torch.Tensor) -> bool | Scalar:
    key = (id(value), value._version)
    scope = staging.scope
    while scope is not None:
        if key in scope.truths:
            return _known(staging, scope.truths[key])
        scope = scope.parent  # type: ignore[assignment]
    if value.numel() != 1:
        raise staging.refused(
            f"the truth of a tensor of shape {list(value.shape)} is asked for",
            "Boolean value of Tensor with more than one value is ambiguous",
            "ask for .any() or .all() of it",
        )
    single = value.reshape(())
    made = Scalar(staging, single if single.dtype is torch.bool else single != 0)
    staging.scope.truths[key] = made
    staging.scope.held.append(value)
    return made


def _of_size(staging: DataStaging, value: Any) -> bool | Scalar:
    """A question about sizes is one to the call, where its answer differs from call to call."""
    test = value if isinstance(value, torch.SymBool) else value != 0
    return of_sizes(staging, test) if markers.is_open(test) else bool(test)


def negated(staging: DataStaging, value: Any) -> bool | Scalar:
    known = staging.truth(value)
    if isinstance(known, bool):
        return not known
    made = Scalar(staging, torch.logical_not(known.tensor))
    made.opposite = known.tensor
    made.says = known.says[1], known.says[0]
    if known.about is not None:
        selector, yes, no = known.about
        made.about = (selector, no, yes)
    return made


def choose(staging: DataStaging, test: Any, then: Thunk, otherwise: Thunk) -> Any:
    """`then() if test else otherwise()`."""
    known = staging.truth(test)
    if isinstance(known, bool):
        return then() if known else otherwise()
    made = symbolic(staging, known, lambda: Held(then()), lambda: Held(otherwise()), ())
    return returned(made)


def returned(outcome: Any) -> Any:
    """The value of a function by its outcome."""
    if outcome is None:
        return None
    if isinstance(outcome, Return):
        return outcome.value
    if isinstance(outcome, Choice):
        return Choice(outcome.staging, outcome.selector, [returned(o) for o in outcome.alternatives])
    assert outcome is NEVER
    raise Unreachable


def chain(staging: DataStaging, conjunction: bool, first: Any, others: Sequence[Thunk]) -> Any:
    """`a and b and c`, or the same with `or`: the operand that decides."""
    if not others:
        return first
    return _decided(staging, conjunction, first, lambda: chain(staging, conjunction, others[0](), others[1:]))


def _decided(staging: DataStaging, conjunction: bool, value: Any, rest: Thunk) -> Any:
    known = staging.truth(value)
    if isinstance(known, bool):
        return rest() if known is conjunction else value
    if conjunction:
        return choose(staging, known, rest, lambda: value)
    return choose(staging, known, lambda: value, rest)


def truths(staging: DataStaging, conjunction: bool, simple: bool, first: Any, others: Sequence[Thunk]) -> Any:
    """The truth of such a chain. `simple`: its parts may be computed though Python would not."""
    known = staging.truth(first)
    if not others or (isinstance(known, bool) and known is not conjunction):
        return known
    if isinstance(known, bool):
        return truths(staging, conjunction, simple, others[0](), others[1:])
    later: Any = None

    def rest() -> Any:
        nonlocal later
        later = truths(staging, conjunction, simple, others[0](), others[1:])
        return later

    if not simple or known.about is not None:  # a question about a choice: the other parts may rely on its answer
        made = choose(staging, known, rest, lambda: False) if conjunction else choose(staging, known, lambda: True, rest)
    elif isinstance(rest(), bool):
        return known if later is conjunction else later
    else:
        made = Scalar(staging, (torch.logical_and if conjunction else torch.logical_or)(known.tensor, later.tensor))
    if isinstance(made, Scalar) and isinstance(later, Scalar):
        holds, fails = (sympy.And, sympy.Or) if conjunction else (sympy.Or, sympy.And)
        made.says = holds(known.says[0], later.says[0]), fails(known.says[1], later.says[1])
    return made


def chained(staging: DataStaging, simple: bool, names: Sequence[str], first: Any, others: Sequence[Thunk]) -> Any:
    """`a < b < c`: each operand is evaluated once, and only as far as it is needed."""
    right = others[0]()
    made = compared(staging, names[0], first, right)
    if len(names) == 1:
        return made
    later: Callable[[], Any] = lambda: chained(staging, simple, names[1:], right, others[1:])  # noqa: E731
    if simple and isinstance(made, Scalar) and not isinstance(staging.truth(made), bool):
        return truths(staging, True, True, made, [later])
    return _decided(staging, True, made, later)


_COMPARISONS = {"Eq": "eq", "NotEq": "ne", "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge"}


def compared(staging: DataStaging, name: str, a: Any, b: Any) -> Any:
    """A comparison by the name of its node."""
    if name in ("Is", "IsNot"):
        same = staging.is_same(a, b)
        return same if name == "Is" else staging.negated(same)
    if name in ("In", "NotIn"):
        found = staging.contains(b, a)
        return found if name == "In" else staging.negated(found)
    if name in ("Eq", "NotEq") and isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and _has_size((*a, *b)):
        parts = [lambda x=x, y=y: compared(staging, "Eq", x, y) for x, y in zip(a, b, strict=False)]
        alike = isinstance(a, list) == isinstance(b, list) and len(a) == len(b)
        same = alike and truths(staging, True, True, parts[0](), parts[1:])
        return same if name == "Eq" else staging.negated(same)
    return getattr(operator, _COMPARISONS[name])(a, b)


def _has_size(values: tuple[Any, ...]) -> bool:
    return any(isinstance(v, (torch.SymInt, Scalar)) for v in values)
