"""A small asyncio client and a closed-loop load in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Broken(Exception):
    """The connection ended before the answer did."""


class Client:
    """Keep-alive connection that is opened when needed. Nothing is ever sent twice."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, data: bytes) -> Reply:
        """One request and its answer. Raises ConnectionRefusedError when nothing was sent, Broken afterwards."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self._reader, self._writer
        assert reader is not None
        try:
            writer.write(data)
            reply = await self._answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(repr(error)) from None
        except BaseException:
            self.close()
            raise
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    async def stream(self, data: bytes) -> list[tuple[float, bytes]]:
        """The chunks of a streamed answer with their times. Raises Broken when it is not complete."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        chunks: list[tuple[float, bytes]] = []
        try:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Broken(repr(head))
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunks.append((time.monotonic(), (await reader.readexactly(size + 2))[:-2]))
            await reader.readexactly(2)
            return chunks
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Broken(repr(error)) from None
        finally:
            writer.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _answer(self, reader: asyncio.StreamReader) -> Reply:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await reader.readuntil(b"\r\n"), 16):
                parts.append((await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
            body = b"".join(parts)
        else:
            body = await reader.readexactly(int(headers["content-length"]))
        return Reply(int(lines[0].split(" ")[1]), headers, body)


@dataclass
class Load:
    """What a closed loop met. `refused` connects are retried, everything else that fails is in `failures`."""

    port: int
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    stopping: bool = False

    @property
    def answered(self) -> int:
        """Whole answers so far."""
        return sum(self.statuses.values())

    async def run(self, connections: int, make: Callable[[], bytes], check: Callable[[Reply], str | None]) -> None:
        """Ask on each connection until stopping; `check` returns what is wrong with an answer."""
        await asyncio.gather(*(self._one(make, check) for _ in range(connections)))

    async def _one(self, make: Callable[[], bytes], check: Callable[[Reply], str | None]) -> None:
        client = Client(self.port)
        while not self.stopping:
            try:
                reply = await asyncio.wait_for(client.request(make()), 20)
            except ConnectionRefusedError:
                self.refused += 1
                await asyncio.sleep(0.01)
                continue
            except (Broken, OSError, TimeoutError) as error:
                self.failures.append(repr(error))
                continue
            self.statuses[reply.status] += 1
            flaw = check(reply)
            if flaw is not None:
                self.failures.append(flaw)
        client.close()


def only_200(reply: Reply) -> str | None:
    """Everything but a 200 is a failure."""
    return None if reply.status == 200 else f"{reply.status}: {reply.body[:200]!r}"


@contextmanager
def load(
    port: int, connections: int, make: Callable[[], bytes], check: Callable[[Reply], str | None] = only_200
) -> Iterator[Load]:
    """A load that runs in the background until the block ends."""
    running = Load(port)
    thread = threading.Thread(target=lambda: asyncio.run(running.run(connections, make, check)), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.stopping = True
        thread.join(25)
        assert not thread.is_alive(), "the load does not end"
