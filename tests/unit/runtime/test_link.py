"""Messages over a real socket pair."""

from __future__ import annotations

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from fastgw.runtime.link import Announce, Configure, Link, Message, Staged, Stop
from fastgw.telemetry.metrics import Definition

MESSAGES: list[Message] = [
    Configure(1, b"config", b"r" * 300_000),
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
    sender, received = Link(lambda message: None, lambda: None), []
    for message in (Staged(1), Staged(2, "no"), Stop(), Configure(7, b"c", b"r" * 100)):
        data = sender._encoder.encode(message)
        wire += len(data).to_bytes(4, "big") + data
    receiver = Link(received.append, lambda: None)
    for size in [*sizes, len(wire)]:
        receiver.data_received(bytes(wire[:size]))
        del wire[:size]
    assert received == [Staged(1), Staged(2, "no"), Stop(), Configure(7, b"c", b"r" * 100)]
