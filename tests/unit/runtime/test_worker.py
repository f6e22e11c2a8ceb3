"""A worker as the supervisor sees it: messages in, messages out."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from fastgw.config.schema import Config, Proxy
from fastgw.core.tables import SOURCES, Shared
from fastgw.gateway.compile import Compiler, Trusts
from fastgw.resources.change import encode_value
from fastgw.resources.models import Model, ProviderKey, ProviderKeyTls
from fastgw.runtime.link import Configure, Link, Message, Part, Staged, Started, Stop
from fastgw.runtime.worker import Worker
from fastgw.state.board import Board


class World:
    """The supervisor's end of one worker in this process. `heard` is what the worker has said."""

    def __init__(self) -> None:
        self.board = Board.create(1)
        self.heard: list[Message] = []
        self.link = Link(self._received, lambda: None)
        self._news = asyncio.Event()
        ours, theirs = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._handed = socket.socketpair()
        self.worker = Worker(0, self.board, self._listener, self._handed[0], Shared(dict.fromkeys(SOURCES, -1)))
        self._ends = ours, theirs

    def _received(self, message: Message) -> None:
        self.heard.append(message)
        self._news.set()

    async def until(self, message: Message) -> None:
        while message not in self.heard:
            self._news.clear()
            await self._news.wait()

    def has(self, kind: str, id: str) -> bool:
        """Whether the worker serves a row."""
        assert self.worker._catalog is not None
        return any(row.id == id for row in self.worker._catalog.current().rows(kind))

    async def live(self, test: Callable[["World"], Awaitable[None]]) -> None:
        ours, theirs = self._ends
        theirs.setblocking(False)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        running = loop.create_task(self.worker.run(theirs))
        await loop.connect_accepted_socket(lambda: self.link, ours)
        config = Config(proxy=Proxy(addr="127.0.0.1:0"), resources_file="x")
        self.link.send(Configure(msgspec.msgpack.encode(config)))
        await self.until(Started())
        await test(self)
        self.link.send(Stop())
        await running
        self.link.close()
        self._handed[1].close()
        self.board.close()


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await World().live(test)

    asyncio.run(within())


def key(id: str, **tls: Any) -> Part:
    value = ProviderKey(display_name=id, api_key="k", tls=ProviderKeyTls(**tls) if tls else None)
    return Part(0, "provider_keys", (), ((id, encode_value(value)),), last=True)


def model(id: str) -> Part:
    value = Model(display_name=id, provider="openai", model_name="m", provider_key_id="k")
    return Part(0, "models", (), ((id, encode_value(value)),), last=True)


def test_a_change_that_takes_long_to_prepare_is_not_lost_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker that joins gets what is served and the changes since without a pause.
    async def test(world: World) -> None:
        loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        prepare = Compiler.prepare

        def slow(self: Compiler, trusts: Any) -> Trusts:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            return prepare(self, trusts)

        monkeypatch.setattr(Compiler, "prepare", slow)
        replace = msgspec.structs.replace
        world.board.set_revision(2)  # by the others
        world.link.send(replace(key("a", verify=False), revision=1))
        world.link.send(replace(model("b"), revision=2))
        world.link.send(replace(model("c"), revision=3))
        await begun.wait()
        loop.call_later(0.1, go.set)
        await world.until(Staged(3))
        assert [message.revision for message in world.heard if isinstance(message, Staged)] == [1, 2, 3]
        world.board.set_revision(3)
        assert world.has("provider_keys", "a")
        assert world.has("models", "b")
        assert world.has("models", "c")

    run(test)
