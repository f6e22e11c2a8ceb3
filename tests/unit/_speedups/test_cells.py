import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastgw._speedups.cells import (
    SUMMARY_CELLS,
    SUMMARY_LOW,
    SUMMARY_RATIO,
    SUMMARY_STEPS,
    SUMMARY_WINDOW,
    Buckets,
    Cell,
    Cells,
    Summary,
    Tally,
)
from tests.support.cells_model import HIGH, LOW, WINDOW_ID_MAX, WINDOW_USED_MAX, CellsModel

COUNT = 8
# The windows of the model live in cells of their own: what the two cells contain is private to take_window.
WINDOWS = (8, 10)


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("test-cells")
    os.ftruncate(fd, 64 * 8)
    yield fd
    os.close(fd)


indexes = st.integers(0, COUNT - 1)
values = st.one_of(st.integers(-3, 3), st.integers(LOW, HIGH))
window_ids = st.one_of(st.integers(0, 5), st.integers(WINDOW_ID_MAX - 2, WINDOW_ID_MAX))
costs = st.one_of(st.integers(-5, 5), st.sampled_from([LOW, HIGH, WINDOW_USED_MAX, WINDOW_USED_MAX - 1]))
limits = st.one_of(st.integers(-1, 9), st.sampled_from([LOW, HIGH, WINDOW_USED_MAX]))


class AgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.real = Cells(-1, WINDOWS[-1] + 2)
        self.model = CellsModel(WINDOWS[-1] + 2)

    @rule(i=indexes, v=values)
    def set(self, i: int, v: int) -> None:
        self.real.set(i, v)
        self.model.set(i, v)

    @rule(i=indexes, n=values)
    def add(self, i: int, n: int) -> None:
        assert self.real.add(i, n) == self.model.add(i, n)

    @rule(i=indexes, n=values)
    def bump(self, i: int, n: int) -> None:
        self.real.bump(i, n)
        self.model.bump(i, n)

    @rule(i=indexes, n=values)
    def inc(self, i: int, n: int) -> None:
        Cell(self.real, i).inc(n)
        self.model.bump(i, n)

    @rule(i=indexes, v=values)
    def swap(self, i: int, v: int) -> None:
        assert self.real.swap(i, v) == self.model.swap(i, v)

    @rule(i=indexes, old=st.one_of(st.none(), values), new=values)
    def cas(self, i: int, old: int | None, new: int) -> None:
        expected = self.model.get(i) if old is None else old
        assert self.real.cas(i, expected, new) is self.model.cas(i, expected, new)

    @rule(i=indexes, v=values)
    def raise_to(self, i: int, v: int) -> None:
        self.real.raise_to(i, v)
        self.model.raise_to(i, v)

    @rule(i=indexes, limit=values)
    def take_slot(self, i: int, limit: int) -> None:
        assert self.real.take_slot(i, limit) is self.model.take_slot(i, limit)

    @rule(i=indexes)
    def free_slot(self, i: int) -> None:
        self.real.free_slot(i)
        self.model.free_slot(i)

    @rule(i=st.sampled_from(WINDOWS), window_id=window_ids, limit=limits, cost=costs)
    def take_window(self, i: int, window_id: int, limit: int, cost: int) -> None:
        expected = self.model.take_window(i, window_id, limit, cost)
        assert self.real.take_window(i, window_id, limit, cost) == expected

    @invariant()
    def same(self) -> None:
        assert [self.real.get(i) for i in range(COUNT)] == self.model.values[:COUNT]


AgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgainstModel = AgainstModel.TestCase


def every_operation(cells: Cells, i: int) -> list[Callable[[], object]]:
    return [
        lambda: cells.get(i),
        lambda: cells.set(i, 1),
        lambda: cells.add(i, 1),
        lambda: cells.swap(i, 1),
        lambda: cells.cas(i, 0, 1),
        lambda: cells.raise_to(i, 1),
        lambda: cells.bump(i, 1),
        lambda: cells.take_slot(i, 1),
        lambda: cells.free_slot(i),
        lambda: cells.take_window(i, 1, 1, 1),
        lambda: Cell(cells, i),
        lambda: Buckets(cells, i, ()),
    ]


