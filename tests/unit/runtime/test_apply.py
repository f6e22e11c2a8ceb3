"""Changes on their way to the workers: order, the barrier, latecomers, workers that do not keep up.

The workers here are catalogs behind the real messages. Each turn of the loop gives them one message.
"""

import asyncio
import gc
import time
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from fastgw.gateway.catalog import Catalog
from fastgw.gateway.snapshot import Snapshot
from fastgw.resources.change import Change, Put
from fastgw.resources.models import ApiKey, Model, Row
from fastgw.runtime import apply as applying
from fastgw.runtime.apply import BULK, PART_BYTES, Applier, Plan, parts
from fastgw.runtime.link import Message, Part, Serve
from tests.support.catalog import compiler

decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Worker:
    """`parts` is what it has read. It reads nothing while `stuck`, and refuses the revision `refuses`."""

    def __init__(self, world: "World") -> None:
        self.staged = 0
        self.failed: tuple[int, str] | None = None
        self.parts: list[Part] = []
        self.serving = self.killed = self.stuck = False
        self.refuses = -1
        self._world = world
        self._inbox: deque[bytes] = deque()
        self._catalog = Catalog(compiler(), lambda: world.published)

    @property
    def snapshot(self) -> Snapshot:
        return self._catalog.current()

    def has(self, *secrets: str) -> list[bool]:
        return [self.snapshot.key_caller(hash_of(secret)) is not None for secret in secrets]

    def write(self, data: bytes) -> None:
        self._inbox.append(data)
        asyncio.get_running_loop().call_soon(self.read)

    def read(self) -> None:
        if self.stuck or not self._inbox:
            return
        part = decoder.decode(self._inbox.popleft()[4:])
        assert isinstance(part, Part)
        self.parts.append(part)
        draft = self._catalog.stage(part.revision, part.kind, part.puts, part.deletes, part.bulk)
        if part.last and part.revision == self.refuses:
            self.failed = (part.revision, "no")
            self._world.applier.heard(self)  # type: ignore[arg-type]
        elif part.last:
            draft.complete = True
            self.staged = part.revision
            self._world.applier.heard(self)  # type: ignore[arg-type]

    def unstick(self) -> None:
        self.stuck = False
        while self._inbox:
            self.read()

    async def drain(self) -> None:
        while (self.stuck or len(self._inbox) > 4) and not self.killed:
            await asyncio.sleep(0.001)

    def send(self, message: Message) -> None:
        assert message == Serve()
        self.serving = True

    def kill(self) -> None:
        self.killed = True


class World:
    """A supervisor's view. `published` is the revision on the board."""

    def __init__(self) -> None:
        self.published = 0
        self.applier = Applier(self.publish)
        self.workers: list[Worker] = []

    def publish(self, revision: int) -> None:
        # Nobody may be asked to serve what it does not hold.
        assert all(worker.staged >= revision for worker in self.workers if worker.serving and not worker.killed)
        self.published = revision

    async def join(self) -> Worker:
        worker = Worker(self)
        self.workers.append(worker)
        await self.applier.join(worker)  # type: ignore[arg-type]
        return worker

    async def apply(self, *puts: Put, deletes: tuple[tuple[str, str], ...] = (), resync: bool = False) -> None:
        assert await self.applier.apply(Change(puts, deletes, resync)) is None


