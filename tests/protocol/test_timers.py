"""What happens when nothing happens: head, body, idle, linger and stall times, on a clock that the tests move."""

import contextlib
from collections.abc import Iterator

import pytest

from fastgw.http.server import BODY_SECONDS, HEAD_SECONDS, LINGER_SECONDS, STALL_SECONDS
from tests.protocol.harness import Answer, Client, World, read_answers, stable
from tests.protocol.vector import CHAT, chunked, get, post, sized

IDLE = 5.0


@pytest.fixture
def idle_world() -> Iterator[World]:
    with contextlib.closing(World(idle_timeout=IDLE)) as made:
        yield made


def answers(client: Client) -> list[Answer]:
    return read_answers(client.received, ("POST",), not client.open)


def statuses(client: Client) -> list[int]:
    return [answer.status for answer in answers(client)]


def gone(world: World, client: Client) -> None:
    """The connection is closed and nothing is left of it."""
    world.loop.run()
    assert client.lost
    assert world.timers == {}
    assert world.in_flight == 0
    assert not world.server.connections
    assert not world.loop.failures


# -- heads


def test_a_slow_head_is_refused(world: World) -> None:
    client = world.connect()
    head = get()
    client.send(head[:10])
    for byte in range(10, 14):
        world.loop.advance(HEAD_SECONDS / 5)
        client.send(head[byte : byte + 1])
    world.loop.advance(HEAD_SECONDS / 5 - 0.1)
    assert not client.received
    world.loop.advance(0.2)
    assert statuses(client) == [408]
    assert not client.open
    client.half_close()
    gone(world, client)


def test_a_head_in_time_is_not(world: World) -> None:
    client = world.connect()
    head = get()
    client.send(head[:10])
    world.loop.advance(HEAD_SECONDS - 0.1)
    client.send(head[10:])
    world.loop.advance(10 * HEAD_SECONDS)
    assert statuses(client) == [200]
    assert client.open


def test_no_head_is_no_slow_head(world: World) -> None:
    client = world.connect()
    client.send(b"\r\n\r\n")
    world.loop.advance(10 * HEAD_SECONDS)
    assert not client.received
    assert client.open


def test_a_slow_head_behind_an_answered_request_is_refused(world: World) -> None:
    client = world.connect()
    client.send(get() + get()[:10])
    world.loop.advance(HEAD_SECONDS + 0.1)
    assert statuses(client) == [200, 408]


