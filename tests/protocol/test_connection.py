"""A connection in the middle of things: losing it, pausing it, draining it, and what answers say about themselves."""

import re
from collections.abc import Callable

import pytest

from fastgw.http.connection import MAX_PIPELINE, READ_AHEAD, plain_address
from tests.protocol.harness import Answer, Client, World, read_answers
from tests.protocol.vector import CHAT, JSON, KEY, chunked, get, post, request, sized


def flood(client: Client) -> None:
    client.stop_taking()
    client.send(get() * 3000)


STAGES: dict[str, Callable[[Client], None]] = {
    "before anything": lambda client: None,
    "in the head": lambda client: client.send(b"GET /li"),
    "in an empty line": lambda client: client.send(b"\r\n"),
    "before the body": lambda client: client.send(post("Content-Length: 5")),
    "in the body": lambda client: client.send(post("Content-Length: 5", body="he")),
    "in a chunk": lambda client: client.send(chunked("5\r\nhe")),
    "in a chunk size": lambda client: client.send(chunked("5")),
    "in the trailers": lambda client: client.send(chunked("0\r\nA: ")),
    "while continuing": lambda client: client.send(post("Expect: 100-continue", "Content-Length: 5")),
    "while parked": lambda client: client.send(post(path="/park")),
    "while parked, with a queue": lambda client: client.send(post(path="/park") + get() * 5),
    "while parked, paused": lambda client: client.send(post(path="/park") + get() * 5000),
    "while parked, with half a head": lambda client: client.send(post(path="/park") + b"GET"),
    "in a stream": lambda client: client.send(post(path="/stream")),
    "between requests": lambda client: client.send(get()),
    "after half a second head": lambda client: client.send(get() + b"GET"),
    "while dropping a body": lambda client: client.send(post("Content-Length: 9", path="/nowhere")),
    "while lingering": lambda client: client.send(b"\x00"),
    "after an upgrade": lambda client: client.send(post("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5")),
    "after connect": lambda client: client.send(request("CONNECT a:1 HTTP/1.1")),
    "after a broken body": lambda client: client.send(chunked("zz")),
    "when it does not take": lambda client: flood(client),
}


def answers(client: Client, *methods: str) -> list[Answer]:
    return read_answers(client.received, methods or ("POST",), not client.open)


def statuses(client: Client) -> list[int]:
    return [answer.status for answer in answers(client)]


@pytest.mark.parametrize("how", ["eof", "lost", "reset"])
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_left_of_a_client_that_leaves(world: World, stage: str, how: str) -> None:
    client = world.connect()
    STAGES[stage](client)
    if how == "eof":
        client.half_close()
        client.take()
    else:
        client.vanish(ConnectionResetError() if how == "reset" else None)
    world.loop.advance(0.0)
    assert client.lost
    assert world.in_flight == 0
    assert world.timers == {}
    assert not world.server.connections
    assert world.board.connections() == 0
    assert not world.loop.failures
    assert client.protocol.exchange is None
    if world.parked:
        world.release()  # its fiber has ended
    world.loop.advance(1000.0)
    assert world.loop.pending == 0


