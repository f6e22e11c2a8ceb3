"""Log lines: one event per line on stderr, in the shape that operators' parsers know.

    <RFC 3339 UTC> <LEVEL> [request{request_id=<id>}: ]<target>: <message> key=value key="text" ...

Strings are quoted with controls escaped, numbers and booleans are bare, fields without a value are left out. With a
loop, lines are collected and written together a tenth of a second later; without one at once. `close` waits a moment
for a reader that is behind.
"""

import asyncio
import os
import select
import stat
import time
import traceback
from threading import get_ident
from typing import Any

from fastgw._speedups.loglines import Backlog, inside, moment
from fastgw.telemetry.levels import LEVELS, Levels

_NAMES = {1: "ERROR", 2: " WARN", 3: " INFO", 4: "DEBUG", 5: "TRACE"}
FLUSH_SECONDS = 0.1
BATCH = 65536
"""Bytes of one write to a file."""
PIPE_BATCH = select.PIPE_BUF
"""Bytes of one write to a pipe, which up to this size never mixes with what other processes write (pipe(7))."""
MAX_PENDING = 65536
"""Lines kept while stderr does not take them; the rest is dropped and counted."""
CLOSE_SECONDS = 1.0
"""How long `close` waits for the reader of a pipe that is full."""
PROXY = "fastgw::proxy"

# What operators grep for bare in lines about callers.
_BARE = frozenset({"reason", "http_method", "path", "request_id", "source_ip"})


class Log:
    """Writes lines at or below a level. `access`: lines about single requests are wanted; whoever makes them, in the
    thread of the loop, adds them to `backlog`."""

    def __init__(self, levels: Levels | int, loop: asyncio.AbstractEventLoop | None = None, fd: int = 2) -> None:
        self._levels = levels if isinstance(levels, Levels) else Levels(levels)
        self._of: dict[str, int] = {}
        self.access = self.enabled("info", PROXY)
        self._loop = loop
        self._thread = get_ident()
        self._fd = unblocked(fd) if loop is not None else fd
        self._batch = PIPE_BATCH if is_pipe(fd) else BATCH
        self.backlog = Backlog(MAX_PENDING, self._schedule)
        self._unwritten = b""
        self._told = 0
        self._next: dict[str, float] = {}

    def enabled(self, level: str, target: str) -> bool:
        """Whether lines of this level and target are written."""
        return LEVELS[level] <= self._level(target)

    def error(self, target: str, message: str, **fields: Any) -> None:
        """Something is broken."""
        if self._level(target) >= 1:
            self._write(1, target, message, fields)

    def warn(self, target: str, message: str, **fields: Any) -> None:
        """Something is degraded, or was refused for good reason."""
        if self._level(target) >= 2:
            self._write(2, target, message, fields)

    def info(self, target: str, message: str, **fields: Any) -> None:
        """Something happened as it should."""
        if self._level(target) >= 3:
            self._write(3, target, message, fields)

    def debug(self, target: str, message: str, **fields: Any) -> None:
        """Something that only matters when looking for a fault."""
        if self._level(target) >= 4:
            self._write(4, target, message, fields)

    def defect(self, what: str, error: BaseException, request_id: bytes | None = None) -> None:
        """A bug: one line with the place it came from, never the values involved."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
        identity = request_id.decode() if request_id else None
        self.error("fastgw", what, defect=type(error).__name__, place=place, request_id=identity)

    def denied(self, level: int, message: str, **fields: Any) -> None:
        """A caller was turned away."""
        if self._level("fastgw::auth") >= level:
            self._write(level, "fastgw::auth", message, fields, bare=_BARE)

    def put(self, line: bytes) -> None:
        """A whole line that the caller has made up, with its end. From any thread."""
        if self._loop is not None and get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.put, line)
        else:
            self.backlog.put(line)

    def permit(self, what: str, seconds: float) -> bool:
        """True at most once in `seconds` for each `what`: for lines that a flood would repeat."""
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + seconds
        return True

    def flush(self) -> None:
        """Write what is pending. What the reader does not take now is written when it does."""
        self.backlog.idle = True
        if self._drain():
            return
        self.backlog.idle = False
        loop = self._loop
        if loop is not None:
            try:
                loop.add_writer(self._fd, self._writable)
            except (OSError, ValueError, NotImplementedError):
                loop.call_later(FLUSH_SECONDS, self.flush)

    def close(self) -> None:
        """Write what is pending, waiting for at most CLOSE_SECONDS."""
        end = time.monotonic() + CLOSE_SECONDS
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not self._drain():
            left = end - time.monotonic()
            if left <= 0:
                return
            poll.poll(left * 1000)

    def _writable(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._fd)
        self.flush()

    def _drain(self) -> bool:
        """False when the reader takes no more for now."""
        backlog = self.backlog
        while self._unwritten or backlog:
            if not self._unwritten:
                self._unwritten = backlog.take(self._batch)
            try:
                self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]
            except BlockingIOError:
                return False
            except OSError:
                self._unwritten = b""
            if backlog.dropped > self._told and not backlog:
                lost, self._told = backlog.dropped - self._told, backlog.dropped
                self.warn("fastgw", "log lines were dropped because stderr did not take them", dropped=lost)
        return True

    def _write(
        self,
        level: int,
        target: str,
        message: str,
        fields: dict[str, Any],
        bare: frozenset[str] = frozenset(),
    ) -> None:
        parts = [f"{_NAMES[level]} {target}: {message}"]
        parts.extend(
            f"{key}={escaped(value) if key in bare else shown(value)}"
            for key, value in fields.items()
            if value is not None
        )
        self.put(b"%b %b\n" % (moment(), " ".join(parts).encode("utf-8", "replace")))

    def _level(self, target: str) -> int:
        level = self._of.get(target)
        if level is None:
            level = self._of[target] = self._levels.of(target)
        return level

    def _schedule(self) -> None:
        if self._loop is None:
            self.flush()
        else:
            self._loop.call_later(FLUSH_SECONDS, self.flush)


def unblocked(fd: int) -> int:
    """A descriptor for the same pipe that never waits for its reader: one that stalls must not stop a worker.

    The pipe is opened anew, because the flag on `fd` itself would change it for every process that shares it. Anything
    but a pipe, and a system that cannot do this, gets `fd` back.
    """
    if not is_pipe(fd):
        return fd
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return fd


def is_pipe(fd: int) -> bool:
    """False also for a descriptor that is closed: a program may be started without stderr."""
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def shown(value: Any) -> str:
    """A field value: numbers and booleans bare, text quoted."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return f'"{_inside(value)}"'


def escaped(value: Any) -> str:
    """A bare value that cannot break the line."""
    return _inside(value).replace(" ", "\\u0020")


def _inside(value: Any) -> str:
    return inside(value if isinstance(value, str) else str(value)).decode()
