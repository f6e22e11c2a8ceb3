import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fastgw.state.board import FIXED, HEADER, LINE, NAMES, Board, board_cells, region_size


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(3, cells_per_worker=20)
    yield board
    board.close()


def test_a_new_board_is_zero(board: Board) -> None:
    assert (board.revision(), board.draining(), board.ready(), board.in_flight(), board.connections()) == (0,) * 5


def test_header_flags(board: Board) -> None:
    board.set_revision(7)
    board.set_ready()
    assert (board.revision(), board.draining(), board.ready()) == (7, 0, 1)
    board.set_draining()
    assert (board.revision(), board.draining(), board.ready()) == (7, 1, 1)


def test_regions_cover_the_board_without_overlap(board: Board) -> None:
    assert len(board.cells) == board_cells(3, 20) == HEADER + 3 * 24 + 2 * NAMES
    fixed_and_free: list[int] = []
    for worker in range(3):
        region = board.region(worker)
        fixed = [region.in_flight.index, region.connections.index, region.announced.index]
        assert len(set(fixed)) == 3
        assert all(region.first - FIXED <= index < region.first for index in fixed)
        assert (region.first - FIXED) % LINE == 0
        fixed_and_free += range(region.first - FIXED, region.end)
    assert fixed_and_free == list(range(HEADER, len(board.cells) - 2 * NAMES))


@pytest.mark.parametrize("worker", [-1, 3])
def test_a_worker_that_does_not_exist(board: Board, worker: int) -> None:
    with pytest.raises(IndexError):
        board.region(worker)
    with pytest.raises(IndexError):
        board.clear_gauges(worker)


def test_gauges_are_summed_and_a_dead_worker_is_forgotten(board: Board) -> None:
    for worker in range(3):
        board.region(worker).in_flight.inc(worker + 1)
        board.region(worker).connections.inc(10)
    board.cells.set(board.region(1).first, 99)
    assert (board.in_flight(), board.connections()) == (6, 30)
    board.clear_gauges(1)
    assert (board.in_flight(), board.connections()) == (4, 20)
    assert board.cells.get(board.region(1).first) == 99


def test_reset_zeroes_what_is_used_of_one_region(board: Board) -> None:
    for index in range(len(board.cells)):
        board.cells.set(index, 5)
    region = board.region(1)
    region.used.set(region.first + 1)
    region.reset()
    zeroed = [index for index in range(len(board.cells)) if board.cells.get(index) == 0]
    assert zeroed == list(range(region.first - FIXED, region.first + 1))
    region.used.set(region.end + 100)
    region.reset()
    zeroed = [index for index in range(len(board.cells)) if board.cells.get(index) == 0]
    assert zeroed == list(range(region.first - FIXED, region.end))


def test_workers_attach_by_the_inherited_descriptor(board: Board) -> None:
    board.set_revision(3)
    code = (
        "import sys; from fastgw.state.board import Board\n"
        "board = Board.attach(int(sys.argv[1]), 3, 20)\n"
        "board.region(2).in_flight.inc(board.revision())\n"
        "board.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(board.fd)], pass_fds=[board.fd], check=True, timeout=30)
    assert board.in_flight() == 3


def test_attaching_with_other_figures_is_refused(board: Board) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Board.attach(board.fd, 4, 20)


def test_the_file_cannot_change_its_size(board: Board) -> None:
    for size in (0, 10**6):
        with pytest.raises(PermissionError):
            os.ftruncate(board.fd, size)


def test_close_releases_the_descriptor() -> None:
    board = Board.create(1)
    fd = board.fd
    board.close()
    board.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(ValueError, match="closed"):
        board.revision()


def test_a_board_needs_a_worker_and_every_region_room() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        Board.create(0)
    assert region_size(0) > FIXED
    assert region_size(16384) == 16384
