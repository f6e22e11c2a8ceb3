"""Quantiles read from a summary's cells, against the durations that were counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._speedups.cells import SUMMARY_CELLS, SUMMARY_LOW, SUMMARY_RATIO, SUMMARY_WINDOW, Cells, Summary
from fastgw.telemetry.quantiles import QUANTILES, quantiles, recent_steps

durations = st.lists(st.floats(0.0, 600.0), min_size=1, max_size=50)


@given(durations, st.floats(0, 10 * SUMMARY_WINDOW))
def test_quantiles_are_near_the_true_ones(seconds: list[float], now: float) -> None:
    cells = Cells(-1, SUMMARY_CELLS)
    summary = Summary(cells, 0)
    for value in seconds:
        summary.observe(value, now)
    found = quantiles(recent_steps(cells.read(0, SUMMARY_CELLS), now))
    ordered = sorted(seconds)
    assert found == sorted(found)
    for q, value in zip(QUANTILES, found, strict=True):
        true = ordered[max(0, -(-int(q * len(seconds) * 1000) // 1000) - 1)]
        if true <= SUMMARY_LOW:
            assert 0 < value <= SUMMARY_LOW
        else:
            assert value == pytest.approx(true, rel=SUMMARY_RATIO**0.5 - 1 + 0.01)
    cells.close()


@pytest.mark.parametrize(("ago", "expected"), [(0.0, 3), (1.0, 2), (2.0, 0), (50.0, 0)])
@pytest.mark.parametrize("parity", [0, 1])
def test_what_is_old_is_not_read(ago: float, expected: int, parity: int) -> None:
    cells = Cells(-1, SUMMARY_CELLS)
    summary = Summary(cells, 0)
    for window, count in ((6 + parity, 1), (7 + parity, 2)):
        for _ in range(count):
            summary.observe(1.0, window * SUMMARY_WINDOW)
    steps = recent_steps(cells.read(0, SUMMARY_CELLS), (7 + parity + ago) * SUMMARY_WINDOW)
    assert sum(steps) == expected
    assert (quantiles(steps)[1] > 0) == (expected > 0)
