"""Content codings of upstream answers. None is asked for, but something in between may have applied one."""

import zlib
from typing import TYPE_CHECKING

from fastgw.core.errors import UpstreamFailure, decode_error, stream_aborted

if TYPE_CHECKING:
    from fastgw.gateway.relay import StreamRelay

SLICE = 65536
MAX_PER_READ = 16 * 1024 * 1024
"""Bytes that one read of a compressed stream may unpack to; more is a decode error."""


def inflater(coding: bytes | None) -> "zlib._Decompress | None":
    """What unpacks a body with this Content-Encoding, None when it is plain. Raises a decode error when unknown."""
    if coding is None or coding.lower() == b"identity":
        return None
    if coding.lower() not in (b"gzip", b"x-gzip"):
        raise decode_error("content encoding is not supported")
    return zlib.decompressobj(wbits=31)


def unpack(body: bytes, coding: bytes | None, limit: int) -> bytes:
    """A whole body without its coding. Raises a decode error, also for more than `limit` bytes."""
    inflate = inflater(coding)
    if inflate is None:
        return body
    plain = bytearray()
    try:
        # What is behind a member is copied with every member, so it is read in slices.
        for start in range(0, len(body), SLICE):
            rest = body[start : start + SLICE]
            while rest and len(plain) <= limit:
                inflate = continued(inflate)
                plain += inflate.decompress(rest, limit - len(plain) + 1)
                rest = inflate.unused_data
    except zlib.error as error:
        raise decode_error(str(error)) from None
    if len(plain) > limit or not inflate.eof:
        raise decode_error("compressed body is truncated or too large")
    return bytes(plain)


def unpack_start(body: bytes, coding: bytes | None, limit: int) -> bytes:
    """At most the first `limit` bytes of an error body, which may be cut short; empty when they cannot be read."""
    try:
        inflate = inflater(coding)
        return body[:limit] if inflate is None else inflate.decompress(body, limit)
    except (UpstreamFailure, zlib.error):
        return b""


def continued(inflate: "zlib._Decompress") -> "zlib._Decompress":
    """What unpacks the next bytes: gzip data may be several members in a row (RFC 1952 §2.2)."""
    return zlib.decompressobj(wbits=31) if inflate.eof else inflate


class Inflating:
    """A sink that unpacks a stream for the relay behind it."""

    __slots__ = ("_inflate", "_relay")

    def __init__(self, relay: "StreamRelay", inflate: "zlib._Decompress") -> None:
        self._relay = relay
        self._inflate = inflate

    def feed(self, data: bytes) -> None:
        relay, room = self._relay, MAX_PER_READ
        while data and not relay.over:
            inflate = self._inflate = continued(self._inflate)
            try:
                plain = inflate.decompress(data, SLICE)
            except zlib.error as error:
                relay.broke(decode_error(str(error)))
                return
            room -= len(plain)
            if room < 0:
                relay.broke(decode_error("compressed stream is too large"))
                return
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if plain:
                relay.feed(plain)

    def ended(self) -> None:
        if self._inflate.eof:
            self._relay.ended()
        else:
            self._relay.broke(stream_aborted())

    def broke(self, failure: UpstreamFailure) -> None:
        self._relay.broke(failure)
