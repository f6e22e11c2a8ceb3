"""Quantiles out of the cells of a summary (`fastgw._speedups.cells.Summary`), for whoever renders them.

They cover the newest window and the one before, 30 to 60 seconds, and are exact to half a step: about a tenth of the
value.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import ceil

from fastgw._speedups.cells import SUMMARY_LOW, SUMMARY_RATIO, SUMMARY_STEPS, SUMMARY_WINDOW

QUANTILES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
HALF = 0xFFFFFFFF


def recent_steps(cells: Sequence[int], now: float) -> list[int]:
    """How many recent durations each step has. `cells` are all cells of the summary of one process."""
    age = int(now / SUMMARY_WINDOW) - cells[2]
    if age > 1:
        return [0] * SUMMARY_STEPS
    if age == 1:
        # Nothing was counted in the window of now: the half with its parity is two windows old.
        shift = 32 if cells[2] & 1 else 0
        return [value >> shift & HALF for value in cells[3:]]
    return [(value & HALF) + (value >> 32 & HALF) for value in cells[3:]]


def quantiles(steps: Sequence[int]) -> list[float]:
    """The durations in seconds at QUANTILES; zeros when nothing was counted."""
    reached = list(accumulate(steps))
    number = reached[-1]
    if not number:
        return [0.0] * len(QUANTILES)
    # The smallest duration that a share of q does not exceed (nearest rank); the epsilon undoes rounding in q * number.
    ranks = [max(1, ceil(q * number - 1e-6)) for q in QUANTILES]
    return [middle(bisect_left(reached, rank)) for rank in ranks]


def middle(step: int) -> float:
    """What stands for the durations of a step, in seconds to three digits."""
    seconds = SUMMARY_LOW / 2 if step == 0 else SUMMARY_LOW * SUMMARY_RATIO ** (step - 0.5)
    return float(f"{seconds:.3g}")
