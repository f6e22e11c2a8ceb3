"""A worker process: one event loop, one gateway, connections from the shared listening socket.

Started by the supervisor as `python -m fastgw.runtime.worker` with inherited descriptors. It lives as long as its
link to the supervisor: whatever kills the supervisor ends the workers, so that no orphan holds the port.
"""

import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
from collections import deque
from functools import partial

import msgspec
import uvloop

from fastgw import __version__
from fastgw.config.schema import Config
from fastgw.core.proxies import Proxies
from fastgw.core.tables import SOURCES, Shared
from fastgw.endpoints.serve import serve
from fastgw.gateway.account import refusal
from fastgw.gateway.catalog import Catalog
from fastgw.gateway.compile import Compiler
from fastgw.gateway.draft import Draft
from fastgw.gateway.exchange import Exchange, dialect_of
from fastgw.gateway.gateway import Gateway
from fastgw.http.certificate import Pair
from fastgw.http.listen import Acceptor
from fastgw.http.server import Server
from fastgw.runtime.grants import WorkerTokens
from fastgw.runtime.handoff import Taker
from fastgw.runtime.keys import WorkerKeys
from fastgw.runtime.link import Announce, Configure, Keys, Link, Message, Minted, Part, Serve, Staged, Started, Stop
from fastgw.runtime.process import COLLECTOR, UNHEARD
from fastgw.state.board import Board
from fastgw.telemetry.levels import chosen_levels
from fastgw.telemetry.log import Log
from fastgw.telemetry.metrics import Registry
from fastgw.upstream.pool import Pools, PoolSettings

TIDY_SECONDS = 1.0
"""After a change, how long what only older configurations needed may stay."""


