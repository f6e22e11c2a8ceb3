"""The HTTP listener of the real process, over real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.gateway import API_KEY, PATIENCE, Gateway, gateway, resources
from tests.support.mock import Mock
from tests.support.wire import Answer, Wire

pytestmark = pytest.mark.any_workers

MIB = 1024 * 1024
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def plain(mock: Mock) -> Iterator[Gateway]:
    with gateway(resources(mock.url)) as running:
        yield running


@pytest.fixture(scope="module")
def limited(mock: Mock) -> Iterator[Gateway]:
    with gateway(resources(mock.url), {"proxy": {"request_body_limit_bytes": MIB}}) as running:
        yield running


def head(path: str, *fields: str, version: str = "1.1", key: str | None = API_KEY) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: a", "Content-Type: application/json", *fields]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode()


def chat(size: int = 10) -> bytes:
    return json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "x" * size}]}).encode()


def sized(body: bytes, *fields: str, path: str = CHAT, version: str = "1.1", key: str | None = API_KEY) -> bytes:
    return head(path, f"Content-Length: {len(body)}", *fields, version=version, key=key) + body


def chunks(body: bytes, size: int = 65536) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def connect(target: Gateway) -> Wire:
    return Wire(("127.0.0.1", target.port), timeout=20)


def is_chat(answer: Answer) -> bool:
    return answer.status == 200 and answer.json()["object"] == "chat.completion"


# -- refusals that come before the body was read


@pytest.mark.parametrize("framing", ["sized", "chunked"])
@pytest.mark.parametrize(
    ("status", "path", "key"), [(401, CHAT, None), (404, "/nowhere", API_KEY), (413, CHAT, API_KEY)]
)
def test_an_early_refusal_reaches_a_client_that_is_still_sending(
    plain: Gateway, limited: Gateway, status: int, path: str, key: str | None, framing: str
) -> None:
    target = limited if status == 413 else plain
    body = bytes(8 * MIB)
    if framing == "sized":
        data = sized(body, path=path, key=key)
    else:
        data = head(path, "Transfer-Encoding: chunked", key=key) + chunks(body)
    outcomes: dict[tuple[str, int], int] = {}
    for _ in range(200):
        with connect(target) as client:
            client.send(data)
            answer = client.answer()
            outcome = (answer.end, answer.status)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes == {("complete", status): 200}


def test_a_small_unread_body_does_not_cost_the_connection(plain: Gateway) -> None:
    with connect(plain) as client:
        for _ in range(50):
            body = bytes(20_000)
            data = sized(body, key=None)
            client.send(data[:500])
            assert client.answer().status == 401
            client.send(data[500:])
        client.send(sized(chat()))
        assert is_chat(client.answer())


# -- persistence


def test_one_connection_serves_many_requests(plain: Gateway) -> None:
    with connect(plain) as client:
        for size in (1, 10, 100_000, 1, 3_000_000, 1):
            client.send(sized(chat(size)))
            answer = client.answer()
            assert is_chat(answer)
            assert "connection" not in answer.headers


def test_pipelined_chats_are_answered_in_order(plain: Gateway) -> None:
    with connect(plain) as client:
        client.send(b"".join(sized(chat(), f"x-fastgw-request-id: n{n}") for n in range(40)))
        answers = [client.answer() for _ in range(40)]
        assert all(map(is_chat, answers))
        assert [answer.headers["x-fastgw-request-id"] for answer in answers] == [f"n{n}" for n in range(40)]


@pytest.mark.parametrize(("keeping", "persists"), [("", False), ("Connection: keep-alive", True)])
def test_http_1_0(plain: Gateway, keeping: str, persists: bool) -> None:
    with connect(plain) as client:
        fields = [keeping] if keeping else []
        for _ in range(2 if persists else 1):
            client.send(sized(chat(), *fields, version="1.0"))
            answer = client.answer()
            assert is_chat(answer)
            assert answer.headers.get("connection") == ("keep-alive" if persists else None)
        if not persists:
            assert client.closed() == "eof"


def test_http_1_0_stream(plain: Gateway) -> None:
    body = json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "x"}], "stream": True}).encode()
    with connect(plain) as client:
        client.send(sized(body, "Connection: keep-alive", version="1.0"))
        answer = client.answer()
        assert "transfer-encoding" not in answer.headers
        assert answer.payloads()[-1] == "[DONE]"
        assert client.closed() == "eof"


# -- bodies


@pytest.mark.parametrize("size", [MIB, 50 * MIB])
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_large_bodies(plain: Gateway, mock: Mock, size: int, framing: str) -> None:
    body = chat(size)
    with connect(plain) as client:
        if framing == "sized":
            client.send(sized(body))
        else:
            client.send(head(CHAT, "Transfer-Encoding: chunked") + chunks(body))
        assert is_chat(client.answer())


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_client_that_waits_to_be_told_to_continue(plain: Gateway, framing: str) -> None:
    body = chat(2 * MIB)
    length = f"Content-Length: {len(body)}" if framing == "sized" else "Transfer-Encoding: chunked"
    with connect(plain) as client:
        for _ in range(2):
            client.send(head(CHAT, "Expect: 100-continue", length))
            expected = b"HTTP/1.1 100 Continue\r\n\r\n"
            assert client.socket.recv(len(expected), socket.MSG_WAITALL) == expected
            client.send(body if framing == "sized" else chunks(body))
            assert is_chat(client.answer())


def test_a_client_that_waits_is_refused_without_sending(limited: Gateway) -> None:
    for length, key, status in ((100 * MIB, API_KEY, 413), (1000, None, 401)):
        with connect(limited) as client:
            client.send(head(CHAT, "Expect: 100-continue", f"Content-Length: {length}", key=key))
            answer = client.answer()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert client.closed() == "eof"


def test_a_body_that_arrives_byte_by_byte(plain: Gateway) -> None:
    with connect(plain) as client:
        for byte in sized(chat()):
            client.send(bytes([byte]))
        assert is_chat(client.answer())


# -- TLS


class TlsGateway(Gateway):
    """A gateway whose listener speaks TLS."""

    context: ssl.SSLContext

    def get(self, path: str, *, port: int | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"https://localhost:{port or self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def tls(mock: Mock) -> Iterator[TlsGateway]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    with tempfile.TemporaryDirectory(prefix="fastgw-tls-") as directory:
        files = {"cert_file": str(Path(directory) / "cert.pem"), "key_file": str(Path(directory) / "key.pem")}
        Path(files["cert_file"]).write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(files["key_file"])
        running = TlsGateway(Path(directory), resources(mock.url), {"proxy": {"tls": files}}, {})
        running.context = ssl.create_default_context()
        authority.configure_trust(running.context)
        try:
            running.start()
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def over_tls(target: TlsGateway) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as bare:
        with target.context.wrap_socket(bare, server_hostname="localhost", suppress_ragged_eofs=False) as wrapped:
            client = Wire.__new__(Wire)
            client.socket, client._left = wrapped, b""
            yield client


def test_chat_over_tls(tls: TlsGateway) -> None:
    with over_tls(tls) as client:
        for size in (10, 2 * MIB, 10):
            client.send(sized(chat(size)))
            assert is_chat(client.answer())


def test_a_stream_over_tls(tls: TlsGateway) -> None:
    body = json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "x"}], "stream": True}).encode()
    with over_tls(tls) as client:
        client.send(sized(body))
        assert client.answer().payloads()[-1] == "[DONE]"


def test_an_early_refusal_over_tls(tls: TlsGateway) -> None:
    for _ in range(20):
        with over_tls(tls) as client:
            client.send(sized(bytes(8 * MIB), key=None))
            answer = client.answer()
            assert (answer.end, answer.status) == ("complete", 401)


def test_plain_http_on_the_tls_port_is_no_success(tls: TlsGateway) -> None:
    with connect(tls) as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.answer()
        assert answer.status != 200
        assert answer.end != "timeout"
    assert tls.get("/livez") == (200, "ok")


# -- idle connections, descriptors


def test_an_idle_connection_is_closed_without_a_word(mock: Mock) -> None:
    with gateway(resources(mock.url), {"downstream": {"idle_timeout_secs": 1}}) as running:
        with connect(running) as fresh, connect(running) as used:
            since = time.monotonic()
            used.send(sized(chat()))
            assert is_chat(used.answer())
            assert used.closed() == "eof"
            assert 0.8 <= time.monotonic() - since <= 10
            assert fresh.closed() == "eof"


def cpu_seconds(pid: int) -> float:
    fields: list[Any] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_the_worker_neither_spins_nor_drops_what_it_has(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 1}}) as running, contextlib.ExitStack() as clients:
        (worker,) = running.workers()
        old = clients.enter_context(connect(running))
        old.send(sized(chat()))
        assert is_chat(old.answer())
        used = len(os.listdir(f"/proc/{worker}/fd"))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 4, used + 4))
        crowd = [clients.enter_context(connect(running)) for _ in range(30)]
        end = time.monotonic() + PATIENCE
        while len(os.listdir(f"/proc/{worker}/fd")) < used + 4:
            assert time.monotonic() < end
            time.sleep(0.01)
        before, since = cpu_seconds(worker), time.monotonic()
        while time.monotonic() < since + 1.0:
            old.send(sized(chat()))
            assert is_chat(old.answer())
            time.sleep(0.1)
        assert cpu_seconds(worker) - before < 0.3
        for client in crowd:
            client.socket.close()
        with connect(running) as late:
            late.send(sized(chat()))
            assert is_chat(late.answer())
