"""Changes of the configuration become visible: one after the other, on all workers at the same moment.

Two steps. Every worker gets the rows that differ and says that it holds them ready; then one store into shared memory
makes all of them serve these. A request that saw revision N is therefore never followed by one that sees an older
revision, on whatever worker.

A worker takes part from the moment it holds everything; until then it does not serve and nobody waits for it. It gets
the rows as they were when it came, then, in order, what has been applied since.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

import msgspec

from fastgw.resources.change import Change, Put, Store, encode_value, merged
from fastgw.runtime.link import Part, Serve, frame
from fastgw.runtime.process import WorkerProcess

STAGE_SECONDS = 10.0
"""How long a worker may take to read what it is sent, or to get ready, before it is replaced."""
BULK = 512
"""Changes of more rows than this are large: they are prepared in slices, off to the side of what serves."""
PART_BYTES = 32 * 1024
"""A message with rows ends with the one that makes it this long."""
SLICE = 256
"""Rows that are looked at between two turns of the loop."""


class Plan(NamedTuple):
    """What the workers are told of a change. Deletes are (kind, id)."""

    revision: int
    deletes: Iterable[tuple[str, str]]
    puts: Iterable[Put]
    bulk: bool


class _Member:
    """A worker that gets changes. `backlog`: what it has to get before it is in step, None once it is. `sent`: the
    revision that it will hold when it has read everything. `serving`: changes wait for it."""

    __slots__ = ("backlog", "sent", "serving", "worker")

    def __init__(self, worker: WorkerProcess, revision: int) -> None:
        self.worker = worker
        self.sent = revision
        self.backlog: deque[Plan] | None = deque()
        self.serving = False


class Applier:
    """`publish` stores a revision where all workers see it. `store` has the rows that are served."""

    def __init__(self, publish: Callable[[int], None]) -> None:
        self.store = Store()
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._revision = 0
        self._members: dict[WorkerProcess, _Member] = {}
        self._served = 0
        self._plan: Plan | None = None
        self._news = asyncio.Event()
        self._waiting: deque[tuple[Change, asyncio.Future[str | None]]] = deque()
        self._applying: asyncio.Task[None] | None = None
        self._open = False

    # -- changes

    async def apply(self, change: Change) -> str | None:
        """Make every worker serve a change; changes take effect in the order of the calls. Returns what went wrong, in
        which case nothing of it applies.

        When it returns, `store` has the change, and no request that arrives from now on is served without it. Changes
        that wait for another one become visible together."""
        done: asyncio.Future[str | None] = self._loop.create_future()
        self._waiting.append((change, done))
        if self._applying is None:
            self._applying = self._loop.create_task(self._work())
        return await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                together = list(self._waiting)
                self._waiting.clear()
                change = together[0][0] if len(together) == 1 else merged(change for change, _ in together)
                try:
                    failure = await self._apply(change)
                except Exception as defect:
                    failure = f"{type(defect).__name__}: {defect}"
                for _, done in together:
                    if not done.done():
                        done.set_result(failure)
        finally:
            self._applying = None

    async def _apply(self, change: Change) -> str | None:
        store, deletes, puts = await self._difference(change)
        if deletes or puts:
            bulk = len(deletes) + len(puts) > BULK
            plan = self._plan = Plan(self._next(), deletes, puts, bulk)
            try:
                for member in self._members.values():
                    if member.backlog is not None:
                        member.backlog.append(plan)
                await self._send(plan, [member for member in self._members.values() if member.backlog is None])
                failure = await self._staged(plan.revision)
            finally:
                self._plan = None
            if failure is not None:
                self._start_anew()
                return failure
            self._served = plan.revision
            self._publish(plan.revision)
        if store is not None:
            self.store = store
            # These rows stay, and hold no cycles: the collector need not walk them.
            gc.freeze()
        else:
            self.store.apply(change)
        return None

    def _start_anew(self) -> None:
        """After a change that applies nowhere: workers that are still being brought up to date may hold it already, or
        are about to. They end, and their successors get what is served."""
        if self._served:
            for member in [member for member in self._members.values() if not member.serving]:
                self._give_up(member)

    def _next(self) -> int:
        # A revision is used once, also by a change that fails.
        self._revision += 1
        return self._revision

    async def _difference(self, change: Change) -> tuple[Store | None, list[tuple[str, str]], list[Put]]:
        """What the workers have to be told, and the store with a large change in it."""
        large = change.resync or len(change.puts) + len(change.deletes) > BULK
        puts: list[Put] = []
        for position, put in enumerate(change.puts):
            old = self.store.get(put.kind, put.row.id)
            if old is None or old.value != put.row.value:
                puts.append(put)
            if position % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        if not large:
            named = {(put.kind, put.row.id) for put in change.puts}
            deletes = [key for key in change.deletes if key not in named and self.store.get(*key) is not None]
            return None, deletes, puts
        store = Store() if change.resync else self.store.copy()
        store.apply(Change(deletes=change.deletes))
        for start in range(0, len(change.puts), SLICE):
            store.apply(Change(change.puts[start : start + SLICE]))
            await asyncio.sleep(0)
        return store, await self._gone(change, store), puts

    async def _gone(self, change: Change, store: Store) -> list[tuple[str, str]]:
        """The rows that are served and not in `store`."""
        old = ((put.kind, put.row.id) for put in self.store) if change.resync else change.deletes
        deletes = []
        for position, (kind, id) in enumerate(old):
            if store.get(kind, id) is None and self.store.get(kind, id) is not None:
                deletes.append((kind, id))
            if position % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        return deletes

    async def _staged(self, revision: int) -> str | None:
        """Wait until every worker that serves holds a revision. One that does not get there in time is replaced."""
        end = self._loop.time() + STAGE_SECONDS
        while True:
            self._news.clear()
            members = [member for member in self._members.values() if member.serving]
            for member in members:
                failed = member.worker.failed
                if failed is not None and failed[0] == revision:
                    return failed[1]
            late = [member for member in members if member.worker.staged < revision]
            if not late:
                return None
            try:
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            except TimeoutError:
                for member in late:
                    self._give_up(member)

    # -- workers

    def open(self) -> None:
        """From now on workers that hold everything serve."""
        self._open = True
        for member in self._members.values():
            if member.serving:
                member.worker.send(Serve())

    async def join(self, worker: WorkerProcess) -> None:
        """Bring a worker that has started up to date. It serves when it holds everything."""
        member = self._members[worker] = _Member(worker, self._served)
        # No turn of the loop lies between these lines: what is applied later goes to the backlog.
        backlog = member.backlog = deque([self._plan] if self._plan is not None else [])
        rows = self.store.copy()
        if self._served:
            await self._send(Plan(self._served, (), rows, bulk=True), [member])
        while backlog:
            await self._send(backlog.popleft(), [member])
        member.backlog = None
        self._admit(member)

    def heard(self, worker: WorkerProcess) -> None:
        """A worker has said something of what it holds."""
        member = self._members.get(worker)
        if member is not None and not member.serving and worker.failed is not None:
            # What it lacks now it would lack for ever.
            self._give_up(member)
        elif member is not None:
            self._admit(member)
        self._news.set()

    def leave(self, worker: WorkerProcess) -> None:
        """A worker is gone."""
        self._members.pop(worker, None)
        self._news.set()

    def serves(self, worker: WorkerProcess) -> bool:
        """Whether a worker holds everything."""
        member = self._members.get(worker)
        return member is not None and member.serving

    def holding(self) -> int:
        """Workers that hold everything."""
        return sum(member.serving for member in self._members.values())

    async def changed(self) -> None:
        """Wait until workers have said something, or are gone."""
        self._news.clear()
        await self._news.wait()

    def _admit(self, member: _Member) -> None:
        if not member.serving and member.backlog is None and member.worker.staged == member.sent:
            member.serving = True
            if self._open:
                member.worker.send(Serve())
            self._news.set()

    async def _send(self, plan: Plan, members: list[_Member]) -> None:
        """Hand out a change. A large one goes out as fast as the slowest worker reads it."""
        for member in members:
            member.sent = plan.revision
        for part in parts(plan):
            data = frame(part)
            for member in members:
                member.worker.write(data)
            if plan.bulk:
                for member in members:
                    await self._drained(member)
                await asyncio.sleep(0)

    async def _drained(self, member: _Member) -> None:
        try:
            async with asyncio.timeout(STAGE_SECONDS):
                await member.worker.drain()
        except TimeoutError:
            self._give_up(member)

    def _give_up(self, member: _Member) -> None:
        # Its successor starts anew; until it is reaped nobody waits for it.
        self.leave(member.worker)
        member.worker.kill()


def parts(plan: Plan) -> Iterator[Part]:
    """The messages that make up a change: at least one, the last one marked."""
    revision, deletes, puts, bulk = plan
    before: Part | None = None
    for kind, removed, rows in chunks(deletes, puts):
        if before is not None:
            yield before
        before = Part(revision, kind, removed, rows, bulk)
    yield msgspec.structs.replace(before or Part(revision, ""), last=True)


def chunks(
    deletes: Iterable[tuple[str, str]], puts: Iterable[Put]
) -> Iterator[tuple[str, tuple[str, ...], tuple[tuple[str, bytes], ...]]]:
    """Kind, ids to delete, encoded rows to put; deletes first, each chunk of one kind and of bounded size."""
    for kind, keys in groupby(deletes, key=itemgetter(0)):
        for some in batched((id for _, id in keys), SLICE):
            yield kind, some, ()
    for kind, group in groupby(puts, key=itemgetter(0)):
        rows: list[tuple[str, bytes]] = []
        size = 0
        for _, row in group:
            data = encode_value(row.value)
            rows.append((row.id, data))
            size += len(data) + len(row.id)
            if size >= PART_BYTES:
                yield kind, (), tuple(rows)
                rows, size = [], 0
        if rows:
            yield kind, (), tuple(rows)


def batched(items: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """Tuples of at most `size` items."""
    source = iter(items)
    while batch := tuple(islice(source, size)):
        yield batch