def test_a_slow_head_behind_a_running_request_has_its_time_once_that_is_answered(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park") + get()[:10])
    world.loop.advance(10 * HEAD_SECONDS)
    assert not client.received
    world.release()
    assert statuses(client) == [200]
    world.loop.advance(HEAD_SECONDS - 0.1)
    assert statuses(client) == [200]
    world.loop.advance(0.2)
    assert statuses(client) == [200, 408]


# -- bodies


@pytest.mark.parametrize("head", [post("Content-Length: 9", body="abc"), chunked("3\r\nabc\r\n")])
def test_a_body_that_stops_is_refused(world: World, head: bytes) -> None:
    client = world.connect()
    client.send(head)
    world.loop.advance(BODY_SECONDS - 0.1)
    assert not client.received
    world.loop.advance(0.2)
    assert statuses(client) == [408]
    assert answers(client)[0].all(b"connection") == [b"close"]
    assert world.in_flight == 0
    client.half_close()
    gone(world, client)


def test_a_body_that_goes_on_is_not(world: World) -> None:
    client = world.connect()
    client.send(post("Content-Length: 9"))
    for _ in range(9):
        world.loop.advance(BODY_SECONDS - 0.1)
        client.send(b"x")
    assert statuses(client) == [200]
    world.loop.advance(10 * BODY_SECONDS)
    assert client.open


def test_a_dropped_body_that_stops_closes_the_connection(world: World) -> None:
    client = world.connect()
    client.send(post("Content-Length: 9", body="abc", path="/nowhere"))
    assert statuses(client) == [404]
    world.loop.advance(BODY_SECONDS - 0.1)
    assert client.open
    world.loop.advance(0.2)
    assert statuses(client) == [404]
    gone(world, client)


def test_the_declared_length_is_drained_for_five_seconds() -> None:
    with contextlib.closing(World(body_limit=10)) as world:
        client = world.connect()
        client.send(post("Content-Length: 5000"))
        world.loop.advance(4.9)
        client.send(b"x" * 100)
        assert not client.received
        world.loop.advance(0.2)
        assert statuses(client) == [413]
        client.half_close()
        gone(world, client)


# -- idle connections (contract: not earlier than N - 0.2 s, not later than N + 2 s, no bytes)


def test_an_idle_connection_is_closed_in_silence(idle_world: World) -> None:
    client = idle_world.connect()
    idle_world.loop.advance(IDLE - 0.2)
    assert client.open
    idle_world.loop.advance(2.2)
    assert not client.received
    gone(idle_world, client)


def test_the_idle_time_starts_with_the_last_answer(idle_world: World) -> None:
    client = idle_world.connect()
    for _ in range(5):
        idle_world.loop.advance(IDLE - 0.2)
        client.send(get())
    assert statuses(client) == [200] * 5
    idle_world.loop.advance(IDLE - 0.2)
    assert client.open
    idle_world.loop.advance(2.2)
    assert statuses(client) == [200] * 5
    gone(idle_world, client)


def test_part_of_a_head_does_not_extend_the_idle_time(idle_world: World) -> None:
    client = idle_world.connect()
    client.send(get())
    for byte in (b"G", b"E", b"T", b" "):
        idle_world.loop.advance(IDLE / 4 - 0.01)
        client.send(byte)
    idle_world.loop.advance(2.0)
    assert statuses(client) == [200]
    gone(idle_world, client)


def test_the_idle_time_never_runs_during_a_request(idle_world: World) -> None:
    client = idle_world.connect()
    client.send(post("Content-Length: 4", path="/park"))
    for _ in range(4):
        idle_world.loop.advance(3 * IDLE)
        client.send(b"x")
    idle_world.loop.advance(10 * IDLE)
    assert client.open
    idle_world.release()
    assert statuses(client) == [200]
    idle_world.loop.advance(IDLE - 0.2)
    assert client.open
    idle_world.loop.advance(2.2)
    gone(idle_world, client)


def test_the_idle_time_never_runs_during_a_stream(idle_world: World) -> None:
    client = idle_world.connect()
    client.send(post(path="/stream"))
    idle_world.loop.advance(20 * IDLE)
    idle_world.release()
    assert client.open
    assert statuses(client) == [200]


def test_the_idle_time_does_not_run_while_an_answer_is_being_taken(idle_world: World) -> None:
    client = idle_world.connect()
    client.stop_taking()
    client.send(get())
    idle_world.loop.advance(IDLE * 3)
    assert client.open
    client.take()
    idle_world.loop.advance(IDLE + 2)
    assert statuses(client) == [200]
    gone(idle_world, client)


def test_the_idle_time_does_not_run_while_a_body_is_dropped(idle_world: World) -> None:
    client = idle_world.connect()
    client.send(post("Content-Length: 2", path="/nowhere"))
    idle_world.loop.advance(IDLE * 2)
    client.send(b"x")
    idle_world.loop.advance(IDLE * 2)
    client.send(b"x")
    idle_world.loop.advance(IDLE - 0.2)
    assert client.open
    idle_world.loop.advance(2.2)
    gone(idle_world, client)


def test_without_an_idle_time_connections_stay(world: World) -> None:
    client = world.connect()
    client.send(get())
    world.loop.advance(1e6)
    assert client.open


# -- lingering


def test_lingering_half_closes_and_ends_in_time(world: World) -> None:
    client = world.connect()
    client.send(post("Content-Length: 80000", path=CHAT))
    assert statuses(client) == [401]
    assert client.ended
    assert not client.lost
    client.send(b"x" * 70_000)
    world.loop.advance(LINGER_SECONDS - 0.1)
    assert not client.lost
    world.loop.advance(0.2)
    assert statuses(client) == [401]
    gone(world, client)


def test_lingering_takes_a_bounded_number_of_bytes(world: World) -> None:
    client = world.connect()
    client.send(post("Content-Length: 99999999", path=CHAT))
    for _ in range(32):
        client.send(b"x" * 1024 * 1024)
        assert not client.lost
    client.send(b"x")
    gone(world, client)


def test_lingering_without_half_close(world: World) -> None:
    client = world.connect(half_close=False)
    client.send(b"\x00")
    assert not client.ended
    assert not client.lost
    world.loop.advance(LINGER_SECONDS + 0.1)
    gone(world, client)


# -- clients that do not take their answers


def test_a_stalled_stream_is_cut(world: World) -> None:
    client = world.connect()
    client.send(post(path="/stream"))
    client.stop_taking()
    client.protocol.write(b"x" * 70_000)
    assert client.protocol.write_paused
    world.loop.advance(STALL_SECONDS - 1)
    assert not client.lost
    world.loop.advance(2)
    assert client.aborted
    gone(world, client)


def test_a_slow_stream_is_not_cut(world: World) -> None:
    client = world.connect()
    client.send(post(path="/stream"))
    for _ in range(5):
        client.stop_taking()
        client.protocol.write(b"11170\r\n" + b"x" * 70_000 + b"\r\n")
        world.loop.advance(STALL_SECONDS - 1)
        client.take()
    world.release()
    assert len(answers(client)[0].body) == 350_003


def test_a_client_that_takes_a_little_is_not_cut(world: World) -> None:
    """Progress counts, however slow: only a client that takes nothing in all the time is gone."""
    client = world.connect()
    client.send(post(path="/stream"))
    client.stop_taking()
    client.protocol.write(b"x" * 200_000)
    for _ in range(3):
        client.take_some(1000)
        world.loop.advance(STALL_SECONDS)
        assert not client.aborted
    world.loop.advance(STALL_SECONDS + 1)
    assert client.aborted
    gone(world, client)


def test_a_client_that_never_takes_its_last_answer_is_cut(world: World) -> None:
    client = world.connect()
    client.stop_taking()
    client.send(sized("x", "Connection: close"))
    world.loop.advance(STALL_SECONDS - 1)
    assert not client.lost
    world.loop.advance(2)
    assert client.aborted
    gone(world, client)


def test_requests_wait_for_a_client_that_does_not_take_answers(world: World) -> None:
    client = world.connect()
    client.stop_taking()
    client.protocol.pause_writing()
    client._paused_writer = True
    client.send(get() * 10)
    assert client.get_write_buffer_size() == 0
    for _ in range(3):
        client.send(get() * 10)
    assert not client.reading
    client.take()
    assert statuses(client) == [200] * 40
    assert client.reading
    assert stable(client.received).count(b"\r\n\r\nok") == 40
