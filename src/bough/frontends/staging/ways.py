"""The ways through one function that are known so far, as a tree of questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union

from bough.base.reading import holds
from bough.base.source import Location
from bough.base.visits import Ask, Call, Decision, Each, Fail, Question


@dataclass(slots=True)
class Fork:
    question: Question
    location: Location | None
    yes: "Branch" = None
    no: "Branch" = None

    def asked(self) -> Ask:
        return Ask(self.question, 0, 0, self.location)


@dataclass(slots=True)
class Waiting:
    """The way goes on when the results of the function that `call` calls are known."""

    call: Call
    each: Each | None


@dataclass(slots=True)
class Way:
    """One way to its end; `record` is what was noted on it."""

    record: Any
    number: int = -1


Trail = list[tuple[Question, bool, Union[Location, None]]]
"""Questions with their answers and lines."""
Branch = Union[Fork, Waiting, Way, Fail, None]
"""None: not tried yet."""


class Ways:
    def __init__(self) -> None:
        self.root: Branch = None

    def of(self, value: Any) -> Branch:
        """Where an object's way leads, as far as it is known."""
        branch = self.root
        while isinstance(branch, Fork):
            branch = branch.yes if holds(branch.asked(), value) else branch.no
        return branch

    def enter(self, trail: Trail, end: Branch) -> None:
        """Notes where the answers of `trail` lead."""
        if not trail:
            self.root = end
            return
        branch = self.root if isinstance(self.root, Fork) else Fork(trail[0][0], trail[0][2])
        self.root = branch
        for (_, answer, _), following in zip(trail, [*trail[1:], None], strict=True):
            old = branch.yes if answer else branch.no
            if following is None:
                new: Branch = end
            else:
                new = old if isinstance(old, Fork) else Fork(following[0], following[2])
            if answer:
                branch.yes = new
            else:
                branch.no = new
            if isinstance(new, Fork):
                branch = new

    def ends(self) -> Iterator[tuple[list[tuple[Question, bool]], Branch, Location | None]]:
        """All ends with the answers that lead there, and the line of the last question."""
        work: list[tuple[Branch, list[tuple[Question, bool]], Location | None]] = [(self.root, [], None)]
        while work:
            branch, answers, place = work.pop()
            if isinstance(branch, Fork):
                work.append((branch.no, [*answers, (branch.question, False)], branch.location))
                work.append((branch.yes, [*answers, (branch.question, True)], branch.location))
            else:
                yield answers, branch, place

    def decision(self) -> Decision:
        """The tree in its final form; ways are numbered as their `number` says. Built from the ends up, without recursion."""
        made: dict[int, Decision] = {}
        work: list[tuple[Branch, bool]] = [(self.root, False)]
        while work:
            branch, ready = work.pop()
            if isinstance(branch, Way):
                made[id(branch)] = branch.number
            elif isinstance(branch, Fail):
                made[id(branch)] = branch
            elif isinstance(branch, Fork) and ready:
                made[id(branch)] = Ask(branch.question, made[id(branch.yes)], made[id(branch.no)], branch.location)
            else:
                assert isinstance(branch, Fork)
                work += [(branch, True), (branch.yes, False), (branch.no, False)]
        return made[id(self.root)]
