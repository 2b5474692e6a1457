"""Payloads that are objects, as one array."""

from __future__ import annotations

import numpy as np
import pytest

from bough.base.visits import Payload
from bough.runtime.linearizer_columns import Stacked, stack

torch = pytest.importorskip("torch")


def held(stacked: Stacked | None) -> list[int]:
    assert stacked is not None
    return np.asarray(stacked.owner).ravel().tolist()


@pytest.mark.parametrize("shape", [(), (2,), (0,)])
def test_rows_of_a_table_are_stacked_where_all_are_in_it(shape: tuple[int, ...]) -> None:
    payload = Payload((), "i64", shape, range=(-3, 2))
    for full in (torch.full, np.full):
        values = [full(shape, n) for n in (-3, 2, 0)]
        assert held(stack(values, payload)) == np.concatenate([np.full(shape, n).ravel() for n in (-3, 2, 0)]).tolist()
        for outside in (-4, 3):
            stacked = stack([*values, full(shape, outside)], payload)
            assert (stacked is None) == (0 not in shape)


def test_numbers_of_libraries_are_read_one_by_one() -> None:
    payload = Payload((), "i64", (), range=(0, 9))
    assert held(stack([torch.tensor(1), np.int64(2), 3], payload)) == [1, 2, 3]
    assert stack([torch.tensor(1), np.int64(12)], payload) is None
