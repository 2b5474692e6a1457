"""Marks control flow on computed values in a trace, which is flat: both branches of an `if` and one turn of a `while` follow each
other, between operators that say where they begin and end.

    if_begin(condition); a = f(x); if_else(); b = g(x); (y,) = if_end([a], [b])
    i, x = while_begin([zero, x]); while_test(i < n); i, x = while_end([i + 1, f(x)])

The operators do nothing by themselves. Their results are new tensors, so that torch knows no more about them than the compiled
function will; where a size of theirs is computed, it is a new symbol (`computed_sizes`). `translate` makes nodes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.fx.node import has_side_effect

from bough.base.errors import InternalError
from bough.frontends.computed_sizes import Growth, Size, current, expression, join_growths, loop_growths, surely_equal
from bough.frontends.host_calls import HostCall

__all__ = [
    "Growth", "Size", "at_least", "attempt_abort", "attempt_begin", "attempt_keep", "check", "counted_sizes", "for_begin",
    "for_end", "for_row", "growths", "host", "if_begin", "if_else", "if_end", "is_computed", "is_open", "narrow",
    "same_shape", "scalar", "size", "suppose", "suppose_first", "supposed", "while_begin", "while_end", "while_test",
]  # fmt: skip

_LIBRARY = torch.library.Library("bough", "FRAGMENT")  # type: ignore[no-untyped-call]
_SCHEMAS = (
    "if_begin(Tensor condition) -> ()",
    "if_else() -> ()",
    "if_end(Tensor?[] then, Tensor?[] otherwise, int[] sizes, SymInt[] offsets) -> Tensor[]",
    "while_begin(Tensor[] initial, int[] sizes, SymInt[] offsets) -> Tensor[]",
    "while_test(Tensor condition) -> ()",
    "while_end(Tensor[] updated, int[] sizes, SymInt[] offsets) -> Tensor[]",
    "for_begin(Tensor[] initial, SymInt count, bool reverse) -> Tensor[]",
    "for_row(Tensor rows, Tensor index) -> Tensor",
    "for_end(Tensor[] updated, Tensor[] collected, SymInt count) -> Tensor[]",
    "size(Tensor value, int number) -> SymInt",
    "narrow(Tensor x, int axis, SymInt start, SymInt length) -> Tensor",
    "check(Tensor condition, str error, str message) -> ()",
    "host(Tensor[] inputs, int number) -> Tensor[]",
    "attempt_begin() -> ()",
    "attempt_keep() -> ()",
    "attempt_abort() -> ()",
)  # fmt: skip


def _outside(*_: Any) -> Any:
    raise InternalError("control flow was marked outside of a trace")


def _nothing(*_: Any) -> None:
    """Of a marker without results, in a trace."""


def _fresh(tensors: Sequence[torch.Tensor], sizes: Sequence[int], offsets: Sequence[Size]) -> list[torch.Tensor]:
    """New tensors like these. `sizes` holds triples: tensor, axis, number of the computed size that is there, plus an offset."""
    shapes: list[list[Size]] = [list(t.shape) for t in tensors]
    for position, offset in enumerate(offsets):
        tensor, axis, number = sizes[3 * position : 3 * position + 3]
        shapes[tensor][axis] = current().symbol(number) + offset
    return [t.new_empty(shape) for t, shape in zip(tensors, shapes, strict=True)]


def _joined(
    then: Sequence[torch.Tensor | None], otherwise: Sequence[torch.Tensor | None], sizes: Sequence[int], offsets: Sequence[Size]
) -> list[torch.Tensor]:
    return _fresh(_either(then, otherwise), sizes, offsets)


def _either(then: Sequence[torch.Tensor | None], otherwise: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """One that is there of each pair."""
    found = [b if a is None else a for a, b in zip(then, otherwise, strict=True)]
    if any(t is None for t in found):
        raise InternalError("neither branch has a value for a result")
    return found  # type: ignore[return-value]


def _narrowed(x: torch.Tensor, axis: int, start: Size, length: Size) -> torch.Tensor:
    return x.new_empty([*x.shape[:axis], length, *x.shape[axis + 1 :]])


_FAKES = {
    "if_end": _joined, "while_begin": _fresh, "while_end": _fresh, "narrow": _narrowed,
    "for_begin": lambda initial, count, reverse: [
        initial[0].new_empty((), dtype=torch.int64), *(t.new_empty(t.shape) for t in initial)
    ],
    "for_row": lambda rows, index: rows.new_empty(rows.shape[1:]),
    "for_end": lambda updated, collected, count: [
        *(t.new_empty(t.shape) for t in updated), *(t.new_empty((count, *t.shape)) for t in collected)
    ],
    "size": lambda value, number: current().symbol(number),
    "host": lambda inputs, number: [inputs[0].new_empty(shape, dtype=dtype) for dtype, shape in current().hosts[number].kinds],
}  # fmt: skip
_WITHOUT_TENSORS = ("if_else", "attempt_begin", "attempt_keep", "attempt_abort")
"""Torch runs the real operator of these while it traces."""


def _define() -> None:
    for schema in _SCHEMAS:
        name = schema.partition("(")[0]
        # The tag keeps torch from running the real operator where all arguments happen to be constants.
        _LIBRARY.define(schema, tags=(torch.Tag.nondeterministic_seeded,))  # type: ignore[no-untyped-call]
        real = _nothing if name in _WITHOUT_TENSORS else _outside
        _LIBRARY.impl(name, real, "CompositeExplicitAutograd" if name in _WITHOUT_TENSORS else "CPU")  # type: ignore[no-untyped-call]
        if name not in _WITHOUT_TENSORS:
            torch.library.register_fake(f"bough::{name}", _FAKES.get(name, _nothing), lib=_LIBRARY)
        has_side_effect(getattr(torch.ops.bough, name).default)


_define()


def if_begin(condition: torch.Tensor) -> None:
    """What follows, up to `if_else`, is computed where `condition`, a bool of rank 0, holds."""
    _expect_condition(condition)
    current().begin_if()
    torch.ops.bough.if_begin(condition)


def if_else() -> None:
    """What follows, up to `if_end`, is computed where the condition does not hold."""
    torch.ops.bough.if_else()


def if_end(then: Sequence[torch.Tensor | None], otherwise: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """The values behind the branches: `then[i]` or `otherwise[i]`, which agree in element type and rank. Where they differ in a
    size, that of the result is a computed one. None stands for a value that nobody asks for where that branch is taken; it is
    zeros of the sizes that the other branch has."""
    computed = current()
    either = _either(then, otherwise)
    both = [n for n in range(len(either)) if then[n] is not None and otherwise[n] is not None]
    _expect_alike([then[n] for n in both], [otherwise[n] for n in both], "the branches")
    sizes, offsets = computed.declare_all(join_growths(then, otherwise, computed.end_if()), [t.shape for t in either])
    return list(torch.ops.bough.if_end(list(then), list(otherwise), sizes, offsets))


def while_begin(initial: Sequence[torch.Tensor], growths: Sequence[Growth] = ()) -> list[torch.Tensor]:
    """The carried values as each turn sees them: in the first turn `initial`, then what `while_end` is given. `growths` names
    the axes whose sizes change (see `growths`). What follows, up to `while_test`, runs before each turn."""
    computed = current()
    sizes, offsets = computed.declare_all(growths, [t.shape for t in initial])
    carried = list(torch.ops.bough.while_begin(list(initial), sizes, offsets))
    computed.open_loop(initial, carried, growths)
    return carried


def while_test(condition: torch.Tensor) -> None:
    """What follows, up to `while_end`, runs as long as `condition`, a bool of rank 0, holds."""
    _expect_condition(condition)
    torch.ops.bough.while_test(condition)


def growths(updated: Sequence[torch.Tensor], more: Sequence[torch.Tensor] = ()) -> tuple[Growth, ...]:
    """What the innermost open loop must be begun with for these to be its updated values: equal to what it was begun with where
    all is well. Otherwise abort the attempt and begin again with these. `more`: what it should have carried as well, in front of
    the last."""
    loop = current().loops[-1]
    if more:
        initial, carried = ([*tensors[:-1], *more, tensors[-1]] for tensors in (loop.initial, loop.carried))
        loop = replace(loop, initial=initial, carried=carried)
    _expect_alike(loop.carried, updated, "the carried and the updated values of a loop")
    return loop_growths(loop, updated)


def while_end(updated: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Ends the innermost loop. The carried values when its condition failed."""
    computed = current()
    loop = computed.loops[-1]
    if growths(updated) != tuple(loop.growths):
        raise InternalError("sizes change in a loop that was not begun with them")
    computed.loops.pop()
    sizes, offsets = computed.declare_all(loop.growths, [t.shape for t in loop.initial])
    return list(torch.ops.bough.while_end(list(updated), sizes, offsets))


