"""What the exchanges of one worker share."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastgw._speedups.head import Request, RequestIds
from fastgw.config.schema import Config
from fastgw.core.deadlines import Deadlines
from fastgw.core.tables import Shared
from fastgw.gateway.aside import Aside
from fastgw.gateway.catalog import Catalog
from fastgw.gateway.estimates import Estimates
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.grants import TokenSource
from fastgw.gateway.keys import KeySource
from fastgw.gateway.series import Accounts
from fastgw.policy.client_ip import ClientAddress
from fastgw.policy.client_type import ClientTypes
from fastgw.policy.rewrite import UrlRewriter
from fastgw.state.board import Board
from fastgw.state.failures import Failures
from fastgw.telemetry.log import Log
from fastgw.telemetry.metrics import Registry

Serve = Callable[[Exchange], Coroutine[None, Any, None]]


class Attempts(dict[float, Deadlines[Exchange]]):
    """The deadline queue for each number of seconds that an attempt may take, made on first use."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __missing__(self, seconds: float) -> Deadlines[Exchange]:
        made = self[seconds] = Deadlines(self._loop, seconds, _overdue)
        return made


class Gateway:
    """One per worker. `serve` is the coroutine function that answers an exchange."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        board: Board,
        worker: int,
        registry: Registry,
        log: Log,
        serve: Serve,
        keys: KeySource,
        tokens: TokenSource,
        tables: Shared,
        catalog: Catalog,
    ) -> None:
        self.loop = loop
        self.config = config
        self.serve = serve
        self.log = log
        self.keys = keys
        self.tokens = tokens
        self.registry = registry
        self.aside = Aside(loop)
        self.estimates = Estimates(loop, tables)
        metrics = config.observability.metrics
        clients = ClientTypes(metrics.client_type_rules)
        env_id = config.etcd.env_id if config.etcd is not None else ""
        failures = Failures(board.named, partial(log.warn, "fastgw", "no room to count failures of further models"))
        self.accounts = Accounts(registry, clients, failures, metrics.buckets, env_id)
        self.draining = board.draining
        self.ready = board.ready
        self.address = ClientAddress(
            config.proxy.real_ip.trusted_proxies, config.proxy.real_ip.recursive, config.proxy.real_ip.header
        )
        self.rewriter = UrlRewriter(config.proxy.url_rewrites) if config.proxy.url_rewrites else None
        self.body_limit = config.proxy.request_body_limit_bytes
        self._accepted_ids = [name.lower().encode() for name in config.proxy.request_id.accept_headers]
        self.id_prefix = f"x-{config.namespace}-request-id: ".encode()
        self.call_id_prefix = f"x-{config.namespace}-call-id: ".encode()
        self.mint = RequestIds().next
        self.in_flight = board.region(worker).in_flight.inc
        self.current = catalog.current
        self.deadlines = Attempts(loop)
        keepalive = config.downstream.sse_keepalive_interval_secs
        self.keepalive: Deadlines[Exchange] | None = None
        if keepalive:
            self.keepalive = Deadlines(loop, float(keepalive), _keep_alive)

    def tidy(self) -> None:
        """Forget deadline queues of lengths that only an older configuration had."""
        for seconds in [seconds for seconds, queue in self.deadlines.items() if not queue.due]:
            del self.deadlines[seconds]

    # -- services for exchanges

    def request_id(self, request: Request) -> bytes:
        """The caller's request id when it sent a usable one, else a new UUID."""
        for name in self._accepted_ids:
            value = request.first(name)
            if value is not None and 1 <= len(value) <= 256 and printable(value):
                return value
        return self.mint()


def printable(value: bytes) -> bool:
    """Every byte is in 0x21..0x7E."""
    return value.isascii() and b" " not in value and value.decode().isprintable()


def _overdue(exchange: Exchange) -> None:
    exchange.overdue()


def _keep_alive(exchange: Exchange) -> None:
    exchange.keep_alive()
