"""Shared counters: what one increment and one limit decision cost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastgw._speedups.cells import Buckets, Cell, Cells

COUNT = 64
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@pytest.fixture
def cells() -> Iterator[Cells]:
    fd = os.memfd_create("bench-cells")
    try:
        os.ftruncate(fd, COUNT * 8)
        yield Cells(fd, COUNT)
    finally:
        os.close(fd)


def test_cell_bump(benchmark: BenchmarkFixture, cells: Cells) -> None:
    benchmark(cells.bump, 3, 1)
    assert cells.get(3) > 0


def test_cell_add(benchmark: BenchmarkFixture, cells: Cells) -> None:
    benchmark(cells.add, 3, 1)
    assert cells.get(3) > 0


def test_metric_increment(benchmark: BenchmarkFixture, cells: Cells) -> None:
    cell = Cell(cells, 5)
    benchmark(cell.inc)
    assert cell.get() > 0


def test_histogram(benchmark: BenchmarkFixture, cells: Cells) -> None:
    buckets = Buckets(cells, 8, EDGES)
    benchmark(buckets.observe, 0.03)
    assert any(cells.get(i) for i in range(8, 8 + len(EDGES) + 2))


def test_concurrency_slot(benchmark: BenchmarkFixture, cells: Cells) -> None:
    def cycle() -> bool:
        taken = cells.take_slot(1, 10)
        cells.free_slot(1)
        return taken

    assert benchmark(cycle)
    assert cells.get(1) == 0
