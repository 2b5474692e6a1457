"""Reads the user's objects by the paths, questions, walks and payloads of `bough.base.visits`.

Every function raises InputError, in the words of the user's own attributes, for objects that are not as the visits say.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from bough.base.errors import InputError
from bough.base.source import Location
from bough.base.spans import LISTS, Index, Span
from bough.base.visits import Ask, Attribute, Call, Each, Fail, Item, Member, Path, Payload, Question, Slice, Visit

Array = np.ndarray[Any, Any]


def read(value: Any, path: Path, location: Location | None = None) -> Any:
    """What lies at `path` from `value`. User code runs here: properties and `__getitem__`."""
    for n, step in enumerate(path):
        try:
            value = _step(value, step)
        except Exception as error:
            raise _unreadable(value, path[:n], step, error, location) from error
    return value


def _step(value: Any, step: Attribute | Item | Slice) -> Any:
    if isinstance(step, Attribute):
        return getattr(value, step.name)
    if isinstance(step, Slice):
        return Span.of(value, step.first, step.last)
    return value[step.key.of(len(value)) if isinstance(step.key, Index) else step.key]


def decide(visit: Visit, value: Any, members: Sequence[Member] = ()) -> int:
    """The variant of the function that `value` takes. Objects that are asked for their class have to have the `members`."""
    decision = visit.decision
    while not isinstance(decision, int):
        if isinstance(decision, Fail):
            raise InputError(
                decision.what,
                code="BGH-ST-005",
                because=f"{visit.name} does not take such an object: {describe(value)}",
                location=decision.location,
            )
        decision = decision.yes if holds(decision, value, members) else decision.no
    return decision


def holds(ask: Ask, value: Any, members: Sequence[Member] = ()) -> bool:
    """The answer to a question about `value`."""
    question = ask.question
    found = read(value, question.path, ask.location)
    if question.test == "is_instance":
        check_members(kind_of(found), members)
    try:
        return bool(_test(question, len(found) if question.length else found))
    except Exception as error:
        asked = " ".join(question.test.split("_")) + (f" {question.value!r}" if question.value is not None else "")
        raise InputError(
            f"the {'length' if question.length else 'value'} of {path_text(question.path)} cannot be asked '{asked}'",
            code="BGH-ST-001" if found is None else "BGH-ST-002",
            because=f"it is {describe(found)}, and Python says: {error}",
            advice="pass objects like those in the example that the function was compiled for",
            location=ask.location,
        ) from error


def _test(question: Question, found: Any) -> Any:
    value: Any = question.value
    match question.test:
        case "is_none":
            return found is None
        case "is_instance":
            return belongs(kind_of(found), value)
        case "is_true":
            return found
        case "equals":
            return found == value
        case "less":
            return found < value
        case "at_most":
            return found <= value
        case "has_attribute":
            return hasattr(found, value)
        case "has_key":
            return value in found


def kind_of(found: Any) -> type:
    """The class of an object; that of the list for a part of one."""
    return found.kind if isinstance(found, Span) else type(found)


def class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def belongs(kind: type, names: Container[str]) -> bool:
    """Whether a type is one of the classes of these names, or below one."""
    return any(class_name(c) in names for c in kind.__mro__)


def check_members(kind: type, members: Sequence[Member]) -> None:
    """Raises InputError for a class that has something of its own in place of what the function was compiled for."""
    for member in members:
        if not belongs(kind, (member.of,)):
            continue
        of = kind if not member.name else next((c for c in kind.__mro__ if member.name in vars(c)), None)
        if (class_name(of) if of else "") not in member.classes:
            own = f", which takes {member.name} from {of.__qualname__ if of else 'no class'}" if member.name else ""
            raise InputError(
                f"an object is of class {kind.__qualname__}{own}",
                code="BGH-ST-010",
                because="the function was compiled for what other classes have there",
                advice="compile the model when the class exists; in loops, let a function that is called at each object ask",
            )


def target(call: Call, value: Any, element: Any = None) -> Any:
    """The object that a call is made at, by the activation at `value`, for the element of its walk if it has one."""
    if call.parts:
        return tuple(read(element if p.of_element else value, p.path, call.location) for p in call.parts)
    return read(value if call.each is None else element, call.path, call.location)


def identity(call: Call | None, found: Any) -> Any:
    """What tells apart the objects of a call's function, as long as they live."""
    return tuple(map(_identity, found)) if call is not None and call.parts else _identity(found)


def _identity(found: Any) -> Any:
    return found.key if type(found) is Span else id(found)


