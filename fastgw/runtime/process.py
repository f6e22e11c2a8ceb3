"""One worker process as the supervisor sees it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import fastgw
from fastgw.runtime.link import Link, Message, Staged

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864"}
"""glibc's own settings return the memory of every large body to the kernel and fault it in again for the next one,
which costs three times what is done with the body. A worker keeps at most this much instead (bytes). The operator's
environment wins; other C libraries ignore it."""
PER_TURN = 32 * 1024
"""What a worker finds at once in its link, roughly: it looks at all of it in one turn of its loop. The kernel doubles
the figure and counts its own overhead in."""
COLLECTOR = (20_000, 50, 100)
"""Thresholds of the garbage collector in all processes: little of what is made is garbage in a cycle, and looking at
everything takes 100 ms with 100,000 rows."""

UNHEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are for the supervisor, also when they are sent to the whole process group."""


def interpreter() -> list[str]:
    """How workers are started. They must not import what happens to lie in the working directory (`-m` looks there
    first), unless the program itself is run from there."""
    first, program = Path(sys.path[0] or "."), Path(fastgw.__file__).parents[1]
    return [sys.executable, *([] if first.absolute() == program else ["-P"]), "-m", "fastgw.runtime.worker"]


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Processes that are started here block `UNHEARD` from their first moment: they would die of them before they can
    say that they ignore them. What arrives here meanwhile is delivered afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """Started with a fresh interpreter: nothing of the supervisor's loop or state is inherited but descriptors.

    `staged` is the newest revision that the worker holds ready, `failed` the one that it could not stage, with the
    reason."""

    def __init__(
        self,
        index: int,
        workers: int,
        cells: int,
        board: int,
        listener: socket.socket,
        handed: socket.socket,
        tables: Iterable[int],
        received: Callable[["WorkerProcess", Message], None],
        gone: Callable[["WorkerProcess"], None],
    ) -> None:
        self.index = index
        self.staged = 0
        self.failed: tuple[int, str] | None = None
        self._received = received
        self._gone = gone
        self._link = Link(self._message, self._lost)
        self._began = time.monotonic()
        self._connected = False
        self._queue: list[Message] = []
        ours, theirs = socket.socketpair()
        self._ours = ours
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PER_TURN)
        with theirs, unheard():
            descriptors = (theirs.fileno(), listener.fileno(), handed.fileno(), board, *tables)
            arguments = [index, workers, cells, *descriptors]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module with numbers as arguments
                    [*interpreter(), *map(str, arguments)],
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    env={**ALLOCATOR, **os.environ},
                )
            except OSError:
                ours.close()
                raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def connect(self, loop: asyncio.AbstractEventLoop, first: Iterable[Message]) -> None:
        """Connect the link and send what the worker needs to start, then what has been queued."""
        await loop.connect_accepted_socket(lambda: self._link, self._ours)
        self._connected = True
        queued, self._queue = self._queue, []
        for message in [*first, *queued]:
            self._link.send(message)

    def send(self, message: Message) -> None:
        """Send a message, or keep it until the link is connected."""
        if self._connected:
            self._link.send(message)
        else:
            self._queue.append(message)

    def write(self, data: bytes) -> None:
        """Send what `frame` made over a connected link."""
        self._link.write(data)

    async def drain(self) -> None:
        """Wait until the worker has taken enough of what was sent, or is gone."""
        await self._link.drain()

    def kill(self) -> None:
        """End a worker that does not answer."""
        self._process.kill()

    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    async def reap(self) -> int:
        """The exit code, once the process is gone. One that only closed its link gets a moment, then is killed."""
        for _ in range(500):
            code = self._process.poll()
            if code is not None:
                return code
            await asyncio.sleep(0.01)
        self._process.kill()
        return await asyncio.to_thread(self._process.wait)

    def _message(self, message: Message) -> None:
        if isinstance(message, Staged):
            if message.error is None:
                self.staged = message.revision
            else:
                self.failed = (message.revision, message.error)
        self._received(self, message)

    def _lost(self) -> None:
        self._gone(self)
