"""The supervisor: loads configuration, keeps the workers, owns the listening sockets, answers the status pages.

How changes of the configuration reach the workers: `runtime.apply`.
"""

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
import socket
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fastgw.config.load import load_config
from fastgw.config.schema import Config
from fastgw.core import tables
from fastgw.core.headers import user_agent
from fastgw.core.proxies import Proxies
from fastgw.http.certificate import Certificate, CertificateError, renew
from fastgw.http.listen import address, bind_all
from fastgw.resources.change import Change, Served, Store, whole
from fastgw.resources.file import load_resources
from fastgw.resources.models import Resources
from fastgw.resources.notices import config_notices, resource_notices
from fastgw.resources.report import ResourcesError
from fastgw.runtime.admin import AdminKeys, AdminPages, LoadedRecords
from fastgw.runtime.apply import Applier
from fastgw.runtime.errors import BootError
from fastgw.runtime.file_status import FileStatus
from fastgw.runtime.grants import GrantServer
from fastgw.runtime.handoff import channel
from fastgw.runtime.jwks import KeyServer
from fastgw.runtime.link import Announce, Configure, FetchKeys, Keys, Message, Mint, Minted, Staged, Started, Stop
from fastgw.runtime.lull import refuse_handshakes
from fastgw.runtime.outbound import Fetcher
from fastgw.runtime.overview import Overview
from fastgw.runtime.process import COLLECTOR, WorkerProcess
from fastgw.runtime.status import StatusPages
from fastgw.runtime.surfaces import Surfaces
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.levels import Levels, chosen_levels
from fastgw.telemetry.log import Log
from fastgw.upstream.tls import TlsError, build_context

if TYPE_CHECKING:
    from fastgw.runtime.etcd import EtcdSource

CELLS = 1 << 20
"""Cells per worker; metric series that find no room are counted under "other". What is not used takes no memory."""
START_SECONDS = 30.0
"""How long the workers may take to start."""
JOIN_SECONDS = 30.0
"""The same for one that takes the place of another: until it holds the whole configuration."""
POLL_SECONDS = 0.05
SETTLE_SECONDS = 0.1
"""Between refusing handshakes and closing: what is connected by then has been accepted and has sent its request."""
FIRST_SECONDS = 5.0
"""How long callers are not yet served while etcd is asked for the first time: a restart must not refuse them."""
LOOK_SECONDS = 5.0
"""How often the files of certificates are looked at."""
RESPAWN_MAX = 5.0
YOUNG_SECONDS = 5.0
"""A worker that ends sooner than this is likely to end again at once."""


