"""Callers that leave, callers that read slowly, and many of them at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from fastgw.policy.retry import JITTER
from tests.fault.conftest import Bench
from tests.fault.test_upstream import COMPLETION
from tests.support import faultproxy as fp
from tests.support.gateway import gateway, resources
from tests.support.load import Client, Load, load, only_200
from tests.support.mock import mock_upstream
from tests.support.observe import ask, board, chat_request, descriptors, resident, total, until

PROMPTLY = 5.0
"""Seconds; far below what the mock takes for an answer, which therefore cannot be what ends the connection."""
CONNECT_SECONDS = 15
CANCELLED = "fastgw_proxy_client_cancelled_requests_total"


def client(port: int, request: bytes, receive_buffer: int = 0) -> socket.socket:
    """A connection on which one request has been sent."""
    sock = socket.socket()
    if receive_buffer:
        # Before connecting: the window of the handshake follows from it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request)
    sock.settimeout(20)
    return sock


def take(sock: socket.socket, count: int) -> None:
    """Read so many bytes."""
    while count:
        data = sock.recv(count)
        assert data
        count -= len(data)


def cancelled(bench: Bench, before: float) -> None:
    """One more cancelled request, and its line."""
    until(bench.gateway.metrics, lambda text: total(text, CANCELLED, model="fast-chat") >= before + 1)
    line = until(lambda: [line for line in bench.gateway.log.splitlines() if "status=499" in line], bool)[-1]
    assert 'error_kind="client_disconnected"' in line
    assert 'error="client closed the request before the response head was written"' in line
    assert "api_key_id" not in line


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_before_the_head(bench: Bench, stream: bool) -> None:
    text = bench.gateway.metrics()
    before, answered = total(text, CANCELLED), total(text, "fastgw_requests_total")
    with client(bench.gateway.port, chat_request("fast-chat", stream=stream, latency_ms=20_000)):
        bench.mock.wait(lambda stats: stats["requests"] == 1)
        left = time.time()
    stats = bench.mock.wait(lambda stats: stats["last_abort"])
    assert stats["last_abort"] - left < PROMPTLY
    cancelled(bench, before)
    assert total(bench.gateway.metrics(), "fastgw_requests_total") == answered


def test_a_caller_that_leaves_in_mid_stream(bench: Bench) -> None:
    before = total(bench.gateway.metrics(), "fastgw_requests_total", status="200")
    with client(bench.gateway.port, chat_request("fast-chat", stream=True, tokens=1000, cadence_ms=20)) as sock:
        received = b""
        while received.count(b"data: ") < 5:
            received += sock.recv(65536)
        left = time.time()
    stats = bench.mock.wait(lambda stats: stats["streams_aborted"] == 1)
    assert stats["last_abort"] - left < PROMPTLY
    assert stats["open_streams"] == 0
    until(bench.gateway.metrics, lambda text: total(text, "fastgw_requests_total", status="200") == before + 1)


def test_callers_that_leave_while_the_gateway_dials(bench: Bench) -> None:
    """The upstream's queue is full and takes no connection: dialling lasts until the caller leaves, or long."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as queued:
        for _ in range(3):
            filler = queued.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        config = {"upstream": {"connect_timeout_ms": 1000 * CONNECT_SECONDS}}
        with gateway(resources(f"http://127.0.0.1:{full.getsockname()[1]}/v1"), config) as gw:
            (worker,) = gw.workers()
            shared = board(gw)
            queued.callback(shared.close)
            # The connection that asked whether the gateway is ready has gone.
            until(shared.connections, lambda count: count == 0)
            idle = descriptors(worker)
            with ExitStack() as callers:
                for _ in range(20):
                    callers.enter_context(client(gw.port, chat_request("fast-chat")))
                until(lambda: descriptors(worker), lambda count: count >= idle + 40)
            until(lambda: descriptors(worker), lambda count: count <= idle, 0.6 * CONNECT_SECONDS)
            until(gw.metrics, lambda text: total(text, CANCELLED) == 20)


