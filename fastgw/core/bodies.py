"""Bodies of answers that aiohttp's client receives."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    import aiohttp


class BodyTooLong(Exception):
    """A body has more bytes than it may have."""


async def whole(response: "aiohttp.ClientResponse", most: int | None = None) -> bytes:
    """The complete body. Raises aiohttp.ClientError when it breaks off, BodyTooLong beyond `most` bytes."""
    data = bytearray()
    async with aclosing(pieces(response)) as arriving:
        async for piece in arriving:
            data += piece
            if most is not None and len(data) > most:
                raise BodyTooLong
    return bytes(data)


async def pieces(response: "aiohttp.ClientResponse") -> AsyncGenerator[bytes, None]:
    """The body as it arrives, in pieces of no particular size; to be closed. Raises aiohttp.ClientError when it breaks
    off.

    aiohttp (3.14) drops a connection on which broken chunks arrive without telling the reader of the body, who would
    wait for the next bytes until a timeout, and who only begins to wait afterwards gets a RuntimeError.
    """
    import aiohttp

    content = response.content
    protocol = response.connection.protocol if response.connection is not None else None

    def lost(closed: "asyncio.Future[None] | None" = None) -> None:
        if closed is not None and not closed.cancelled():
            closed.exception()
        if not content.is_eof() and content.exception() is None:
            reason = protocol.exception() if protocol is not None else None
            content.set_exception(aiohttp.ClientPayloadError(" ".join(str(reason or "connection lost").split())))

    # Without a connection the body is complete, or was closed, which its reader is told.
    end = protocol.closed if protocol is not None else None
    if end is not None:
        end.add_done_callback(lost)
    elif protocol is not None:
        lost()
    try:
        while True:
            try:
                data = await content.readany()
            except RuntimeError as error:
                raise aiohttp.ClientPayloadError(str(error)) from None
            if not data:
                return
            yield data
    finally:
        if end is not None:
            # The connection may serve many further requests.
            end.remove_done_callback(lost)
