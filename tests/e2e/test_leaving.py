"""A caller that leaves stops costing money: its upstream connection is closed, whatever it was waiting for."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock

pytestmark = pytest.mark.any_workers

PROMPTLY = 5.0
"""Seconds; far below the cadence and latency of the mock, which therefore cannot be what ends the connection."""


@pytest.fixture(scope="module")
def running(mock: Mock) -> Iterator[Gateway]:
    with gateway(resources(mock.url)) as process:
        yield process


def call(running: Gateway, body: dict[str, Any]) -> socket.socket:
    """A connection on which the call has been sent."""
    data = json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "hi"}], **body}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {API_KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", running.port), 5)
    connection.sendall(head.encode() + data)
    return connection


def read_until(connection: socket.socket, text: bytes) -> None:
    received = b""
    while text not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece


def aborted(stats: dict[str, Any]) -> int:
    """Calls that the mock saw given up."""
    count: int = stats["requests_aborted"] + stats["streams_aborted"]
    return count


def leave(connection: socket.socket, how: str) -> None:
    """Half-close keeps the receiving side open: the caller still looks as if it waited."""
    if how == "half-close":
        connection.shutdown(socket.SHUT_WR)
    else:
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_in_the_middle_of_a_stream(running: Gateway, mock: Mock, how: str) -> None:
    before = mock.stats()["streams_aborted"]
    with call(running, {"stream": True, "mock": {"cadence_ms": 30_000, "tokens": 5}}) as connection:
        read_until(connection, b'"delta"')
        started = time.monotonic()
        leave(connection, how)
        mock.wait(lambda stats: stats["streams_aborted"] == before + 1)
        assert time.monotonic() - started < PROMPTLY


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_before_the_head_of_the_answer(running: Gateway, mock: Mock, how: str, stream: bool) -> None:
    before = mock.stats()
    with call(running, {"stream": stream, "mock": {"latency_ms": 30_000}}) as connection:
        mock.wait(lambda stats: stats["requests"] == before["requests"] + 1)
        started = time.monotonic()
        leave(connection, how)
        mock.wait(lambda stats: aborted(stats) == aborted(before) + 1)
        assert time.monotonic() - started < PROMPTLY
    assert "fastgw_proxy_client_cancelled_requests_total{" in running.metrics()
