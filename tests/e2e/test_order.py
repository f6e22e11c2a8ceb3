"""What is answered when several things are wrong at once: the outermost check that fails decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock
from tests.support.wire import Answer, Wire

pytestmark = pytest.mark.any_workers

LIMIT = 2000
CHAT = "/v1/chat/completions"
OVER = b"x" * (LIMIT + 1)
INVALID = "request payload is invalid: "
NO_JSON = INVALID + "invalid JSON request body"
TOO_LARGE = f"request body exceeds {LIMIT}-byte limit"
NO_KEY = "missing or malformed Authorization header"
EMPTY = INVALID + "messages array must not be empty"
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(model: str, messages: Any = MESSAGES) -> bytes:
    return json.dumps({"model": model, "messages": messages}).encode()


@pytest.fixture(scope="module")
def running(mock: Mock) -> Iterator[Gateway]:
    document = resources(mock.url)
    (model,) = document["models"]
    document["provider_keys"] += [
        {"display_name": "nowhere", "provider": "x", "adapter": "openai", "api_key": "k"},
        {"display_name": "unusable", "adapter": "openai", "api_key": "a\nb", "api_base": mock.url},
        {"display_name": "mute", "provider": "x", "api_key": "k", "api_base": mock.url},
        {"display_name": "wordless", "adapter": "anthropic", "api_key": "k"},
    ]
    far = {"allowed_cidrs": ["203.0.113.0/24"]}
    document["models"] += [
        {**model, "display_name": "private", **far},
        {**model, "display_name": "elsewhere", "provider_key": "nowhere", **far},
        *(
            {**model, "display_name": name, "provider_key": name}
            for name in ("nowhere", "unusable", "mute", "wordless")
        ),
    ]
    row = document["api_keys"][0]
    for name, more in {"off": {"disabled": True}, "old": {"expires_at": "2020-01-01T00:00:00Z"}, "few": {}}.items():
        allowed = ["fast-chat", "elsewhere"] if name == "few" else ["*"]
        key = hashlib.sha256(f"sk-{name}".encode()).hexdigest()
        document["api_keys"].append(row | {"display_name": name, "key_hash": key, "allowed_models": allowed} | more)
    config = {
        "proxy": {
            "request_body_limit_bytes": LIMIT,
            "url_rewrites": [{"match": "^/old/", "rewrite": "/v1/"}, {"match": "^/older/", "rewrite": "/old/"}],
        }
    }
    with gateway(document, config) as process:
        yield process


def ask(
    running: Gateway,
    path: str,
    body: bytes = b"",
    key: str | None = API_KEY,
    method: str = "POST",
    kind: str | None = "application/json",
    framing: str = "length",
) -> Answer:
    fields = ["host: x"]
    if key is not None:
        fields.append(f"authorization: Bearer {key}")
    if kind is not None:
        fields.append(f"content-type: {kind}")
    if framing == "chunked":
        fields.append("transfer-encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        fields += [f"content-length: {len(body)}"] * (2 if framing == "twice" else 1)
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send("\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + body)
        return wire.answer(method)


CASES: dict[str, tuple[dict[str, Any], int, str | None, str | None]] = {
    # request; status, type and message
    "two lengths, too large, no key, no path": (
        {"path": "/no", "body": OVER, "key": None, "framing": "twice"},
        400, "invalid_request_error", INVALID + "conflicting Content-Length headers",
    ),
    "two lengths, wrong method": (
        {"path": CHAT, "body": b"{}", "method": "PUT", "framing": "twice"},
        400, "invalid_request_error", INVALID + "conflicting Content-Length headers",
    ),
    "too large, no key": ({"path": CHAT, "body": OVER, "key": None}, 413, "invalid_request_error", TOO_LARGE),
    "too large, wrong key": ({"path": CHAT, "body": OVER, "key": "sk-x"}, 413, "invalid_request_error", TOO_LARGE),
    "too large, no path": ({"path": "/no", "body": OVER}, 413, "invalid_request_error", TOO_LARGE),
    "too large, wrong method": ({"path": CHAT, "body": OVER, "method": "PUT"}, 413, "invalid_request_error", TOO_LARGE),
    "too large, removed path": ({"path": "/passthrough/x", "body": OVER}, 413, "invalid_request_error", TOO_LARGE),
    "too large, wrong type": ({"path": CHAT, "body": OVER, "kind": None}, 413, "invalid_request_error", TOO_LARGE),
    "no path, wrong key": ({"path": "/no", "key": "sk-x"}, 404, None, None),
    "a slash too many": ({"path": CHAT + "/"}, 404, None, None),
    "wrong method, wrong key": ({"path": CHAT, "method": "PUT", "key": "sk-x"}, 405, None, None),
    "preflight": ({"path": CHAT, "method": "OPTIONS", "key": None}, 405, None, None),
    "removed path, wrong key": (
        {"path": "/passthrough/x/y", "key": "sk-x"}, 410, "invalid_request_error", "the implicit /passthrough/",
    ),
    "rewritten once": ({"path": "/old/chat/completions", "key": None}, 401, "invalid_api_key", NO_KEY),
    "rewritten by the first rule only": ({"path": "/older/chat/completions", "key": None}, 404, None, None),
    "wrong key, malformed": ({"path": CHAT, "body": b"{", "key": "sk-x"}, 401, "invalid_api_key", "invalid API key"),
    "no key, nothing": ({"path": CHAT, "key": None}, 401, "invalid_api_key", NO_KEY),
    "no key, wrong type": ({"path": CHAT, "key": None, "kind": "text/plain"}, 401, "invalid_api_key", NO_KEY),
    "wrong key, unknown model": (
        {"path": CHAT, "body": chat("no"), "key": "sk-x"}, 401, "invalid_api_key", "invalid API key",
    ),
    "disabled, malformed": (
        {"path": CHAT, "body": b"{", "key": "sk-off"}, 401, "invalid_api_key", "API key has been disabled",
    ),
    "expired, malformed": (
        {"path": CHAT, "body": b"{", "key": "sk-old"}, 401, "invalid_api_key", "API key has expired",
    ),
    "chunked too large, wrong key": (
        {"path": CHAT, "body": OVER, "key": "sk-x", "framing": "chunked"}, 401, "invalid_api_key", "invalid API key",
    ),
    "chunked too large, wrong type": (
        {"path": CHAT, "body": OVER, "kind": None, "framing": "chunked"}, 413, "invalid_request_error", TOO_LARGE,
    ),
    "wrong type, good body": (
        {"path": CHAT, "body": chat("fast-chat"), "kind": "text/plain"}, 400, "invalid_request_error", NO_JSON,
    ),
    "no type, unknown model": ({"path": CHAT, "body": chat("no"), "kind": None}, 400, "invalid_request_error", NO_JSON),
    "empty": ({"path": CHAT}, 400, "invalid_request_error", NO_JSON),
    "empty, chunked": ({"path": CHAT, "framing": "chunked"}, 400, "invalid_request_error", NO_JSON),
    "malformed, unknown model": (
        {"path": CHAT, "body": chat("no")[:-1]}, 400, "invalid_request_error", NO_JSON,
    ),
    "wrong role type, unknown model": (
        {"path": CHAT, "body": chat("no", [{"role": 5}])}, 400, "invalid_request_error", NO_JSON,
    ),
    "no messages, unknown model": ({"path": CHAT, "body": chat("no", [])}, 400, "invalid_request_error", EMPTY),
    "unknown, not granted": (
        {"path": CHAT, "body": chat("no"), "key": "sk-few"}, 404, "model_not_found", 'model "no" not found',
    ),
    "not granted, from elsewhere": (
        {"path": CHAT, "body": chat("private"), "key": "sk-few"},
        403, "permission_denied", 'API key is not allowed to use model "private"',
    ),
    "from elsewhere, unusable": (
        {"path": CHAT, "body": chat("elsewhere"), "key": "sk-few"},
        403, "permission_denied", "Access denied: your client IP is not allowed to access this model",
    ),
    "completions without a model, wrong type": (
        {"path": "/v1/completions", "body": b"{}", "kind": None}, 400, "invalid_request_error", NO_JSON,
    ),
    "completions without a model": (
        {"path": "/v1/completions", "body": b"{}"}, 400, "invalid_request_error", INVALID + "missing `model` field",
    ),
    "embeddings without input, unknown model": (
        {"path": "/v1/embeddings", "body": b'{"model":"no"}'}, 400, "invalid_request_error", NO_JSON,
    ),
    "embeddings, not granted": (
        {"path": "/v1/embeddings", "body": b'{"model":"private","input":"a"}', "key": "sk-few"},
        403, "permission_denied", 'API key is not allowed to use model "private"',
    ),
    "no base": (
        {"path": CHAT, "body": chat("nowhere")}, 400, "invalid_request_error",
        'invalid upstream configuration: provider_key for vendor "x" has no upstream base URL configured',
    ),
    "unusable secret": (
        {"path": CHAT, "body": chat("unusable")}, 401, "authentication_error",
        "invalid upstream credentials: provider_key.api_key contains invalid header characters",
    ),
    "no adapter": (
        {"path": CHAT, "body": chat("mute")}, 503, "provider_unavailable", "no bridge registered for provider",
    ),
    "text completions that a family lacks": (
        {"path": "/v1/completions", "body": b'{"model":"wordless","prompt":"a"}'},
        501, "not_implemented", "this provider does not support text completions",
    ),
    "embeddings that a family lacks": (
        {"path": "/v1/embeddings", "body": b'{"model":"wordless","input":"a"}'},
        501, "not_implemented", "this provider does not support embeddings",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_outermost_check_decides(running: Gateway, mock: Mock, case: str) -> None:
    request, status, kind, message = CASES[case]
    answer = ask(running, **request)
    assert answer.status == status
    assert answer.headers["x-fastgw-request-id"]
    assert answer.headers["server"].startswith("FASTGW/")
    assert "www-authenticate" not in answer.headers
    assert not any(name.startswith("access-control-") for name in answer.headers)
    if kind is None:
        assert answer.body == b""
        assert ("allow" in answer.headers) == (status == 405)
    else:
        error = answer.json()["error"]
        assert error["type"] == kind
        assert error["message"].startswith(message)
        assert answer.headers["content-type"] == "application/json"
    assert mock.stats()["requests"] == 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("framing", ["length", "twice"])
def test_anthropic_paths_have_their_own_envelope(running: Gateway, path: str, framing: str) -> None:
    answer = ask(running, path + "?beta=true", OVER, None, framing=framing)
    status, kind, message = 413, "request_too_large", TOO_LARGE
    if framing == "twice":
        status, kind, message = 400, "invalid_request_error", INVALID + "conflicting Content-Length headers"
    assert answer.status == status
    assert answer.json() == {"type": "error", "error": {"type": kind, "message": message}}


def test_a_head_that_cannot_be_parsed_keeps_the_callers_request_id(running: Gateway) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nx-fastgw-request-id: mine\r\n"
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send(head + b"content-length: 1\r\ncontent-length: 1\r\n\r\na")
        answer = wire.answer()
    assert (answer.status, answer.headers["x-fastgw-request-id"]) == (400, "mine")


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/models", "GET,HEAD"), ("/v1/models/a/b", "GET,HEAD"), (CHAT, "POST")]
)
def test_allow(running: Gateway, path: str, allow: str) -> None:
    answer = ask(running, path, method="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, allow)


def test_head_is_get_without_a_body(running: Gateway) -> None:
    full, bare = (ask(running, "/v1/models", method=method) for method in ("GET", "HEAD"))
    assert full.status == bare.status == 200
    assert bare.body == b""
    assert full.headers["content-length"] == bare.headers["content-length"]
    assert ask(running, CHAT, method="HEAD").status == 405
