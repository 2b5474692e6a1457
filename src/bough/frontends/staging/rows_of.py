"""Results of the entry function with a row for each element of a list of the structure: `torch.stack([self(t) for t in trees])`.

Each call of the model has as many rows as its list has elements, as it has for a list that the recursion fills; so such a
comprehension becomes a function that is called for each element and appends to a list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bough.frontends.staging import walks
from bough.frontends.staging.signals import Restart
from bough.frontends.staging.symbols import Elements, Place
from bough.frontends.staging.visiting import collected_in

if TYPE_CHECKING:
    from bough.frontends.staging.discover import World
    from bough.frontends.staging.primitives import Primitives
    from bough.frontends.staging.record import Record
    from bough.frontends.staging.run import Run


def learn(world: World, record: Record, each: int) -> None:
    """Starts again where a result of the entry function is as long as this walk, and was not known to be."""
    walk = record.eaches[each]
    if walk.list is None and walk.path not in world.learned.collected:
        world.learned.collected.add(walk.path)
        raise Restart


def are_collected(run: Run, elements: Elements) -> bool:
    """Whether what is made of each of these elements is collected in a list."""
    world, path = run.world, run.record.eaches[elements.each].path
    return run.function is world.entry and path in world.learned.collected and elements.tree == Place((), elements.each)


def collected(staging: Primitives, elements: Elements, body: Callable[[Any], Any]) -> Elements:
    made: list[Any] = staging.fresh([])
    number = staging.run.world.effects.shared_list(staging, made)
    staging.run.world.visit(staging, appending(body, made), (walks.enter(staging.run, elements),), {})
    staging.run.scope = None
    return collected_in(staging.run, number)


def appending(body: Callable[[Any], Any], made: list[Any]) -> Any:
    def of_element(element: Any) -> None:
        made.append(body(element))

    return of_element
