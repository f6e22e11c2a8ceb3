"""Log lines: one event per line on stderr, in the shape that operators' parsers know.

    <RFC 3339 UTC> <LEVEL> [request{request_id=<id>}: ]<target>: <message> key=value key="text" ...

Strings are quoted with controls escaped, numbers and booleans are bare, fields without a value are left out. With a
loop, lines are collected and written together a tenth of a second later; without one at once.
"""

import asyncio
import os
import re
import stat
import time
import traceback
from typing import Any

import orjson

LEVELS = {"off": 0, "error": 1, "warn": 2, "info": 3, "debug": 4, "trace": 5}
_NAMES = {1: "ERROR", 2: " WARN", 3: " INFO", 4: "DEBUG", 5: "TRACE"}
# Text that is its own JSON spelling.
_PLAIN = re.compile(r"[ !#-\[\]-~]*").fullmatch
FLUSH_SECONDS = 0.1
BATCH = 256
"""Lines of one write."""
MAX_PENDING = 65536
"""Lines kept while stderr does not take them; the rest is dropped and counted."""

# What operators grep for bare in lines about callers.
_BARE = frozenset({"reason", "http_method", "path", "request_id", "source_ip"})


def parse_level(directives: str) -> int:
    """The level of a comma-separated list of `level` or `target=level`: the last bare level, else info.

    Raises ValueError for a word that is no level."""
    chosen = LEVELS["info"]
    for directive in filter(None, (part.strip() for part in directives.split(","))):
        target, found, word = directive.rpartition("=")
        level = LEVELS.get(word.strip().lower())
        if level is None:
            raise ValueError(f"unknown log level in {directive!r}")
        if not found or target.strip() == "fastgw":
            chosen = level
    return chosen


class Log:
    """Writes lines at or below a level."""

    def __init__(self, level: int, loop: asyncio.AbstractEventLoop | None = None, fd: int = 2) -> None:
        self.level = level
        self.access = level >= LEVELS["info"]
        self._loop = loop
        self._fd = unblocked(fd) if loop is not None else fd
        self._lines: list[bytes] = []
        self._unwritten = b""
        self._scheduled = False
        self.dropped = 0
        self._next: dict[str, float] = {}
        self._second = -1
        self._stamp = ""

    def error(self, target: str, message: str, **fields: Any) -> None:
        """Something is broken."""
        if self.level >= 1:
            self._write(1, target, message, fields)

    def warn(self, target: str, message: str, **fields: Any) -> None:
        """Something is degraded, or was refused for good reason."""
        if self.level >= 2:
            self._write(2, target, message, fields)

    def info(self, target: str, message: str, **fields: Any) -> None:
        """Something happened as it should."""
        if self.level >= 3:
            self._write(3, target, message, fields)

    def debug(self, target: str, message: str, **fields: Any) -> None:
        """Something that only matters when looking for a fault."""
        if self.level >= 4:
            self._write(4, target, message, fields)

    def defect(self, what: str, error: BaseException, request_id: bytes | None = None) -> None:
        """A bug: one line with the place it came from, never the values involved."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
        identity = request_id.decode() if request_id else None
        self.error("fastgw", what, defect=type(error).__name__, place=place, request_id=identity)

    def denied(self, level: int, message: str, **fields: Any) -> None:
        """A caller was turned away."""
        if self.level >= level:
            self._write(level, "fastgw::auth", message, fields, bare=_BARE)

    def request(self, request_id: str, message: str, fields: dict[str, Any]) -> None:
        """An info line about one request."""
        self._write(3, "fastgw::proxy", message, fields, span=request_id)

    def permit(self, what: str, seconds: float) -> bool:
        """True at most once in `seconds` for each `what`: for lines that a flood would repeat."""
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + seconds
        return True

    def flush(self) -> None:
        """Write what is pending."""
        self._scheduled = False
        while self._unwritten or self._lines:
            if not self._unwritten:
                self._unwritten = b"".join(self._lines[:BATCH])
                del self._lines[:BATCH]
            try:
                self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]
            except BlockingIOError:
                if self._loop is not None:
                    self._schedule()
                return
            except OSError:
                self._unwritten = b""

    def _write(
        self,
        level: int,
        target: str,
        message: str,
        fields: dict[str, Any],
        span: str = "",
        bare: frozenset[str] = frozenset(),
    ) -> None:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        context = f"request{{request_id={span}}}: " if span else ""
        parts = [f"{self._stamp}.{int((now - second) * 1e6):06d}Z {_NAMES[level]} {context}{target}: {message}"]
        parts.extend(
            f"{key}={escaped(value) if key in bare else shown(value)}"
            for key, value in fields.items()
            if value is not None
        )
        if len(self._lines) >= MAX_PENDING:
            self.dropped += 1
            return
        self._lines.append((" ".join(parts) + "\n").encode("utf-8", "replace"))
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is None:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_later(FLUSH_SECONDS, self.flush)


def unblocked(fd: int) -> int:
    """A descriptor for the same pipe that never waits for its reader: one that stalls must not stop a worker.

    The pipe is opened anew, because the flag on `fd` itself would change it for every process that shares it. Anything
    but a pipe, and a system that cannot do this, gets `fd` back.
    """
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return fd


def shown(value: Any) -> str:
    """A field value: numbers and booleans bare, text quoted."""
    if type(value) is str and _PLAIN(value):
        return f'"{value}"'
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else str(value)
    return orjson.dumps(text.encode("utf-8", "replace").decode()).decode()


def escaped(value: Any) -> str:
    """A bare value that cannot break the line."""
    return shown(str(value))[1:-1].replace(" ", "\\u0020")
