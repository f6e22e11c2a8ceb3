"""Key sets for all workers: who asks an issuer, how often, and what serves when it does not answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fastgw.config.schema import OutboundTls
from fastgw.core.proxies import Proxies
from fastgw.gateway.keys import KeyAddress, KeySet, KeysUnavailable
from fastgw.runtime.jwks import KeyServer
from fastgw.runtime.keys import WorkerKeys
from fastgw.runtime.link import FetchKeys, Keys
from fastgw.runtime.outbound import MAX_DOCUMENT, Fetcher, FetchError
from fastgw.telemetry.levels import LEVELS
from fastgw.telemetry.log import Log
from tests.support.canned import canned, chunk, stream_head
from tests.support.forwardproxy import ForwardProxy
from tests.support.issuer import DISCOVERY, JWKS, Issuer, issuer

ISSUER = "https://issuer.example"
DISCOVERED = f"{ISSUER}{DISCOVERY}"
URI = f"{ISSUER}/keys"


def key_set(*kids: str) -> bytes:
    return json.dumps({"keys": [{"kid": kid} for kid in kids]}).encode()


def discovery(**members: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": URI, **members}).encode()


class World:
    """A key server with a clock of its own. `pages` is what there is at each address: bytes, or the text of an error;
    `asked` lists the addresses that were fetched. While `gate` is clear, fetches wait."""

    def __init__(self, log: int = -1) -> None:
        self.now = 1000.0
        self.pages: dict[str, bytes | str] = {URI: key_set("a"), DISCOVERED: discovery()}
        self.asked: list[str] = []
        self.versions: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.server = KeyServer(self, self.fetch, self.versions.append, Log(LEVELS["warn"], fd=log))  # type: ignore[arg-type]
        self.create_task = asyncio.get_running_loop().create_task
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now

    async def fetch(self, address: str) -> bytes:
        self.asked.append(address)
        await self.gate.wait()
        page = self.pages.get(address, "status 404")
        if isinstance(page, str):
            raise FetchError(page)
        return page

    async def ask(self, have: int = 0, refused: bool = False, uri: str | None = URI, of: str = ISSUER) -> Keys:
        return await self.server.answer(FetchKeys(7, of, uri, have, refused))


def run(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def within() -> None:
        await test(World())

    def sync() -> None:
        asyncio.run(within())

    sync.__name__ = test.__name__
    return sync


@run
async def test_one_fetch_serves_for_ten_minutes(world: World) -> None:
    first = await world.ask()
    assert first == Keys(7, 1, key_set("a"), 600.0, 1.0)
    world.now += 599.5
    assert await world.ask() == Keys(7, 1, key_set("a"), 0.5, 0.0)
    assert await world.ask(have=1) == Keys(7, 1, None, 0.5, 0.0)
    assert world.asked == [URI]
    assert world.versions == [1]
    world.now += 0.5
    assert await world.ask(have=1) == Keys(7, 1, None, 600.0, 1.0)
    assert world.asked == [URI, URI]
    assert world.versions == [1]


@run
async def test_a_missing_key_fetches_once_per_second(world: World) -> None:
    await world.ask()
    world.pages[URI] = key_set("b")
    assert (await world.ask(have=1, refused=True)).document is None
    assert len(world.asked) == 1
    world.now += 1
    answers = await asyncio.gather(*(world.ask(have=1, refused=True) for _ in range(50)))
    assert {answer.document for answer in answers} == {key_set("b")}
    assert len(world.asked) == 2
    assert world.versions == [1, 2]
    # A worker that is late gets what is there.
    world.now += 5
    assert (await world.ask(have=1, refused=True)).version == 2
    assert len(world.asked) == 2


@run
async def test_who_comes_during_a_fetch_waits_for_it(world: World) -> None:
    world.gate.clear()
    asking = [asyncio.create_task(world.ask()) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    world.now += 3
    asking += [asyncio.create_task(world.ask()) for _ in range(20)]
    await asyncio.sleep(0)
    world.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert {answer.version for answer in answers} == {1}
    assert world.asked == [URI]


@run
async def test_a_set_that_is_being_replaced_is_not_the_last_word(world: World) -> None:
    """A worker that needs the set anew during a fetch for another one may ask again for the key that is missing."""
    await world.ask()
    world.pages[URI] = key_set("b")
    world.now += 1
    world.gate.clear()
    missing = asyncio.create_task(world.ask(have=1, refused=True))
    await asyncio.sleep(0)
    assert await world.ask(have=1) == Keys(7, 1, None, 599.0, 0.0)
    late = asyncio.create_task(world.ask(have=1, refused=True))
    await asyncio.sleep(0)
    world.gate.set()
    assert (await missing).document == (await late).document == key_set("b")
    assert world.asked == [URI, URI]


@run
async def test_a_failed_refetch_leaves_the_old_set_in_service(world: World) -> None:
    await world.ask()
    world.now += 700
    for bad in ("status 500", b"", b"[]", b"{}", b'{"keys":{}}'):
        world.pages[URI] = bad
        before = len(world.asked)
        answer = await world.ask()
        await asyncio.sleep(0)
        assert (answer.version, answer.document, answer.error) == (1, key_set("a"), None)
        assert answer.fresh == answer.settled <= 1.0
        assert len(world.asked) == before + 1
        assert (await world.ask()).version == 1
        assert len(world.asked) == before + 1
        world.now += 1
    world.pages[URI] = key_set("b")
    await world.ask()
    await asyncio.sleep(0.001)
    assert (await world.ask()).version == 2


@run
async def test_nobody_waits_for_an_issuer_that_is_known_to_be_down(world: World) -> None:
    await world.ask()
    world.now += 700
    world.pages[URI] = "status 500"
    await world.ask()
    world.now += 1
    world.gate.clear()
    assert (await asyncio.wait_for(world.ask(), 1)).version == 1
    await asyncio.sleep(0)
    assert len(world.asked) == 3
    world.gate.set()


@run
async def test_nothing_fetched_and_nothing_cached(world: World) -> None:
    world.pages[URI] = "status 500"
    assert await world.ask() == Keys(7, error="status 500")
    world.now += 0.9
    world.pages[URI] = key_set("a")
    assert await world.ask() == Keys(7, error="status 500")
    assert len(world.asked) == 1
    world.now += 0.1
    assert (await world.ask()).version == 1


@run
async def test_discovery_is_cached_too(world: World) -> None:
    assert (await world.ask(uri=None)).version > 0
    world.now += 1
    world.pages[URI] = key_set("b")
    await world.ask(have=2, refused=True, uri=None)
    assert world.asked == [DISCOVERED, URI, URI]
    world.now += 600
    world.pages[DISCOVERED] = discovery(jwks_uri=f"{ISSUER}:443/other")
    world.pages[f"{ISSUER}:443/other"] = key_set("c")
    assert (await world.ask(uri=None)).document == key_set("c")


@pytest.mark.parametrize(
    "page",
    [
        "status 500",
        b"not json",
        b"[]",
        discovery(issuer=f"{ISSUER}/"),
        discovery(issuer=None),
        discovery(jwks_uri=None),
        discovery(jwks_uri="http://issuer.example/keys"),
        discovery(jwks_uri="https://issuer.example:8443/keys"),
        discovery(jwks_uri="https://other.example/keys"),
        discovery(jwks_uri="https://other.example@issuer.example/keys"),
        discovery(jwks_uri="https://issuer.example/keys?access_token=x"),
        discovery(jwks_uri="/keys"),
        discovery(jwks_uri="https://issuer.example:x/"),
    ],
)
def test_discovery_that_is_not_accepted(page: bytes | str) -> None:
    async def test() -> None:
        world = World()
        world.pages[DISCOVERED] = page
        answer = await world.ask(uri=None)
        assert answer.error
        assert answer.document is None
        assert world.asked == [DISCOVERED]

    asyncio.run(test())


@run
async def test_one_trailing_slash_of_the_issuer_is_dropped(world: World) -> None:
    world.pages[DISCOVERED] = discovery(issuer=f"{ISSUER}/")
    assert (await world.ask(uri=None, of=f"{ISSUER}/")).version


@run
async def test_addresses_with_credentials_are_never_asked(world: World) -> None:
    for uri in ("https://u:p@issuer.example/keys", "https://issuer.example/keys?token=x"):
        world.pages[uri] = key_set("a")
        assert (await world.ask(uri=uri)).error == "the address embeds credentials"
    assert (await world.ask(uri=None, of="https://u:p@issuer.example")).error == "the address embeds credentials"
    assert world.asked == []


def test_a_failed_fetch_is_said_once_per_attempt(tmp_path: Path) -> None:
    async def test(fd: int) -> None:
        world = World(fd)
        await world.ask()
        world.now += 700
        world.pages[URI] = "status 500"
        for _ in range(5):
            await world.ask()
        world.now += 1
        await world.ask(uri="https://u:p@issuer.example/keys")

    with (tmp_path / "log").open("wb") as sink:
        asyncio.run(test(sink.fileno()))
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith(f'WARN fastgw::auth: key set fetch failed address="{URI}" error="status 500" stale=true')
    assert second.endswith('key set fetch failed error="the address embeds credentials" stale=false')


# -- the worker's side


class Workers:
    """Workers of one gateway, linked to a world."""

    def __init__(self, world: World, count: int = 1) -> None:
        self.world = world
        self.questions = 0
        self.keys = [
            WorkerKeys(world, lambda question, index=index: self._send(index, question), self._newest)  # type: ignore[misc, arg-type]
            for index in range(count)
        ]
        self._tasks: set[asyncio.Task[None]] = set()

    def _newest(self) -> int:
        return self.world.versions[-1] if self.world.versions else 0

    def _send(self, index: int, question: FetchKeys) -> None:
        async def answer() -> None:
            self.keys[index].received(await self.world.server.answer(question))

        self.questions += 1
        task = asyncio.create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


ADDRESS = KeyAddress(ISSUER, URI)


def kids(keys: KeySet | None) -> list[str]:
    return [kid for kid in "abc" if keys is not None and keys.candidates("RS256", kid)]


@run
async def test_a_worker_asks_once(world: World) -> None:
    workers = Workers(world)
    (keys,) = workers.keys
    assert keys.current(ADDRESS) is None
    assert keys.may_refresh(ADDRESS, KeySet(key_set()))
    sets = await asyncio.gather(*(keys.fetch(ADDRESS) for _ in range(30)))
    assert len({id(found) for found in sets}) == 1
    # The board shows a new version: one more question, which brings nothing new.
    assert keys.current(ADDRESS) is None
    assert await keys.fetch(ADDRESS) is sets[0]
    assert keys.current(ADDRESS) is sets[0]
    assert workers.questions == 2
    assert not keys.may_refresh(ADDRESS, sets[0])
    world.now += 1
    assert keys.may_refresh(ADDRESS, sets[0])
    world.now += 599
    assert keys.current(ADDRESS) is None
    assert await keys.fetch(ADDRESS) is sets[0]
    assert world.asked == [URI, URI]


@run
async def test_all_workers_give_up_an_old_set_at_once(world: World) -> None:
    workers = Workers(world, 3)
    old = [await keys.fetch(ADDRESS) for keys in workers.keys]
    old = [keys.current(ADDRESS) or await keys.fetch(ADDRESS) for keys in workers.keys]
    assert [kids(found) for found in old] == [["a"]] * 3
    world.pages[URI] = key_set("b")
    world.now += 1
    assert kids(await workers.keys[0].fetch(ADDRESS, old[0])) == ["b"]
    assert [keys.current(ADDRESS) for keys in workers.keys] == [None] * 3
    for keys in workers.keys:
        assert kids(await keys.fetch(ADDRESS)) == ["b"]
        assert kids(keys.current(ADDRESS)) == ["b"]
    assert world.asked == [URI, URI]


@run
async def test_a_rotation_with_concurrent_misses_on_all_workers_is_one_fetch(world: World) -> None:
    workers = Workers(world, 3)
    for rotation, kid in enumerate("bca", 2):
        old = [keys.current(ADDRESS) or await keys.fetch(ADDRESS) for keys in workers.keys]
        world.pages[URI] = key_set(kid)
        world.now += 1
        found = await asyncio.gather(
            *(keys.fetch(ADDRESS, held) for _ in range(20) for keys, held in zip(workers.keys, old, strict=True))
        )
        assert {tuple(kids(keys)) for keys in found} == {(kid,)}
        assert len(world.asked) == rotation


@run
async def test_one_waiter_that_leaves_does_not_take_the_others_along(world: World) -> None:
    (keys,) = Workers(world).keys
    world.gate.clear()
    waiting = [asyncio.create_task(keys.fetch(ADDRESS)) for _ in range(3)]
    await asyncio.sleep(0.001)
    waiting[0].cancel()
    await asyncio.sleep(0.001)
    world.gate.set()
    assert kids(await waiting[1]) == kids(await waiting[2]) == ["a"]


@run
async def test_a_worker_is_told_that_there_is_nothing(world: World) -> None:
    (keys,) = Workers(world).keys
    world.pages[URI] = "status 500"
    for _ in range(2):
        with pytest.raises(KeysUnavailable, match="status 500"):
            await keys.fetch(ADDRESS)
    assert keys.current(ADDRESS) is None


@run
async def test_who_asks_in_the_moment_of_an_answer_gets_it(world: World) -> None:
    asked: list[FetchKeys] = []
    keys = WorkerKeys(world, asked.append, lambda: 0)  # type: ignore[arg-type]
    first = asyncio.create_task(keys.fetch(ADDRESS))
    await asyncio.sleep(0)
    keys.received(Keys(asked[0].id, 1, key_set("a"), 600.0, 0.0))
    old = await first
    waiting = asyncio.create_task(keys.fetch(ADDRESS, old))
    await asyncio.sleep(0)
    keys.received(Keys(asked[1].id, 2, key_set("a", "b"), 600.0, 1.0))
    # The same turn of the loop: nobody has been woken.
    assert keys.may_refresh(ADDRESS, old)
    assert kids(await keys.fetch(ADDRESS, old)) == ["a", "b"]
    assert kids(await waiting) == ["a", "b"]
    assert len(asked) == 2


@run
async def test_one_set_that_comes_twice_is_one(world: World) -> None:
    asked: list[FetchKeys] = []
    keys = WorkerKeys(world, asked.append, lambda: 0)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(keys.fetch(ADDRESS))]
    await asyncio.sleep(0)
    keys.received(Keys(asked[0].id, 1, key_set("a"), 600.0, 0.0))
    old = await waiting[0]
    # The supervisor has said meanwhile that some set has changed, so both questions are asked.
    waiting = [asyncio.create_task(keys.fetch(ADDRESS, refused)) for refused in (old, None)]
    await asyncio.sleep(0)
    for question in asked[1:]:
        keys.received(Keys(question.id, 2, key_set("b"), 600.0, 1.0))
    assert await waiting[0] is await waiting[1]
    assert len(asked) == 3


@run
async def test_an_answer_that_nobody_waits_for(world: World) -> None:
    (keys,) = Workers(world).keys
    keys.received(Keys(99, 1, key_set("a"), 1.0, 1.0))
    assert keys.current(ADDRESS) is None


# -- over HTTP


def fetched(running: Issuer, path: str) -> bytes:
    return asyncio.run(closing(lambda fetcher: fetcher.get(running.url + path)))


async def closing(work: Callable[[Fetcher], Awaitable[bytes]], proxies: Proxies | None = None) -> bytes:
    fetcher = Fetcher(OutboundTls(), proxies)
    try:
        return await work(fetcher)
    finally:
        await fetcher.close()


def test_a_document_is_fetched() -> None:
    with issuer() as running:
        assert json.loads(fetched(running, JWKS)) == {"keys": running.keys}
        running.answers["/full"] = (200, {}, b"x" * MAX_DOCUMENT)
        assert len(fetched(running, "/full")) == MAX_DOCUMENT


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((302, {"location": JWKS}, b""), "status 302"),
        ((301, {"location": "http://127.0.0.1:1/"}, b""), "status 301"),
        ((404, {}, b"{}"), "status 404"),
        ((500, {}, b""), "status 500"),
        ((204, {}, b""), "status 204"),
        ((200, {}, b"x" * (MAX_DOCUMENT + 1)), "too large"),
        ((200, {"content-encoding": "gzip"}, b"no gzip"), "Error"),
    ],
)
def test_what_is_not_accepted(answer: tuple[int, dict[str, str], bytes], why: str) -> None:
    with issuer() as running:
        running.answers["/x"] = answer
        with pytest.raises(FetchError, match=why):
            fetched(running, "/x")
        assert running.hits == {"/x": 1}


@pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "later"])
def test_broken_chunks_are_noticed_at_once(pause: float) -> None:
    """Also where they arrive after the head of the answer, and not when the time for the whole is over."""
    with canned() as server:
        server.answer = [stream_head("application/json"), chunk(b"{"), pause, b"zz\r\n"]
        with pytest.raises(FetchError, match="Invalid character in chunk size"):
            asyncio.run(closing(lambda fetcher: fetcher.get(server.origin)))


def test_an_issuer_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastgw.runtime.outbound.FETCH_SECONDS", 0.05)
    with issuer() as running:
        running.open.clear()
        with pytest.raises(FetchError, match="no complete answer in time"):
            fetched(running, JWKS)
    with pytest.raises(FetchError, match="Error"):
        fetched(running, JWKS)


@pytest.mark.parametrize("address", ["nonsense", "ftp://host/", "http://", "http://host:x/", "http://[::1/"])
def test_addresses_that_cannot_be_fetched(address: str) -> None:
    with pytest.raises(FetchError):
        asyncio.run(closing(lambda fetcher: fetcher.get(address)))


@pytest.mark.parametrize("credential", [None, "user:secret"])
def test_documents_behind_a_proxy(credential: str | None) -> None:
    user = "" if credential is None else f"{credential}@"
    with issuer() as running:
        port = int(running.url.rpartition(":")[2])
        with ForwardProxy({"issuer.example": ("127.0.0.1", port)}, credential) as proxy:
            proxies = Proxies.of({"http_proxy": f"http://{user}{proxy.address}", "no_proxy": "127.0.0.1"})

            async def get() -> bytes:
                return await closing(lambda fetcher: fetcher.get(f"http://issuer.example:{port}{JWKS}"), proxies)

            assert json.loads(asyncio.run(get())) == {"keys": running.keys}
            assert proxy.targets() == [f"GET http://issuer.example:{port}{JWKS}"]
