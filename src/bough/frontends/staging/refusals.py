"""What is refused in a recursion at several places of the front end: errors at the line of the user's that is running."""

from __future__ import annotations

from typing import Any

from bough.base.errors import CompileError
from bough.frontends.staging.signals import refuse_source


def misused(value: Any, how: str) -> CompileError:
    """A symbolic value where a real one is needed; `how` says what is done with it."""
    return refuse_source(
        f"`{value!r}`, which stands for a part of the structure, {how}",
        "its value is not known when the model is compiled",
        "leave that to Python code outside of the model",
    )


def use_of_filled() -> CompileError:
    """A list or dictionary that the recursion fills, used before it is over."""
    return refuse_source(
        "a list or dictionary that functions of the recursion fill is used in a way that no rule covers",
        "what is in it, and how much, is known when the recursion is over",
        "where the recursion was started, combine all elements of a list that others fill, or return it",
    )


def computed_choice() -> CompileError:
    """A question about a number that is computed from numbers of the structure."""
    return refuse_source(
        "the program's course depends on a number computed from the structure",
        "questions compare what lies in an object with constants, and nothing that was computed",
        "store the computed number in the object when it is built",
        code="BGH-CTRL-001",
    )


def decided_for_each() -> CompileError:
    """A decision inside a loop whose body is run for all elements at once."""
    return refuse_source(
        "a computed value decides what is done with each element of a list of unknown length",
        "the body of such a loop is the same for all of its elements",
        "decide in a function that is called for the element",
        code="BGH-CTRL-001",
    )


def stored_attribute(owner: Any, name: str) -> CompileError:
    """An assignment to a part of the structure."""
    return refuse_source(
        f"the model stores into the structure: `{owner!r}.{name}`",
        "a compiled function leaves its arguments alone",
        "return the value, or append it to a list that the caller passes",
        code="BGH-MUT-001",
    )