def test_a_caller_that_leaves_at_every_moment_of_dialling(bench: Bench) -> None:
    """Whatever the moment, no connection is left behind; the fixture looks for it."""
    for step in range(60):
        with client(bench.gateway.port, chat_request("fast-chat", latency_ms=1000)):
            time.sleep(step * 0.00005)
    bench.settled()
    bench.mock.wait(lambda stats: stats["open_connections"] == 0)


def test_a_caller_that_leaves_during_the_wait_for_a_retry(bench: Bench) -> None:
    head = b"HTTP/1.1 503 Later\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
    bench.proxy.always(fp.await_request(), fp.send(head), fp.stall())
    with client(bench.gateway.port, chat_request("retry-default")):
        until(lambda: bench.proxy.accepted, lambda count: count == 1)
        until(lambda: bench.proxy.open, lambda count: count == 0)
    left = time.monotonic()
    bench.settled()
    # The wait was a second and up to JITTER more.
    time.sleep(max(0.0, left + 1 + 2 * JITTER - time.monotonic()))
    assert bench.proxy.accepted == 1


class OnceEach(socketserver.ThreadingTCPServer):
    """An upstream that answers the first request of a connection and closes upon the second. The first `kept`
    connections answer together, so that as many are kept afterwards."""

    kept = 4
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AnswerOnce)
        self.accepted = 0
        self.together = threading.Barrier(self.kept)


class AnswerOnce(socketserver.StreamRequestHandler):
    """One connection of it."""

    server: OnceEach

    def handle(self) -> None:
        self.server.accepted += 1
        if not self._request():
            return
        if self.server.accepted <= self.server.kept:
            self.server.together.wait(10)
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(COMPLETION), COMPLETION))
        self._request()

    def _request(self) -> bool:
        length = 0
        while line := self.rfile.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        return len(self.rfile.read(length)) == length > 0


def test_a_retry_after_a_broken_kept_connection_uses_a_new_one() -> None:
    with OnceEach() as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with gateway(resources(f"http://127.0.0.1:{upstream.server_address[1]}/v1", retries=1)) as gw:
            with ThreadPoolExecutor(upstream.kept) as callers:
                answers = list(callers.map(lambda _: ask(gw, "fast-chat"), range(upstream.kept)))
            assert [answer.status for answer in answers] == [200] * upstream.kept
            assert upstream.accepted == upstream.kept
            assert ask(gw, "fast-chat").status == 200
            assert upstream.accepted == upstream.kept + 1
        upstream.shutdown()


def test_ten_thousand_requests_and_an_upstream_that_closes_idle_connections_at_random() -> None:
    with mock_upstream(close_chance=0.2) as mock, gateway(resources(mock.url)) as gw:
        state = Load(gw.port)
        left = iter(range(10_000 - 16))

        def make() -> bytes:
            state.stopping = next(left, None) is None
            return chat_request("fast-chat")

        asyncio.run(state.run(16, make, only_200))
        assert state.failures == []
        assert state.answered >= 10_000 - 16
        metrics = gw.metrics()
        assert total(metrics, "fastgw_requests_total") == state.answered
        # Nearly all closes are noticed before a request is sent; the others cost an attempt, never an answer.
        assert mock.stats()["accepted_connections"] > 500
        assert total(metrics, "fastgw_deployment_failure_responses_total") < 500


@pytest.fixture(scope="module")
def slow() -> Iterator[tuple[int, int]]:
    """(port, worker) of a gateway in front of an upstream that streams as fast as it is read."""
    with mock_upstream() as mock, gateway(resources(mock.url)) as gw:
        yield gw.port, gw.workers()[0]


def test_two_hundred_slow_readers_bound_memory_and_disturb_nobody(slow: tuple[int, int]) -> None:
    port, worker = slow
    request = chat_request("fast-chat", stream=True, tokens=20_000)
    with load(port, 2, lambda: chat_request("fast-chat")) as others, ExitStack() as readers:
        until(lambda: others.answered, lambda count: count > 200)
        before = resident(worker)
        group = [readers.enter_context(client(port, request, 4096)) for _ in range(200)]
        peak = 0
        for _ in range(4):
            second = time.monotonic() + 1
            for sock in group:
                take(sock, 1000)
            peak = max(peak, resident(worker))
            answered = others.answered
            until(lambda: others.answered, lambda count, more=answered + 20: count > more)  # type: ignore[misc]
            time.sleep(max(0.0, second - time.monotonic()))
        peak = max(peak, resident(worker))
        # Measured: 13 kB per reader. The bound is the write buffer and a part of a read on top.
        assert peak - before < 200 * 100_000, (peak - before) / 200
    assert others.failures == []