def run(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def within() -> None:
        async with asyncio.timeout(60):
            world = World()
            world.applier.open()
            await test(world)

    def sync() -> None:
        asyncio.run(within())

    sync.__name__ = test.__name__
    return sync


def hash_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def key(id: str, secret: str) -> Put:
    return Put("api_keys", Row(id, ApiKey(key_hash=hash_of(secret), allowed_models=("*",))))


def keys(count: int, salt: str = "") -> Iterator[Put]:
    return (key(f"{number:06}", f"{salt}{number}") for number in range(count))


@run
async def test_a_change_is_on_all_workers_when_it_is_said_to_be(world: World) -> None:
    one, two = await world.join(), await world.join()
    assert one.serving and two.serving
    await world.apply(key("1", "a"))
    assert one.has("a", "b") == two.has("a", "b") == [True, False]
    await world.apply(key("1", "b"), deletes=(("api_keys", "gone"),))
    assert one.has("a", "b") == two.has("a", "b") == [False, True]
    assert world.applier.store.get("api_keys", "1") == key("1", "b").row
    await world.apply(deletes=(("api_keys", "1"),))
    assert one.has("a", "b") == [False, False]
    assert world.published == 3


@run
async def test_nothing_is_visible_before_the_last_worker_holds_it(world: World) -> None:
    one, two = await world.join(), await world.join()
    two.stuck = True
    change = asyncio.create_task(world.apply(key("1", "a")))
    while one.staged != 1:
        await asyncio.sleep(0)
    assert (one.has("a"), world.published, world.applier.store.counts()) == ([False], 0, {})
    two.unstick()
    await change
    assert one.has("a") == two.has("a") == [True]


@run
async def test_changes_take_effect_in_order_and_those_that_wait_do_so_together(world: World) -> None:
    worker = await world.join()
    worker.stuck = True
    order: list[int] = []

    async def apply(number: int) -> None:
        await world.apply(key("1", f"s{number}"), key(str(number), f"own{number}"))
        order.append(number)

    changes = [asyncio.create_task(apply(2))]
    while not worker._inbox:
        await asyncio.sleep(0)
    changes += [asyncio.create_task(apply(number)) for number in range(3, 12)]
    await asyncio.sleep(0)
    worker.unstick()
    await asyncio.gather(*changes)
    assert order == list(range(2, 12))
    assert worker.has("s11", "s10", *(f"own{number}" for number in range(2, 12))) == [True, False, *[True] * 10]
    assert world.published == 2, "the first one, and all that waited for it"


@run
async def test_only_what_differs_is_sent(world: World) -> None:
    worker = await world.join()
    await world.apply(*keys(5), resync=True)
    await world.apply(*keys(5), resync=True)
    assert world.published == 1
    before = len(worker.parts)
    await world.apply(*list(keys(5))[1:4], key("new", "x"), resync=True)
    gone, new = worker.parts[before:]
    assert gone.deletes == ("000000", "000004")
    assert [id for id, _ in new.puts] == ["new"]
    assert new.last and not gone.last
    # The number of a row's last change is not the workers' business.
    row = world.applier.store.get("api_keys", "new")
    assert row is not None
    await world.apply(Put("api_keys", Row("new", row.value, 77)))
    assert world.published == 2
    assert world.applier.store.get("api_keys", "new") == Row("new", row.value, 77)
    # Gone, and there again in the same breath.
    await world.apply(key("new", "x"), deletes=(("api_keys", "new"),))
    assert world.published == 2
    assert worker.has("x") == [True]


@pytest.mark.parametrize("count", [BULK, BULK + 1, 3 * BULK])
def test_large_changes_go_the_same_way(count: int) -> None:
    @run
    async def test(world: World) -> None:
        worker = await world.join()
        await world.apply(*keys(count))
        assert worker.parts[-1].bulk is (count > BULK)
        assert worker.has("0", str(count - 1)) == [True, True]
        await world.apply(key("000000", "other"), *list(keys(count, "b"))[1:], deletes=(("api_keys", "nothing"),))
        assert worker.has("0", "other", "b0", f"b{count - 1}") == [False, True, False, True]
        await world.apply(deletes=tuple(("api_keys", put.row.id) for put in keys(count)))
        assert worker.has("other", f"b{count - 1}") == [False, False]
        assert world.applier.store.counts() == {"api_keys": 0}

    test()


@run
async def test_who_comes_late_gets_everything_before_it_serves(world: World) -> None:
    one = await world.join()
    await world.apply(*keys(2 * BULK))
    late = Worker(world)
    world.workers.append(late)
    late.stuck = True
    joining = asyncio.create_task(world.applier.join(late))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    for number in range(5):
        await world.apply(key("edited", f"v{number}"))
    assert one.has("v4") == [True], "nobody waits for one that does not serve"
    assert not late.serving
    late.unstick()
    await joining
    while not late.serving:
        await asyncio.sleep(0)
    assert late.has("0", "v3", "v4") == [True, False, True]
    await world.apply(key("edited", "last"))
    assert late.has("last", "v4") == one.has("last", "v4") == [True, False]


@run
async def test_who_comes_while_a_change_waits_gets_that_too(world: World) -> None:
    one = await world.join()
    await world.apply(key("1", "a"))
    one.stuck = True
    change = asyncio.create_task(world.apply(key("1", "b")))
    while not one._inbox:
        await asyncio.sleep(0)
    late = await world.join()
    while late.staged != 2:
        await asyncio.sleep(0)
    assert late.serving and late.has("a", "b") == [True, False]
    one.unstick()
    await change
    assert late.has("a", "b") == one.has("a", "b") == [False, True]


@run
async def test_what_one_worker_cannot_hold_applies_nowhere(world: World) -> None:
    one, two = await world.join(), await world.join()
    await world.apply(key("1", "a"))
    two.refuses = 2
    assert await world.applier.apply(Change((key("1", "b"),))) == "no"
    assert one.has("a", "b") == two.has("a", "b") == [True, False]
    assert world.applier.store.get("api_keys", "1") == key("1", "a").row
    await world.apply(key("2", "c"))
    assert one.has("a", "b", "c") == two.has("a", "b", "c") == [True, False, True]


@run
async def test_who_comes_while_a_change_fails_starts_anew(world: World) -> None:
    one = await world.join()
    await world.apply(key("1", "a"))
    one.stuck, one.refuses = True, 2
    change = asyncio.create_task(world.applier.apply(Change((key("1", "b"),))))
    while not one._inbox:
        await asyncio.sleep(0)
    late = Worker(world)
    late.stuck = True
    joining = asyncio.create_task(world.applier.join(late))  # type: ignore[arg-type]
    while not late._inbox:
        await asyncio.sleep(0)
    one.unstick()
    assert await change == "no"
    assert late.killed
    await joining
    successor = await world.join()
    await world.apply(key("2", "c"))
    assert successor.has("a", "b", "c") == one.has("a", "b", "c") == [True, False, True]


@run
async def test_who_cannot_hold_what_is_served_starts_anew(world: World) -> None:
    one = await world.join()
    await world.apply(key("1", "a"))
    late = Worker(world)
    late.refuses = 1
    await world.applier.join(late)  # type: ignore[arg-type]
    while not late.failed:
        await asyncio.sleep(0)
    assert late.killed
    assert not late.serving
    await world.apply(key("2", "b"))
    assert one.has("a", "b") == [True, True]


@run
async def test_rows_that_cannot_be_sent_apply_nowhere(world: World) -> None:
    worker = await world.join()
    broken = Put("models", Row("1", Model(display_name="m", model_name=object())))  # type: ignore[arg-type]
    assert await world.applier.apply(Change((broken,))) is not None
    await world.apply(key("1", "a"))
    assert worker.has("a") == [True]
    assert worker.snapshot.listing == []


@pytest.mark.parametrize("count", [1, 4 * BULK])
def test_a_worker_that_does_not_read_is_replaced(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "STAGE_SECONDS", 0.05)

    @run
    async def test(world: World) -> None:
        one, two = await world.join(), await world.join()
        two.stuck = True
        await world.apply(*keys(count))
        assert two.killed and not one.killed
        assert one.has("0") == [True]
        three = await world.join()
        assert three.has("0") == [True]

    test()


@run
async def test_a_worker_that_dies_is_not_waited_for(world: World) -> None:
    one, two = await world.join(), await world.join()
    two.stuck = True
    change = asyncio.create_task(world.apply(key("1", "a")))
    while one.staged != 1:
        await asyncio.sleep(0)
    world.workers.remove(two)
    world.applier.leave(two)  # type: ignore[arg-type]
    await change
    assert one.has("a") == [True]


def test_messages_are_short() -> None:
    puts = [*keys(2000), Put("models", Row("1", Model(display_name="m" * 100_000, provider="p", model_name="u")))]
    deletes = [("models", str(number)) for number in range(1000)] + [("api_keys", "x")]
    found = list(parts(Plan(7, deletes, puts, bulk=True)))
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True]
    assert {part.revision for part in found} == {7}
    assert sum(len(part.puts) for part in found) == 2001
    assert sum(len(part.deletes) for part in found) == 1001
    assert all(sum(len(data) for _, data in part.puts) < PART_BYTES + 1000 for part in found if part.kind == "api_keys")
    assert list(parts(Plan(7, (), (), bulk=False))) == [Part(7, "", last=True)]


def test_no_turn_of_the_loop_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervisor and worker on one loop, 30,000 rows: the CPU time of the longest callback. It does not grow with the
    number of rows but for what a copied dict costs."""
    longest = 0.0
    step = events.Handle._run

    def timed(handle: events.Handle) -> None:
        nonlocal longest
        begun = time.thread_time()
        step(handle)
        longest = max(longest, time.thread_time() - begun)

    @run
    async def test(world: World) -> None:
        nonlocal longest
        worker = await world.join()
        first, second = tuple(keys(30_000)), tuple(keys(30_000, "b"))
        await asyncio.sleep(0)
        # What all tests before this one have left behind is not collected within a callback.
        gc.freeze()
        monkeypatch.setattr(events.Handle, "_run", timed)
        for change in (first, second, first[:100], ()):
            await world.apply(*change, resync=True)
            assert worker.has("0") == [change[:1] == first[:1]]
            await world.join()
        monkeypatch.undo()
        gc.unfreeze()

    test()
    # 5 ms on the machine that this was written on, where one slice of everything would be 150.
    assert longest < 0.05, longest
