"""The garbage collector while much is built."""

from __future__ import annotations

import gc
import weakref

import pytest

from bough.base.garbage import old_objects_at_rest


class Knot:
    def __init__(self) -> None:
        self.itself = self


def test_new_garbage_is_collected_and_old_garbage_later() -> None:
    before = gc.get_freeze_count()
    old = weakref.ref(Knot())
    with old_objects_at_rest():
        new = weakref.ref(Knot())
        gc.collect()
        assert new() is None and (before or old() is not None)
    assert gc.get_freeze_count() == before
    gc.collect()
    assert before or old() is None


def test_blocks_nest_and_end_with_errors() -> None:
    @old_objects_at_rest()
    def fail() -> None:
        with old_objects_at_rest():
            raise ValueError

    before = gc.get_freeze_count(), gc.get_threshold()
    with pytest.raises(ValueError):
        fail()
    assert (gc.get_freeze_count(), gc.get_threshold()) == before


def test_a_collector_that_is_off_stays_off() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with old_objects_at_rest():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)


def test_what_the_program_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with old_objects_at_rest():
            pass
        assert gc.get_freeze_count() >= frozen - 5  # some may have gone
    finally:
        gc.unfreeze()
