"""Idle upstream connections, newest first, and the way to a new one.

One `Pool` per origin and TLS setting, kept by `Pools` for the life of a worker: a reload changes who uses a
pool, never its connections. aiohttp's connector dials (DNS cache, happy eyeballs, TLS); its own idle pool is not
used, because it hands out the stalest connection and its session costs more than the rest of a request.
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass

from aiohttp import ClientConnectorError, ClientError, ClientRequest, ClientSSLError, ClientTimeout, TCPConnector
from yarl import URL

from fastgw.core.errors import transport_error
from fastgw.upstream.connection import UpstreamConnection

LINGER_SECONDS = 1.0
"""How long a connection may take to end a message whose useful part is over before it is closed."""
_NO_TIMEOUT = ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: equal origins share a pool. `tls` is None for plain http."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Times in seconds. `idle_timeout` 0 means that the gateway never expires an idle connection."""

    connect_timeout: float = 5.0
    idle_timeout: float = 30.0
    max_idle: int | None = None
    keepalive: tuple[int, int, int] = (60, 30, 5)


class Pool:
    """Connections to one origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connector: TCPConnector, origin: Origin, s: PoolSettings):
        self._loop = loop
        self._connector = connector
        self._settings = s
        self._url = URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)
        self._tls = origin.tls
        self._idle: list[UpstreamConnection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self.connections: set[UpstreamConnection] = set()

    def take(self) -> UpstreamConnection | None:
        """The most recently used idle connection that still lives, or None. O(1) plus dead ones dropped."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            now = self._loop.time()
            limit = self._settings.idle_timeout
            if connection.usable(now) and (not limit or now - connection.idle_since <= limit):
                return connection
            connection.close()
        return None

    async def dial(self) -> UpstreamConnection:
        """A new connection. Raises a transport error (DNS, TCP, TLS, or no success in time)."""
        limit = self._settings.connect_timeout
        try:
            async with asyncio.timeout(limit or None):
                request = ClientRequest(
                    "POST", self._url, loop=self._loop, ssl=self._tls if self._tls is not None else True
                )
                lease = await self._connector.connect(request, [], _NO_TIMEOUT)
        except TimeoutError:
            raise transport_error(f"connect timed out after {round(limit * 1000)}ms") from None
        except ClientSSLError as error:
            raise transport_error(f"TLS failure, certificate not accepted or handshake failed: {error}") from error
        except ClientConnectorError as error:
            reason = error.os_error
            text = os.strerror(reason.errno) if reason.errno and reason.errno > 0 else str(reason)
            raise transport_error(f"cannot connect to {error.host}:{error.port}: {text}") from error
        except (ClientError, OSError, ValueError) as error:
            raise transport_error(str(error) or type(error).__name__) from error
        protocol = lease.protocol
        transport = protocol.transport if protocol is not None else None
        if transport is None:
            lease.close()
            raise transport_error("connection closed while it was being opened")
        connection = UpstreamConnection(self, transport, lease)
        self._tune(transport)
        transport.set_protocol(connection)
        self.connections.add(connection)
        if transport.is_closing():
            connection.close()
            raise transport_error("connection closed while it was being opened")
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is complete."""
        limit = self._settings.max_idle
        if limit is not None and len(self._idle) >= limit:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None and self._settings.idle_timeout:
            self._sweeper = self._loop.call_later(self._settings.idle_timeout, self._sweep)

    def linger(self, connection: UpstreamConnection) -> None:
        """Give a connection a moment to reach the end of its message."""
        self._loop.call_later(LINGER_SECONDS, self._stop_lingering, connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close every connection, idle or not."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self.connections):
            connection.close()

    def _tune(self, transport: asyncio.Transport) -> None:
        raw = transport.get_extra_info("socket")
        idle, interval, probes = self._settings.keepalive
        if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
            return
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not idle:
            return
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", probes)):
            if hasattr(socket, option) and value:
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def _stop_lingering(self, connection: UpstreamConnection) -> None:
        if connection.lingering:
            connection.close()

    def _sweep(self) -> None:
        # The list is ordered by idle_since (newest last), so the expired ones are at its start.
        self._sweeper = None
        limit, now = self._settings.idle_timeout, self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= limit:
            self._idle[0].close()
        if self._idle:
            wait = limit - (now - self._idle[0].idle_since)
            self._sweeper = self._loop.call_later(max(wait, 0.01), self._sweep)


class Pools:
    """All pools of a worker, by origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: PoolSettings) -> None:
        self._loop = loop
        self._settings = settings
        self._connector = TCPConnector(limit=0, force_close=True, ttl_dns_cache=30, use_dns_cache=True)
        self._pools: dict[Origin, Pool] = {}

    def get(self, origin: Origin) -> Pool:
        """The pool of an origin, made on first use."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(self._loop, self._connector, origin, self._settings)
        return pool

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()
        await self._connector.close()
