"""What a way through a function takes for granted of the user's classes, beyond what it asks.

A method or property is found when compiling, through the classes that exist then. An object that comes later may be of a class
that has another one in its place; such objects are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bough.base.visits import Member
from bough.frontends.staging.examples import class_name
from bough.frontends.staging.facts import subclasses
from bough.frontends.staging.signals import Refused, here
from bough.frontends.staging.symbols import Place

if TYPE_CHECKING:
    from bough.frontends.staging.run import Run


def expect(run: Run, cls: type, name: str) -> None:
    """Objects of the class are refused where they get the member from a class that is not known now, or get one that no class
    known now has. With the empty name: where they are of a class that is not known now."""
    known = run.world.members.setdefault((class_name(cls), name), set())
    for kind in subclasses(cls):
        of = kind if not name else next((c for c in kind.__mro__ if name in vars(c)), None)
        known.add(class_name(of) if of else "")


def expect_of_elements(run: Run, place: Place, method: Any, name: str, classes: Iterable[type]) -> None:
    """Elements of a walk are refused where they have another method, as nothing asks for their class."""
    if place.each is None or place.path:
        return
    owners = {c for kind in classes for c in kind.__mro__ if vars(c).get(name) is method}
    member = Member(name, tuple(sorted(map(class_name, owners))))
    each = run.record.eaches[place.each]
    if member not in each.members:
        run.record.eaches[place.each] = replace(each, members=(*each.members, member))


def is_kind(run: Run, place: Place, cls: type) -> bool:
    """Whether an object is of a class. Others are refused, where the example has none."""
    if all(isinstance(v, cls) for v in run.values_of_all(place)):
        if not run.is_instance(place, [cls]):
            raise Refused(f"`{place}` is no {cls.__name__}", here())
        return True
    return run.is_instance(place, [cls])
