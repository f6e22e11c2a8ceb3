"""Messages between the supervisor and a worker, over one unix socket per worker.

A message is a length (4 bytes, big endian) and a msgpack document with a tag. Both ends are of the same version:
there is no compatibility to keep.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

from fastgw.telemetry.metrics import Definition


class Configure(msgspec.Struct, tag=True, frozen=True):
    """To a worker: hold this configuration ready. `config` and `resources` are msgpack."""

    revision: int
    config: bytes
    resources: bytes


class Stop(msgspec.Struct, tag=True, frozen=True):
    """To a worker: accept no more, finish what runs, exit."""


class Staged(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the revision is ready to serve, or cannot be."""

    revision: int
    error: str | None = None


class Announce(msgspec.Struct, tag=True, frozen=True):
    """From a worker: what a run of its metric cells means."""

    definition: Definition


Message = Configure | Stop | Staged | Announce


class Link(asyncio.Protocol):
    """One end of the socket."""

    def __init__(self, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)

    def send(self, message: Message) -> None:
        """Queue a message; dropped when the other end is gone."""
        data = self._encoder.encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            end = 4 + int.from_bytes(buffer[:4], "big")
            if len(buffer) < end:
                return
            message = self._decoder.decode(memoryview(buffer)[4:end].tobytes())
            del buffer[:end]
            self._received(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()
