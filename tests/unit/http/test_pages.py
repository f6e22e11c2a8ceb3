"""Pages: what the supervisor's own listeners serve."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from fastgw._speedups.head import Request
from fastgw.http.connection import Connection
from fastgw.http.pages import Page, PageExchange, get_only
from fastgw.http.server import Server
from tests.protocol.harness import Answer, Client, FakeLoop, World, read_answers

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


class Gate:
    """A page that is made when the test says so, on the task that the exchange starts."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []

    def create_task(self, work: Any) -> Any:
        gate = self

        class Task:
            callback: Any = None
            value: Any = None
            error: BaseException | None = None
            was_cancelled = False

            def add_done_callback(self, callback: Any) -> None:
                self.callback = callback

            def run(self) -> None:
                try:
                    work.send(None)
                except StopIteration as done:
                    self.value = done.value
                except Exception as error:
                    self.error = error
                self.callback(self)

            def cancel(self) -> None:
                self.was_cancelled = True
                work.close()

            def result(self) -> Any:
                if self.error is not None:
                    raise self.error
                return self.value

        gate.tasks.append(Task())
        return gate.tasks[-1]


class PageWorld:
    """As much of a World as a Client needs."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.gate = Gate()
        self.loop.create_task = self.gate.create_task  # type: ignore[attr-defined]
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        pages = {b"/hello": self._hello, b"/empty": self._empty, b"/broken": self._broken}

        def make(connection: Connection, request: Request) -> PageExchange:
            return PageExchange(loop, connection, request, get_only(pages))

        self.server = Server(loop, make, server_token=None, mint=lambda: b"", id_field=b"")

    def connect(self) -> Client:
        return Client(cast(World, self), Connection(self.server))

    async def _hello(self) -> Page:
        return Page(200, "text/plain", b"hello")

    async def _empty(self) -> Page:
        return Page(503, "", b"")

    async def _broken(self) -> Page:
        raise ValueError("no page")


@pytest.fixture
def world() -> Iterator[PageWorld]:
    yield PageWorld()


def only(client: Client, method: str = "GET") -> Answer:
    (answer,) = read_answers(client.received, (method,), not client.open)
    return answer


def test_a_page(world: PageWorld) -> None:
    client = world.connect()
    client.send(GET % b"/hello?query")
    world.gate.tasks[0].run()
    answer = only(client)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.all(b"content-type") == [b"text/plain"]
    assert answer.all(b"server") == []
    assert client.open


def test_head(world: PageWorld) -> None:
    client = world.connect()
    client.send(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    world.gate.tasks[0].run()
    answer = only(client, "HEAD")
    assert (answer.status, answer.body, answer.all(b"content-length")) == (200, b"", [b"5"])


def test_an_empty_page_has_no_content_type(world: PageWorld) -> None:
    client = world.connect()
    client.send(GET % b"/empty")
    world.gate.tasks[0].run()
    assert (only(client).status, only(client).all(b"content-type")) == (503, [])


def test_other_paths_and_methods(world: PageWorld) -> None:
    client = world.connect()
    client.send(GET % b"/other" + b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy" + GET % b"/x")
    for number in range(3):
        world.gate.tasks[number].run()
    answers = read_answers(client.received, ("GET", "POST", "GET"), not client.open)
    assert [answer.status for answer in answers] == [404, 405, 404]
    assert answers[1].all(b"allow") == [b"GET,HEAD"]
    assert client.open


def test_a_page_that_cannot_be_made_breaks_the_connection_and_is_reported(world: PageWorld) -> None:
    client = world.connect()
    client.send(GET % b"/broken")
    world.gate.tasks[0].run()
    world.loop.run()
    assert client.lost
    assert not client.received
    assert [type(failure["exception"]) for failure in world.loop.failures] == [ValueError]
    assert not world.server.connections


def test_a_reader_that_leaves_stops_the_making(world: PageWorld) -> None:
    client = world.connect()
    client.send(GET % b"/hello")
    client.vanish()
    assert world.gate.tasks[0].was_cancelled
    assert not world.server.connections
    assert not world.loop.failures