def counted_sizes(updated: Sequence[torch.Tensor], count: Size) -> list[tuple[int, int, Size]]:
    """The sizes that values have behind the innermost loop, if it has `count` turns, in axes that grow by a known number in each:
    tensor, axis, size."""
    loop = current().loops[-1]
    found: list[tuple[int, int, Size]] = []
    for tensor, axis in (a for g in loop.growths for a in g.axes):
        growth = sympy.expand(expression(updated[tensor].shape[axis]) - expression(loop.carried[tensor].shape[axis]))
        if growth.is_Integer and growth > 0:
            found.append((tensor, axis, loop.initial[tensor].shape[axis] + int(growth) * count))
    return found


def for_begin(
    initial: Sequence[torch.Tensor], count: Size, reverse: bool = False
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What follows, up to `for_end`, runs `count` times, a number that is known before the loop. Gives the number of the turn, an
    i64 of rank 0 that with `reverse` counts down to 0, and the carried values, one at least, as each turn sees them."""
    index, *carried = torch.ops.bough.for_begin(list(initial), count, reverse)
    return index, carried


def for_row(rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The row of a tensor that belongs to a turn of the loop whose number is `index`."""
    return torch.ops.bough.for_row(rows, index)  # type: ignore[no-any-return]


def for_end(
    updated: Sequence[torch.Tensor], collected: Sequence[torch.Tensor], count: Size
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Ends the innermost loop with the next carried values. Gives the last ones, and the values of all turns of what is
    `collected`, stacked along a new first axis."""
    results = list(torch.ops.bough.for_end(list(updated), list(collected), count))
    return results[: len(updated)], results[len(updated) :]


def size(value: torch.Tensor, *, low: int = 0, high: Size | None = None, name: str | None = None) -> torch.SymInt:
    """A size with the value of an i64 of rank 0, for shapes, slices and arithmetic on sizes. Where it is not between `low` and
    `high`, the compiled call ends with a RuntimeError: the trace relies on these bounds. Give the best that are sure."""
    if value.dtype is not torch.int64 or value.dim() != 0:
        raise InternalError(f"a size is computed by a tensor of {value.dtype} and rank {value.dim()}")
    number = current().declare(low, high, name)
    return torch.ops.bough.size(value, number)  # type: ignore[no-any-return]


def scalar(number: Size) -> torch.Tensor:
    """The i64 of rank 0 with the value of a size."""
    return torch.full((), number, dtype=torch.int64)  # type: ignore[arg-type]


def is_computed(number: object) -> bool:
    """Whether a size depends on computed values."""
    return isinstance(number, torch.SymInt) and current().depends(expression(number))


def same_shape(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have one shape in every call."""
    return a.dim() == b.dim() and all(map(surely_equal, a.shape, b.shape))


def is_open(test: torch.SymBool) -> bool:
    """Whether a question about sizes is answered differently from call to call."""
    return not statically_known_true(test) and not statically_known_true(torch.sym_not(test))  # type: ignore[no-untyped-call]


def suppose(condition: Any) -> None:
    """From here on a condition on sizes holds, an expression over torch's symbols; until `suppose_first` with what `supposed` was
    before."""
    if condition != sympy.true:
        current().supposed.suppose(current().env, condition)


def supposed() -> int:
    """How many conditions are supposed to hold."""
    return len(current().supposed.conditions)


def suppose_first(count: int) -> None:
    """Only the first conditions are supposed from here on."""
    del current().supposed.conditions[count:]


def at_least(number: Size) -> int:
    """A lower bound of a size that is sure."""
    if isinstance(number, int):
        return number
    low = current().lower(expression(number))
    return -(1 << 62) if low is None else low


def narrow(x: torch.Tensor, axis: int, start: Size, length: Size) -> torch.Tensor:
    """`x.narrow(axis, start, length)` that takes for granted that the range is inside: the caller has checked or clamped it."""
    return torch.ops.bough.narrow(x, axis % x.dim(), start, length)  # type: ignore[no-any-return]


def check(condition: torch.Tensor, error: str, message: str) -> None:
    """The compiled call ends with an error, named after Python's class `error`, where `condition` does not hold."""
    _expect_condition(condition)
    torch.ops.bough.check(condition, error, message)


def host(inputs: Sequence[torch.Tensor], call: HostCall) -> list[torch.Tensor]:
    """The results of a call that stays in Python; there is one input at least."""
    hosts = current().hosts
    hosts.append(call)
    return list(torch.ops.bough.host(list(inputs), len(hosts) - 1))


def attempt_begin() -> None:
    """What follows, up to `attempt_keep` or `attempt_abort`, may not count: loops are tried before what they carry is known."""
    current().begin_attempt()
    torch.ops.bough.attempt_begin()


def attempt_keep() -> None:
    """Ends the innermost attempt; it counts."""
    current().keep_attempt()
    torch.ops.bough.attempt_keep()


def attempt_abort() -> None:
    """Ends the innermost attempt and drops all of it. It may end in the middle of branches and loops that it began."""
    current().abort_attempt()
    torch.ops.bough.attempt_abort()


def _expect_condition(condition: torch.Tensor) -> None:
    if condition.dtype is not torch.bool or condition.dim() != 0:
        raise InternalError(f"a condition is a tensor of {condition.dtype} and rank {condition.dim()}")


def _expect_alike(a: Sequence[Any], b: Sequence[Any], what: str) -> None:
    if [(t.dtype, t.dim()) for t in a] != [(t.dtype, t.dim()) for t in b]:
        raise InternalError(f"{what} differ in their number, element types or ranks")
