"""Which bytes are written in which turn of the loop, and what waits for a slow reader."""

import asyncio
from typing import Any

import pytest

from fastgw.mock.play import Player, Wheel
from fastgw.mock.server import Connection, Server
from tests.support.wire import chat, request


class Recorder(asyncio.Transport):
    """A transport that notes each write with the turn of the loop in which it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, bytes]] = []
        self.turn = 0
        self.ended = False
        self._tick()

    def _tick(self) -> None:
        self.turn += 1
        if not self.ended:
            asyncio.get_running_loop().call_soon(self._tick)

    def write(self, data: Any) -> None:
        self.writes.append((self.turn, bytes(data)))

    def is_closing(self) -> bool:
        return self.ended


async def _writes(*requests: bytes, **flags: Any) -> list[tuple[int, bytes]]:
    server = Server(flags)
    connection, transport = Connection(server), Recorder()
    connection.connection_made(transport)
    for data in requests:
        connection.data_received(data)
    while server.streaming:
        await asyncio.sleep(0)
    transport.ended = True
    await asyncio.sleep(0)
    return transport.writes


def test_each_event_has_its_own_turn() -> None:
    writes = asyncio.run(_writes(request(chat(stream=True, tokens=3))))
    # Head, role, three tokens, finish, [DONE].
    assert len(writes) == 7
    assert len({turn for turn, _ in writes}) == 7
    assert all(data.count(b"data: ") == 1 for _, data in writes[1:])
    assert writes[-1][1].endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_split_pieces_have_their_own_turns() -> None:
    writes = asyncio.run(_writes(request(chat(stream=True, tokens=2, split=100))))
    assert max(len(data) for _, data in writes) == 100
    assert len({turn for turn, _ in writes}) == len(writes)


def test_coalesced_answer_is_one_write() -> None:
    writes = asyncio.run(_writes(request(chat(stream=True, tokens=50)), coalesce=True, cadence_ms=1000))
    assert len(writes) == 1
    assert writes[0][1].startswith(b"HTTP/1.1 200 ")


def test_pipelined_plain_answers_are_one_write() -> None:
    [(_, data)] = asyncio.run(_writes(request(chat()) * 4))
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 4


def test_body_in_a_segment_of_its_own() -> None:
    head, end, body = request(chat()).partition(b"\r\n\r\n")
    [(_, data)] = asyncio.run(_writes(head + end, body))
    assert data.startswith(b"HTTP/1.1 200 ")


def test_a_blocked_player_waits_and_goes_on() -> None:
    async def play() -> None:
        transport, finished = Recorder(), asyncio.Event()
        wheel = Wheel(asyncio.get_running_loop())
        steps = iter([(0.0, b"a"), (0.0, b"b"), (1.0, b"c")])
        player = Player(wheel, transport, steps, lambda _: finished.set(), ending="keep", stream=True)
        player.start()
        player.block()
        for _ in range(5):
            await asyncio.sleep(0)
        assert [data for _, data in transport.writes] == [b"a"]
        player.unblock()
        await finished.wait()
        assert [data for _, data in transport.writes] == [b"a", b"b", b"c"]
        transport.ended = True

    asyncio.run(play())


def test_players_of_one_millisecond_share_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> int:
        loop = asyncio.get_running_loop()
        transport, finished = Recorder(), asyncio.Semaphore(0)
        timers = 0
        call_at = loop.call_at

        def counted(*arguments: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(*arguments)

        monkeypatch.setattr(loop, "call_at", counted)
        wheel = Wheel(loop)
        due = loop.time() * 1000 + 5
        for _ in range(50):
            player = Player(wheel, transport, iter(()), lambda _: finished.release(), ending="keep", stream=True)
            wheel.add(due, player)
        for _ in range(50):
            await finished.acquire()
        transport.ended = True
        return timers

    assert asyncio.run(play()) == 1
