"""Redirects of an upstream: followed within bounds, the credential only to where it belongs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openai import InternalServerError, OpenAI

from tests.support.gateway import gateway, resources

pytestmark = pytest.mark.any_workers

ANSWER = {
    "id": "chatcmpl-1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "here"}, "finish_reason": "stop"}],
}


class Place(BaseHTTPRequestHandler):
    """Redirects as `server.plan` (path → (status, location)) says and answers everything else."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        server.seen.append((self.command, self.path, self.headers.get("authorization"), body))
        server.extra.append(self.headers.get("x-team"))
        status, location = server.plan.get(self.path, (200, None))
        data = json.dumps(ANSWER).encode()
        self.send_response(status)
        if location is not None:
            self.send_header("location", location)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Any, Any]]:
    servers: list[Any] = [ThreadingHTTPServer(("127.0.0.1", 0), Place) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield servers[0], servers[1]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def places(servers: tuple[Any, Any]) -> tuple[Any, Any]:
    for server in servers:
        server.seen, server.extra, server.plan = [], [], {}
    return servers


@pytest.fixture(scope="module")
def client(servers: tuple[Any, Any]) -> Iterator[OpenAI]:
    document = resources(f"http://127.0.0.1:{servers[0].server_port}/v1", retries=0)
    document["provider_keys"][0]["request"] = {"default_headers": {"x-team": "blue"}, "param_renames": {"n": "m"}}
    with gateway(document) as running:
        with OpenAI(base_url=running.url, api_key=running.api_key, max_retries=0) as sdk:
            yield sdk


def ask(client: OpenAI) -> str | None:
    message = {"role": "user", "content": "hi"}
    return client.chat.completions.create(model="fast-chat", messages=[message]).choices[0].message.content  # type: ignore[list-item]


@pytest.mark.parametrize("status", [307, 308])
def test_repeated_at_another_path(client: OpenAI, places: tuple[Any, Any], status: int) -> None:
    here = places[0]
    here.plan["/v1/chat/completions"] = (status, "/v2/./chat?x=1")
    assert ask(client) == "here"
    first, second = here.seen
    assert second[:3] == ("POST", "/v2/chat?x=1", "Bearer up-key")
    assert second[3] == first[3]


def test_the_credential_stays_with_its_origin(client: OpenAI, places: tuple[Any, Any]) -> None:
    here, there = places
    here.plan["/v1/chat/completions"] = (307, f"http://127.0.0.1:{there.server_port}/chat")
    assert ask(client) == "here"
    assert here.seen[0][2] == "Bearer up-key"
    assert there.seen[0][1:3] == ("/chat", None)
    assert (here.extra, there.extra) == (["blue"], [None])
    assert there.seen[0][3] == here.seen[0][3]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_changed_to_get(client: OpenAI, places: tuple[Any, Any], status: int) -> None:
    here = places[0]
    here.plan["/v1/chat/completions"] = (status, "/elsewhere")
    assert ask(client) == "here"
    assert here.seen[1] == ("GET", "/elsewhere", "Bearer up-key", b"")


def test_at_most_ten(client: OpenAI, places: tuple[Any, Any]) -> None:
    here = places[0]
    here.plan["/v1/chat/completions"] = (307, "/v1/chat/completions")
    with pytest.raises(InternalServerError) as caught:
        ask(client)
    assert caught.value.status_code == 502
    assert len(here.seen) == 11


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://[bad/", "http://a b/", None])
def test_a_redirect_to_nowhere_is_a_failure(client: OpenAI, places: tuple[Any, Any], location: str | None) -> None:
    here = places[0]
    here.plan["/v1/chat/completions"] = (307, location)
    with pytest.raises(InternalServerError) as caught:
        ask(client)
    assert caught.value.status_code == 502
    assert len(here.seen) == 1
