"""What torch keeps of the results of operators while it traces."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from bough.frontends.known_outputs import known_outputs


def results(mode: FakeTensorMode) -> list[tuple[object, ...]]:
    """Of some operators, each called twice for two sizes."""
    found = []
    with mode:
        for size in (3, 5, 3, 5):
            x = torch.empty(size, 4)
            for y in (x + 1, x.t(), x.view(-1), x > 0, x.to(torch.float64), *x.split(2, dim=1), torch.conj(x.to(torch.complex64))):
                keys = torch._C._dispatch_key_set(y)
                found.append((tuple(y.shape), y.stride(), y.dtype, y.storage_offset(), y.is_conj(), y._is_view(), keys))
    return found


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    FakeTensorMode.cache_clear()


def test_results_are_those_of_torch_alone() -> None:
    expected = results(FakeTensorMode())
    FakeTensorMode.cache_clear()
    with known_outputs():
        assert results(FakeTensorMode()) == expected
        assert FakeTensorMode.cache_info().hits > 0


def test_each_kind_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    again = FakeTensorMode._output_from_cache_entry
    monkeypatch.setattr(FakeTensorMode, "_output_from_cache_entry", lambda *args: made.append(args) or again(*args))
    with known_outputs(), FakeTensorMode():
        for size in range(3, 9):
            torch.empty(size) + 1
    assert len(made) <= 2  # one of `empty`, one of `add`


def test_what_cannot_be_made_again_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> object:
        raise GuardOnDataDependentSymNode(None)  # type: ignore[arg-type]

    with known_outputs(), FakeTensorMode():
        x = torch.empty(7)
        assert (x + 1).shape == (7,)
        monkeypatch.setattr(FakeTensorMode, "_output_from_cache_entry", refused)
        assert (x + 1).shape == (7,)


def test_torch_is_as_before_behind_it() -> None:
    before = FakeTensorMode._get_output_info_for_cache_entry, FakeTensorMode._cached_dispatch_impl
    with pytest.raises(ZeroDivisionError), known_outputs():
        raise ZeroDivisionError
    assert (FakeTensorMode._get_output_info_for_cache_entry, FakeTensorMode._cached_dispatch_impl) == before
