"""Idle upstream connections, newest first, and the way to a new one.

One `Pool` per origin and TLS setting, kept by `Pools`: a reload keeps the connections of every origin that is still
configured. aiohttp's connector dials (DNS cache, happy eyeballs, TLS, CONNECT through a forward proxy); its own idle
pool is not used, because it hands out the stalest connection and its session costs more than the rest of a request.
"""

import asyncio
import os
import socket
import ssl
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientRequest,
    ClientSSLError,
    ClientTimeout,
    TCPConnector,
)
from yarl import URL

from fastgw.core.deadlines import Deadlines
from fastgw.core.errors import transport_error, upstream_timeout
from fastgw.core.proxies import Proxies, Proxy
from fastgw.upstream.connection import UpstreamConnection

MAX_KEEPALIVE_SECONDS, MAX_KEEPALIVE_PROBES = 32767, 127
"""Linux refuses sockets that are to wait longer."""
LINGER_SECONDS = 1.0
"""How long a connection may take to end a message whose useful part is over before it is closed."""
MAX_VISITED = 64
"""Origins that only redirects lead to whose connections are kept; the one visited longest ago goes first."""
_NO_TIMEOUT = ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: equal origins share a pool. `tls` is None for plain http. The proxy in between follows from
    the rest and is no part of it."""

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
    """Connections to one origin, through `proxy` when there is one. `forwarding`: the proxy reads the requests, there
    is no tunnel. `generation` is the last one of `Pools` that wanted it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connector: TCPConnector,
        origin: Origin,
        settings: PoolSettings,
        lingering: Deadlines[UpstreamConnection],
        proxy: Proxy | None = None,
    ) -> None:
        self._loop = loop
        self._connector = connector
        self._settings = settings
        self._origin = origin
        self._proxy = proxy
        self._lingering = lingering
        self._idle: list[UpstreamConnection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._retired = False
        self.forwarding = proxy is not None and origin.scheme == "http"
        self.connections: set[UpstreamConnection] = set()
        self.generation = 0

    def addressed(self, head: bytes, authority: str) -> bytes:
        """A request head for whoever is at the other end. A proxy without a tunnel wants the target in absolute form
        and its own credential (RFC 9112 §3.2.2, RFC 9110 §11.7.2)."""
        proxy = self._proxy
        if proxy is None or not self.forwarding:
            return head
        line, _, fields = head.partition(b"\r\n")
        method, target, version = line.split(b" ")
        start = b"%b http://%b%b %b\r\n" % (method, authority.encode("ascii"), target, version)
        if proxy.authorization is not None:
            start += b"Proxy-Authorization: %b\r\n" % proxy.authorization.encode("ascii")
        return start + fields

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

    async def dial(self, *, direct: bool = False) -> UpstreamConnection:
        """A new connection. Raises a transport error (DNS, TCP, TLS, or no success in time); for `direct` no success in
        time is a passed deadline."""
        limit = self._settings.connect_timeout
        try:
            async with asyncio.timeout(limit or None):
                lease = await self._connector.connect(self._way(), [], _NO_TIMEOUT)
        except TimeoutError:
            milliseconds = round(limit * 1000)
            if direct:
                raise upstream_timeout(milliseconds, "connect") from None
            raise transport_error(f"connect timed out after {milliseconds}ms") from None
        except ClientSSLError as error:
            raise transport_error(f"TLS failure, certificate not accepted or handshake failed: {error}") from error
        except ClientConnectorError as error:
            reason = error.os_error
            text = os.strerror(reason.errno) if reason.errno and reason.errno > 0 else str(reason)
            raise transport_error(f"cannot connect to {error.host}:{error.port}: {text}") from error
        except ClientHttpProxyError as error:
            raise transport_error(f"the proxy answered {error.status} to CONNECT") from None
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
        if self._lingering.due:
            self._lingering.discard(connection)
        if self._retired or (limit is not None and len(self._idle) >= limit):
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None and self._settings.idle_timeout:
            self._sweeper = self._loop.call_later(self._settings.idle_timeout, self._sweep)

    def linger(self, connection: UpstreamConnection) -> None:
        """Give a connection a moment to reach the end of its message."""
        self._lingering.add(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self._lingering.discard(connection)
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self) -> None:
        """Nobody is to come here any more: idle connections are closed now, the others after their exchange."""
        self._retired = True
        self._stop_sweeping()
        for connection in self._idle.copy():
            connection.close()

    def close(self) -> None:
        """Close every connection, idle or not."""
        self._stop_sweeping()
        for connection in list(self.connections):
            connection.close()

    def _way(self) -> ClientRequest:
        """What the connector has to be asked for: only the addresses in it matter."""
        origin, proxy = self._origin, self._proxy
        url = URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)
        if proxy is None:
            return ClientRequest("POST", url, loop=self._loop, ssl=origin.tls or True)
        if self.forwarding:
            return ClientRequest("POST", URL(proxy.url), loop=self._loop)
        fields = {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}
        return ClientRequest(
            "POST", url, loop=self._loop, ssl=origin.tls or True, proxy=URL(proxy.url), proxy_headers=fields
        )

    def _tune(self, transport: asyncio.Transport) -> None:
        raw = transport.get_extra_info("socket")
        idle, interval, probes = self._settings.keepalive
        if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
            return
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not idle:
            return
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value, most in (
            ("TCP_KEEPIDLE", idle, MAX_KEEPALIVE_SECONDS),
            ("TCP_KEEPINTVL", interval, MAX_KEEPALIVE_SECONDS),
            ("TCP_KEEPCNT", probes, MAX_KEEPALIVE_PROBES),
        ):
            if hasattr(socket, option) and value:
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), min(value, most))

    def _stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

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
    """All pools of a worker, by origin.

    After changes of the configuration its keeper calls `renew`, then `keep` for every pool that is still in use, then
    `retire_unused`. Redirects lead to further origins (`visit`), of which the last few are kept.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: PoolSettings, proxies: Proxies | None = None) -> None:
        self._loop = loop
        self._settings = settings
        self._proxies = proxies
        self._connector = TCPConnector(limit=0, force_close=True, ttl_dns_cache=30, use_dns_cache=True)
        self._lingering: Deadlines[UpstreamConnection] = Deadlines(loop, LINGER_SECONDS, UpstreamConnection.close)
        self._pools: dict[Origin, Pool] = {}
        self._visited: OrderedDict[Origin, Pool] = OrderedDict()
        self._generation = 0

    def __len__(self) -> int:
        return len(self._pools) + len(self._visited)

    def renew(self) -> None:
        """What is not asked for or kept from now on is unused."""
        self._generation += 1

    def keep(self, pool: Pool) -> None:
        """The pool is in use."""
        pool.generation = self._generation

    def get(self, origin: Origin) -> Pool:
        """The pool of an origin of the configuration, made on first use."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._known(origin)
        pool.generation = self._generation
        return pool

    def visit(self, origin: Origin) -> Pool:
        """The pool of an origin that need not be in the configuration."""
        pool = self._pools.get(origin)
        if pool is not None:
            return pool
        pool = self._known(origin)
        self._visited[origin] = pool
        if len(self._visited) > MAX_VISITED:
            self._visited.popitem(last=False)[1].retire()
        return pool

    def retire_unused(self) -> None:
        """Let go of what is not in use since `renew`, and of what only redirects led to."""
        unused = [origin for origin, pool in self._pools.items() if pool.generation < self._generation]
        for origin in unused:
            self._pools.pop(origin).retire()
        while self._visited:
            self._visited.popitem()[1].retire()

    async def close(self) -> None:
        """Close all connections."""
        for pool in (*self._pools.values(), *self._visited.values()):
            pool.close()
        await self._connector.close()

    def _known(self, origin: Origin) -> Pool:
        """The pool of an origin that is not in the configuration so far."""
        if origin in self._visited:
            return self._visited.pop(origin)
        proxy = None
        if self._proxies is not None:
            proxy = self._proxies.leading_to(origin.scheme, origin.host, origin.port)
        return Pool(self._loop, self._connector, origin, self._settings, self._lingering, proxy)
