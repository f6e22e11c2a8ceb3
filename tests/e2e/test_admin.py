"""The admin listener of a real gateway: what it shows, what it refuses, and the playground."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme
from openapi_spec_validator import validate
from openapi_spec_validator.shortcuts import OpenAPIV31SpecValidator

from fastgw.runtime.shown import COLLECTIONS, SPELLINGS
from tests.support.gateway import API_KEY, PATIENCE, Gateway, free_port, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import ask, chat_request, until
from tests.support.wire import Answer, Wire

pytestmark = pytest.mark.any_workers

KEY = "operator-key"
ADMIN = {"authorization": f"Bearer {KEY}"}
PLAYGROUND = b"/playground/chat/completions"
LIMIT = 200_000


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=20) as running:
        yield running


def settings(port: int, **more: Any) -> dict[str, Any]:
    return {"admin": {"enabled": True, "addr": f"127.0.0.1:{port}", "admin_keys": [KEY]}, **more}


class Admin:
    """A gateway and the port of its admin listener."""

    def __init__(self, gw: Gateway, port: int) -> None:
        self.gw = gw
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        return self.gw.get(path, port=self.port, headers=ADMIN)

    def read(self, path: str) -> Any:
        status, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def raw(self, request: bytes, method: str = "POST") -> Answer:
        with Wire(("127.0.0.1", self.port), timeout=20) as wire:
            wire.send(request)
            return wire.answer(method)

    def play(self, model: str = "fast-chat", **options: Any) -> Answer:
        return self.raw(played(chat_request(model, **options)))


@contextmanager
def running(document: dict[str, Any], **more: Any) -> Iterator[Admin]:
    port = free_port()
    with gateway(document, settings(port, **more)) as gw:
        yield Admin(gw, port)


@pytest.fixture(scope="module")
def shared(mock: Mock) -> Iterator[Admin]:
    document = resources(mock.url, retries=0)
    model = document["models"][0]
    for name, networks in (("here", ["127.0.0.0/8"]), ("elsewhere", ["10.0.0.0/8"])):
        document["models"].append({**model, "display_name": name, "allowed_cidrs": networks})
    with running(document, proxy={"request_body_limit_bytes": LIMIT, "workers": 2}) as admin:
        yield admin


def played(request: bytes) -> bytes:
    """A request for the chat endpoint, sent to the playground."""
    return request.replace(b"/v1/chat/completions", PLAYGROUND, 1)


# -- reading


def test_what_is_configured(shared: Admin) -> None:
    models = shared.read("/admin/v1/models")
    assert [row["value"]["display_name"] for row in models] == ["fast-chat", "here", "elsewhere"]
    (key,) = shared.read("/admin/v1/provider_keys")
    assert (key["value"]["display_name"], key["value"]["api_key"]) == ("up", "up-key")
    assert {row["value"]["provider_key_id"] for row in models} == {key["id"]}
    assert shared.read(f"/admin/v1/models/{models[1]['id']}") == models[1]
    assert shared.get("/admin/v1/models/none") == (404, '{"error_msg":"resource not found"}')
    (caller,) = shared.read("/admin/v1/api_keys")
    assert set(caller["value"]) == {"key_hash", "allowed_models"}
    assert shared.read(f"/admin/v1/apikeys/{caller['id']}") == caller


def test_the_revision_counts_loads(mock: Mock) -> None:
    with running(resources(mock.url)) as admin:
        assert admin.read("/admin/v1/models")[0]["revision"] == 1
        for revision in (2, 3):
            # The same file again is a load too.
            admin.gw.reload()
            until(lambda: admin.read("/admin/v1/models")[0]["revision"], lambda found, r=revision: found == r)  # type: ignore[misc]
        admin.gw.write_resources("models: 1")
        admin.gw.reload()
        until(admin.gw.status, lambda status: status["state"] == "out_of_sync")
        assert admin.read("/admin/v1/api_keys")[0]["revision"] == 3


def test_heads_carry_nothing_of_the_product(shared: Admin) -> None:
    for port, path in (
        (shared.port, "/admin/v1/models"),
        (shared.port, "/livez"),
        (shared.gw.metrics_port, "/metrics"),
    ):
        with Wire(("127.0.0.1", port)) as wire:
            for method in ("GET", "HEAD"):
                wire.send(f"{method} {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n\r\n".encode())
                answer = wire.answer(method)
                assert (answer.status, answer.end) == (200, "complete")
                assert {"server", "x-fastgw-request-id"}.isdisjoint(answer.headers)
                assert bool(answer.body) is (method == "GET")


def test_writes_are_gone(shared: Admin) -> None:
    (caller,) = shared.read("/admin/v1/api_keys")
    body = json.dumps({"key_hash": "0" * 64, "allowed_models": ["*"]})
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/admin/v1/api_keys", f"/admin/v1/api_keys/{caller['id']}", "/admin/v1/health"):
            for key in ("", f"authorization: Bearer {KEY}\r\n"):
                head = f"{method} {path} HTTP/1.1\r\nhost: a\r\n{key}content-length: {len(body)}\r\n\r\n"
                answer = shared.raw((head + body).encode(), method)
                assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "GET,HEAD")
    rotate = f"POST /admin/v1/api_keys/{caller['id']}/rotate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    assert shared.raw(rotate.encode()).status == 404
    assert shared.read("/admin/v1/api_keys") == [caller]


def test_nothing_of_one_listener_is_served_on_another(shared: Admin) -> None:
    gw = shared.gw
    admin_paths = [
        "/admin/v1/models",
        "/admin/v1/health",
        "/admin/openapi.json",
        "/admin/openapi-scalar",
        "/playground",
    ]
    status_paths = ["/metrics", "/status/config", "/status/models", "/status/ready"]
    proxy_paths = ["/v1/models", "/v1/chat/completions"]
    for port, paths in (
        (gw.port, [*admin_paths, *status_paths]),
        (shared.port, [*status_paths, *proxy_paths]),
        (gw.metrics_port, [*admin_paths, *proxy_paths, "/livez", "/readyz"]),
    ):
        for path in [*paths, "/health"]:
            assert gw.get(path, port=port, headers=ADMIN)[0] == 404, (port, path)
    for port in (gw.port, gw.metrics_port):
        with Wire(("127.0.0.1", port)) as wire:
            wire.send(played(chat_request("fast-chat")))
            assert wire.answer().status == 404


def test_an_admin_key_is_no_caller_and_a_caller_is_no_admin(shared: Admin) -> None:
    assert shared.gw.get("/v1/models", headers=ADMIN)[0] == 401
    caller = {"authorization": f"Bearer {API_KEY}"}
    assert shared.gw.get("/admin/v1/models", port=shared.port, headers=caller)[0] == 401


# -- state


def test_states_are_the_same_bytes_on_both_listeners(shared: Admin) -> None:
    answers = []
    for port, path in ((shared.port, "/admin/v1/models/status"), (shared.gw.metrics_port, "/status/models")):
        with Wire(("127.0.0.1", port)) as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n\r\n".encode())
            answers.append(wire.answer("GET"))
    one, other = answers
    assert (one.status, one.body, one.headers["content-type"]) == (200, other.body, other.headers["content-type"])
    assert [row["display_name"] for row in one.json()] == ["fast-chat", "here", "elsewhere"]
    assert list(one.json()[0]) == ["id", "display_name", "kind", "status"]


def test_without_models(mock: Mock) -> None:
    document = {**resources(mock.url), "models": []}
    document["api_keys"][0]["allowed_models"] = []
    with running(document) as admin:
        assert admin.get("/admin/v1/models/status") == (200, "[]")
        assert admin.gw.get("/status/models", port=admin.gw.metrics_port) == (200, "[]")
        assert admin.read("/admin/v1/health") == {"status": "ok", "models": []}


def test_health_counts_failures_of_all_workers(mock: Mock) -> None:
    document = resources(mock.url, retries=0)
    document["models"].append({**document["models"][0], "display_name": "other"})
    with running(document, proxy={"workers": 3}) as admin:

        def health() -> tuple[str, list[int]]:
            found = admin.read("/admin/v1/health")
            return found["status"], [model["health"] for model in found["models"]]

        seen = []
        for _ in range(8):
            # A connection each, so that all workers take part. A caller's mistake in between counts as nothing.
            assert ask(admin.gw, "fast-chat", status=500).status == 502
            assert ask(admin.gw, "fast-chat", status=422).status == 422
            seen.append(health())
        assert seen == [("ok", [0, 0])] * 3 + [("degraded", [1, 0])] * 4 + [("unhealthy", [2, 0])]
        assert ask(admin.gw, "other", stream=True).status == 200
        assert health() == ("unhealthy", [2, 0])
        assert ask(admin.gw, "fast-chat", stream=True).status == 200
        assert health() == ("ok", [0, 0])


# -- the document


def test_the_document_is_valid_and_says_what_is_there(shared: Admin) -> None:
    status, body = shared.gw.get("/admin/openapi.json", port=shared.port)
    assert status == 200
    document = json.loads(body)
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document["openapi"] == "3.1.0"
    names = [*COLLECTIONS, *SPELLINGS]
    open_paths = {"/livez", "/readyz", "/admin/openapi.json", "/admin/openapi-scalar"}
    guarded = {f"/admin/v1/{name}" for name in names} | {f"/admin/v1/{name}/{{id}}" for name in names}
    guarded |= {"/admin/v1/models/status", "/admin/v1/health"}
    assert set(document["paths"]) == open_paths | guarded | {"/playground/chat/completions"}
    for path, operations in document["paths"].items():
        assert set(operations) == {"post" if path.startswith("/playground") else "get"}
        (operation,) = operations.values()
        assert (operation.get("security") == []) is (path in open_paths), path
        if path in guarded:
            assert "security" not in operation
        assert ("{id}" in path) is any(item["name"] == "id" for item in operation.get("parameters", []))
    assert {"adminKey", "adminKeyHeader"} == {name for option in document["security"] for name in option}


def test_answers_are_as_the_document_says(shared: Admin) -> None:
    document = shared.read("/admin/openapi.json")

    def check(path: str, template: str, status: str = "200") -> None:
        schema = document["paths"][template]["get"]["responses"][status]["content"]["application/json"]["schema"]
        body = json.loads(shared.get(path)[1])
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(body)

    for template in document["paths"]:
        if template.startswith("/admin/v1/") and "{id}" not in template:
            check(template, template)
            if template.rpartition("/")[2] in (*COLLECTIONS, *SPELLINGS):
                check(f"{template}/none", f"{template}/{{id}}", "404")
                for row in shared.read(template):
                    check(f"{template}/{row['id']}", f"{template}/{{id}}")


def test_pages_are_whole(shared: Admin) -> None:
    for path in ("/admin/openapi-scalar", "/playground"):
        with Wire(("127.0.0.1", shared.port)) as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            answer = wire.answer("GET")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert b"http://" not in answer.body
        assert b"https://" not in answer.body


# -- the playground

CHANGES = {"date", "x-fastgw-request-id", "x-fastgw-call-id", "connection"}


def like_the_proxy(shared: Admin, request: bytes, seconds: float = 20) -> Answer:
    """The playground's answer, once it has been found to be the proxy's."""
    with Wire(("127.0.0.1", shared.gw.port), timeout=seconds) as wire:
        wire.send(request)
        direct = wire.answer()
    answer = shared.raw(played(request))
    assert (answer.end, answer.status) == ("complete", direct.status)
    assert {name: answer.headers[name] for name in answer.headers.keys() - CHANGES} == {
        name: direct.headers[name] for name in direct.headers.keys() - CHANGES
    }
    assert answer.headers["connection"] == "close"
    assert answer.headers["server"].startswith("FASTGW/")
    assert ("x-fastgw-call-id" in answer.headers) is ("x-fastgw-call-id" in direct.headers)
    return answer


def test_a_whole_answer(shared: Admin) -> None:
    answer = like_the_proxy(shared, chat_request("fast-chat"))
    assert answer.json()["choices"][0]["message"]["content"]


def test_a_stream(shared: Admin) -> None:
    answer = like_the_proxy(shared, chat_request("fast-chat", stream=True, tokens=20))
    assert answer.payloads()[-1] == "[DONE]"
    assert len(answer.payloads()) > 20


def test_an_upstream_error(shared: Admin) -> None:
    assert like_the_proxy(shared, chat_request("fast-chat", status=429)).status == 429


REFUSED = {
    "no key": (chat_request("fast-chat").replace(f"Bearer {API_KEY}".encode(), b"Bearer nobody"), 401),
    "an admin key": (chat_request("fast-chat").replace(f"Bearer {API_KEY}".encode(), f"Bearer {KEY}".encode()), 401),
    "unknown model": (chat_request("nope"), 404),
    "no JSON": (chat_request("fast-chat").replace(b'{"model"', b'["model"'), 400),
    "wrong type": (chat_request("fast-chat").replace(b"application/json", b"text/plain"), 400),
    "too large": (chat_request("fast-chat", content="x" * LIMIT), 413),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(shared: Admin, name: str) -> None:
    request, status = REFUSED[name]
    assert like_the_proxy(shared, request).status == status


def test_the_callers_request_id(shared: Admin) -> None:
    request = chat_request("fast-chat").replace(b"host: ", b"x-fastgw-request-id: mine-1\r\nhost: ")
    assert like_the_proxy(shared, request).headers["x-fastgw-request-id"] == "mine-1"
    shared.gw.wait_log("request_id=mine-1")


def test_chunked_and_large_bodies(shared: Admin) -> None:
    whole = chat_request("fast-chat", content="y" * 150_000)
    head, _, body = whole.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"content-length"))
    pieces = [body[at : at + 7001] for at in range(0, len(body), 7001)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert like_the_proxy(shared, head + b"\r\ntransfer-encoding: chunked\r\n\r\n" + framed).status == 200
    endless = b"%x\r\n%b\r\n" % (LIMIT + 1, b"z" * (LIMIT + 1))
    answer = shared.raw(played(head) + b"\r\ntransfer-encoding: chunked\r\n\r\n" + endless)
    assert answer.status == 413


def test_a_body_that_comes_byte_by_byte(shared: Admin) -> None:
    with Wire(("127.0.0.1", shared.port), timeout=20) as wire:
        for byte in played(chat_request("fast-chat")):
            wire.send(bytes([byte]))
        assert wire.answer().status == 200


def test_a_client_that_waits_for_100(shared: Admin) -> None:
    head, _, body = played(chat_request("fast-chat")).partition(b"\r\n\r\n")
    with Wire(("127.0.0.1", shared.port), timeout=20) as wire:
        wire.send(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().status == 200
    with Wire(("127.0.0.1", shared.port), timeout=20) as wire:
        # Refused by its head: nobody asks for the body.
        wire.send(head.replace(API_KEY.encode(), b"nobody") + b"\r\nexpect: 100-continue\r\n\r\n")
        assert wire.answer().status == 401


def test_http_1_0(shared: Admin) -> None:
    request = played(chat_request("fast-chat", stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = shared.raw(request)
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_other_methods(shared: Admin) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        answer = shared.raw(b"%b %b HTTP/1.1\r\nhost: a\r\n\r\n" % (method.encode(), PLAYGROUND), method)
        assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")


def test_the_client_is_the_one_at_the_listener(shared: Admin) -> None:
    assert shared.play("here").status == 200
    answer = shared.play("elsewhere")
    assert (answer.status, answer.json()["error"]["code"]) == (403, "ip_restricted")


def test_a_client_that_leaves_ends_the_call(shared: Admin, mock: Mock) -> None:
    with Wire(("127.0.0.1", shared.port)) as wire:
        wire.send(played(chat_request("fast-chat", stream=True, tokens=1000, cadence_ms=50)))
        assert wire.read_until(b"\r\n").startswith(b"HTTP/1.1 200")
        mock.wait(lambda stats: stats["open_streams"] == 1)
    mock.wait(lambda stats: stats["open_streams"] == 0)


def test_a_slow_reader_gets_everything(shared: Admin) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(20)
        slow.connect(("127.0.0.1", shared.port))
        slow.sendall(played(chat_request("fast-chat", answer_bytes=4_000_000)))
        received = bytearray()
        while data := slow.recv(65536):
            received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert len(body) > 4_000_000


def test_many_at_once(shared: Admin) -> None:
    statuses: list[int] = []

    def call() -> None:
        statuses.append(shared.play(stream=True, tokens=10, cadence_ms=10).status)

    threads = [threading.Thread(target=call) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40


# -- lifecycle


def test_a_drain_waits_for_the_playground(mock: Mock) -> None:
    with running(resources(mock.url)) as admin, Wire(("127.0.0.1", admin.port), timeout=20) as wire:
        # Long enough for what is asked below.
        wire.send(played(chat_request("fast-chat", stream=True, tokens=60, cadence_ms=50)))
        mock.wait(lambda stats: stats["open_streams"] >= 1)
        assert admin.gw.process is not None
        admin.gw.process.terminate()
        until(lambda: admin.gw.get("/readyz", port=admin.port)[0], lambda status: status == 503)
        _, body = admin.gw.get("/readyz", port=admin.port)
        assert body == "[-]shutdown failed: draining\nreadyz check failed"
        assert admin.get("/admin/v1/health")[0] == 200
        answer = wire.answer()
        assert answer.end == "complete"
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert admin.gw.process.wait(PATIENCE) == 0


def test_an_answer_that_is_still_being_read_is_not_cut(mock: Mock) -> None:
    with running(resources(mock.url)) as admin, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", admin.port))
        before = mock.stats()["requests"]
        slow.sendall(played(chat_request("fast-chat", answer_bytes=3_000_000)))
        mock.wait(lambda stats: stats["requests"] > before)
        assert admin.gw.process is not None
        admin.gw.process.terminate()
        until(lambda: admin.gw.log, lambda log: "shutdown requested" in log)
        received = bytearray()
        while data := slow.recv(65536):
            received += data
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head
        assert admin.gw.process.wait(PATIENCE) == 0


def test_a_worker_that_dies_costs_its_answers_only(mock: Mock) -> None:
    with running(resources(mock.url), proxy={"workers": 1}) as admin:
        with Wire(("127.0.0.1", admin.port), timeout=20) as streaming, Wire(("127.0.0.1", admin.port)) as waiting:
            before = mock.stats()["requests"]
            streaming.send(played(chat_request("fast-chat", stream=True, tokens=500, cadence_ms=100)))
            waiting.send(played(chat_request("fast-chat", latency_ms=60_000)))
            mock.wait(lambda stats: stats["open_streams"] >= 1 and stats["requests"] >= before + 2)
            assert streaming.socket.recv(1, socket.MSG_PEEK)  # the answer has begun
            (victim,) = admin.gw.workers()
            os.kill(victim, signal.SIGKILL)
            # Half of an answer must not look complete; where nothing was said there is an error.
            assert streaming.answer().end != "complete"
            answer = waiting.answer()
            assert (answer.status, answer.json()["error"]["type"]) == (500, "api_error")
        # One that comes meanwhile waits for the successor.
        assert admin.play().status == 200


# -- the connection


def test_idle_connections_are_closed_on_every_listener(mock: Mock) -> None:
    with running(resources(mock.url), downstream={"idle_timeout_secs": 1}) as admin:
        began = time.monotonic()
        ports = (admin.port, admin.gw.metrics_port, admin.gw.port)
        wires = [Wire(("127.0.0.1", port)) for port in ports]
        try:
            for wire, path in zip(wires, ("/livez", "/status/ready", "/livez"), strict=True):
                wire.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
                assert wire.answer("GET").status == 200
            for wire in wires:
                assert wire.closed() == "eof"
            assert 0.8 <= time.monotonic() - began <= 15
        finally:
            for wire in wires:
                wire.socket.close()


def test_tls(mock: Mock, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    Path(files["cert_file"]).write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files["key_file"])
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    port = free_port()
    config = settings(port)
    config["admin"]["tls"] = files
    with gateway(resources(mock.url), config) as gw:
        with Wire(("127.0.0.1", port), tls=trusting) as wire:
            wire.send(f"GET /admin/v1/health HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n\r\n".encode())
            assert wire.answer("GET").status == 200
            wire.send(played(chat_request("fast-chat", stream=True)))
            assert wire.answer().payloads()[-1] == "[DONE]"
        with Wire(("127.0.0.1", port)) as plain:
            plain.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = plain.answer("GET")
            assert answer.status != 200
            assert answer.end != "timeout"
        assert gw.get("/livez") == (200, "ok")


def test_credentials_are_in_no_log(mock: Mock) -> None:
    with running(resources(mock.url)) as admin:
        admin.read("/admin/v1/provider_keys")
        admin.play()
        assert admin.gw.get("/admin/v1/models", port=admin.port, headers={"x-api-key": "guess-1234"})[0] == 401
        assert admin.gw.stop() == 0
        for secret in (KEY, API_KEY, "up-key", "guess-1234"):
            assert secret not in admin.gw.log