class Worker:
    """Everything of one worker process. `run` returns when it has nothing left to do."""

    def __init__(
        self, index: int, board: Board, listener: socket.socket, handed: socket.socket, tables: Shared
    ) -> None:
        self._index = index
        self._board = board
        self._tables = tables
        self._region = board.region(index)
        self._listener = listener
        self._tls: ssl.SSLContext | None = None
        self._handed = handed
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._link = Link(self._received, self._orphaned)
        self._keys = WorkerKeys(self._loop, self._link.send, board.keys)
        self._tokens = WorkerTokens(self._loop, self._link.send)
        self._server: Server | None = None
        self._handed_server: Server | None = None
        self._acceptor: Acceptor | None = None
        self._taker: Taker | None = None
        self._gateway: Gateway | None = None
        self._compiler: Compiler | None = None
        self._catalog: Catalog | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._behind: deque[Part] = deque()
        self._tidying: asyncio.TimerHandle | None = None
        self._refused = 0
        self._pools: Pools | None = None
        self._log: Log | None = None
        self._stopping = False

    async def run(self, control: socket.socket) -> None:
        """Serve until told to stop and everything under way is done."""
        await self._loop.connect_accepted_socket(lambda: self._link, control)
        await self._finished.wait()
        if self._pools is not None:
            await self._pools.close()
        if self._log is not None:
            self._log.close()
        self._link.close()

    # -- messages

    def _received(self, message: Message) -> None:
        if isinstance(message, Part):
            # The base of a change is the one before it. A worker that joins gets several without a pause.
            self._behind.append(message)
            self._catch_up()
        elif isinstance(message, Pair):
            # Always before the bootstrap configuration when the listener speaks TLS.
            self._tls = message.context()
        elif isinstance(message, Keys):
            self._keys.received(message)
        elif isinstance(message, Minted):
            self._tokens.received(message)
        elif isinstance(message, Configure):
            self._configure(message)
        elif isinstance(message, Serve):
            self._listen()
        elif isinstance(message, Stop):
            self._stop()

    def _configure(self, message: Configure) -> None:
        try:
            self._build(msgspec.msgpack.decode(message.config, type=Config))
        except Exception as error:
            self._link.send(Started(f"{type(error).__name__}: {error}"))
            return
        # What is there now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        self._link.send(Started())

    def _catch_up(self) -> None:
        while self._behind and self._preparing is None:
            self._stage(self._behind.popleft())

    def _stage(self, part: Part) -> None:
        assert self._catalog is not None
        if part.revision == self._refused:
            return
        try:
            draft = self._catalog.stage(part.revision, part.kind, part.puts, part.deletes, part.bulk)
        except Exception as error:
            self._refused = part.revision
            self._link.send(Staged(part.revision, f"{type(error).__name__}: {error}"))
            return
        if part.last:
            self._preparing = self._loop.create_task(self._prepare(draft)) if any(draft.trusts.values()) else None
            if self._preparing is None:
                self._complete(draft)

    async def _prepare(self, draft: Draft) -> None:
        assert self._compiler is not None
        try:
            draft.held = await asyncio.to_thread(self._compiler.prepare, draft.trusts)
        except Exception as error:
            self._link.send(Staged(draft.revision, f"{type(error).__name__}: {error}"))
        else:
            self._complete(draft)
        finally:
            self._preparing = None
        self._catch_up()

    def _complete(self, draft: Draft) -> None:
        draft.complete = True
        self._link.send(Staged(draft.revision))
        if self._tidying is None:
            self._tidying = self._loop.call_later(TIDY_SECONDS, self._tidy)

    def _tidy(self) -> None:
        assert self._catalog is not None and self._gateway is not None
        if self._preparing is not None:
            self._tidying = self._loop.call_later(TIDY_SECONDS, self._tidy)
            return
        self._tidying = None
        self._catalog.tidy()
        self._gateway.tidy()

    def _build(self, config: Config) -> None:
        loop, upstream = self._loop, config.upstream
        levels, _ = chosen_levels(config.observability.log_level, os.environ.get("RUST_LOG"))
        log = self._log = Log(levels, loop)
        registry = Registry(self._region, lambda definition: self._link.send(Announce(definition)))
        self._pools = Pools(
            loop,
            PoolSettings(
                connect_timeout=upstream.connect_timeout_ms / 1000,
                idle_timeout=float(upstream.pool_idle_timeout_secs),
                max_idle=upstream.pool_max_idle_per_host,
                keepalive=(
                    upstream.tcp_keepalive_secs,
                    upstream.tcp_keepalive_interval_secs,
                    upstream.tcp_keepalive_retries,
                ),
            ),
            Proxies.of(os.environ),
        )
        self._compiler = Compiler(config, self._pools, log)
        catalog = self._catalog = Catalog(self._compiler, self._board.revision)
        gateway = self._gateway = Gateway(
            loop,
            config,
            self._board,
            self._index,
            registry,
            log,
            serve,
            self._keys,
            self._tokens,
            self._tables,
            catalog,
        )

        server = partial(
            Server,
            loop,
            partial(Exchange, gateway),
            server_token=f"{config.namespace.upper()}/{__version__}".encode(),
            mint=gateway.mint,
            request_id=gateway.request_id,
            dialect=dialect_of,
            refused=lambda refused: refusal(gateway, *refused),
            id_field=f"x-{config.namespace}-request-id".encode(),
            draining=self._board.draining,
        )
        self._server = server(
            idle_timeout=float(config.downstream.idle_timeout_secs), changed=self._region.connections.inc
        )
        self._handed_server = server()

    def _listen(self) -> None:
        assert self._server is not None and self._handed_server is not None
        if not self._stopping:
            self._acceptor = Acceptor(self._loop, self._listener, self._server, lambda: self._tls, self._lead)
            self._taker = Taker(self._loop, self._handed, self._handed_server)

    def _lead(self) -> int:
        """How many connections this worker has more than the one with the fewest. O(workers)."""
        board, own = self._board, self._region.connections.get()
        return own - min(board.connections_of(worker) for worker in range(board.workers))

    # -- the end

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._acceptor is not None:
            self._acceptor.stop()
        if self._taker is not None:
            self._taker.stop()
        # What still runs may take its time; the port is free for a successor.
        self._listener.close()
        self._wind_down()

    def _wind_down(self) -> None:
        servers = [server for server in (self._server, self._handed_server) if server is not None]
        for server in servers:
            for connection in list(server.connections):
                connection.close_if_idle()
        if not any(server.connections for server in servers) and not (self._acceptor and self._acceptor.handshaking):
            self._finished.set()
        else:
            self._loop.call_later(0.02, self._wind_down)

    def _orphaned(self) -> None:
        if not self._finished.is_set():
            # The supervisor is gone: nothing may hold its port, and nobody counts on us any more.
            if self._log is not None:
                self._log.flush()
            os._exit(1)


async def main(
    index: int, workers: int, cells: int, control: int, listener: int, handed: int, board: int, *tables: int
) -> None:
    """Run one worker over inherited descriptors."""
    shared = Board.attach(board, workers, cells)
    listening = socket.socket(fileno=listener)
    listening.setblocking(False)
    link = socket.socket(fileno=control)
    link.setblocking(False)
    counting = Shared(dict(zip(SOURCES, tables, strict=True)))
    await Worker(index, shared, listening, socket.socket(fileno=handed), counting).run(link)


if __name__ == "__main__":
    for number in UNHEARD:
        # The supervisor decides; a signal to the whole process group must not reach the workers first.
        signal.signal(number, signal.SIG_IGN)
    # They were blocked so far. What has come meanwhile is gone.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEARD)
    gc.set_threshold(*COLLECTOR)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*(int(argument) for argument in sys.argv[1:])))
