"""The copy on disk from which a gateway starts when etcd cannot be read.

    {"version": 1, "revision": 42,
     "entries": [{"key": "/p/models/a", "value_b64": "e30=", "revision": 40}],
     "stale":   [{"key": "/p/models/b", "value_b64": "e30=", "revision": 17, "since_unix_secs": 1790000000}]}

`entries` are the observed bytes of every key, `stale` the documents that serve in place of one that cannot be used. The
file holds credentials, as etcd does: only its owner may read it.
"""

import asyncio
import base64
import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import orjson

from fastgw.resources.etcd.ledger import Pin, Record, canonical
from fastgw.resources.etcd.wire import KeyValue

VERSION: Final = 1
PAUSE_SECONDS: Final = 0.1
"""At least this long between two writes."""
PAUSE_FACTOR: Final = 9.0
"""And at least this many times what the last one took, so that a large file is not written all the time."""
FAILED_SECONDS: Final = 5.0
_ROWS: Final = 200


class CacheError(Exception):
    """The file cannot be used; the text says why without any of its content."""


class Cached(NamedTuple):
    """What the file held: entries ascending by key, pins by key."""

    revision: int
    entries: list[KeyValue]
    pins: dict[bytes, Pin]


Revision = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Unix seconds of a year with four digits."""


class _Row(msgspec.Struct):
    key: str
    value: bytes = msgspec.field(name="value_b64")
    revision: Revision = 0
    since: Instant = msgspec.field(name="since_unix_secs", default=0)


class _Document(msgspec.Struct):
    version: int
    revision: Revision
    entries: list[_Row]
    stale: list[_Row] = []


def read_cache(path: Path) -> Cached | None:
    """The file's content; None when there is no file. Raises CacheError."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(error.strerror or type(error).__name__) from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CacheError("not a configuration cache") from None
    if document.version != VERSION:
        raise CacheError(f"version {document.version} is not known")
    entries = {row.key.encode(): KeyValue(row.key.encode(), row.value, row.revision) for row in document.entries}
    pins = {row.key.encode(): Pin(row.value, canonical(row.value), row.revision, row.since) for row in document.stale}
    return Cached(document.revision, [entries[key] for key in sorted(entries)], pins)


def write_cache(path: Path, revision: int, records: Mapping[bytes, Record]) -> None:
    """Replace the file: readers see the old one or the new one, also after a crash. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    # Made new, so that neither a link nor the mode of a left-over can lead the content elsewhere.
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(_encode(revision, records))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    # The new name has to survive a crash, too.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _encode(revision: int, records: Mapping[bytes, Record]) -> Iterator[bytes]:
    """The document, in pieces of some hundred rows: the thread that writes takes turns with the others."""
    yield b'{"version":%d,"revision":%d,"entries":[' % (VERSION, revision)
    yield from _blocks(_line(key, record.value, record.revision) for key, record in records.items())
    yield b'],"stale":['
    pins = ((key, record.pin) for key, record in records.items() if record.pin is not None)
    yield from _blocks(_line(key, pin.value, pin.revision, b',"since_unix_secs":%d' % pin.since) for key, pin in pins)
    yield b"]}"


def _line(key: bytes, value: bytes, revision: int, more: bytes = b"") -> bytes:
    try:
        name = orjson.dumps(key.decode())
    except UnicodeDecodeError:
        # No resource can have such a key, and the format has no place for it.
        return b""
    return b'{"key":%b,"value_b64":"%b","revision":%d%b}' % (name, base64.b64encode(value), revision, more)


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    separator = b""
    for line in filter(None, lines):
        block.append(line)
        if len(block) >= _ROWS:
            yield separator + b",".join(block)
            separator = b","
            block.clear()
    if block:
        yield separator + b",".join(block)


class SnapshotCache:
    """Keeps the file up to date from another thread. `content` gives a copy of what to write; changes that come while a
    write is under way share the next one. `failed` hears of a write that did not work; it is tried again."""

    def __init__(
        self,
        path: Path,
        content: Callable[[], tuple[int, Mapping[bytes, Record]]],
        failed: Callable[[OSError], None],
    ) -> None:
        self._path = path
        self._content = content
        self._failed = failed
        self._wanted = self._written = 0
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()

    def changed(self) -> None:
        """There is something new to write."""
        self._wanted += 1
        self._wake.set()

    def close(self) -> None:
        """Nothing new will come: `run` returns once everything is written, or could not be."""
        self._closing.set()
        self._wake.set()

    async def run(self) -> None:
        """Write until closed. The first change after a pause is written at once."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            closing = self._closing.is_set()
            pause = 0.0
            if self._written != self._wanted:
                pause = await self._write()
            if closing:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()

    async def _write(self) -> float:
        """Seconds to leave the disk alone."""
        (revision, records), wanted = self._content(), self._wanted
        began = time.monotonic()
        try:
            await asyncio.to_thread(write_cache, self._path, revision, records)
        except OSError as error:
            self._failed(error)
            self._wake.set()
            return FAILED_SECONDS
        self._written = wanted
        return max(PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))
