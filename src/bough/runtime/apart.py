"""Several calls of one function, each by itself: one after the other, or as many at a time as there are threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from bough.base.errors import InputError

Args = tuple[Any, ...]
Call = Callable[..., Any]


def one_by_one(call: Call, inputs: Sequence[Args]) -> list[Any]:
    """`[call(*x) for x in inputs]`. Raises what the first input to fail raises, naming the input."""
    return [_alone(call, n, args) for n, args in enumerate(inputs)]


def side_by_side(call: Call, inputs: Sequence[Args], threads: int) -> list[Any]:
    """The same, from so many threads at once. Threads begin and end here: there is nothing to look after when a process forks."""
    outputs: list[Any] = [None] * len(inputs)
    failed: list[tuple[int, BaseException]] = []
    left = iter(range(len(inputs)))

    def work() -> None:
        for n in left:
            if any(m < n for m, _ in failed):
                return
            try:
                outputs[n] = _alone(call, n, inputs[n])
            except BaseException as error:
                failed.append((n, error))

    others = [threading.Thread(target=work, name=f"bough-map-{n}") for n in range(1, min(threads, len(inputs)))]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failed:
        raise min(failed, key=lambda f: f[0])[1]  # those before it were begun earlier, and did not fail
    return outputs


def about(number: int, error: InputError) -> InputError:
    """The same error, which says which of several inputs it is about."""
    return type(error)(f"input {number}: {error.what}", code=error.code, because=error.because, advice=error.advice)


def _alone(call: Call, number: int, args: Args) -> Any:
    try:
        return call(*args)
    except InputError as error:
        raise about(number, error) from None