@pytest.mark.parametrize("i", [-1, 4, 2**62, -(2**63)])
def test_an_index_outside_raises_index_error(i: int) -> None:
    cells = Cells(-1, 4)
    for operation in every_operation(cells, i):
        with pytest.raises(IndexError):
            operation()
    assert [cells.get(k) for k in range(4)] == [0] * 4


def test_operations_on_several_cells_check_the_last_one() -> None:
    cells = Cells(-1, 4)
    with pytest.raises(IndexError):
        cells.take_window(3, 1, 1, 1)
    with pytest.raises(IndexError):
        Buckets(cells, 1, (0.1, 0.2))
    Buckets(cells, 0, (0.1, 0.2))


@pytest.mark.parametrize("value", [HIGH + 1, LOW - 1])
def test_values_beyond_64_bits_raise_overflow_error(value: int) -> None:
    cells = Cells(-1, 1)
    for operation in (cells.set, cells.add, cells.bump, cells.swap, cells.raise_to, cells.take_slot):
        with pytest.raises(OverflowError):
            operation(0, value)
    assert cells.get(0) == 0


@pytest.mark.parametrize("window_id", [-1, WINDOW_ID_MAX + 1])
def test_window_ids_outside_of_47_bits_are_refused(window_id: int) -> None:
    with pytest.raises(ValueError, match="window id"):
        Cells(-1, 2).take_window(0, window_id, 1, 1)


def test_everything_raises_value_error_after_close() -> None:
    cells = Cells(-1, 4)
    cell, buckets = Cell(cells, 0), Buckets(cells, 0, (1.0,))
    cells.close()
    cells.close()
    operations: list[Callable[[], object]] = [
        *every_operation(cells, 0),
        cell.inc,
        cell.get,
        lambda: cell.set(1),
        lambda: buckets.observe(1.0),
    ]
    for operation in operations:
        with pytest.raises(ValueError, match="closed"):
            operation()
    assert len(cells) == 0


@pytest.mark.parametrize("count", [0, -1, 2**62])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises((ValueError, OSError)):
        Cells(-1, count)


def test_bad_descriptors_are_refused(fd: int) -> None:
    with pytest.raises(ValueError, match="descriptor"):
        Cells(-2, 1)
    with pytest.raises(ValueError, match="512 bytes"):
        Cells(fd, 65)
    read_end, write_end = os.pipe()
    try:
        with pytest.raises((ValueError, OSError)):
            Cells(read_end, 1)
    finally:
        os.close(read_end)
        os.close(write_end)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Cells(write_end, 1)


def test_two_mappings_of_one_file_share_and_private_memory_does_not(fd: int) -> None:
    first, second, private = Cells(fd, 64), Cells(fd, 64), Cells(-1, 64)
    first.set(7, 42)
    assert (second.get(7), private.get(7)) == (42, 0)
    first.close()
    assert second.add(7, 1) == 43


def test_bound_objects_keep_the_memory_alive() -> None:
    cell = Cell(Cells(-1, 4), 3)
    gc.collect()
    cell.inc()
    cell.inc(4)
    assert (cell.get(), cell.index) == (5, 3)


def test_a_window_idle_for_a_multiple_of_the_generations_starts_empty() -> None:
    cells = Cells(-1, 2)
    assert cells.take_window(0, 1, 5, 5) == 5
    for window_id in range(2, 2**16 + 2):
        assert cells.take_window(0, window_id, 0, 1) == -1
    assert cells.take_window(0, 2**16 + 2, 5, 5) == 5


@pytest.mark.parametrize("edges", [(1.0, 1.0), (2.0, 1.0), (float("nan"),), (float("inf"),), tuple(range(257))])
def test_bad_bucket_edges_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="edges"):
        Buckets(Cells(-1, 400), 0, edges)


