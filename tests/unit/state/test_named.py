"""Counters by name that several processes share."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from fastgw._speedups.cells import Cells
from fastgw.state.board import NAMES, Board
from fastgw.state.failures import Failures
from fastgw.state.named import PROBES, NamedCells


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(1, 5)), max_size=40))
def test_every_name_has_its_own_count(steps: list[tuple[str, int]]) -> None:
    """Two views of the same cells, used in turn, against a dict."""
    cells = Cells(-1, 2 * 256)
    views = [NamedCells(cells, 0, 256), NamedCells(cells, 0, 256)]
    expected: dict[str, int] = {}
    for turn, (name, n) in enumerate(steps):
        slot = views[turn % 2].claim(name)
        assert slot is not None
        views[turn % 2].add(slot, n)
        expected[name] = expected.get(name, 0) + n
    for view in views:
        assert {name: view.value(name) for name in expected} == expected
        assert view.value("never counted under") == 0


def test_reading_claims_nothing() -> None:
    named = NamedCells.private()
    assert [named.value(f"n{index}") for index in range(1000)] == [0] * 1000
    assert named.claim("one") is not None


def test_a_full_table_has_no_room_and_keeps_what_it_has() -> None:
    named = NamedCells.private(8)
    slots = {name: named.claim(name) for name in map(str, range(8))}
    assert sorted(slots.values(), key=int) == list(range(1, 16, 2))  # type: ignore[arg-type]
    assert named.claim("one more") is None
    assert named.value("one more") == 0
    assert {name: named.claim(name) for name in slots} == slots


def test_half_full_there_is_room_for_every_name() -> None:
    named = NamedCells.private(1 << 14)
    assert None not in {named.claim(f"model-{index}") for index in range(1 << 13)}
    assert PROBES < 1 << 14


def test_processes_that_claim_at_once_agree() -> None:
    """Each of four processes counts once under each of 500 names, in an order of its own."""
    board = Board.create(1, 64)
    code = (
        "import random, sys; from fastgw.state.board import Board;"
        "board = Board.attach(int(sys.argv[1]), 1, 64); names = [str(n) for n in range(500)];"
        "random.shuffle(names); [board.named.add(board.named.claim(name), 1) for name in names]"
    )
    try:
        command = [sys.executable, "-c", code, str(board.fd)]
        running = [subprocess.Popen(command, pass_fds=[board.fd], env=os.environ) for _ in range(4)]
        assert [each.wait(60) for each in running] == [0] * 4
        assert {board.named.value(str(number)) for number in range(500)} == {4}
        taken = sum(board.cells.get(len(board.cells) - 2 * NAMES + 2 * slot) != 0 for slot in range(NAMES))
        assert taken == 500
    finally:
        board.close()


def test_levels() -> None:
    named = NamedCells.private()
    one, other = Failures(named), Failures(named)
    assert one.level("m") == 0
    levels = []
    for count in range(10):
        (one if count % 2 else other).failed("m")
        levels.append(one.level("m"))
    assert levels == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert one.level("n") == 0
    count = other.of("m")
    assert count is not None
    count.set(0)
    assert one.level("m") == 0
    assert one.of("never failed") is not None
    assert one.level("never failed") == 0


def test_a_model_without_room_is_healthy() -> None:
    named = NamedCells.private(1)
    assert named.claim("first") is not None
    told: list[str] = []
    failures = Failures(named, lambda: told.append("full"))
    for _ in range(20):
        failures.failed("first")
        assert not told
    for _ in range(20):
        failures.failed("second")
    assert failures.of("third") is None
    assert (failures.level("first"), failures.level("second")) == (2, 0)
    # Once for all of them.
    assert told == ["full"]
