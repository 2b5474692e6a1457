"""What the host of a compiled function does, for readers: sub-networks, the decisions between them, loops, early ends.

    3 sub-networks (2 distinct), 1 decision
      [1] linear+relu, softmax+max+gt
      if gt[]                                  # model.py:12: if p.max() > 0.9:
        [2] copy
      else
        [3] = [1] linear+relu, softmax+max+gt

A recursive model computes its leaves, then level after level of what stands above them:

    3 sub-networks (3 distinct), 1 loop
      [1] embedding
      for each level of forward
        [2] cat+linear+tanh
      [3] linear
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Union

from bough.base.source import Location
from bough.base.visits import Visits, stages
from bough.codegen.signature import Signature
from bough.ir.program import CAPACITY
from bough.ir.sequence import ENDLESS, Branch, Check, Define, Repeat, Sequence, Step, Whilst, phase
from bough.ir.text import print_expr, print_extent
from bough.pipeline.schedule_kernels import Scheduled
from bough.schedule.lower import lower_kernel


@dataclass(frozen=True, slots=True)
class Network:
    """A straight run of kernels. `same_as` is the first sub-network with the same code, over other arrays."""

    number: int
    kernels: tuple[str, ...]
    same_as: int


@dataclass(frozen=True, slots=True)
class Decision:
    condition: str
    line: str
    then: tuple["Part", ...]
    otherwise: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class Turns:
    """A loop. `head` runs before each test; a loop over a range has none."""

    condition: str
    line: str
    head: tuple["Part", ...]
    body: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class End:
    """The call ends with `error` unless `condition` holds."""

    condition: str
    line: str
    error: str


Part = Union[Network, Decision, Turns, End]


@dataclass(frozen=True, slots=True)
class HostProgram:
    parts: tuple[Part, ...]

    def summary(self) -> str:
        every, found = list(_every(self.parts)), list(networks(self.parts))
        counts = [f"{_plural(len(found), 'sub-network')} ({len({n.same_as for n in found})} distinct)"]
        for kind, name in ((Decision, "decision"), (Turns, "loop"), (End, "check")):
            if number := sum(isinstance(p, kind) for p in every):
                counts.append(_plural(number, name))
        return ", ".join(counts)

    def __str__(self) -> str:
        lines = [self.summary()]
        _print(self.parts, "  ", lines)
        return "\n".join(lines)


def describe(sequence: Sequence, scheduled: dict[str, Scheduled]) -> HostProgram | None:
    """The host program of a scheduled sequence; None where it is one straight run of kernels."""
    parts = _Reader(scheduled, sequence.visits).parts(sequence.steps)
    return HostProgram(parts) if any(not isinstance(p, Network) for p in parts) else None


def straight(kernels: list[str]) -> HostProgram:
    """The host program of a function that has nothing but kernels."""
    return HostProgram((Network(1, tuple(kernels), 1),))


def _level_loops(visits: Visits) -> dict[str, str]:
    """What the loops over levels of a structure are called, by their variables."""
    found: dict[str, str] = {}
    for stage in stages(visits):
        of = f"for each level of {', '.join(stage.functions)}"
        found[f"stage{stage.number}.level"], found[f"stage{stage.number}.descent"] = of, f"{of}, the highest first"
    return found


class _Reader:
    def __init__(self, scheduled: dict[str, Scheduled], visits: Visits | None) -> None:
        self.scheduled = scheduled
        self.levels = _level_loops(visits) if visits is not None else {}
        self.known: dict[object, int] = {}
        self.count = 0

    def parts(self, steps: tuple[Step, ...]) -> tuple[Part, ...]:
        out: list[Part] = []
        run: list[str] = []
        for s in (*_flat(steps), None):
            if s is not None and (names := [k.name for k in phase(s)]):
                run += names
            elif not isinstance(s, Define) and not (isinstance(s, Check) and s.failure.error in (CAPACITY, ENDLESS)):
                if run:
                    out.append(self.network(tuple(run)))
                    run = []
                if s is not None:
                    out += self.control(s)
        return tuple(out)

    def network(self, names: tuple[str, ...]) -> Network:
        self.count += 1
        bodies = (lower_kernel(self.scheduled[n].kernel, self.scheduled[n].schedule) for n in names)
        code = tuple(tuple(Signature.of((b,)).tokens) for b in bodies)
        return Network(self.count, names, self.known.setdefault(code, self.count))

    def control(self, s: Step) -> tuple[Part, ...]:
        match s:
            case Branch(condition, then, otherwise, location):
                return (Decision(f"if {print_expr(condition)}", line_of(location), self.parts(then), self.parts(otherwise)),)
            case Whilst(_, head, condition, body, location):
                return (Turns(f"while {print_expr(condition)}", line_of(location), self.parts(head), self.parts(body)),)
            case Repeat(variable, count, body, location):
                said = self.levels.get(variable, f"for {variable} in 0..{print_extent(count)}")
                return (Turns(said, line_of(location), (), self.parts(body)),)
            case Check(condition, failure):
                error = f"{failure.error}: {failure.message}"
                return (End(f"check {print_expr(condition)}", line_of(failure.location), error),)
        return ()


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps, and in place of loops that run once what stands in them."""
    for s in steps:
        if isinstance(s, Repeat) and s.count == 1:
            yield from _flat(s.body)
        else:
            yield s


def line_of(location: Location | None) -> str:
    return "" if location is None else f"{location}" + (f": {location.text}" if location.text else "")


def networks(parts: Iterable[Part]) -> Iterator[Network]:
    """The sub-networks of parts, in textual order."""
    return (p for p in _every(parts) if isinstance(p, Network))


def _every(parts: Iterable[Part]) -> Iterator[Part]:
    for p in parts:
        yield p
        match p:
            case Decision():
                yield from _every((*p.then, *p.otherwise))
            case Turns():
                yield from _every((*p.head, *p.body))
            case _:
                pass


def _print(parts: tuple[Part, ...], indent: str, lines: list[str]) -> None:
    for p in parts:
        match p:
            case Network():
                same = f"= [{p.same_as}] " if p.same_as != p.number else ""
                lines.append(f"{indent}[{p.number}] {same}{', '.join(p.kernels)}")
            case Decision():
                lines.append(_with_line(indent + p.condition, p.line))
                if p.then:
                    _print(p.then, indent + "  ", lines)
                else:
                    lines.append(f"{indent}  nothing")
                if p.otherwise:
                    lines.append(f"{indent}else")
                    _print(p.otherwise, indent + "  ", lines)
            case Turns():
                lines.append(_with_line(indent + p.condition, p.line))
                if p.head:
                    lines.append(f"{indent}  before each test")
                    _print(p.head, indent + "    ", lines)
                _print(p.body, indent + "  ", lines)
            case End():
                lines.append(_with_line(f"{indent}{p.condition}, else {p.error}", p.line))


def _with_line(text: str, line: str) -> str:
    return f"{text:<48}  # {line}" if line else text


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
