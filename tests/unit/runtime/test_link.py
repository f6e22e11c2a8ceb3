"""Messages over a real socket pair."""

from __future__ import annotations

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from fastgw.runtime.link import BUFFERED, Announce, Configure, Link, Message, Part, Serve, Staged, Started, Stop, frame
from fastgw.telemetry.metrics import Definition

MESSAGES: list[Message] = [
    Configure(b"config" * 50_000),
    Part(7, "models", ("gone",), (("id", b"row"),), bulk=True, last=True),
    Serve(),
    Started(),
    Started("no"),
    Staged(1),
    Staged(2, "no"),
    Announce(Definition(3, "counter", "requests_total", ("a", "b"), ())),
    Stop(),
]


async def pair(received: list[Message], lost: list[int]) -> tuple[Link, Link]:
    loop = asyncio.get_running_loop()
    ends = socket.socketpair()
    links = []
    for end in ends:
        end.setblocking(False)
        _, link = await loop.connect_accepted_socket(lambda: Link(received.append, lambda: lost.append(1)), end)
        links.append(link)
    return links[0], links[1]


def test_messages_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        received: list[Message] = []
        lost: list[int] = []
        one, two = await pair(received, lost)
        for message in MESSAGES:
            one.send(message)
        one.close()
        async with asyncio.timeout(5):
            while len(lost) < 2:
                await asyncio.sleep(0.001)
        assert received == MESSAGES
        # Nobody is there any more: dropped without a word.
        two.send(Stop())
        one.send(Stop())

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 50), max_size=30))
def test_any_pieces_give_the_same_messages(sizes: list[int]) -> None:
    wire = bytearray()
    received: list[Message] = []
    for message in (Staged(1), Staged(2, "no"), Stop(), Configure(b"r" * 100)):
        wire += frame(message)
    receiver = Link(received.append, lambda: None)
    for size in [*sizes, len(wire)]:
        receiver.data_received(bytes(wire[:size]))
        del wire[:size]
    assert received == [Staged(1), Staged(2, "no"), Stop(), Configure(b"r" * 100)]


def test_who_does_not_read_is_waited_for_and_holds_a_bounded_buffer() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        lost: list[int] = []
        link = Link(lambda message: None, lambda: lost.append(1))
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: link, ours)
        piece = frame(Configure(b"x" * 10_000))
        sent = 0
        while True:
            link.write(piece)
            sent += len(piece)
            try:
                async with asyncio.timeout(0.05):
                    await link.drain()
            except TimeoutError:
                break
        assert transport.get_write_buffer_size() <= BUFFERED + len(piece)
        waiting = asyncio.ensure_future(link.drain())
        theirs.setblocking(False)
        received = 0
        async with asyncio.timeout(5):
            while received < sent:
                received += len(await asyncio.get_running_loop().sock_recv(theirs, 1 << 20))
            await waiting
        # Nor does anybody wait for one that is gone.
        while link._drained.is_set():
            link.write(piece)
        theirs.close()
        async with asyncio.timeout(5):
            await link.drain()
            while not lost:
                await asyncio.sleep(0.001)

    asyncio.run(scenario())
