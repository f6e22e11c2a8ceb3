"""The metrics and status listener: Prometheus text, readiness and configuration state, without authentication."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from fastgw.http.listen import Acceptor
from fastgw.http.pages import Page, PageExchange
from fastgw.http.server import Server
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.metrics import Registry

CATCH_UP_SECONDS = 0.2


class StatusState:
    """What has been loaded, and how it went."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.generation = 0
        self.counts: dict[str, int] = {}
        self._hash = ""
        self._served: dict[str, int] = {}
        self._applied_at = 0
        self._reload: dict[str, Any] | None = None
        self._failure: dict[str, Any] | None = None
        registry.gauge("config_last_reload_successful", ()).set(0)

    def applied(self, source_hash: str) -> None:
        """A configuration serves on every worker."""
        now = int(time.time())
        gauge, counter = self._registry.gauge, self._registry.counter
        counter("config_reloads_total", ()).inc()
        gauge("config_last_reload_successful", ()).set(1)
        gauge("config_last_reload_success_timestamp_seconds", ()).set(now)
        if source_hash != self._hash:
            if self._hash:
                gauge("config_hash_info", (self._hash,)).set(0)
            gauge("config_hash_info", (source_hash,)).set(1)
            self._hash = source_hash
            self.generation += 1
            self._applied_at = now
        self._served = dict(self.counts)
        self._reload = {"successful": True, "at": stamp(now)}

    def failed(self, report: str) -> None:
        """A load was refused; what was applied before keeps serving."""
        now = int(time.time())
        self._registry.counter("config_reloads_total", ()).inc()
        self._registry.counter("config_reload_failures_total", ("validate",)).inc()
        self._registry.gauge("config_last_reload_successful", ()).set(0)
        self._reload = {"successful": False, "at": stamp(now)}
        self._failure = {"at": stamp(now), "last_error_kind": "schema_failed", "last_error": report}

    def document(self) -> dict[str, Any]:
        """The body of `GET /status/config`."""
        failing = self._reload is not None and not self._reload["successful"]
        state = "never_loaded" if not self._hash else "out_of_sync" if failing else "synced"
        if state == "synced" and not any(self._served.values()):
            state = "empty"
        document: dict[str, Any] = {"state": state, "source": {"type": "file", "source_hash": self._hash}}
        if self._hash:
            document["applied"] = {
                "config_hash": self._hash,
                "apply_seq": self.generation,
                "applied_at": stamp(self._applied_at),
                "resource_counts": {kind: count for kind, count in self._served.items() if count},
            }
        if self._reload is not None:
            document["last_reload"] = self._reload
        document["last_failure"] = self._failure
        document["rejected"] = []
        document["partially_compatible"] = []
        return document


class StatusListener:
    """Serves the pages from the supervisor's own loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        metrics_path: str,
        exposition: Exposition,
        state: StatusState,
        board: Board,
    ) -> None:
        self._listener = listener
        self._exposition = exposition
        self._state = state
        self._board = board
        pages: dict[bytes, Callable[[], Coroutine[Any, Any, Page]]] = {
            metrics_path.encode(): self._metrics,
            b"/status/config": self._config,
            b"/status/ready": self._ready,
        }
        self._server = Server(
            loop,
            lambda connection, request: PageExchange(loop, connection, request, pages),
            server_token=None,
            mint=lambda: b"",
            id_field=b"",
        )
        self._acceptor = Acceptor(loop, listener, self._server, lambda: None)

    def close(self) -> None:
        """Stop listening and drop idle connections."""
        self._acceptor.stop()
        self._listener.close()
        for connection in list(self._server.connections):
            connection.close_if_idle()

    async def _metrics(self) -> Page:
        # A worker's counters are in shared memory at once; what new ones mean arrives over its link.
        for _ in range(int(CATCH_UP_SECONDS / 0.002)):
            if not self._exposition.behind():
                break
            await asyncio.sleep(0.002)
        return Page(200, "text/plain; version=0.0.4", self._exposition.render())

    async def _config(self) -> Page:
        return Page(200, "application/json", orjson.dumps(self._state.document()))

    async def _ready(self) -> Page:
        if self._board.ready():
            return Page(200, "text/plain; charset=utf-8", b"ok")
        return Page(503, "text/plain; charset=utf-8", b"no configuration available")


def stamp(seconds: int) -> str:
    """RFC 3339 UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