def cpus() -> int:
    """CPUs available to this process: its affinity, lowered by a cgroup quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return max(1, count)


class Loaded(NamedTuple):
    """A resources file that was accepted, with the SHA-256 of the file."""

    change: Change
    source_hash: str
    notices: list[str]


class Supervisor:
    """One per gateway. `run` returns when the gateway has shut down in order."""

    def __init__(self, config: Config, environ: Mapping[str, str], log: Log) -> None:
        self._config = config
        self._environ = environ
        self._log = log
        self._loop = asyncio.get_running_loop()
        # One common upstream pool means one worker: pools are per process.
        self._count = 1 if config.proxy.thread_per_core is False else config.proxy.workers or cpus()
        self._board = Board.create(self._count, CELLS)
        self._exposition = Exposition(config.namespace, self._board)
        self._etcd = self._etcd_source() if config.etcd is not None and config.etcd.endpoints else None
        self._file = FileStatus(self._exposition) if self._etcd is None else None
        self._workers: list[WorkerProcess | None] = [None] * self._count
        self._config_bytes = msgspec.msgpack.encode(config)
        self._loads = 0
        self._applier = Applier(self._board.set_revision)
        self._reload_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._booted = False
        self._closing = False
        self._boot_failure: str | None = None
        self._early_ends = 0
        self._listener: socket.socket | None = None
        self._certificates: dict[str, Certificate] = {}
        self._sender, self._taken = channel()
        self._surfaces = Surfaces(self._loop, config, self._sender)
        self._noticed: set[str] = set()
        self._tables: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fetcher = Fetcher(config.upstream.tls, Proxies.of(environ), user_agent(config.namespace))
        self._grants = GrantServer(self._loop, self._fetcher.post)
        self._keys = KeyServer(self._loop, self._fetcher.get, self._board.set_keys, log)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises BootError when the gateway cannot start."""
        # Before the file is read, so that neither a change nor a stop that is announced during boot is missed.
        self._loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        first, applied = self._first()
        self._check_tls()
        self._bind()
        filling = self._fill_tables()
        failure = await self._start_workers() or await self.apply(await first) or self._boot_failure
        if failure is None and filling.done():
            failure = filling.result()
        if failure is not None:
            await self._end_workers()
            raise BootError(failure)
        self._booted = True
        applied()
        if self._etcd is not None:
            await self._etcd.settled(FIRST_SECONDS)
        self._applier.open()
        self._notify(config_notices(self._config))
        proxy = self._config.proxy
        self._log.info("fastgw", "gateway is ready", addr=proxy.addr, workers=self._count)
        self._background(self._follow_hangups())
        filling.add_done_callback(self._filled)
        self._background(self._watch_certificates())
        await self._stopping.wait()
        await self._drain()
        if self._boot_failure is not None:
            raise BootError(self._boot_failure)

    # -- boot

    def _etcd_source(self) -> "EtcdSource":
        # Imported late: a gateway that reads a file has no use for it.
        from fastgw.resources.etcd.settings import SettingsError
        from fastgw.runtime.etcd import EtcdSource, Workers

        try:
            workers = Workers(self.apply, self._served, self._row, self._configured)
            return EtcdSource(self._config, self._environ, self._exposition, workers, self._log)
        except SettingsError as error:
            raise BootError(f"config load failed: failed to load configuration: {error}") from None

    def _first(self) -> "tuple[asyncio.Future[Change], Callable[[], None]]":
        """What to serve at first, and what to call once it is served. Raises BootError for a file with an error."""
        if self._etcd is not None:
            # Beside the start of the workers, which do not serve before they have it.
            return self._loop.create_task(self._etcd.restore()), self._etcd.begin
        try:
            loaded = self._load()
        except ResourcesError as error:
            raise BootError(str(error)) from None
        first: asyncio.Future[Change] = self._loop.create_future()
        first.set_result(loaded.change)
        return first, partial(self._applied_file, loaded)

    def _hang_up(self) -> None:
        if self._etcd is None:
            self._reload_wanted.set()
        else:
            self._log.info("fastgw::config", "SIGHUP is ignored: changes in etcd are followed as they happen")

    def _bind(self) -> None:
        config, surfaces = self._config, self._surfaces
        prometheus = config.observability.metrics.prometheus
        places = [(config.proxy.addr, "proxy")]
        if prometheus.enabled:
            places.append((prometheus.addr, "metrics"))
        if config.admin.enabled:
            places.append((config.admin.addr, "admin"))
        try:
            sockets = dict(zip((label for _, label in places), bind_all(places), strict=True))
        except OSError as error:
            raise BootError(error.strerror or str(error)) from None
        self._listener = sockets["proxy"]
        overview = Overview(self._board, self._served, None if self._etcd is None else self._etcd.applied)
        if "metrics" in sockets:
            status = self._file if self._etcd is None else self._etcd.status
            assert status is not None
            status_pages = StatusPages(prometheus.path, self._exposition, status, self._board, overview)
            surfaces.serve_status(sockets["metrics"], status_pages)
        if "admin" in sockets:
            keys = AdminKeys(config.admin.admin_keys)
            records = LoadedRecords(self._served, self._generation) if self._etcd is None else self._etcd
            pages = AdminPages(keys, records, overview, config.namespace)
            surfaces.serve_admin(sockets["admin"], pages, self._certificates.get("admin"))
            self._log.info("fastgw", "admin listener is bound", addr=address(sockets["admin"]))

    def _served(self, kind: str) -> Collection[Served]:
        rows = self.store.rows(kind).values()
        # A file has an order of its own; in etcd it is that of the keys.
        return rows if self._etcd is None else sorted(rows, key=attrgetter("id"))

    def _row(self, kind: str, id: str) -> Served | None:
        return self.store.get(kind, id)

    def _generation(self) -> int:
        return self._loads

    def _check_tls(self) -> None:
        upstream = self._config.upstream.tls
        try:
            for label, tls in (("proxy", self._config.proxy.tls), ("admin", self._config.admin.tls)):
                if tls is not None and (label == "proxy" or self._config.admin.enabled):
                    self._certificates[label] = Certificate(tls, label)
            if upstream.ca_file is not None or upstream.client_cert_file is not None:
                build_context(upstream)
        except (CertificateError, TlsError) as error:
            raise BootError(str(error)) from None

    async def _watch_certificates(self) -> None:
        while self._certificates:
            await asyncio.sleep(LOOK_SECONDS)
            self._renew_certificates()

    def _renew_certificates(self, *, always: bool = False) -> None:
        renew(self._certificates, self._log, self._renewed, always=always)

    def _renewed(self, label: str) -> None:
        if label == "proxy":
            for worker in self._live():
                worker.send(self._certificates[label].pair)

    def _fill_tables(self) -> "asyncio.Future[str | None]":
        """Reserve the token tables, which workers inherit, and begin to fill them. The result is what went wrong."""

        def fill() -> str | None:
            # Behind the workers, which start at the same time and must not be held up by this.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
            try:
                for name, fd in self._tables.items():
                    tables.fill(fd, name)
            except (OSError, ValueError, zlib.error) as error:
                return f"token table {name} cannot be built: {error}"
            return None

        try:
            self._tables = {name: tables.reserve(name) for name in tables.SOURCES}
        except (OSError, ValueError) as error:
            raise BootError(f"token tables cannot be reserved: {error}") from None
        thread = ThreadPoolExecutor(1, "token-tables")
        filling = self._loop.run_in_executor(thread, fill)
        thread.shutdown(wait=False)
        return filling

    def _filled(self, filling: "asyncio.Future[str | None]") -> None:
        # Nobody waits for it to be ready, but a gateway that cannot count must not go on as if it could.
        self._boot_failure = filling.result()
        if self._boot_failure is not None:
            self._stopping.set()

    # -- configuration

    def _load(self) -> Loaded:
        """Read and check the resources file. Raises ResourcesError with the whole report."""
        resources = load_resources(self._resources_path(), self._environ)
        return Loaded(whole(resources), resources.source_hash, list(resource_notices(resources)))

    def _resources_path(self) -> Path:
        assert self._config.resources_file is not None
        return Path(self._config.resources_file)

    async def _follow_hangups(self) -> None:
        # One reload at a time, so that an older file can never be applied after a newer one. A signal that arrives
        # meanwhile causes one more: the file may have changed after it was read.
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self._renew_certificates(always=True)
            await self._reload()

    async def _reload(self) -> None:
        assert self._file is not None
        source_hash: str | None = None
        try:
            loaded = await asyncio.to_thread(self._load)
            source_hash = loaded.source_hash
            failure = await self._apply_file(loaded)
            problems = [("(file)", failure or "")]
        except ResourcesError as error:
            failure, problems, source_hash = str(error), list(error.problems), error.source_hash
        except Exception as defect:
            self._log.defect("reload failed", defect)
            failure = f"{type(defect).__name__}: {defect}"
            problems = [("(file)", failure)]
            with contextlib.suppress(OSError):
                source_hash = hashlib.sha256(await asyncio.to_thread(self._resources_path().read_bytes)).hexdigest()
        if failure is None:
            self._log.info("fastgw::config", "resources file reloaded", generation=self._file.generation)
            return
        self._file.failed(failure, problems, source_hash)
        self._log.warn("fastgw::config", f"resources file reload failed — keeping the previous snapshot: {failure}")

    async def _apply_file(self, loaded: Loaded) -> str | None:
        failure = await self.apply(loaded.change)
        if failure is None:
            self._applied_file(loaded)
        return failure

    def _applied_file(self, loaded: Loaded) -> None:
        assert self._file is not None
        self._loads += 1
        self._file.applied(loaded.source_hash, self.store.counts())
        self._board.set_ready()
        self._notify(loaded.notices)

    @property
    def store(self) -> Store:
        """The rows that are served."""
        return self._applier.store

    async def apply(self, change: Change) -> str | None:
        """Make every worker serve a change, see `Applier.apply`."""
        return await self._applier.apply(change)

    def _configured(self) -> None:
        self._board.set_ready()
        rows = {kind: tuple(self.store.rows(kind).values()) for kind in self.store.counts()}
        self._background(self._notify_of(Resources(**rows, source_hash="")))

    async def _notify_of(self, resources: Resources) -> None:
        """Tell the operator what has no effect, once: etcd may be read as a whole any number of times."""
        notices = await asyncio.to_thread(lambda: list(resource_notices(resources)))
        self._notify(notice for notice in notices if notice not in self._noticed)
        self._noticed = set(notices)

    def _notify(self, notices: Iterable[str]) -> None:
        for notice in notices:
            self._log.warn("fastgw::config", notice)

    # -- workers

    def _live(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    async def _start_workers(self) -> str | None:
        """Start all workers. Returns what went wrong, if anything."""
        for index in range(self._count):
            self._spawn(index)
        try:
            async with asyncio.timeout(START_SECONDS):
                while self._applier.holding() < self._count and self._boot_failure is None:
                    await self._applier.changed()
        except TimeoutError:
            return "workers did not start in time"
        return self._boot_failure

    def _spawn(self, index: int) -> None:
        assert self._listener is not None
        shared = (self._board.fd, self._listener, self._taken, self._tables.values())
        worker = WorkerProcess(index, self._count, CELLS, *shared, self._received, self._gone)
        self._workers[index] = worker
        proxy = self._certificates.get("proxy")
        first: list[Message] = [] if proxy is None else [proxy.pair]
        self._background(worker.connect(self._loop, [*first, Configure(self._config_bytes)]))
        if self._booted:
            self._loop.call_later(JOIN_SECONDS, self._overdue, worker)

    def _overdue(self, worker: WorkerProcess) -> None:
        if self._workers[worker.index] is worker and not self._applier.serves(worker):
            self._log.error("fastgw", "worker did not get ready in time", worker=worker.index)
            worker.kill()

    def _received(self, worker: WorkerProcess, message: Message) -> None:
        if isinstance(message, Announce):
            self._exposition.define(worker.index, message.definition)
        elif isinstance(message, FetchKeys):
            self._background(self._send_keys(worker, message))
        elif isinstance(message, Mint):
            self._background(self._send_token(worker, message))
        elif isinstance(message, Staged):
            self._applier.heard(worker)
        elif isinstance(message, Started):
            self._started(worker, message.error)

    def _started(self, worker: WorkerProcess, error: str | None) -> None:
        if error is None:
            self._background(self._applier.join(worker))
        elif self._booted:
            self._log.error("fastgw", "worker cannot serve", worker=worker.index, error=error)
            worker.kill()
        else:
            self._boot_failure = error
            self._applier.heard(worker)

    async def _send_keys(self, worker: WorkerProcess, question: FetchKeys) -> None:
        try:
            answer = await self._keys.answer(question)
        except Exception as error:
            # A worker has requests waiting for this: it must hear of it whatever happens.
            self._log.defect("key set request failed", error)
            answer = Keys(question.id, error="internal error")
        worker.send(answer)

    async def _send_token(self, worker: WorkerProcess, question: Mint) -> None:
        try:
            answer = await self._grants.answer(question)
        except Exception as error:
            self._log.defect("token request failed", error)
            answer = Minted(question.id, failure="config", detail="internal error")
        worker.send(answer)

    def _gone(self, worker: WorkerProcess) -> None:
        self._applier.leave(worker)
        self._board.clear_gauges(worker.index)
        self._background(self._replace(worker))

    async def _replace(self, worker: WorkerProcess) -> None:
        code = await worker.reap()
        self._exposition.retire(worker.index)
        self._workers[worker.index] = None
        if self._closing:
            return
        if not self._booted:
            # It would fail again: what it said on stderr tells why.
            self._boot_failure = f"worker {worker.index} ended during start with exit code {code}"
            self._applier.leave(worker)
            return
        self._log.error("fastgw", "worker ended unexpectedly", worker=worker.index, exit_code=code)
        await asyncio.sleep(self._backoff(worker))
        while not self._closing:
            try:
                self._spawn(worker.index)
                return
            except OSError as error:
                # Out of processes, memory or descriptors: the gateway goes on with the others and tries again.
                self._log.error("fastgw", "worker cannot be started", worker=worker.index, error=str(error))
                await asyncio.sleep(RESPAWN_MAX)

    def _backoff(self, worker: WorkerProcess) -> float:
        """Seconds to wait before the successor: none at first, doubling while workers die young."""
        self._early_ends = self._early_ends + 1 if worker.age() < YOUNG_SECONDS else 0
        return min(RESPAWN_MAX, 0.1 * 2.0 ** (self._early_ends - 3)) if self._early_ends > 2 else 0.0

    # -- the end

    async def _drain(self) -> None:
        """Stop as the deployment expects: unready at once, listening a while longer, nothing cut."""
        self._board.set_draining()
        self._log.info("fastgw", "shutdown requested, draining", min_drain_secs=self._config.shutdown.min_drain_secs)
        end = self._loop.time() + self._config.shutdown.min_drain_secs
        while self._loop.time() < end or self._board.in_flight() or self._surfaces.in_flight:  # noqa: ASYNC110 - shared memory has no events
            await asyncio.sleep(POLL_SECONDS)
        self._log.info("fastgw", "drain complete — closing listeners")
        if self._listener is not None and refuse_handshakes(self._listener):
            await asyncio.sleep(SETTLE_SECONDS)
        if self._etcd is not None:
            await self._etcd.close()
        await self._end_workers()
        await self._fetcher.close()
        self._surfaces.stop()
        while self._surfaces.busy():  # noqa: ASYNC110 - connections close without telling us
            await asyncio.sleep(0.01)

    async def _end_workers(self) -> None:
        self._closing = True
        for worker in self._live():
            worker.send(Stop())
        if self._listener is not None:
            self._listener.close()
        while self._live():  # noqa: ASYNC110 - a process ends without an event of this loop
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _background(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def run_gateway(path: Path, environ: Mapping[str, str]) -> None:
    """Load the configuration file and run the gateway until it is told to stop. Raises BootError."""
    gc.set_threshold(*COLLECTOR)
    config = load(path, environ)
    levels, problem = log_levels(config, environ)
    log = Log(levels, asyncio.get_running_loop())
    if problem is not None:
        log.warn("fastgw", "RUST_LOG is malformed, observability.log_level is used", reason=problem)
    try:
        await Supervisor(config, environ, log).run()
    finally:
        log.close()


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration. Raises BootError with the wording that operators know."""
    from fastgw.config.errors import ConfigError

    try:
        return load_config(path, environ)
    except ConfigError as error:
        raise BootError(f"config load failed: failed to load configuration: {error}") from None


def log_levels(config: Config, environ: Mapping[str, str]) -> tuple[Levels, str | None]:
    """The levels of the environment, else of the file, and what is wrong with the former. Raises BootError for a
    malformed text in the file."""
    try:
        return chosen_levels(config.observability.log_level, environ.get("RUST_LOG"))
    except ValueError as error:
        raise BootError(f"config load failed: failed to load configuration: observability.log_level: {error}") from None
