"""Pausing the collector ends with the block."""

import gc

import pytest

from fastgw.core.collector import collector_paused


def test_it_is_off_inside_and_on_after() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), collector_paused():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_what_was_made_meanwhile_is_not_walked_afterwards() -> None:
    frozen = gc.get_freeze_count()
    with collector_paused():
        made = [[number] for number in range(10_000)]
    try:
        assert gc.get_freeze_count() >= frozen + len(made)
        assert gc.get_count()[0] < len(made)
    finally:
        gc.unfreeze()