def test_a_slow_reader_is_not_charged_for_its_slowness_as_a_stalled_upstream(bench: Bench) -> None:
    # Time enough that a busy machine is never the one that stalls.
    request = chat_request("stream-patient", stream=True, tokens=20_000)
    with client(bench.gateway.port, request, 4096) as sock:
        received = sock.recv(1000)
        # Longer than the time the upstream has for each chunk.
        time.sleep(2.5)
        while not received.endswith(b"0\r\n\r\n"):
            data = sock.recv(1 << 20)
            assert data
            received += data
    assert b"data: [DONE]" in received
    assert b"event: error" not in received


def test_two_hundred_concurrent_streams() -> None:
    with mock_upstream() as mock, gateway(resources(mock.url)) as gw:
        (worker,) = gw.workers()
        assert ask(gw, "fast-chat", stream=True).status == 200
        before = resident(worker)
        request = chat_request("fast-chat", stream=True, tokens=100, cadence_ms=20)

        async def run() -> list[list[tuple[float, bytes]]]:
            started = [asyncio.create_task(Client(gw.port).stream(request)) for _ in range(200)]
            await asyncio.sleep(1)
            self_peak.append(resident(worker))
            return await asyncio.gather(*started)

        self_peak: list[int] = []
        streams = asyncio.run(run())
        for chunks in streams:
            body = b"".join(data for _, data in chunks)
            assert body.endswith(b"data: [DONE]\n\n")
            assert body.count(b'"object":"chat.completion.chunk"') >= 100
            times = [at for at, _ in chunks]
            # The bound is for the machine that runs the tests along with everything else.
            assert max(b - a for a, b in itertools.pairwise(times)) < 1.0
        assert (self_peak[0] - before) / 200 < 40_000
        assert total(gw.metrics(), "fastgw_requests_total", status="200") == 201


def test_nothing_leaks_under_mixed_traffic() -> None:
    """Answers, errors, broken upstreams, callers that leave, streams and reloads: memory and descriptors stay flat."""
    with mock_upstream() as mock, gateway(resources(mock.url, retries=0)) as gw:
        (worker,) = gw.workers()
        document = resources(mock.url, retries=0)
        kinds = [
            chat_request("fast-chat"),
            chat_request("fast-chat", stream=True, tokens=20),
            chat_request("fast-chat", status=429),
            chat_request("fast-chat", fault="reset", at="head"),
            chat_request("fast-chat", stream=True, fault="truncate"),
            chat_request("nobody"),
            chat_request("fast-chat", content="x" * 100_000),
        ]
        turn = iter(range(10**9))

        def mixed() -> bytes:
            return kinds[next(turn) % len(kinds)]

        samples: list[tuple[int, int]] = []
        with load(gw.port, 8, mixed, lambda reply: None) as running:
            for round_ in range(16):
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    with client(gw.port, chat_request("fast-chat", latency_ms=500)):
                        time.sleep(0.01)
                    with client(gw.port, chat_request("fast-chat", stream=True, tokens=100, cadence_ms=5)) as sock:
                        sock.recv(1)
                document["models"].append(dict(document["models"][0], display_name=f"alias-{round_}"))
                document["models"] = document["models"][-3:] if round_ % 2 else document["models"]
                gw.write_resources(json.dumps(document))
                gw.reload()
                samples.append((resident(worker), descriptors(worker)))
        assert running.answered > 1000
        assert running.statuses.keys() == {200, 404, 429, 502}
        warm = max(memory for memory, _ in samples[4:8])
        assert max(memory for memory, _ in samples[12:]) - warm < 3_000_000, samples
        assert max(count for _, count in samples) < 120, samples
        until(lambda: mock.stats()["open_streams"], lambda count: count == 0)
