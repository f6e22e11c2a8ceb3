"""What the end of a request costs: counting it, and its two log lines."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastgw.gateway.account import settle
from fastgw.gateway.lines import write_lines
from tests.unit.gateway.test_account import Desk


@pytest.fixture(params=["warn", "info"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, request.param)
    # As a worker's log, which writes many lines at once.
    made.gateway.log._fd = os.open(os.devnull, os.O_WRONLY)
    made.gateway.log._scheduled = True
    yield made
    made.close()


def test_settle(benchmark: BenchmarkFixture, desk: Desk) -> None:
    """Everything that happens between the end of an answer and its write."""
    ex = desk.answered()

    def one() -> None:
        ex.settled = False
        settle(ex)
        desk.gateway.log._lines.clear()

    benchmark(one)


def test_lines(benchmark: BenchmarkFixture, desk: Desk) -> None:
    """Both lines of one request, without the write."""
    ex = desk.answered()

    def one() -> None:
        write_lines(ex, 200, ex.started)
        desk.gateway.log._lines.clear()

    benchmark(one)
