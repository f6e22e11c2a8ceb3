"""The one shared-memory object of a gateway.

The supervisor creates the board before it starts the workers; they inherit its descriptor and attach. Layout, in
64-bit cells:

    header, 8 cells        0 revision   the configuration revision that every worker must serve
                           1 draining   1 once shutdown has begun
                           2 ready      1 once a configuration has been applied
                           3 keys       version of the newest key set of an identity provider
    region of worker 0     0 in_flight    requests from their head to the last byte of the answer
                           1 connections  open client connections
                           2 announced    metric series that this worker has announced (see telemetry.metrics)
                           3 used         end of what is allocated; nothing beyond it was ever touched
                           8 .. end       metric series, allocated by the worker
    region of worker 1 ...
    named counters         two cells per slot (see state.named), written by everybody

Header and regions start at a cache line, so that a worker's counting never slows a reader of the header or another
worker. A region has one writer, its worker; the supervisor takes that role over only while the worker is dead. The
header is written by the supervisor.
"""

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass

from fastgw._speedups.cells import Cell, Cells
from fastgw.state.named import NamedCells

LINE = 8
REVISION, DRAINING, READY, KEYS = 0, 1, 2, 3
IN_FLIGHT, CONNECTIONS, ANNOUNCED, USED = 0, 1, 2, 3
HEADER = FIXED = LINE
NAMES = 65536
"""Names that a gateway can count under in its life."""


@dataclass(frozen=True, slots=True)
class Region:
    """The cells of one worker: `first` .. `end - 1` of `cells` are free for metric series."""

    cells: Cells
    first: int
    end: int
    in_flight: Cell
    connections: Cell
    announced: Cell
    used: Cell

    @classmethod
    def at(cls, cells: Cells, start: int, size: int) -> "Region":
        """The region in the cells `start` .. `start + size - 1`. Raises IndexError when they do not exist."""
        return cls(
            cells=cells,
            first=start + FIXED,
            end=start + size,
            in_flight=Cell(cells, start + IN_FLIGHT),
            connections=Cell(cells, start + CONNECTIONS),
            announced=Cell(cells, start + ANNOUNCED),
            used=Cell(cells, start + USED),
        )

    @classmethod
    def private(cls, size: int) -> "Region":
        """A region outside of any board, for a process that keeps its counts to itself."""
        return cls.at(Cells(-1, region_size(size)), 0, region_size(size))

    def reset(self) -> None:
        """Zero what is in use. O(used). Only for the supervisor, while the worker does not run.

        The rest is zero already, and its memory does not exist until it is touched."""
        for index in range(self.first - FIXED, max(self.first, min(self.used.get(), self.end))):
            self.cells.set(index, 0)


class Board:
    """`revision`, `draining`, `ready` and `keys` are read with one compiled call each, for use on every request."""

    revision: Callable[[], int]
    draining: Callable[[], int]
    ready: Callable[[], int]
    keys: Callable[[], int]

    def __init__(self, fd: int, workers: int, cells_per_worker: int) -> None:
        """Raises ValueError when the file does not have the size that `board_cells` tells."""
        self.fd = fd
        self.workers = workers
        self.cells = Cells(fd, board_cells(workers, cells_per_worker))
        self._size = region_size(cells_per_worker)
        self.revision = Cell(self.cells, REVISION).get
        self.draining = Cell(self.cells, DRAINING).get
        self.ready = Cell(self.cells, READY).get
        self.keys = Cell(self.cells, KEYS).get
        self.named = NamedCells(self.cells, HEADER + workers * self._size, NAMES)

    @classmethod
    def create(cls, workers: int, cells_per_worker: int = 16384) -> "Board":
        """A new board, all zero, whose inheritable descriptor `fd` is for the workers' `attach`.

        `cells_per_worker` counts the fixed cells and is rounded up to whole cache lines. Raises OSError.
        """
        size = 8 * board_cells(workers, cells_per_worker)
        fd = os.memfd_create("fastgw-board", os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            # A file that shrank under a mapping would kill its readers with SIGBUS.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            os.set_inheritable(fd, True)
            return cls(fd, workers, cells_per_worker)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int, workers: int, cells_per_worker: int = 16384) -> "Board":
        """The board that another process created with the same figures. Takes `fd` over."""
        return cls(fd, workers, cells_per_worker)

    def close(self) -> None:
        """Unmap and close the descriptor. Closing twice is allowed; anything else raises ValueError afterwards."""
        self.cells.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def set_revision(self, revision: int) -> None:
        self.cells.set(REVISION, revision)

    def set_draining(self) -> None:
        self.cells.set(DRAINING, 1)

    def set_ready(self) -> None:
        self.cells.set(READY, 1)

    def set_keys(self, version: int) -> None:
        self.cells.set(KEYS, version)

    def region(self, worker: int) -> Region:
        """Raises IndexError for a worker that the board has no room for."""
        return Region.at(self.cells, self._start(worker), self._size)

    def in_flight(self) -> int:
        """Requests in flight over all workers."""
        return sum(self.cells.get(self._start(worker) + IN_FLIGHT) for worker in range(self.workers))

    def connections(self) -> int:
        """Open client connections over all workers."""
        return sum(self.cells.get(self._start(worker) + CONNECTIONS) for worker in range(self.workers))

    def connections_of(self, worker: int) -> int:
        """Open client connections of one worker."""
        return self.cells.get(self._start(worker) + CONNECTIONS)

    def clear_gauges(self, worker: int) -> None:
        """Forget what a dead worker had open, so that a drain does not wait for it."""
        start = self._start(worker)
        self.cells.set(start + IN_FLIGHT, 0)
        self.cells.set(start + CONNECTIONS, 0)

    def _start(self, worker: int) -> int:
        if not 0 <= worker < self.workers:
            raise IndexError(f"worker {worker} of {self.workers}")
        return HEADER + worker * self._size


def region_size(cells_per_worker: int) -> int:
    """`cells_per_worker`, at least the fixed cells and one more, in whole cache lines."""
    lines = -(-max(cells_per_worker, FIXED + 1) // LINE)
    return lines * LINE


def board_cells(workers: int, cells_per_worker: int) -> int:
    """Cells of a whole board. Raises ValueError without a worker."""
    if workers < 1:
        raise ValueError(f"a gateway has at least one worker, got {workers}")
    return HEADER + workers * region_size(cells_per_worker) + 2 * NAMES
