"""etcd as the source of the configuration: what it says goes through the ledger to the workers, to the status page and
to the copy on disk, in this order. Nothing is told before every worker serves it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastgw.config.schema import Config
from fastgw.resources.base import Row
from fastgw.resources.change import Change
from fastgw.resources.etcd.cache import CacheError, SnapshotCache, read_cache
from fastgw.resources.etcd.client import EtcdClient, Loaded
from fastgw.resources.etcd.follow import follow
from fastgw.resources.etcd.layout import Layout
from fastgw.resources.etcd.ledger import Ledger, Plan, Record, Refusal, Step, change
from fastgw.resources.etcd.settings import etcd_settings
from fastgw.resources.etcd.wire import EtcdError, Event
from fastgw.runtime.admin import StoreError
from fastgw.runtime.etcd_status import EtcdStatus
from fastgw.runtime.overview import Applied
from fastgw.runtime.reloads import UNREACHABLE
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.log import Log

TARGET: Final = "fastgw::config"
DEFECT_SECONDS: Final = 1.0
MAX_RUN: Final = 256
"""Events that are looked at and applied in one go."""
SLICE: Final = 256
"""Rows that are looked at between two turns of the loop."""
MAX_LOGGED: Final = 100
"""Rejections of one load that are logged one by one."""


class Workers(NamedTuple):
    """The serving side. `apply` makes every worker serve a change and returns what went wrong, if anything; `served`
    gives the rows of a kind in the order of their keys, `row` the one of a kind with an id; `ready` is called whenever
    a whole configuration serves."""

    apply: Callable[[Change], Awaitable[str | None]]
    served: Callable[[str], Iterable[Row[Any]]]
    row: Callable[[str, str], Row[Any] | None]
    ready: Callable[[], None]


class EtcdSource:
    """Raises SettingsError when the configuration cannot be used."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        exposition: Exposition,
        workers: Workers,
        log: Log,
    ) -> None:
        assert config.etcd is not None
        self._settings = etcd_settings(config.etcd, environ)
        self._layout = Layout(config.etcd.prefix, config.etcd.env_id)
        self._workers = workers
        self._log = log
        self._client: EtcdClient | None = None
        self.ledger = Ledger(self._layout)
        self.status = EtcdStatus(self.ledger, exposition)
        self._restored: Plan | None = None
        self._settled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        path = config.managed.snapshot_cache_path
        self._path = Path(path) if path else None
        self._cache = SnapshotCache(self._path, self._content, self._unwritten) if self._path is not None else None

    # -- the copy on disk

    async def restore(self) -> Change:
        """What to serve before etcd has answered. Call `begin` once it is served."""
        empty = Change(resync=True)
        if self._path is None:
            return empty
        try:
            cached = await asyncio.to_thread(read_cache, self._path)
        except CacheError as error:
            self._log.warn(TARGET, "the configuration cache is ignored", path=str(self._path), error=str(error))
            return empty
        if cached is None:
            return empty
        plan = await asyncio.to_thread(self.ledger.plan_load, cached.revision, cached.entries, seconds(), cached.pins)
        self._restored = plan
        return plan.change._replace(resync=True)

    def _content(self) -> tuple[int, Mapping[bytes, Record]]:
        return self.ledger.revision or 0, self.ledger.records.copy()

    def _unwritten(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._log.error(TARGET, "the configuration cache cannot be written", path=str(self._path), error=reason)

    # -- life

    def begin(self) -> None:
        """Follow etcd from now on."""
        if self._restored is not None:
            plan, self._restored = self._restored, None
            self._commit(plan, live=False)
            self._log.info(TARGET, "configuration restored from the cache", revision=plan.revision)
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._follow()))
        if self._cache is not None:
            self._tasks.append(loop.create_task(self._cache.run()))

    async def settled(self, limit: float) -> None:
        """Wait until there is a configuration, or etcd was asked for one in vain, for at most `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._settled.wait()

    async def close(self) -> None:
        """Stop; what was served last is on disk when it returns."""
        if self._tasks:
            following, *writing = self._tasks
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if self._cache is not None:
                self._cache.close()
            await asyncio.gather(*writing, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                async with EtcdClient(self._settings, self._layout) as client:
                    self._client = client
                    await follow(client, self)
            except Exception as defect:
                self._log.defect("following etcd failed", defect)
                self.failed(EtcdError("internal error"))
                await asyncio.sleep(DEFECT_SECONDS)

    # -- what operators ask

    def applied(self) -> Applied:
        """What is served, and how long ago it was confirmed: by a load, by a change, or by a sign of life of etcd while
        there was nothing new."""
        if self.ledger.revision is None:
            return Applied(0, None)
        age = seconds() - self.ledger.observed_at
        silence = self._client.silence() if self._client is not None else age
        return Applied(self.ledger.revision, max(0, int(min(age, silence))))

    async def all(self, kind: str) -> Iterable[Row[Any]]:
        """What etcd holds of a kind, by key. Documents that cannot be used are left out. O(rows), in slices. Raises
        StoreError while etcd does not answer: what is served then need not be what it holds."""
        self._check_connected()
        rows = []
        for position, row in enumerate(self._workers.served(kind)):
            if position % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if self._current(kind, row.id):
                rows.append(row)
        return rows

    async def one(self, kind: str, id: str) -> Row[Any] | None:
        """The one with this id. O(1)."""
        self._check_connected()
        return self._workers.row(kind, id) if self._current(kind, id) else None

    def _check_connected(self) -> None:
        if not self.status.connected:
            raise StoreError(UNREACHABLE)

    def _current(self, kind: str, id: str) -> bool:
        record = self.ledger.records.get(self._layout.key_of(kind, id))
        return record is not None and record.refusal is None

    # -- what etcd says

    async def loaded(self, loaded: Loaded) -> None:
        """Serve all of it. Raises EtcdError when the workers cannot."""
        plan = await asyncio.to_thread(self._plan_all, loaded)
        failure = await self._workers.apply(plan.change) if any(plan.change) else None
        if failure is not None:
            raise EtcdError(f"the configuration cannot be applied: {failure}")
        self._commit(plan, live=True)
        rejected = len(plan.refused)
        self._log.info(
            TARGET, "configuration loaded from etcd", revision=plan.revision, keys=len(plan.records), rejected=rejected
        )

    def _plan_all(self, loaded: Loaded) -> Plan:
        plan = self.ledger.plan_load(loaded.revision, loaded.entries, seconds())
        # Freed here and bit by bit: all at once would stop the event loop for the time that it takes.
        while loaded.entries:
            del loaded.entries[-1000:]
        return plan

    def _commit(self, plan: Plan, *, live: bool) -> None:
        known = self.ledger.records
        new = [key for key in plan.refused if known.get(key) is not plan.records[key]]
        now = seconds()
        self.ledger.commit_load(plan, now)
        self.status.loaded(plan, now, live=live)
        self._workers.ready()
        self._settled.set()
        if self._cache is not None and live:
            self._cache.changed()
        for key in new[:MAX_LOGGED]:
            self._log_rejection(key, plan.records[key])
        for key in plan.dropped:
            place = self.ledger.place(key)
            self._log.error(
                TARGET, "the document that was serving cannot be restored", resource_kind=place.kind, id=place.id
            )

    async def changed(self, events: list[Event]) -> None:
        """Serve the events in their order; those that have arrived together become visible together."""
        for batch in distinct(events):
            await self._serve(batch)

    async def _serve(self, events: list[Event]) -> None:
        now = seconds()
        steps = [self._plan(event, now) for event in events]
        failure = await self._apply_steps(steps)
        if failure is not None and len(steps) > 1:
            # One of them is to blame, and the others must not suffer from it. Other transactions stay whole.
            groups = [list(group) for _, group in groupby(events, key=lambda event: event.kv.revision)]
            for group in groups if len(groups) > 1 else [[event] for event in events]:
                await self._serve(group)
            return
        if failure is not None:
            # Whatever it was, the key keeps what it served.
            (event,) = events
            steps = [self._plan(event, now, Refusal("parse_failed", f"document cannot be applied: {failure}"))]
        revision = max(event.kv.revision for event in events)
        self.ledger.commit(steps, revision, seconds())
        self.status.changed(steps, seconds())
        if self._cache is not None:
            self._cache.changed()
        for step in steps:
            if step.record is not None and step.record.refusal is not None:
                self._log_rejection(step.key, step.record)

    def _plan(self, event: Event, now: int, refusal: Refusal | None = None) -> Step:
        value = None if event.deleted else event.kv.value
        return self.ledger.plan(event.kv.key, value, event.kv.revision, now, refusal)

    async def _apply_steps(self, steps: Iterable[Step]) -> str | None:
        wanted = change(steps)
        return await self._workers.apply(wanted) if any(wanted) else None

    def failed(self, error: EtcdError) -> None:
        """Tell that etcd cannot be read; everything keeps serving."""
        self.status.failed(seconds())
        self._settled.set()
        self._log.warn(TARGET, "configuration source unreachable", error=str(error))

    def _log_rejection(self, key: bytes, record: Record) -> None:
        assert record.refusal is not None
        place, (error_kind, error) = self.ledger.place(key), record.refusal
        write = self._log.error if error_kind in ("schema_failed", "parse_failed") else self._log.warn
        write(
            TARGET,
            "resource rejected",
            resource_kind=place.kind,
            id=place.id,
            error_kind=error_kind,
            error=error,
            serving_stale=record.pin is not None,
        )


def distinct(events: list[Event]) -> Iterator[list[Event]]:
    """The events in their order, in runs without a key that occurs twice, and not too long for one turn of the loop. A
    transaction, which is all events of one revision, is never cut: it is visible as a whole or not at all, and its
    revision is not told before. etcd refuses transactions that change a key twice."""
    run: dict[bytes, Event] = {}
    for _, group in groupby(events, key=lambda event: event.kv.revision):
        together = {event.kv.key: event for event in group}
        if run and (len(run) + len(together) > MAX_RUN or not run.keys().isdisjoint(together)):
            yield list(run.values())
            run = {}
        run.update(together)
    if run:
        yield list(run.values())


def seconds() -> int:
    """Now, in Unix seconds."""
    return int(time.time())
