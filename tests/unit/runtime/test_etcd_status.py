"""What `/status/config` and the metrics say about etcd, step by step, without etcd."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.resources.etcd.layout import Layout
from fastgw.resources.etcd.ledger import Ledger, Pin
from fastgw.resources.etcd.wire import KeyValue
from fastgw.runtime import etcd_status as module
from fastgw.runtime.etcd_status import EtcdStatus
from fastgw.runtime.reloads import HASHES, Reloads
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition

EMPTY = hashlib.sha256().hexdigest()
GOOD = b'{"name":"n","issuer":"i","audiences":["a"]}'
KEY = "/p/oidc_providers/"


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(1, 64)
    yield board
    board.close()


class World:
    """A ledger and its status at a time that the test sets."""

    def __init__(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exposition = Exposition("fastgw", board)
        self.ledger = Ledger(Layout("/p"))
        self.status = EtcdStatus(self.ledger, self.exposition)
        self.now = 0
        self.revision = 0
        monkeypatch.setattr(module.time, "time", lambda: float(self.now))

    def load(self, rows: dict[str, bytes], *, live: bool = True, pins: Any = None) -> None:
        self.revision += 1
        entries = [KeyValue((KEY + key).encode(), value, self.revision) for key, value in sorted(rows.items())]
        plan = self.ledger.plan_load(self.revision, entries, self.now, pins)
        self.ledger.commit_load(plan, self.now)
        self.status.loaded(plan, self.now, live=live)

    def put(self, key: str, value: bytes | None) -> None:
        self.revision += 1
        step = self.ledger.plan((KEY + key).encode(), value, self.revision, self.now)
        self.ledger.commit([step], self.revision, self.now)
        self.status.changed([step], self.now)

    def read(self) -> dict[str, Any]:
        return asyncio.run(self.status.document())

    def samples(self) -> dict[str, str]:
        asyncio.run(self.status.refresh())
        lines = self.exposition.render().decode().splitlines()
        return dict(line.removeprefix("fastgw_config_").rsplit(" ", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def world(board: Board, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(board, monkeypatch)


def at(seconds: int) -> str:
    return f"1970-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def test_before_anything_was_read(world: World) -> None:
    assert world.read() == {
        "state": "never_loaded",
        "source": {"type": "etcd", "connected": False},
        "last_failure": None,
        "rejected": [],
        "partially_compatible": [],
    }
    assert world.samples() == {
        "applied_revision": "0",
        "last_reload_successful": "0",
        "observed_revision": "0",
        "reload_failures_total{reason=\"fetch\"}": "0",
        "reload_failures_total{reason=\"parse\"}": "0",
        "reload_failures_total{reason=\"validate\"}": "0",
        "reloads_total": "0",
        "source_connected": "0",
    }  # fmt: skip
    world.now = 5
    world.status.failed(world.now)
    assert world.read() == {
        "state": "never_loaded",
        "source": {"type": "etcd", "connected": False},
        "last_reload": {"successful": False, "at": at(5)},
        "last_failure": {
            "at": at(5), "last_error_kind": "fetch", "last_error": "configuration source unreachable"
        },
        "rejected": [],
        "partially_compatible": [],
    }  # fmt: skip
    assert "last_reload_success_timestamp_seconds" not in world.samples()


def test_a_life(world: World) -> None:
    world.now = 10
    world.load({})
    assert world.read() == {
        "state": "empty",
        "source": {
            "type": "etcd", "connected": True, "observed_revision": 1, "observed_at": at(10), "source_hash": EMPTY
        },
        "applied": {
            "applied_revision": 1, "config_hash": EMPTY, "apply_seq": 1, "applied_at": at(10), "resource_counts": {}
        },
        "last_reload": {"successful": True, "at": at(10)},
        "last_failure": None,
        "rejected": [],
        "partially_compatible": [],
    }  # fmt: skip

    # Nothing but a document that is no JSON.
    world.now = 20
    world.put("a", b"{")
    document = world.read()
    assert document["state"] == "out_of_sync"
    assert document["source"]["observed_revision"] == document["applied"]["applied_revision"] == 2
    assert document["source"]["observed_at"] == at(20)
    assert (document["applied"]["apply_seq"], document["applied"]["applied_at"]) == (1, at(10))
    assert document["applied"]["config_hash"] == EMPTY != document["source"]["source_hash"]
    assert document["last_reload"] == {"successful": False, "at": at(20)}
    assert document["last_failure"]["last_error_kind"] == "non_json"
    (row,) = document["rejected"]
    assert (row["first_seen_at"], row["last_seen_at"]) == (at(20), at(20))
    assert "serving_stale_since" not in row

    # The same once more, and a good one beside it.
    world.now = 30
    world.put("a", b"{{")
    world.put("b", GOOD)
    document = world.read()
    assert document["state"] == "degraded"
    assert (document["rejected"][0]["first_seen_at"], document["rejected"][0]["last_seen_at"]) == (at(20), at(30))
    assert document["last_reload"] == {"successful": False, "at": at(30)}
    assert world.samples()["last_reload_successful"] == "0"
    # Single changes are no reloads.
    assert world.samples()["reloads_total"] == "1"
    assert world.samples()['reload_failures_total{reason="parse"}'] == "0"

    # A full load finds it still there.
    world.now = 40
    world.load({"a": b"{{", "b": GOOD})
    assert world.samples()["reloads_total"] == "2"
    assert world.samples()['reload_failures_total{reason="parse"}'] == "1"
    assert world.read()["last_failure"]["at"] == at(40)

    world.now = 50
    world.put("a", None)
    document = world.read()
    assert document["state"] == "synced"
    assert document["last_reload"] == {"successful": True, "at": at(50)}
    assert document["last_failure"]["at"] == at(40)
    assert world.samples()["last_reload_successful"] == "1"
    assert world.samples()["last_reload_success_timestamp_seconds"] == "50"
    assert world.samples()['rejected_resources{kind="oidc_providers"}'] == "0"

    world.status.failed(60)
    document = world.read()
    assert (document["state"], document["source"]["connected"]) == ("synced", False)
    assert document["source"]["observed_at"] == at(50)
    assert world.samples()["reloads_total"] == "3"


def test_what_serves_in_place_of_a_broken_document(world: World) -> None:
    world.load({"a": GOOD, "b": GOOD})
    good = world.read()["applied"]
    world.now = 7
    world.put("a", b"{}")
    world.now = 20
    document = world.read()
    assert document["applied"] == good | {"applied_revision": 2}
    (row,) = document["rejected"]
    assert row["serving_stale_since"] == at(7)
    assert row["serving_stale_age_seconds"] == 13
    assert world.samples()['stale_served_resources{kind="oidc_providers"}'] == "1"
    world.put("a", GOOD)
    assert world.samples()['stale_served_resources{kind="oidc_providers"}'] == "0"


def test_a_copy_on_disk_is_no_connection(world: World) -> None:
    world.now = 100
    world.load({"a": b"{}"}, live=False, pins={f"{KEY}a".encode(): Pin(GOOD, GOOD, 1, 40)})
    document = world.read()
    assert document["source"]["connected"] is False
    assert document["state"] == "degraded"
    assert document["rejected"][0]["serving_stale_age_seconds"] == 60
    assert world.samples()["reloads_total"] == "1"


def test_members_that_nobody_reads(world: World) -> None:
    odd = GOOD[:-1] + b',"odd":1,"even":{"x":1}}'
    world.load({"a": odd, "b": odd, "c": GOOD[:-1] + b',"odd":1}'})
    document = world.read()
    assert document["state"] == "synced"
    assert document["partially_compatible"] == [
        {"resource_kind": "oidc_providers", "field": "even", "count": 2},
        {"resource_kind": "oidc_providers", "field": "odd", "count": 3},
    ]
    assert world.samples()['partially_compatible_resources{kind="oidc_providers"}'] == "3"


def test_keys_that_name_nothing_are_listed_first(world: World) -> None:
    world.load({"a": b"{}"})
    for key in (b"/p", b"/px", b"/p/odd/x"):
        step = world.ledger.plan(key, b"{}", 9, 0)
        world.ledger.commit([step], 9, 0)
        world.status.changed([step], 0)
    rows = [(row["resource_kind"], row["resource_id"], row["last_error_kind"]) for row in world.read()["rejected"]]
    assert rows == [
        ("", "", "bad_key"),
        ("", "", "bad_key"),
        ("odd", "x", "unknown_kind"),
        ("oidc_providers", "a", "schema_failed"),
    ]
    assert world.samples()['rejected_resources{kind=""}'] == "2"


def test_many_questions_share_one_hash_of_the_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INLINE", 0)
    made: list[int] = []
    make = module.hashes

    def spy(records: Any) -> Any:
        made.append(len(records))
        return make(records)

    monkeypatch.setattr(module, "hashes", spy)
    world.load({"a": GOOD})

    async def main() -> None:
        questions = [asyncio.ensure_future(world.status.document()) for _ in range(5)]
        await asyncio.sleep(0)
        world.put("b", GOOD)
        later = await world.status.document()
        documents = [await question for question in questions]
        # Each tells of the moment at which it was asked for.
        assert {document["source"]["observed_revision"] for document in documents} == {1}
        assert {document["applied"]["resource_counts"]["oidc_providers"] for document in documents} == {1}
        assert later["source"]["observed_revision"] == 2
        assert later["source"]["source_hash"] != documents[0]["source"]["source_hash"]
        # One that leaves takes nothing away from the others.
        world.put("c", GOOD)
        leaving = asyncio.ensure_future(world.status.document())
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await world.status.document())["source"]["observed_revision"] == 3

    asyncio.run(main())
    assert made == [1, 2, 3]
    assert [value for name, value in world.samples().items() if name.startswith("hash_info")].count("1") == 1


def test_only_some_earlier_hashes_are_kept(board: Board) -> None:
    exposition = Exposition("fastgw", board)
    reloads = Reloads(exposition)
    names = [f"{number:064}" for number in range(HASHES + 10)]
    for name in [*names, names[-3]]:
        reloads.serve(name)
    samples = dict(
        line.removeprefix("fastgw_config_hash_info").rsplit(" ", 1)
        for line in exposition.render().decode().splitlines()
        if line.startswith("fastgw_config_hash_info")
    )
    assert samples == {f'{{hash="{name}"}}': str(int(name == names[-3])) for name in names[-HASHES - 1 :]}
    assert "series_dropped_total" not in exposition.render().decode()


def test_rejections_without_end_are_counted_but_not_listed(world: World) -> None:
    world.load({f"{number:04}": b"{}" for number in range(300)})
    document = world.read()
    assert len(document["rejected"]) == 256
    assert document["rejected"][0]["resource_id"] == "0044"
    assert world.samples()['rejected_resources{kind="oidc_providers"}'] == "300"
