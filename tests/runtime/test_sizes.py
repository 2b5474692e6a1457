"""Sizes: the evaluated and the generated forms agree; unfit data is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.runtime import LoadError, sizes
from bough.runtime.caller import Source, write_sums

SCALARS = {"batch": 5, "tokens": 17}
KNOWN = frozenset(SCALARS)


def nested(parts: st.SearchStrategy[sizes.Size]) -> st.SearchStrategy[sizes.Size]:
    return st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul", "min", "max"]), parts, parts),
        st.tuples(st.sampled_from(["floordiv", "mod"]), parts, st.integers(1, 9)),
    )


any_size = st.recursive(st.one_of(st.integers(-100, 100), st.sampled_from(sorted(KNOWN))), nested, max_leaves=12)


@given(any_size)
def test_source_means_what_evaluate_gives(size: sizes.Size) -> None:
    source = sizes.source(size, {"batch": "s0", "tokens": "s1"})
    assert eval(source, {"s0": 5, "s1": 17}) == sizes.evaluate(size, SCALARS)


@given(st.lists(any_size, max_size=4))
def test_sums_that_go_on_from_each_other(parts: list[sizes.Size]) -> None:
    wanted = [parts[0], *(("add", a, b) for a, b in zip(parts, parts[1:], strict=False))] if parts else []
    total: sizes.Size = 0
    for part in parts:
        total = ("add", total, part)
        wanted.append(total)
    out = Source({"s0": 5, "s1": 17})
    held = write_sums(out, wanted, {"batch": "s0", "tokens": "s1"}, 0)
    exec("\n".join(out.lines), out.names)
    assert all(out.names[held[w]] == sizes.evaluate(w, SCALARS) for w in wanted if not isinstance(w, int))


@given(any_size)
def test_data_round_trip(size: sizes.Size) -> None:
    assert sizes.from_data(sizes.to_data(size), KNOWN) == size
    assert set(sizes.names(size)) <= KNOWN


@pytest.mark.parametrize(
    "data", [None, True, 1.5, "other", [], ["add", 1], ["pow", 1, 2], ["floordiv", 1, 0], ["mod", 1, "batch"], {"a": 1}]
)
def test_unfit_data_is_refused(data: object) -> None:
    with pytest.raises(LoadError):
        sizes.from_data(data, KNOWN)


def test_deep_data_is_refused() -> None:
    data: object = 1
    for _ in range(5000):
        data = ["add", data, 1]
    with pytest.raises(LoadError):
        sizes.from_data(data, KNOWN)
