"""The load generator's reading of answers: what it counts must not depend on how the bytes arrive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bench.macro.wire import Answer, Request, Wire, percentiles

EVENTS = b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"


class Transport:
    aborted = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def receive(pieces: list[bytes], events: int) -> tuple[Wire, Answer]:
    seen: list[Answer] = []
    wire = Wire(lambda _, answer: seen.append(answer))
    transport: Any = Transport()
    wire.connection_made(transport)
    wire.send(b"", Answer(0.0), events)
    for piece in pieces:
        wire.data_received(piece)
    if not seen:
        wire.connection_lost(None)
    assert len(seen) == 1
    return wire, seen[0]


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_events_at_every_split(chunk: int) -> None:
    wire_bytes = chunked(EVENTS, chunk)
    for cut in range(1, len(wire_bytes)):
        wire, answer = receive([wire_bytes[:cut], wire_bytes[cut:]], 3)
        assert (answer.failure, answer.events, answer.bytes, wire.closed) == ("", 3, len(EVENTS), False)


def test_events_byte_by_byte() -> None:
    _, answer = receive([bytes([byte]) for byte in chunked(EVENTS, 5)], 3)
    assert (answer.failure, answer.events, len(answer.gaps)) == ("", 3, 2)


def test_missing_event_is_a_failure() -> None:
    wire, answer = receive([chunked(EVENTS, 1000)], 4)
    assert answer.failure == "3 of 4 events"
    assert wire.closed


def test_truncated_stream_is_a_failure() -> None:
    _, answer = receive([chunked(EVENTS, 1000)[:-5]], 3)
    assert answer.failure.startswith("connection lost")


def test_status_is_checked() -> None:
    wire, answer = receive([b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}"], 0)
    assert (answer.failure, wire.closed) == ("status 429", True)


def test_garbage_is_a_failure() -> None:
    _, answer = receive([b"SSH-2.0-OpenSSH\r\n"], 0)
    assert answer.failure.startswith("not HTTP")


def test_request_survives_the_pipe() -> None:
    request = Request(80, "/v1", {"A": "b"}, b"\x00\xff", 3)
    assert Request.from_json(request.to_json()) == request


def test_percentiles_are_milliseconds() -> None:
    result = percentiles([i / 1000 for i in range(1, 101)])
    assert (result["p50"], result["p99"], result["max"]) == (51.0, 100.0, 100.0)
    assert percentiles([]) == {}


def test_open_loop_counts_from_the_intended_start() -> None:
    """A server that stalls for a while is charged for every request that was due meanwhile."""
    from bench.macro.openloop import Run, report

    stall, due = 0.3, 20

    async def measure() -> dict[str, Any]:
        loop = asyncio.get_running_loop()

        class Stalling(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                # All answers leave at one moment, `stall` after the schedule's begin.
                loop.call_at(release, self.transport.write, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1")

        server = await loop.create_server(Stalling, "127.0.0.1", 0)
        async with server:
            run = Run(Request(server.sockets[0].getsockname()[1], "/", {}, b"{}"), [i * 0.01 for i in range(due)])
            release = loop.time() + stall + 0.05
            await run.run()
            return report(run, max_lag_ms=1e9)

    result = asyncio.run(measure())
    assert (result["completed"], result["failures"], result["concurrent"]) == (due, {}, due)
    # The first waited for the whole stall, the last for what was left of it.
    assert result["latency_ms"]["max"] >= stall * 1e3 - 20
    assert result["latency_ms"]["p50"] >= (stall - due / 2 * 0.01) * 1e3 - 30


def test_open_loop_refuses_when_it_lagged() -> None:
    from bench.macro.openloop import Run, report

    async def lagging() -> dict[str, Any]:
        run = Run(Request(1, "/", {}, b""), [0.0])
        run.lags = [0.5]
        run.answers = [Answer(0.0, first=1.0, done=1.0)]
        return report(run, max_lag_ms=1.0)

    result = asyncio.run(lagging())
    assert "lagged 500.00 ms" in result["refused"]
    assert "latency_ms" not in result