def test_a_client_that_half_closes_after_its_request_is_gone(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park"))
    assert world.in_flight == 1
    client.half_close()
    assert world.in_flight == 0
    assert world.parked[0].gone
    assert not client.received


def test_a_client_that_half_closes_behind_its_answer_has_got_it(world: World) -> None:
    client = world.connect()
    client.send(request("GET /livez HTTP/1.0", "Connection: keep-alive"))
    client.half_close()
    assert statuses(client) == [200]
    assert client.lost


# -- pipelining


def test_answers_keep_the_order_of_the_requests(world: World) -> None:
    client = world.connect()
    client.send(sized("a", path="/park") + sized("b") + sized("cc", path="/park") + sized("ddd"))
    assert world.seen == [b"a"]
    world.release()
    assert world.seen == [b"a", b"b", b"cc"]
    world.release()
    assert world.seen == [b"a", b"b", b"cc", b"ddd"]
    assert [answer.body for answer in answers(client)] == [b'{"length":%d}' % n for n in (1, 1, 2, 3)]


def test_one_exchange_at_a_time(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park") * 3)
    for left in (2, 1, 0):
        assert world.in_flight == 1
        world.release()
        assert len(statuses(client)) == 3 - left
    assert world.in_flight == 0


def test_reading_pauses_behind_too_many_requests(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park"))
    for _ in range(MAX_PIPELINE):
        client.send(get())
    assert client.reading
    client.send(get())
    assert not client.reading
    client.send(get() * 7)
    assert client.unsent > 0
    world.release()
    assert statuses(client) == [200] * (MAX_PIPELINE + 9)
    assert client.reading


def test_a_flood_in_one_read_is_parsed_as_it_is_answered(world: World) -> None:
    client = world.connect()
    flood = get() * 9000
    client.send(post(path="/park") + flood + sized("end"))
    reader = client.protocol._reader
    assert not client.reading
    assert len(reader.queue) < 600
    world.release()
    assert statuses(client) == [200] * 9002
    assert world.seen[-1] == b"end"
    assert client.reading
    assert client.open


def test_a_flood_behind_several_slow_requests(world: World) -> None:
    client = world.connect()
    client.send((post(path="/park") + get() * 1500) * 4)
    for _ in range(4):
        assert not client.reading or len(world.parked) == 1
        world.release()
    assert len(statuses(client)) == 4 * 1501
    assert client.open


def test_the_body_of_a_waiting_request_is_not_read_ahead(world: World) -> None:
    client = world.connect()
    size = 40 * READ_AHEAD
    client.send(post(path="/park") + post(f"Content-Length: {size}"))
    for _ in range(40):
        client.send(b"x" * READ_AHEAD)
    assert not client.reading
    assert client.protocol._reader.queue[0].received <= 2 * READ_AHEAD
    world.release()
    assert client.reading
    assert len(world.seen[-1]) == size
    assert statuses(client) == [200, 200]


def test_noise_behind_a_running_request_is_answered_in_its_turn(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park"))
    client.send(b"\x00\x01")
    assert not client.received
    assert client.open
    world.release()
    assert statuses(client) == [200, 400]
    assert client.ended


def test_a_huge_head_behind_a_running_request_is_answered_in_its_turn(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park") + b"GET / HTTP/1.1\r\nX: ")
    for _ in range(100):
        client.send(b"y" * 4096)
    assert client.unsent == 0
    world.release()
    assert statuses(client) == [200, 431]


def test_a_broken_body_behind_a_running_request_is_answered_in_its_turn(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park") + chunked("zz\r\n") + get())
    world.release()
    assert statuses(client) == [200, 400]


def test_noise_behind_a_closing_request_is_ignored_while_it_runs(world: World) -> None:
    client = world.connect()
    client.send(post("Connection: close", path="/park"))
    client.send(b"\x00\x01" + get())
    world.release()
    assert statuses(client) == [200]
    assert client.lost


# -- streams


def test_a_stream_is_chunked_and_the_connection_goes_on(world: World) -> None:
    client = world.connect()
    client.send(post(path="/stream"))
    world.release()
    client.send(get())
    first, second = answers(client)
    assert first.all(b"transfer-encoding") == [b"chunked"]
    assert (first.body, second.body) == (b"end", b"ok")


@pytest.mark.parametrize("keeping", ["close", "keep-alive"])
def test_a_stream_to_a_1_0_client_ends_with_the_connection(world: World, keeping: str) -> None:
    client = world.connect()
    client.send(request("POST /stream HTTP/1.0", f"Connection: {keeping}"))
    world.release()
    (answer,) = answers(client)
    assert answer.all(b"transfer-encoding") == answer.all(b"content-length") == []
    assert answer.body == b"end"
    assert client.lost


def test_a_cut_stream_does_not_look_complete(world: World) -> None:
    client = world.connect()
    client.send(post(path="/stream"))
    client.protocol.cut()
    world.loop.run()
    assert client.aborted
    assert not client.received.endswith(b"0\r\n\r\n")
    assert world.in_flight == 0


# -- bodies


def test_the_client_is_told_to_continue_once_and_only_when_it_waits(world: World) -> None:
    client = world.connect()
    client.send(post("Expect: 100-continue", "Content-Length: 2"))
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"x")
    client.send(b"y")
    assert statuses(client) == [100, 200]
    client.send(post("Expect: 100-continue", "Content-Length: 2", body="x"))
    client.send(b"y")
    assert statuses(client) == [100, 200, 200]


def test_continue_waits_for_its_turn(world: World) -> None:
    client = world.connect()
    client.send(post(path="/park") + post("Expect: 100-continue", "Content-Length: 2"))
    assert not client.received
    world.release()
    assert statuses(client) == [200, 100]


def test_a_refused_expectation_closes_because_the_body_may_or_may_not_come(world: World) -> None:
    client = world.connect()
    client.send(post("Expect: 100-continue", "Content-Length: 2", JSON, path=CHAT))
    (answer,) = answers(client)
    assert answer.status == 401
    assert answer.all(b"connection") == [b"close"]


def test_bodies_of_all_sizes_arrive_as_they_were(world: World) -> None:
    client = world.connect()
    sizes = [0, 1, 8191, 8192, 8193, 65536, 300_000]
    for size in sizes:
        body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
        wire = post(f"Content-Length: {size}") + body
        for at in range(0, len(wire), 100_000):
            client.send(wire[at : at + 100_000])
        assert world.seen[-1] == body
    assert len(statuses(client)) == len(sizes)


# -- draining


def test_during_a_drain_every_answer_closes(world: World) -> None:
    idle, busy = world.connect(), world.connect()
    busy.send(post(path="/park"))
    world.board.set_draining()
    idle.send(get() + get())
    assert [answer.all(b"connection") for answer in answers(idle)] == [[b"close"]]
    assert idle.lost
    world.release()
    assert [answer.all(b"connection") for answer in answers(busy)] == [[b"close"]]
    assert busy.lost


def test_close_if_idle_spares_running_requests(world: World) -> None:
    idle, busy, queued = world.connect(), world.connect(), world.connect()
    busy.send(post(path="/park"))
    queued.send(post(path="/park") + get())
    for client in (idle, busy, queued):
        client.protocol.close_if_idle()
    world.loop.run()
    assert idle.lost
    assert not busy.lost
    assert not queued.lost


# -- what every answer says


@pytest.mark.parametrize(
    "data",
    [
        get(),
        get(path="/nowhere"),
        post(path="/livez"),
        post("Content-Length: 2", body="{}", path=CHAT),
        get(host=None),
        b"\x00",
        get("Expect: x"),
        request("CONNECT a:1 HTTP/1.1"),
        request("GET / HTTP/2.0"),
        post("Content-Length: 1", "Content-Length: 1", body="x"),
        post("Transfer-Encoding: gzip, chunked"),
        get("X: " + "y" * 70_000),
        post(path="/stream"),
    ],
)
def test_server_date_and_request_id_are_there_exactly_once(world: World, data: bytes) -> None:
    client = world.connect()
    client.send(data)
    if world.parked:
        world.release()
    (answer,) = answers(client)
    assert answer.all(b"server") == [b"FASTGW/0.0.0"]
    assert len(answer.all(b"date")) == 1
    (identity,) = answer.all(b"x-fastgw-request-id")
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", identity)
    assert not any(name.startswith(b"access-control") for name, _ in answer.headers)
    if answer.body and answer.status >= 400:
        assert answer.all(b"content-type") == [b"application/json"]


@pytest.mark.parametrize("refused", [(), ("Expect: x",), ("Host: b",), ("Transfer-Encoding: gzip, chunked",)])
def test_the_callers_request_id_is_on_refusals_too(world: World, refused: tuple[str, ...]) -> None:
    client = world.connect()
    client.send(get("X-FastGW-Request-Id: mine", *refused))
    (answer,) = answers(client)
    assert (answer.status == 200) == (not refused)
    assert answer.all(b"x-fastgw-request-id") == [b"mine"]


def test_conflicting_lengths_are_told_in_the_envelope(world: World) -> None:
    client = world.connect()
    client.send(post("Content-Length: 1", "Content-Length: 1", KEY, body="x"))
    (answer,) = answers(client)
    assert answer.status == 400
    assert answer.body == (
        b'{"error":{"message":"request payload is invalid: conflicting Content-Length headers",'
        b'"type":"invalid_request_error"}}'
    )


def test_connect_is_told_what_is_allowed(world: World) -> None:
    client = world.connect()
    client.send(request("CONNECT a:1 HTTP/1.1"))
    (answer,) = answers(client, "CONNECT")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.all(b"allow") == [b"GET,HEAD,POST"]


def test_head_answers_like_get_without_the_body(world: World) -> None:
    first, second = world.connect(), world.connect()
    first.send(get(KEY, path="/v1/models"))
    second.send(request("HEAD /v1/models HTTP/1.1", KEY))
    (full,), (bare,) = answers(first, "GET"), answers(second, "HEAD")
    assert bare.body == b""
    assert [name for name, _ in bare.headers] == [name for name, _ in full.headers]
    assert bare.all(b"content-length") == [b"%d" % len(full.body)]


@pytest.mark.parametrize(
    ("address", "plain"),
    [("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("::ffff:1", "::ffff:1")],
)
def test_plain_address(address: str, plain: str) -> None:
    assert plain_address(address) == plain