def elements(value: Any, each: Each) -> Sequence[Any]:
    """The elements of a walk, in order; none of a walk over what is collected."""
    if each.list is not None:
        return ()
    found = read(value, each.path)
    of_dictionary = isinstance(found, dict)
    if of_dictionary:
        found = list(found.values())
    if isinstance(found, LISTS) and each.dictionary in (None, of_dictionary):
        part = found[each.skip : max(len(found) - each.leave, 0)] if each.skip or each.leave else found
        part = part if type(part) in (list, tuple) else list(part)  # a class of the user's may have an order of its own
        for kind in {kind_of(o) for o in part} if each.members else ():
            check_members(kind, each.members)
        return part
    raise InputError(
        f"{path_text(each.path)} is {'a dictionary' if of_dictionary else describe(found)}",
        code="BGH-ST-001" if found is None else "BGH-ST-002",
        because=f"the model walks over it, and only {_WALKED[each.dictionary]} are walked over",
        advice="pass a list, an empty one where there is nothing",
    )


_WALKED = {None: "lists, tuples and dictionaries", False: "lists and tuples, as in the example,", True: "values of dictionaries"}


def payload(value: Any, wanted: Payload, held: np.dtype[Any]) -> Array:
    """The tensor or number at the payload's path, of exactly its shape and type; `held` is the NumPy type for that type.

    Python ints are taken for floats where they are exact. bf16 comes from torch tensors, or from NumPy as uint16 bits.
    """
    found = read(value, wanted.path or (), wanted.location)
    array = _as_array(found, held)
    if array is None or array.dtype != held or array.shape != wanted.shape:
        raise _unfit(found, wanted)
    if wanted.range is not None and array.size and not (wanted.range[0] <= array.min() and array.max() <= wanted.range[1]):
        raise _outside(found, wanted, wanted.range)
    return array


def _as_array(found: Any, held: np.dtype[Any]) -> Array | None:
    if isinstance(found, np.ndarray | np.generic):
        return np.asarray(found)
    if isinstance(found, bool | int | float):
        return _number(found, held)
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(found, getattr(torch, "Tensor", ())):
        return None
    tensor: Any = found
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return None
    tensor = tensor.detach().resolve_neg().resolve_conj()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.contiguous().view(torch.int16).numpy()).view(np.uint16)
    return np.asarray(tensor.numpy())


def _number(found: bool | int | float, held: np.dtype[Any]) -> Array | None:
    if isinstance(found, bool):
        return np.array(found) if held.kind == "b" else None
    if isinstance(found, float):
        return np.array(found, held) if held.kind == "f" else None
    if held.kind == "f":
        return np.array(found, held) if abs(found) <= 1 << 53 else None
    if held.kind not in "iu" or not np.iinfo(held).min <= found <= np.iinfo(held).max:
        return None
    return np.array(found, held)


def _unfit(found: Any, wanted: Payload) -> InputError:
    expected = f"a tensor of {wanted.dtype} and shape {list(wanted.shape)}" if wanted.shape else f"a number of {wanted.dtype}"
    return InputError(
        f"{path_text(wanted.path or ())} is {describe(found)}",
        code="BGH-ST-001" if found is None else "BGH-ST-004",
        because=f"{expected} is expected, as in the example that the function was compiled for",
        advice="give all objects of a kind payloads of one shape and element type, on the CPU",
        location=wanted.location,
    )


def _outside(found: Any, wanted: Payload, allowed: tuple[int, int]) -> InputError:
    return InputError(
        f"{path_text(wanted.path or ())} is {describe(found)}",
        code="BGH-ST-008",
        because=f"the model takes a row of a table by it, and the table has the rows {allowed[0]} to {allowed[1]}",
        advice="number the rows from 0 on, or make the table larger",
        location=wanted.location,
    )


def _unreadable(
    value: Any, before: Path, step: Attribute | Item | Slice, error: Exception, location: Location | None
) -> InputError:
    """For `step` from `value`, which lies at `before`."""
    name, place = path_text((step,)), f" at {path_text(before)}" if before else ""
    if value is None:
        return InputError(
            f"None stands{place} where an object with {name} must be",
            code="BGH-ST-001",
            because="the model reads it without asking first whether it is None",
            advice="build the structure without None there",
            location=location,
        )
    missing = isinstance(error, AttributeError | KeyError | IndexError)
    return InputError(
        f"{describe(value)}{place} has no {name}" if missing else f"{name} of {describe(value)}{place} cannot be read",
        code="BGH-ST-002",
        because=f"the model reads it; Python says: {type(error).__name__}: {error}",
        advice="pass objects like those in the example that the function was compiled for",
        location=location,
    )


def path_text(path: Path) -> str:
    """The path as Python writes it behind an object; `the object` for the empty path."""
    return "".join(map(str, path)) or "the object"


def describe(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        layout, device = str(getattr(value, "layout", "torch.strided")), str(getattr(value, "device", "cpu"))
        unusual = ("" if layout == "torch.strided" else f", {layout}") + ("" if device == "cpu" else f", on {device}")
        return f"a tensor of {value.dtype} and shape {list(value.shape)}{unusual}"
    if isinstance(value, (*LISTS, dict)):
        kind = value.kind if isinstance(value, Span) else type(value)
        return f"a {kind.__name__} of {len(value)}"
    kind = type(value)
    return f"an object of class {kind.__qualname__}"
