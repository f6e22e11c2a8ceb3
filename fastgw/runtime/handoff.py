"""Connections that the supervisor hands to the workers.

The supervisor passes one end of a socket pair, with the address that the connection stands for, through a channel from
which all workers read: whichever is awake first takes it. There is nothing in the file system or on the network that
another process could connect to.
"""

import asyncio
import socket

from fastgw.http.connection import Connection
from fastgw.http.server import Server

MAX_PEER = 64
"""Bytes of the longest text of an IP address, zone included."""


def channel() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end, and the one that all workers inherit. Messages keep their borders and wait for a taker."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def hand_over(sender: socket.socket, peer: str) -> socket.socket:
    """A connection to some worker, for which it comes from `peer`. Raises OSError when too many wait for a taker."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            ours.setblocking(False)
            # Never empty: an empty message is how the end of the channel looks.
            socket.send_fds(sender, [b"@" + peer.encode()[: MAX_PEER - 1]], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
    return ours


class Handed(Connection):
    """A connection whose other end is the supervisor, speaking for `peer`."""

    __slots__ = ("_speaks_for",)

    def __init__(self, server: Server, speaks_for: str) -> None:
        super().__init__(server)
        self._speaks_for = speaks_for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = self._speaks_for


class Taker:
    """A worker's side: takes connections from the channel for `server` until stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receiver: socket.socket, server: Server) -> None:
        self._loop = loop
        self._receiver = receiver
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(receiver.fileno(), self._ready)

    def stop(self) -> None:
        """Take no more; what waits is left to the others."""
        self._loop.remove_reader(self._receiver.fileno())
        self._receiver.close()

    def _ready(self) -> None:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._receiver, MAX_PEER, 1)
        except (BlockingIOError, InterruptedError):
            return
        if not descriptors:
            # Out of descriptors, or the end of the channel. The other end sees its connection closed.
            if not text:
                self.stop()
            return
        client = socket.socket(fileno=descriptors[0])
        client.setblocking(False)
        task = self._loop.create_task(self._adopt(client, text[1:].decode()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, client: socket.socket, peer: str) -> None:
        await self._loop.connect_accepted_socket(lambda: Handed(self._server, peer), client)
