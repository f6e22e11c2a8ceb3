"""The listeners that the supervisor serves itself: status and metrics, and admin."""

import asyncio
import socket

from fastgw._speedups.head import Request
from fastgw.config.schema import Config
from fastgw.http.certificate import Certificate
from fastgw.http.connection import Connection, Served
from fastgw.http.pages import Answer, PageExchange, PageListener
from fastgw.runtime.admin import PLAYGROUND, AdminPages
from fastgw.runtime.forward import Forward
from fastgw.runtime.handoff import hand_over
from fastgw.runtime.status import StatusPages

CHAT = b"/v1/chat/completions"


class Surfaces:
    """`sender` is where connections for workers are handed over (see runtime.handoff)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config, sender: socket.socket) -> None:
        self._loop = loop
        self._idle_timeout = float(config.downstream.idle_timeout_secs)
        self._sender = sender
        self._listeners: list[PageListener] = []
        self._forwards: set[Forward] = set()

    @property
    def in_flight(self) -> int:
        """Requests that a worker answers through this process."""
        return len(self._forwards)

    def serve_status(self, listener: socket.socket, pages: StatusPages) -> None:
        """Answer on the socket of the metrics and status listener."""

        def make(connection: Connection, request: Request) -> Served:
            return PageExchange(self._loop, connection, request, pages.answer)

        self._listeners.append(PageListener(self._loop, listener, make, idle_timeout=self._idle_timeout))

    def serve_admin(self, listener: socket.socket, pages: AdminPages, certificate: Certificate | None) -> None:
        """Answer on the socket of the admin listener."""
        answer: Answer = pages.answer

        def make(connection: Connection, request: Request) -> Served:
            if request.path == PLAYGROUND and request.method == b"POST":
                return self._forward(connection, request)
            return PageExchange(self._loop, connection, request, answer)

        self._listeners.append(
            PageListener(
                self._loop,
                listener,
                make,
                idle_timeout=self._idle_timeout,
                tls=(lambda: None) if certificate is None else certificate.context,
            )
        )

    def stop(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.stop()

    def busy(self) -> bool:
        """Drop idle connections; whether there are others."""
        return sum(listener.busy() for listener in self._listeners) > 0

    def _forward(self, connection: Connection, request: Request) -> Forward:
        forward = Forward(
            self._loop,
            connection,
            request,
            CHAT,
            lambda peer: hand_over(self._sender, peer),
            self._forwards.discard,
        )
        self._forwards.add(forward)
        return forward
