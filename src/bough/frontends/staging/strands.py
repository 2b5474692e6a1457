"""Lists that functions of the recursion return and join: `return self.all(left) + [h] + self.all(right)`.

Such a list is a list of Python's, with a `Piece` for what a call has returned. Joining the results of calls in their order is the
same as appending to one list on the way, so that is what becomes of it: an element is collected behind the calls before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bough.base.visits import Collect
from bough.frontends.staging import refusals
from bough.frontends.staging.signals import Restart, refuse_source
from bough.frontends.staging.symbols import Arithmetic, Elements, Piece
from bough.frontends.staging.visiting import collected_in

if TYPE_CHECKING:
    from bough.frontends.staging.discover import World
    from bough.frontends.staging.primitives import Primitives
    from bough.frontends.staging.run import Run

Path = tuple[Any, ...]
"""Where a list stands in a nesting of results: positions and keys."""
EVERYWHERE: Path = ("everywhere",)


@dataclass(frozen=True, slots=True)
class Version:
    """Functions that fill the same lists: those that the same call of function `caller` has reached."""

    caller: str
    number: int


def has_pieces(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(v, Piece) for v in value)


def only_pieces(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Piece) for v in value)


def learn(world: World, base: Any, path: Path) -> None:
    """Notes that a function returns lists of any length, and starts again; nothing where that is known."""
    known: set[Path] = world.learned.strands.setdefault(base[0], set())
    if path not in known and EVERYWHERE not in known:
        known.add(path)
        raise Restart


def grows(run: Run, path: Path) -> bool:
    known = run.world.learned.strands.get(run.function.base[0], ())
    return path in known or (EVERYWHERE in known)


def version_for(run: Run, code: Any) -> Version | None:
    """Which lists a callee fills, if it returns any that grow: each call from outside has lists of its own."""
    if code not in run.world.learned.strands:
        return None
    own: Version | None = run.function.strands
    if own is not None:
        return own
    run.outer_strands += 1
    return Version(run.function.name, run.outer_strands)


def elements(run: Run, value: list[Any]) -> Elements:
    """What a call has returned, where the recursion was started."""
    if len(value) != 1 or run.function is not run.world.entry:
        raise refusals.use_of_filled()
    return collected_in(run, value[0].number)


def collect(staging: Primitives, value: list[Any], ordinal: int) -> int:
    """Collects what a function returns as its list number `ordinal` that grows; gives the number of the list."""
    run = staging.run
    effects = run.world.effects
    number: int = effects.numbers.setdefault((run.function.strands, ordinal), len(effects.numbers))
    made = 0
    for v in value:
        if not isinstance(v, Piece):
            element = _element(staging, v)
            effects.note_type(number, element, isinstance(v, Arithmetic))
            run.record.collects.append(Collect(number, -1, made))
            run.collected.append(element)
            continue
        if v.number != number or v.call < made:
            raise _disordered()
        made = v.call + 1
        run.pieces.remove(v)
    return number


def _element(staging: Primitives, value: Any) -> torch.Tensor:
    made = torch.as_tensor(staging.run.number(value)) if isinstance(value, (Arithmetic, int, float)) else value
    if not isinstance(made, torch.Tensor):
        raise refuse_source(
            f"a list that is joined with the results of calls holds a {type(value).__name__}",
            "its elements are kept in one array",
            "put tensors or numbers into it, outside of loops over lists of unknown length",
        )
    return made


def finish(run: Run) -> None:
    """Every list that a call returned must have found its place."""
    if run.pieces and run.function is not run.world.entry:
        raise _disordered()


def _disordered() -> Exception:
    return refuse_source(
        "lists that recursive calls return are joined in another order than that of the calls, or not all of them",
        "joining them in order is the same as appending to one list on the way, which is how it is compiled",
        "join what each call returns once, in the order of the calls",
    )


def longer(a: Any, b: Any, path: Path = ()) -> Iterator[Path]:
    """Where two nestings of results have lists of different lengths."""
    if isinstance(a, list) and isinstance(b, list) and len(a) != len(b):
        yield path
    elif isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from longer(x, y, (*path, n))
    elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            yield from longer(a[key], b[key], (*path, key))
