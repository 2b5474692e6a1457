"""What a run of a function comes to: its results as a nesting of tensors, with lists that are filled while the model recurses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from bough.base.visits import Collect
from bough.frontends.computed_sizes import surely_equal
from bough.frontends.staging import refusals, rows_of, strands
from bough.frontends.staging.effects import mutation
from bough.frontends.staging.examples import kind_of
from bough.frontends.staging.primitives import Primitives
from bough.frontends.staging.record import Record
from bough.frontends.staging.run import Run
from bough.frontends.staging.signals import refuse_source
from bough.frontends.staging.symbols import Arithmetic, Elements, Symbol, as_tensor
from bough.frontends.staging.templates import Listed, RowOfList, Template, flatten
from bough.frontends.staging.visiting import own_lists, walked_lists

if TYPE_CHECKING:
    from bough.frontends.staging.discover import Function, World


def finish(world: World, function: Function, staging: Primitives, result: Any) -> Record:
    """The record of a run that has come to its end."""
    run, record = staging.run, staging.run.record
    world.effects.expect_untouched()
    if any(tensor._version != version for tensor, version in run.handed):
        raise mutation("in place a tensor that its caller has passed down")
    template, tensors = flatten(listed(staging, result), lambda v: leaf(function, run, v))
    if function.template is None:
        function.template, function.types, function.settled = template, tensors, run.returned
    else:
        compare(function, template, tensors, run)
    if own_lists(run) & record.list_uses.keys():
        raise refusals.use_of_filled()  # appended to behind its use
    for n, old in enumerate(record.collects):
        record.collects[n] = Collect(old.list, len(tensors) + n, old.calls)
    record.template, record.results = template, (*tensors, *run.collected)
    record.answers = tuple(a for _, a, _ in run.trail)
    record.known = tuple(run.facts.answers[: len(run.facts.answers) - len(run.trail)])
    record.location = run.returned or function.location
    return record


def leaf(function: Function, run: Run, value: Any) -> Any:
    """What stands for a part of a result that is no tensor."""
    if isinstance(value, Arithmetic) and is_number(run, value):
        return as_tensor(run.number(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and function is not run.world.entry:
        return torch.tensor(value)  # another way may compute it
    if value is None or isinstance(value, (bool, int, float, str, Listed)):
        return value
    if function is run.world.entry and isinstance(value, Elements):
        rows_of.learn(run.world, run.record, value.each)
    raise refuse_source(
        f"`{function.name}` returns {_described(value)}",
        "the results of a recursive function are tensors and numbers in tuples, lists and dictionaries",
        "combine what comes from a list of unknown length into one tensor",
        run.returned or function.location,
    )


def listed(staging: Primitives, result: Any) -> Any:
    """The result with the lists in it that are collected in."""
    made = _listed(staging, result, (), itertools.count())
    strands.finish(staging.run)
    return made


def _listed(staging: Primitives, result: Any, path: strands.Path, grown: Iterator[int]) -> Any:
    """`grown` counts the lists that grow."""
    effects, run = staging.run.world.effects, staging.run
    if id(result) in effects.lists:
        return Listed(effects.lists[id(result)])
    if id(result) in effects.filled:
        raise refuse_source(
            f"`{run.function.name}` returns a {type(result).__name__} that functions of the recursion fill",
            "entries by object are not kept",
            "append the results to a list and return that",
            run.returned,
        )
    if isinstance(result, torch.Tensor):
        return _rows(run, result)
    number = run.list_of(result.each) if isinstance(result, Elements) else None
    if number is not None and isinstance(result.tree, torch.Tensor):
        return RowOfList(number, result.tree, stacked=False)
    if type(result) is list and (strands.has_pieces(result) or strands.grows(run, path)):
        return _strand(staging, result, path, grown)
    if type(result) in (tuple, list):
        return type(result)(_listed(staging, r, (*path, n), grown) for n, r in enumerate(result))
    if type(result) is dict:
        return {k: _listed(staging, r, (*path, k), grown) for k, r in result.items()}
    return result


def _strand(staging: Primitives, result: list[Any], path: strands.Path, grown: Iterator[int]) -> Listed:
    """A list that grows."""
    run = staging.run
    if run.function is run.world.entry:
        if len(result) != 1:
            raise refusals.use_of_filled()
        return Listed(result[0].number)
    if not strands.grows(run, path):
        strands.learn(run.world, run.function.base, path)
    return Listed(strands.collect(staging, result, next(grown)))


def _rows(run: Run, tensor: torch.Tensor) -> Any:
    """A tensor that has a row for each element of a list is told apart from others, as is the list itself, stacked."""
    for number, stacked in walked_lists(run):
        if tensor is stacked:
            return Listed(number, stacked=True)
        if tensor.dim() and surely_equal(tensor.shape[0], stacked.shape[0]):
            return RowOfList(number, tensor, stacked=True)
    return tensor


def is_number(run: Run, value: Any) -> bool:
    return not isinstance(value, Symbol) or any(kind_of(v) == "number" for v in run.values(value._place))


def compare(function: Function, template: Template, tensors: tuple[torch.Tensor, ...], run: Run) -> None:
    def shown(tree: Template, of: tuple[torch.Tensor, ...]) -> str:
        kinds = [f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}" for t in of]
        return ", ".join(kinds) + ("" if tree == template or function.template != tree else " nested otherwise")

    for path in strands.longer(function.template.tree, template.tree) if function.template else ():
        strands.learn(run.world, function.base, path)
    same = [(t.dtype, t.shape) for t in tensors] == [(t.dtype, t.shape) for t in function.types]
    if template != function.template or not same:
        raise refuse_source(
            f"`{function.name}` returns different kinds of results: {shown(template, tensors)} here, "
            f"{shown(function.template or template, function.types)} at {function.settled}",
            "the results of all objects are kept in one array",
            "return the same shapes, types and nesting on every way",
            run.returned or function.location,
            "BGH-REC-004",
        )


def _described(value: Any) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, Symbol) else f"`{value!r}`, a part of the structure"
