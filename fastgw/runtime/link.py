"""Messages between the supervisor and a worker, over one unix socket per worker.

A message is a length (4 bytes, big endian) and a msgpack document with a tag. Both ends are of the same version:
there is no compatibility to keep.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, cast

import msgspec

from fastgw.core.grants import Grant
from fastgw.http.certificate import Pair
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


Message = Configure | Pair | Stop | Staged | Announce | FetchKeys | Keys | Mint | Minted


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