def test_observations_land_in_the_first_bucket_whose_edge_is_not_below() -> None:
    cells = Cells(-1, 6)
    buckets = Buckets(cells, 1, (0.5, 1, 2.5))
    for seconds in (0.5, 0.25, 0.500001, 1.0, 2.5, 3.0, -4.0, float("nan")):
        buckets.observe(seconds)
    assert [cells.get(i) for i in range(6)] == [0, 4, 2, 1, 1, 7_750_001]


def test_an_absurd_observation_is_capped() -> None:
    cells = Cells(-1, 2)
    Buckets(cells, 0, ()).observe(float("inf"))
    assert [cells.get(0), cells.get(1)] == [1, 10**18]


HAMMER = """
import sys
from fastgw._speedups.cells import Cells
fd, rounds, limit, slots = map(int, sys.argv[1:])
cells = Cells(fd, 64)
cells.add(0, 1)
while cells.get(0) < 4:
    pass
admitted = taken = over = 0
for n in range(rounds):
    cells.add(1, 3)
    cells.raise_to(2, n)
    while True:
        seen = cells.get(3)
        if cells.cas(3, seen, seen + 1):
            break
    # Every process walks through the windows at its own speed, so old and new window ids meet.
    window = n // 100 + 1
    after = cells.take_window(8, window, limit, 1)
    if after > limit:
        over += 1
    if cells.take_window(16, 7, limit, 1) >= 0:
        admitted += 1
    if cells.take_slot(24, slots):
        if cells.add(25, 1) > slots:
            over += 1
        taken += 1
        cells.add(25, -1)
        cells.free_slot(24)
print(admitted, over, taken)
"""


