"""Messages between the supervisor and a worker, over one unix socket per worker.

A message is a length (4 bytes, big endian) and a msgpack document with a tag. Both ends are of the same version:
there is no compatibility to keep. A change of the configuration travels as many small messages: neither end is ever
busy with one for long, and who sends many waits for the other end to take them (`drain`).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, cast

import msgspec

from fastgw.core.grants import Grant
from fastgw.http.certificate import Pair
from fastgw.telemetry.metrics import Definition


class Configure(msgspec.Struct, tag=True, frozen=True):
    """To a worker, first of all: the bootstrap configuration, msgpack."""

    config: bytes


class Part(msgspec.Struct, tag=True, frozen=True):
    """To a worker: some rows of one kind, as `encode_value` makes them, of the change with this revision. Deletes come
    first. `bulk`: the change is large. `last`: it is complete; answered by `Staged`."""

    revision: int
    kind: str
    deletes: tuple[str, ...] = ()
    puts: tuple[tuple[str, bytes], ...] = ()
    bulk: bool = False
    last: bool = False


class Serve(msgspec.Struct, tag=True, frozen=True):
    """To a worker: accept connections. It holds everything that the other workers hold."""


class Stop(msgspec.Struct, tag=True, frozen=True):
    """To a worker: accept no more, finish what runs, exit."""


class Started(msgspec.Struct, tag=True, frozen=True):
    """From a worker: it has its bootstrap configuration and can serve, or cannot."""

    error: str | None = None


class Staged(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the revision is ready to serve, or cannot be."""

    revision: int
    error: str | None = None


class Announce(msgspec.Struct, tag=True, frozen=True):
    """From a worker: what a run of its metric cells means."""

    definition: Definition


class FetchKeys(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the key set of an issuer is wanted. `have` is the version that the worker holds (0: none),
    `refused` says that it lacks a key."""

    id: int
    issuer: str
    jwks_uri: str | None
    have: int
    refused: bool


class Keys(msgspec.Struct, tag=True, frozen=True):
    """To a worker: the answer to `FetchKeys` with this `id`. No `document`: the worker has it. It serves for `fresh`
    seconds; for `settled` seconds no newer one can be had."""

    id: int
    version: int = 0
    document: bytes | None = None
    fresh: float = 0.0
    settled: float = 0.0
    error: str | None = None


class Mint(msgspec.Struct, tag=True, frozen=True):
    """From a worker: an access token is wanted."""

    id: int
    grant: Grant


class Minted(msgspec.Struct, tag=True, frozen=True):
    """To a worker: the answer to `Mint` with this `id`: a token that serves for `seconds`, or what went wrong."""

    id: int
    token: str = ""
    seconds: float = 0.0
    failure: Literal["transport", "status", "config", "decode"] | None = None
    detail: str = ""
    status: int = 0
    retry_after: str | None = None


Message = Configure | Pair | Part | Serve | Stop | Started | Staged | Announce | FetchKeys | Keys | Mint | Minted

BUFFERED = 256 * 1024
"""Bytes that may wait for the other end before `drain` waits too."""


class Link(asyncio.Protocol):
    """One end of the socket."""

    def __init__(self, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Event = asyncio.Event()
        self._drained.set()
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)

    def send(self, message: Message) -> None:
        """Queue a message; dropped when the other end is gone."""
        self.write(frame(message))

    def write(self, data: bytes) -> None:
        """Queue what `frame` made; dropped when the other end is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other end has taken enough of what is queued, or is gone."""
        await self._drained.wait()

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(BUFFERED)

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if len(buffer) < end:
                break
            message = self._decoder.decode(bytes(memoryview(buffer)[start + 4 : end]))
            start = end
            self._received(message)
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._drained.set()
        self._lost()


_encoder: Final = msgspec.msgpack.Encoder()


def frame(message: Message) -> bytes:
    """A message as it stands on the wire."""
    data = _encoder.encode(message)
    return len(data).to_bytes(4, "big") + data
