"""Static keys and client addresses through the real gateway: what is answered, counted and said."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock
from tests.support.observe import total
from tests.support.wire import Answer, Wire, chat, request

pytestmark = pytest.mark.any_workers

MISSING = "missing or malformed Authorization header"
BEARER = f"Bearer {API_KEY}"


@pytest.fixture(scope="module")
def running(mock: Mock) -> Iterator[Gateway]:
    document = resources(mock.url)
    (row,), (model,) = document["api_keys"], document["models"]
    rows = {"off": {"disabled": True}, "old": {"expires_at": "2020-01-01T00:00:00Z", "disabled": False}}
    rows["both"] = {"disabled": True, "expires_at": "2020-01-01T00:00:00Z"}
    rows["later"] = {"expires_at": "2999-01-01T00:00:00Z"}
    for name, more in rows.items():
        key = hashlib.sha256(f"sk-{name}".encode()).hexdigest()
        document["api_keys"].append(row | {"display_name": name, "key_hash": key} | more)
    document["models"].append(model | {"display_name": "near", "allowed_cidrs": ["198.51.100.0/24", "not a range"]})
    real_ip = {"trusted_proxies": ["127.0.0.0/8", "198.51.100.200"], "recursive": True}
    with gateway(document, {"proxy": {"real_ip": real_ip}}, {"RUST_LOG": "debug"}) as process:
        yield process


def ask(running: Gateway, *fields: str, model: str = "fast-chat", path: str = "/v1/chat/completions") -> Answer:
    head = request(chat(model=model), path)
    lines = "".join(f"{field}\r\n" for field in fields).encode("latin-1")
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send(head.replace(b"host: mock\r\n", b"host: mock\r\n" + lines))
        return wire.answer()


def decisions(running: Gateway, method: str, result: str, reason: str) -> float:
    return total(running.metrics(), "fastgw_auth_decisions_total", method=method, result=result, reason=reason)


DENIED: dict[str, tuple[tuple[str, ...], str, str, str | None, str]] = {
    # fields; method, reason, code, message
    "nothing": ((), "none", "missing_credentials", None, MISSING),
    "empty": (("authorization: Bearer ",), "none", "missing_credentials", None, MISSING),
    "other scheme": (("authorization: Basic abc",), "none", "missing_credentials", None, MISSING),
    "lower case": ((f"authorization: bearer {API_KEY}",), "none", "missing_credentials", None, MISSING),
    "tab": ((f"authorization: Bearer\t{API_KEY}",), "none", "missing_credentials", None, MISSING),
    "not ascii": ((f"authorization: {BEARER}\xe9",), "none", "missing_credentials", None, MISSING),
    "no fall back": (("authorization: x", f"x-api-key: {API_KEY}"), "none", "missing_credentials", None, MISSING),
    "first value": (("authorization: x", f"authorization: {BEARER}"), "none", "missing_credentials", None, MISSING),
    "blank": (("x-api-key:  ",), "none", "missing_credentials", None, MISSING),
    "unknown": (("authorization: Bearer sk-wrong",), "api_key", "unknown_key", None, "invalid API key"),
    "unknown in the other": (("x-api-key: sk-wrong",), "api_key", "unknown_key", None, "invalid API key"),
    "dots without a provider": (("authorization: Bearer a.b.c",), "api_key", "unknown_key", None, "invalid API key"),
    "disabled": (
        ("authorization: Bearer sk-off",), "api_key", "key_disabled", "api_key_disabled", "API key has been disabled",
    ),
    "expired": (("x-api-key: sk-old",), "api_key", "key_expired", "api_key_expired", "API key has expired"),
    "disabled and expired": (
        ("x-api-key: sk-both",), "api_key", "key_disabled", "api_key_disabled", "API key has been disabled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DENIED)
def test_denied(running: Gateway, mock: Mock, case: str) -> None:
    fields, method, reason, code, message = DENIED[case]
    before = decisions(running, method, "denied", reason)
    answer = ask(running, *fields, f"x-fastgw-request-id: {case.replace(' ', '-')}")
    assert answer.status == 401
    error = {"type": "invalid_api_key", "message": message}
    assert answer.json() == {"error": error if code is None else error | {"code": code}}
    assert "www-authenticate" not in answer.headers
    assert decisions(running, method, "denied", reason) == before + 1
    assert total(running.metrics(), "fastgw_proxy_requests_total", status="401") == 0
    identity = f"request_id={case.replace(' ', '-')} "
    log = running.wait_log(identity)
    (line,) = (line for line in log.splitlines() if identity in line)
    assert "rejected inbound credential" in line
    level = "WARN" if reason in ("key_disabled", "key_expired") else "DEBUG"
    assert f" {level} " in line
    for part in (f"reason={reason}", "http_method=POST", "path=/v1/chat/completions", "source_ip=127.0.0.1"):
        assert f" {part}" in line
    assert ("api_key_id=" in line) == (level == "WARN")
    assert mock.stats()["requests"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        (f"authorization: {BEARER}",),
        (f"authorization: {BEARER}  ",),
        (f"x-api-key: \t{API_KEY} ",),
        (f"authorization: {BEARER}", "x-api-key: sk-wrong"),
        (f"authorization: {BEARER}", "authorization: x"),
        (f"x-api-key: {API_KEY}", "x-api-key: sk-wrong"),
        ("authorization: Bearer sk-later",),
    ],
)
def test_allowed(running: Gateway, mock: Mock, fields: tuple[str, ...]) -> None:
    before = decisions(running, "api_key", "allowed", "none")
    assert ask(running, *fields).status == 200
    assert decisions(running, "api_key", "allowed", "none") == before + 1
    mock.reset()


def test_credentials_are_in_no_log(running: Gateway) -> None:
    ask(running, "authorization: Bearer sk-very-wrong")
    log = running.wait_log("unknown_key")
    for secret in (API_KEY, "sk-very-wrong", "sk-wrong", "sk-off", hashlib.sha256(API_KEY.encode()).hexdigest()):
        assert secret not in log


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (["198.51.100.7"], 200),
        (["198.51.100.7:4711, 198.51.100.200"], 200),
        (["203.0.113.9", "198.51.100.7", "127.0.0.5"], 200),
        (["198.51.100.7, 203.0.113.9"], 403),
        (["[2001:db8::1]:443"], 403),
        (["::ffff:198.51.100.7"], 200),
        (["garbage"], 403),
        ([], 403),
    ],
)
def test_the_address_behind_trusted_proxies(running: Gateway, mock: Mock, forwarded: list[str], status: int) -> None:
    answer = ask(
        running, f"authorization: {BEARER}", *(f"x-forwarded-for: {value}" for value in forwarded), model="near"
    )
    assert answer.status == status
    if status == 403:
        error: Any = answer.json()["error"]
        assert (error["type"], error["code"]) == ("permission_denied", "ip_restricted")
        assert "near" not in error["message"]
        assert "198.51" not in error["message"]
        assert mock.stats()["requests"] == 0
    mock.reset()