def test_several_processes_on_one_file(fd: int) -> None:
    rounds, limit, slots = 100_000, 150_000, 2
    arguments = [sys.executable, "-c", HAMMER, str(fd), str(rounds), str(limit), str(slots)]
    processes = [subprocess.Popen(arguments, pass_fds=[fd], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    results = [tuple(map(int, process.communicate(timeout=60)[0].split())) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    cells = Cells(fd, 64)
    assert cells.get(1) == 4 * rounds * 3
    assert cells.get(2) == rounds - 1
    assert cells.get(3) == 4 * rounds
    assert sum(admitted for admitted, _, _ in results) == limit
    assert sum(over for _, over, _ in results) == 0
    assert all(taken > 0 for _, _, taken in results)
    assert (cells.get(24), cells.get(25)) == (0, 0)


WINDOWS_HAMMER = """
import sys
from fastgw._speedups.cells import Cells
fd, windows, limit = map(int, sys.argv[1:])
cells = Cells(fd, 64)
cells.add(0, 1)
while cells.get(0) < 4:
    pass
admitted = 0
for window in range(1, windows + 1):
    while cells.take_window(8, window, limit, 1) >= 0:
        admitted += 1
print(admitted)
"""


def test_windows_are_never_over_admitted_while_they_change(fd: int) -> None:
    # A process moves on to the next window only when the newest one is full, so every window is filled exactly once.
    windows, limit = 100_000, 3
    arguments = [sys.executable, "-c", WINDOWS_HAMMER, str(fd), str(windows), str(limit)]
    processes = [subprocess.Popen(arguments, pass_fds=[fd], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    admitted = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(admitted) == windows * limit


def test_nothing_leaks(fd: int) -> None:
    def round_trip() -> None:
        cells = Cells(fd, 64)
        Cell(cells, 0).inc()
        Buckets(cells, 1, (0.1, 0.2, 0.3)).observe(0.2)
        for operation in every_operation(cells, 99):
            with pytest.raises(IndexError):
                operation()
        with pytest.raises(ValueError, match="edges"):
            Buckets(cells, 1, (2.0, 1.0))
        Cells(-1, 100_000).set(99_999, 1)

    for _ in range(200):
        round_trip()
    gc.collect()
    blocks, peak = sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        round_trip()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 4096


def test_read_gives_a_run_of_cells() -> None:
    cells = Cells(-1, 4)
    for i in range(4):
        cells.set(i, i * 10)
    assert cells.read(1, 3) == [10, 20, 30]
    assert cells.read(0, 0) == cells.read(9, 0) == []
    for first, count in ((4, 1), (2, 3), (-1, 2), (0, 2**62)):
        with pytest.raises(IndexError):
            cells.read(first, count)
    cells.close()
    with pytest.raises(ValueError):
        cells.read(0, 1)


def test_tally_counts_every_series_of_an_outcome() -> None:
    cells = Cells(-1, 24 + 2 * SUMMARY_CELLS)
    one, two, prompt, completion, total = (Cell(cells, i) for i in range(5))
    latency, ttft = Buckets(cells, 8, (0.5, 1.0)), Buckets(cells, 12, (0.5, 1.0))
    duration, first = Summary(cells, 16), Summary(cells, 16 + SUMMARY_CELLS)
    tally = Tally((one, two), (prompt,), (completion,), (total,), (duration,), latency, ttft, first)
    tally.count(3, 4, 5, 10.0, 10.2, 10.7, 0.25)
    tally.count(0, 0, 20, 10.0, 12.0, 12.0, -1.0)
    assert [cell.get() for cell in (one, two, prompt, completion, total)] == [2, 2, 3, 4, 27]
    assert cells.read(8, 4) == [0, 1, 1, 2_700_000]
    assert cells.read(12, 4) == [1, 0, 0, 250_000]
    assert cells.read(16, 3) == [2_200_000, 2, 0]
    assert cells.read(16 + SUMMARY_CELLS, 3) == [250_000, 1, 0]
    Tally((one,)).count(0, 0, 0, 0.0, 1.0, 2.0, 0.5)
    assert one.get() == 3
    cells.close()
    with pytest.raises(ValueError):
        tally.count(1, 1, 2, 0.0, 0.1, 0.1, 0.0)


def test_a_summary_needs_its_cells() -> None:
    cells = Cells(-1, SUMMARY_CELLS)
    Summary(cells, 0)
    for index in (1, -1, SUMMARY_CELLS):
        with pytest.raises(IndexError):
            Summary(cells, index)


def test_a_summary_spreads_over_steps() -> None:
    cells = Cells(-1, SUMMARY_CELLS)
    summary = Summary(cells, 0)
    seen = set()
    for step in range(SUMMARY_STEPS - 1):
        edge = SUMMARY_LOW * SUMMARY_RATIO**step
        for seconds, expected in ((edge, step), (edge * 1.001, step + 1)):
            before = cells.read(3, SUMMARY_STEPS)
            summary.observe(seconds, 0.0)
            (changed,) = [k for k, count in enumerate(cells.read(3, SUMMARY_STEPS)) if count != before[k]]
            assert changed == expected, seconds
            seen.add(changed)
    assert seen == set(range(SUMMARY_STEPS))
    for odd, step in ((-1.0, 0), (float("nan"), 0), (1e300, SUMMARY_STEPS - 1), (float("inf"), SUMMARY_STEPS - 1)):
        before = cells.get(3 + step)
        summary.observe(odd, 0.0)
        assert cells.get(3 + step) == before + 1


def test_a_summary_forgets_by_windows() -> None:
    cells = Cells(-1, SUMMARY_CELLS)
    summary = Summary(cells, 0)

    def halves(now: float) -> tuple[int, int]:
        summary.observe(0.0, now * SUMMARY_WINDOW)
        return cells.get(3) & 0xFFFFFFFF, cells.get(3) >> 32

    assert halves(0.0) == (1, 0)
    assert halves(0.9) == (2, 0)
    assert halves(1.0) == (2, 1)
    assert halves(2.0) == (1, 1)
    assert halves(2.5) == (2, 1)
    assert halves(3.0) == (2, 1)
    assert halves(5.0) == (0, 1), "a window without durations lies between"
    assert cells.get(1) == 7
