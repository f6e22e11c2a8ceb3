"""The client against a real etcd, and against one whose answers are scripted or broken on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from fastgw.config.schema import Etcd as Section
from fastgw.config.schema import EtcdTls
from fastgw.resources.etcd import client as module
from fastgw.resources.etcd import wire
from fastgw.resources.etcd.client import EtcdClient
from fastgw.resources.etcd.layout import Layout
from fastgw.resources.etcd.settings import EtcdSettings, etcd_settings
from fastgw.resources.etcd.wire import Compacted, EtcdError, Event
from tests.support.canned import Answer, Sent, canned, chunk, error, ok, stream_head
from tests.support.etcd import Etcd, etcd, needs_etcd
from tests.support.faultproxy import FaultProxy, delay, pass_bytes, pass_until, reset, send, stall
from tests.support.gateway import free_port

pytestmark = needs_etcd
LAYOUT = Layout("/p/")


@pytest.fixture(scope="module")
def shared() -> Iterator[Etcd]:
    with etcd() as store:
        yield store


@pytest.fixture
def store(shared: Etcd) -> Etcd:
    shared.call("/v3/kv/deleterange", {"key": "AA==", "range_end": "AA=="})
    return shared


def settings(*urls: str, seconds: float = 5.0) -> EtcdSettings:
    return EtcdSettings(urls, None, seconds, seconds)


def run(settings: EtcdSettings, body: Callable[[EtcdClient], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            async with EtcdClient(settings, LAYOUT) as client:
                await body(client)

    asyncio.run(main())


async def take(batches: AsyncIterator[list[Event]], count: int) -> list[Event]:
    """The next `count` changes, no matter how they are grouped."""
    events: list[Event] = []
    while len(events) < count:
        events += await anext(batches)
    return events


def test_reads_only_what_is_below_the_prefix(store: Etcd) -> None:
    store.put("/p/models/a", b"1")
    store.put("/p/models/b", b"")
    store.put("/pp", b"x")
    last = store.put("/o/z", b"x")

    async def body(client: EtcdClient) -> None:
        revision, entries = await client.load()
        assert revision == last
        assert [(row.key, row.value, row.revision) for row in entries] == [
            (b"/p/models/a", b"1", last - 3),
            (b"/p/models/b", b"", last - 2),
        ]

    run(settings(store.url), body)


def test_pages_are_of_one_revision_although_keys_change_meanwhile(store: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAGE", 7)
    monkeypatch.setattr(module, "MAX_PAGE", 10)
    expected = {f"/p/models/{number:03}": f"v{number}" for number in range(100)}
    revision = store.write(expected)
    asked: list[dict[str, Any]] = []

    async def body(client: EtcdClient) -> None:
        send = module._Connection._send

        async def spy(self: Any, path: str, question: dict[str, Any], timeout: Any) -> Any:
            response = await send(self, path, question, timeout)
            asked.append(dict(question))
            # Whatever has been read, there is a newer state for the next page.
            await asyncio.to_thread(store.put, "/p/models/099", "changed")
            return response

        monkeypatch.setattr(module._Connection, "_send", spy)
        loaded = await client.load()
        assert loaded.revision == revision
        assert {row.key.decode(): json.loads(row.value) for row in loaded.entries} == expected

    run(settings(store.url), body)
    assert [question["limit"] for question in asked] == [7] + [10] * 10


def test_a_page_that_was_compacted_meanwhile(store: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAGE", 1)
    store.write({"/p/a/a": 1, "/p/a/b": 2})

    async def body(client: EtcdClient) -> None:
        call = module._Connection._call

        async def spy(self: Any, path: str, question: dict[str, Any], kind: Any) -> Any:
            answer = await call(self, path, question, kind)
            await asyncio.to_thread(lambda: store.compact(store.put("/p/a/c", 3)))
            return answer

        monkeypatch.setattr(module._Connection, "_call", spy)
        with pytest.raises(Compacted):
            await client.load()

    run(settings(store.url), body)


def test_changes_follow_a_load_without_a_gap(store: Etcd) -> None:
    store.put("/p/models/a", b"1")

    async def body(client: EtcdClient) -> None:
        revision, _ = await client.load()
        # Between the read and the watch.
        put = await asyncio.to_thread(store.put, "/p/models/a", b"2")
        batches = client.watch(revision + 1)
        (first,) = await take(batches, 1)
        assert (first.deleted, first.kv.key, first.kv.value, first.kv.revision) == (False, b"/p/models/a", b"2", put)
        await asyncio.to_thread(store.put, "/other", b"2")
        gone = await asyncio.to_thread(store.delete, "/p/models/a")
        (second,) = await take(batches, 1)
        assert (second.deleted, second.kv.key, second.kv.value, second.kv.revision) == (True, b"/p/models/a", b"", gone)
        await batches.aclose()

    run(settings(store.url), body)


def test_a_watch_from_a_compacted_revision(store: Etcd) -> None:
    async def body(client: EtcdClient) -> None:
        revision, _ = await client.load()
        await asyncio.to_thread(lambda: (store.put("/p/a/a", 1), store.compact(store.put("/p/a/a", 2))))
        with pytest.raises(Compacted):
            await take(client.watch(revision + 1), 1)

    run(settings(store.url), body)


def test_a_large_value(store: Etcd) -> None:
    value = b"x" * 1_400_000

    async def body(client: EtcdClient) -> None:
        revision, _ = await client.load()
        await asyncio.to_thread(store.put, "/p/a/a", value)
        batches = client.watch(revision + 1)
        (event,) = await take(batches, 1)
        assert event.kv.value == value
        assert (await client.load()).entries[0].value == value

    run(settings(store.url), body)


def test_the_next_endpoint_serves_when_one_does_not(store: Etcd) -> None:
    dead = f"http://127.0.0.1:{free_port()}"

    async def body(client: EtcdClient) -> None:
        for _ in range(2):
            await client.load()

    run(settings(dead, store.url), body)

    async def fails(client: EtcdClient) -> None:
        with pytest.raises(EtcdError, match=r"127\.0\.0\.1") as caught:
            await client.load()
        assert str(caught.value).count(dead) == 2

    run(settings(dead, dead), fails)


def test_a_frozen_server_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    with etcd() as frozen:

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            batches = client.watch(revision + 1)
            await asyncio.to_thread(frozen.put, "/p/a/a", 1)
            await take(batches, 1)
            frozen.freeze()
            with pytest.raises(EtcdError, match="timeout"):
                await take(batches, 1)
            # And it cannot be read either.
            with pytest.raises(EtcdError, match="timeout"):
                await client.load()
            frozen.thaw()
            assert (await client.load()).revision == revision + 1

        run(settings(frozen.url, seconds=0.5), body)


def test_a_killed_server_is_noticed_at_once() -> None:
    with etcd() as killed:

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            batches = client.watch(revision + 1)
            await asyncio.to_thread(killed.put, "/p/a/a", 1)
            await take(batches, 1)
            killed.kill()
            with pytest.raises(EtcdError):
                await take(batches, 1)

        run(settings(killed.url), body)


# The answer to the load of a store with one key, and the first message of the watch after it.
LOADED = pass_until(b'"count":"1"}')
CREATED = pass_until(b'"created":true}}\n\r\n')
# What arrives together with the head of a response goes another way through aiohttp's parser than what follows.
PAUSES = pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "later"])
BROKEN_CHUNKS = b"zz\r\n"


def test_a_stalled_stream_is_noticed(store: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    store.put("/p/a/a", 1)
    with FaultProxy(store.address) as proxy:
        proxy.script(LOADED, CREATED, stall())

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            with pytest.raises(EtcdError, match="stuck"):
                await take(client.watch(revision + 1), 1)

        run(settings(f"http://127.0.0.1:{proxy.address[1]}"), body)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (reset(), "reset|disconnected|payload|Cannot write"),
        (send(b"5\r\n{{{{\n\r\n"), "not what an etcd gateway sends"),
        (send(b"4\r\n{}\n\n\r\n"), "not what an etcd gateway sends"),
        (send(b"garbage\r\n"), "Invalid character in chunk size"),
        (send(b'1b\r\n{"error":{"message":"oh"}}\n\r\n'), "oh"),
        (send(b'1a\r\n{"error":{"message":"oh"}}\r\n0\r\n\r\n'), "oh"),
        (send(b'12\r\n{"result":{"events\r\n0\r\n\r\n'), "within a message"),
    ],
)
@PAUSES
def test_a_stream_that_breaks(store: Etcd, step: Any, expected: str, pause: float) -> None:
    store.put("/p/a/a", 1)
    with FaultProxy(store.address) as proxy:
        proxy.script(LOADED, CREATED, delay(pause), step)

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            with pytest.raises(EtcdError, match=expected) as caught:
                await take(client.watch(revision + 1), 1)
            assert not isinstance(caught.value, Compacted)

        run(settings(f"http://127.0.0.1:{proxy.address[1]}"), body)


def test_the_server_ends_a_stream(store: Etcd) -> None:
    store.put("/p/a/a", 1)
    with FaultProxy(store.address) as proxy:
        proxy.script(LOADED, CREATED, send(b"0\r\n\r\n"))

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            assert [batch async for batch in client.watch(revision + 1)] == []

        run(settings(f"http://127.0.0.1:{proxy.address[1]}"), body)


@pytest.mark.parametrize("keep", [0, 20, 150])
def test_an_answer_that_breaks(store: Etcd, keep: int) -> None:
    store.put("/p/a/a", b"x" * 1000)
    with FaultProxy(store.address) as proxy:
        proxy.always(pass_bytes(keep), reset())

        async def body(client: EtcdClient) -> None:
            with pytest.raises(EtcdError):
                await client.load()

        run(settings(f"http://127.0.0.1:{proxy.address[1]}"), body)


@PAUSES
def test_broken_chunks_end_a_load_that_has_no_time_limit(pause: float) -> None:
    with canned() as server:
        server.answer = [stream_head("application/json"), chunk(b"{"), pause, BROKEN_CHUNKS]

        async def body(client: EtcdClient) -> None:
            with pytest.raises(EtcdError, match="Invalid character in chunk size"):
                await client.load()

        run(EtcdSettings((server.origin,), None, None, None), body)


@PAUSES
def test_a_login_that_breaks_before_a_watch(pause: float) -> None:
    """The token that served for the load has expired meanwhile."""
    with canned() as server:

        def answer(sent: Sent) -> Answer:
            if sent.path == "/v3/kv/range":
                return ok({"header": {"revision": "1"}})
            if sent.path == "/v3/watch":
                return error(401, {"code": wire.INVALID_TOKEN, "message": "expired"})
            if len(server.requests) == 1:
                return ok({"token": "t"})
            return [stream_head("application/json"), chunk(b"{"), pause, BROKEN_CHUNKS]

        server.answer = answer

        async def body(client: EtcdClient) -> None:
            revision, _ = await client.load()
            with pytest.raises(EtcdError, match="Invalid character in chunk size"):
                await take(client.watch(revision + 1), 1)

        run(EtcdSettings((server.origin,), ("reader", "pw"), None, None), body)


def test_tokens_are_asked_for_and_renewed() -> None:
    with etcd() as store:
        store.put("/p/a/a", 1)
        # Credentials although none are wanted: as if there were none.
        run(EtcdSettings((store.url,), ("reader", "pw")), lambda client: _reads(client, 1))
        store.enable_auth("reader", "pw", "/p/")
        run(EtcdSettings((store.url,), ("reader", "pw")), lambda client: _reads(client, 1))

        async def refused(client: EtcdClient) -> None:
            with pytest.raises(EtcdError) as caught:
                await client.load()
            assert "wrong-password" not in str(caught.value)

        run(EtcdSettings((store.url,), ("reader", "wrong-password")), refused)
        run(EtcdSettings((store.url,)), refused)

        async def renewed(client: EtcdClient) -> None:
            revision, _ = await client.load()
            assert client._connection is not None
            await asyncio.to_thread(store.put, "/p/a/a", 2)
            batches = client.watch(revision + 1)
            await take(batches, 1)
            # As if it had expired.
            client._connection._token = "nonsense"
            await client._connection.probe(LAYOUT)
            await batches.aclose()

        run(EtcdSettings((store.url,), ("reader", "pw")), renewed)


async def _reads(client: EtcdClient, count: int) -> None:
    assert len((await client.load()).entries) == count


def test_tls_with_a_name_of_its_own() -> None:
    with etcd(tls=True) as store:
        assert store.tls is not None
        store.put("/p/a/a", 1)

        def over(name: str | None) -> EtcdSettings:
            tls = EtcdTls(**store.tls.section(), domain_name=name)  # type: ignore[union-attr]
            return etcd_settings(Section(endpoints=(store.url,), tls=tls), {})

        async def works(client: EtcdClient) -> None:
            revision, entries = await client.load()
            assert len(entries) == 1
            await asyncio.to_thread(store.put, "/p/a/b", 1)
            await take(client.watch(revision + 1), 1)

        run(over("etcd.internal"), works)

        async def refused(client: EtcdClient) -> None:
            with pytest.raises(EtcdError, match=r"(?i)certificate|hostname|IP address"):
                await client.load()

        # The certificate is for a name, and the endpoint is an address.
        run(over(None), refused)
        run(EtcdSettings((store.url,)), refused)
