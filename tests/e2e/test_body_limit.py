"""The request body limit through the real gateway: answer, log lines and metric."""

import json
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock
from tests.support.observe import total, until

pytestmark = pytest.mark.any_workers

LIMIT = 1000
METRIC = "fastgw_proxy_request_body_limit_rejections_total"


@pytest.fixture(scope="module")
def running(mock: Mock) -> Iterator[Gateway]:
    with gateway(resources(mock.url), {"proxy": {"request_body_limit_bytes": LIMIT}}) as process:
        yield process


def exchange(running: Gateway, head: str, body: bytes) -> tuple[int, bytes]:
    """(status, body) of the first answer to raw bytes; the connection is closed afterwards."""
    with socket.create_connection(("127.0.0.1", running.port), 10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        start, _, rest = received.partition(b"\r\n\r\n")
        lengths = [line for line in start.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while len(rest) < int(lengths[0].split(b":")[1]):
            rest += connection.recv(65536)
        return int(start.split()[1]), rest


def request(path: str, length: int, key: str = API_KEY, id: str = "any") -> str:
    fields = f"Host: x\nAuthorization: Bearer {key}\nContent-Type: application/json\nContent-Length: {length}"
    return f"POST {path} HTTP/1.1\n{fields}\nx-fastgw-request-id: {id}\n\n"


@pytest.fixture
def id() -> str:
    """A request id, by which the lines of a test are found in the log."""
    return uuid4().hex


def lines(running: Gateway, id: str, count: int) -> list[str]:
    """The lines about a request, once there are so many."""
    return until(
        lambda: [line for line in running.log.splitlines() if id in line],
        lambda found: len(found) >= count,
    )


def refusals(running: Gateway, endpoint: str, outcome: str) -> float:
    return total(running.metrics(), METRIC, endpoint=endpoint, inbound_protocol="openai", outcome=outcome)


@pytest.mark.parametrize(("path", "key"), [("/v1/chat/completions", "sk-wrong"), ("/nothing", API_KEY)])
def test_declared_length_is_refused_before_routing_and_keys(running: Gateway, path: str, key: str, id: str) -> None:
    endpoint = path if path.startswith("/v1") else "other"
    before = refusals(running, endpoint, "completed")
    status, body = exchange(running, request(path, LIMIT + 1, key, id), b"x" * (LIMIT + 1))
    assert status == 413
    message = f"request body exceeds {LIMIT}-byte limit"
    assert json.loads(body) == {"error": {"message": message, "type": "invalid_request_error"}}
    assert refusals(running, endpoint, "completed") == before + 1
    info, access = lines(running, id, 2)
    assert "request body exceeded the configured limit" in info
    assert f"declared_content_length={LIMIT + 1} configured_limit_bytes={LIMIT} drained_bytes={LIMIT + 1}" in info
    assert "proxy request completed" in access
    assert "status=413" in access
    assert 'error_kind="invalid_request_error"' in access


def test_at_the_limit_is_served(running: Gateway) -> None:
    body = b'{"model":"fast-chat","messages":[{"role":"user","content":"%s"}]}'
    body %= b"x" * (LIMIT - len(body) + 2)
    assert len(body) == LIMIT
    assert exchange(running, request("/v1/chat/completions", LIMIT), body)[0] == 200


def test_the_drain_is_bounded(running: Gateway, id: str) -> None:
    """A client that declares far more than the cap gets its answer once the cap has been read."""
    sent = 32 * 1024 * 1024 + 1024
    before = refusals(running, "/v1/chat/completions", "cap_reached")
    status, _ = exchange(running, request("/v1/chat/completions", 1 << 40, id=id), b"x" * sent)
    assert status == 413
    assert refusals(running, "/v1/chat/completions", "cap_reached") == before + 1
    (warn, *_) = lines(running, id, 1)
    assert "the drain did not finish" in warn
    assert "drain_outcome" in warn


def test_a_client_that_waits_for_100_gets_the_answer_at_once(running: Gateway) -> None:
    head = request("/v1/chat/completions", 10_000_000).replace("\n\n", "\nExpect: 100-continue\n\n")
    assert exchange(running, head, b"")[0] == 413


def test_a_client_that_leaves_while_being_drained(running: Gateway, id: str) -> None:
    before = refusals(running, "/v1/chat/completions", "client_read_error")
    with socket.create_connection(("127.0.0.1", running.port), 10) as connection:
        head = request("/v1/chat/completions", 10_000_000, id=id)
        connection.sendall(head.replace("\n", "\r\n").encode() + b"x" * 1000)
    assert 'drain_outcome="client_read_error"' in lines(running, id, 1)[0]
    assert refusals(running, "/v1/chat/completions", "client_read_error") == before + 1


def test_a_chunked_body_is_refused_while_it_is_read(running: Gateway) -> None:
    head = request("/v1/chat/completions", 0).replace("Content-Length: 0", "Transfer-Encoding: chunked")
    chunk = b"200\r\n" + b"x" * 512 + b"\r\n"
    status, body = exchange(running, head, chunk * 4)
    assert status == 413
    assert b"request body exceeds 1000-byte limit" in body


def test_an_undecodable_body_is_counted_and_logged(running: Gateway, id: str) -> None:
    assert exchange(running, request("/v1/chat/completions", 4, id=id), b"nope")[0] == 400
    (access,) = lines(running, id, 1)
    assert "proxy request completed" in access
    assert "status=400" in access
    assert 'fastgw_requests_total{provider="unknown",model="unresolved",status="400"' in running.metrics()
