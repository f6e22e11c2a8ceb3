"""Between etcd and the workers: order, what one bad change costs the others, what is told when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.config.schema import Config, Etcd, Managed, Proxy
from fastgw.resources.base import Row
from fastgw.resources.change import Change, Store
from fastgw.resources.etcd.cache import read_cache
from fastgw.resources.etcd.client import Loaded
from fastgw.resources.etcd.wire import EtcdError, Event, KeyValue
from fastgw.runtime.admin import StoreError
from fastgw.runtime.etcd import MAX_RUN, EtcdSource, Workers, distinct
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition
from tests.support.observe import until

GOOD = b'{"name":"n","issuer":"i","audiences":["a"]}'
OTHER = b'{"name":"m","issuer":"i","audiences":["a"]}'
KEY = b"/fastgw/oidc_providers/"


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda target, message, **fields: self.lines.append(f"{level} {message} {fields}")


class World:
    """A source whose workers apply to a store and refuse rows with the ids in `refused`."""

    def __init__(self, board: Board, cache: Path | None = None) -> None:
        self.store = Store()
        self.changes: list[Change] = []
        self.refused: set[str] = set()
        self.ready = 0
        self.log = Lines()
        self.told: list[int] = []
        config = Config(
            proxy=Proxy(addr="127.0.0.1:0"),
            etcd=Etcd(endpoints=("http://127.0.0.1:1",)),
            managed=Managed(snapshot_cache_path=str(cache) if cache else None),
        )
        workers = Workers(self.apply, self.served, self.row, self.is_ready)
        self.source = EtcdSource(config, {}, Exposition("fastgw", board), workers, self.log)  # type: ignore[arg-type]

    async def apply(self, change: Change) -> str | None:
        self.changes.append(change)
        # What can be read of the source meanwhile is still the old state.
        self.told.append((await self.source.status.document())["source"].get("observed_revision", 0))
        if any(put.row.id in self.refused for put in change.puts):
            return "TypeError: no"
        self.store.apply(change)
        return None

    def served(self, kind: str) -> Iterable[Row[Any]]:
        return sorted(self.store.rows(kind).values(), key=lambda row: row.id)

    def row(self, kind: str, id: str) -> Row[Any] | None:
        return self.store.get(kind, id)

    def is_ready(self) -> None:
        self.ready += 1

    def ids(self) -> list[str]:
        return [row.id for row in self.served("oidc_providers")]


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(1, 64)
    yield board
    board.close()


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(body())


def put(name: str, value: bytes, revision: int) -> Event:
    return Event(KeyValue(KEY + name.encode(), value, revision))


def gone(name: str, revision: int) -> Event:
    return Event(KeyValue(KEY + name.encode(), b"", revision), "DELETE")


def loaded(revision: int, **rows: bytes) -> Loaded:
    return Loaded(revision, [KeyValue(KEY + name.encode(), value, revision) for name, value in sorted(rows.items())])


def test_runs_have_no_key_twice() -> None:
    a1, a2, b, a3 = put("a", b"", 1), put("a", b"", 2), put("b", b"", 3), gone("a", 4)
    assert list(distinct([a1, a2, b, a3])) == [[a1], [a2, b], [a3]]
    assert list(distinct([])) == []


def test_runs_do_not_cut_transactions() -> None:
    a5, b6, a6 = put("a", b"", 5), put("b", b"", 6), put("a", b"", 6)
    assert list(distinct([a5, b6, a6])) == [[a5], [b6, a6]]
    singles = [put(f"s{number}", b"", number) for number in range(1, MAX_RUN)]
    transaction = [put("t1", b"", MAX_RUN), put("t2", b"", MAX_RUN)]
    assert list(distinct(singles + transaction)) == [singles, transaction]


def test_changes_are_told_after_they_serve(board: Board) -> None:
    world = World(board)

    async def body() -> None:
        source = world.source
        await source.loaded(loaded(5, a=GOOD))
        await source.changed([put("b", GOOD, 6), put("a", OTHER, 7), put("b", OTHER, 8)])
        await source.changed([gone("a", 9)])
        assert world.told == [0, 5, 7, 8]
        assert [len(change.puts) for change in world.changes] == [1, 2, 1, 0]
        assert (await source.status.document())["source"]["observed_revision"] == 9
        assert (await source.status.document())["applied"]["apply_seq"] == 5
        assert world.ids() == ["b"]
        assert world.ready == 1

    run(body)


def test_a_change_that_alters_nothing_does_not_reach_the_workers(board: Board) -> None:
    world = World(board)

    async def body() -> None:
        await world.source.loaded(loaded(5))
        await world.source.changed([gone("nobody", 6), put("a", b"{}", 7)])
        await world.source.loaded(loaded(8, a=b"{}"))
        assert world.changes == []
        assert world.ready == 2
        assert (await world.source.status.document())["source"]["observed_revision"] == 8

    run(body)


def test_one_change_that_no_worker_takes_costs_the_others_nothing(board: Board) -> None:
    world = World(board)
    world.refused = {"b"}

    async def body() -> None:
        source = world.source
        await source.loaded(loaded(5, a=GOOD))
        await source.changed([put("a", OTHER, 6), put("b", GOOD, 7), put("c", GOOD, 8)])
        assert world.ids() == ["a", "c"]
        document = await source.status.document()
        assert document["source"]["observed_revision"] == 8
        (row,) = document["rejected"]
        assert (row["resource_id"], row["last_error_kind"]) == ("b", "parse_failed")
        assert row["last_error"] == "document cannot be applied: TypeError: no"

    run(body)


def test_transactions_beside_a_change_that_no_worker_takes_stay_whole(board: Board) -> None:
    world = World(board)
    world.refused = {"b"}

    async def body() -> None:
        await world.source.loaded(loaded(5))
        events = [put("a", GOOD, 6), put("b", GOOD, 7), put("c", GOOD, 8), put("d", GOOD, 8)]
        await world.source.changed(events)
        applied = [[each.row.id for each in change.puts] for change in world.changes]
        assert applied == [["a", "b", "c", "d"], ["a"], ["b"], ["c", "d"]]
        assert world.ids() == ["a", "c", "d"]

    run(body)


def test_a_load_that_no_worker_takes_is_asked_for_again(board: Board) -> None:
    world = World(board)
    world.refused = {"b"}

    async def body() -> None:
        with pytest.raises(EtcdError, match="cannot be applied"):
            await world.source.loaded(loaded(5, b=GOOD))
        assert (await world.source.status.document())["state"] == "never_loaded"
        assert world.ready == 0
        world.refused = set()
        await world.source.loaded(loaded(5, b=GOOD))
        assert world.ids() == ["b"]

    run(body)


def test_what_etcd_holds_is_read_in_slices(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastgw.runtime.etcd.SLICE", 2)
    world = World(board)

    async def body() -> None:
        source = world.source
        with pytest.raises(StoreError):
            await source.one("oidc_providers", "a")
        await source.loaded(loaded(5, a=GOOD, b=GOOD, c=GOOD, d=GOOD))
        await source.changed([put("b", b"{}", 6)])
        turns = []
        reading = asyncio.create_task(source.all("oidc_providers"))
        while not reading.done():
            await asyncio.sleep(0)
            turns.append(reading.done())
        assert len(turns) > 2
        assert [row.id for row in await reading] == ["a", "c", "d"]
        one = await source.one("oidc_providers", "c")
        assert one is not None and one.id == "c"
        assert await source.one("oidc_providers", "b") is None
        assert await source.one("oidc_providers", "e") is None

    run(body)


def test_what_there_is_to_wait_for(board: Board) -> None:
    loads, fails, silent = World(board), World(board), World(board)

    async def body() -> None:
        await loads.source.loaded(loaded(5))
        await loads.source.settled(60)
        fails.source.failed(EtcdError("down"))
        await fails.source.settled(60)
        await silent.source.settled(0.01)

    run(body)


def test_each_rejection_is_logged_once(board: Board) -> None:
    world = World(board)

    async def body() -> None:
        source = world.source
        await source.loaded(loaded(5, a=b"{}", b=b"{"))
        await source.loaded(loaded(5, a=b"{}", b=b"{"))
        await source.changed([put("a", b"[]", 6)])

    run(body)
    rejected = [line.split(" {")[0] for line in world.log.lines if "rejected {" in line]
    assert rejected == ["error resource rejected", "warn resource rejected", "error resource rejected"]


def test_what_is_on_disk(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    world = World(board, path)

    async def body() -> None:
        source = world.source
        assert await source.restore() == Change(resync=True)
        source.begin()
        await source.loaded(loaded(5, a=GOOD))
        await asyncio.to_thread(until, path.exists, bool)
        await source.changed([put("a", b"{}", 6)])
        await source.close()
        cached = read_cache(path)
        assert cached is not None
        assert cached.revision == 6
        assert list(cached.pins) == [KEY + b"a"]

    run(body)
    assert world.ready == 1

    again = World(board, path)

    async def restart() -> None:
        change = await again.source.restore()
        assert change.resync
        assert await again.apply(change) is None
        # Not before it serves.
        assert (await again.source.status.document())["state"] == "never_loaded"
        assert again.source.applied() == (0, None)
        again.source.begin()
        document = await again.source.status.document()
        assert document["state"] == "degraded"
        assert document["source"]["connected"] is False
        assert again.ids() == ["a"]
        assert again.ready == 1
        assert again.source.applied().revision == 6
        with pytest.raises(StoreError):
            await again.source.all("oidc_providers")
        before = os.stat(path).st_mtime_ns
        await again.source.close()
        # What was only read is not written.
        assert os.stat(path).st_mtime_ns == before

    run(restart)


def test_a_defect_does_not_end_the_following(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(board)
    times: list[int] = []

    async def crash(client: Any, sink: Any) -> None:
        times.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr("fastgw.runtime.etcd.follow", crash)
    monkeypatch.setattr("fastgw.runtime.etcd.DEFECT_SECONDS", 0.001)

    async def body() -> None:
        world.source.begin()
        while len(times) < 3:
            await asyncio.sleep(0.001)
        await world.source.close()
        assert (await world.source.status.document())["last_failure"]["last_error_kind"] == "fetch"

    run(body)
