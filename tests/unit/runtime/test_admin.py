"""The admin pages by themselves: which paths there are, who may read them, what they say."""

from __future__ import annotations

import asyncio
import hmac
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import orjson
import pytest
from httptools import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from fastgw._speedups.head import Request, RequestReader
from fastgw.http.pages import Page
from fastgw.resources.base import Row
from fastgw.resources.models import ApiKey, Model, ProviderKey
from fastgw.runtime import admin
from fastgw.runtime.admin import AdminKeys, AdminPages, LoadedRecords, StoreError
from fastgw.runtime.overview import Applied, Overview
from fastgw.runtime.shown import COLLECTIONS
from fastgw.state.board import Board
from fastgw.state.failures import Failures

KEY = "operator-key"
ROWS: dict[str, list[Row[Any]]] = {
    "models": [
        Row("m2", Model(display_name="second", provider="p", model_name="n", provider_key_id="k1")),
        Row("a/b", Model(display_name="first", provider="p", model_name="n", provider_key_id="k1")),
    ],
    "provider_keys": [Row("k1", ProviderKey(display_name="key", api_key="the-secret"))],
    "api_keys": [Row("c1", ApiKey(key_hash="h", allowed_models=("*",), team_id="t", display_name="d"))],
}


def request(method: str, target: str, **fields: str) -> Request:
    reader = RequestReader()
    parser = reader.parser = HttpRequestParser(reader)
    lines = [
        f"{method} {target} HTTP/1.1",
        "host: a",
        *(f"{name.replace('_', '-')}: {fields[name]}" for name in fields),
    ]
    parser.feed_data("\r\n".join([*lines, "", ""]).encode())
    made = reader.take()
    assert made is not None
    return made


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(1, 64)
    yield board
    board.close()


def pages(board: Board, records: Any = None) -> AdminPages:
    def rows(kind: str) -> Iterable[Row[Any]]:
        return ROWS.get(kind, [])

    overview = Overview(board, rows)
    return AdminPages(AdminKeys([KEY, "another"]), records or LoadedRecords(rows, lambda: 7), overview, "fastgw")


def ask(under_test: AdminPages, method: str, target: str, **fields: str) -> Page:
    return asyncio.run(cast(Any, under_test.answer(request(method, target, **fields))))


def read(under_test: AdminPages, target: str) -> Any:
    page = ask(under_test, "GET", target, authorization=f"Bearer {KEY}")
    assert (page.status, page.content_type) == (200, "application/json"), page
    return orjson.loads(page.body)


# -- paths

NAMES = [*COLLECTIONS, "apikeys"]
GUARDED = [
    *(f"/admin/v1/{name}" for name in NAMES),
    *(f"/admin/v1/{name}/some-id" for name in NAMES),
    "/admin/v1/models/status",
    "/admin/v1/health",
]
OPEN = ["/livez", "/readyz", "/admin/openapi.json", "/admin/openapi-scalar", "/playground"]
MISSING = [
    "/",
    "/health",
    "/metrics",
    "/status/config",
    "/status/models",
    "/admin",
    "/admin/",
    "/admin/v1",
    "/admin/v1/",
    "/admin/v1/models/",
    "/admin/v1/models/a/b",
    "/admin/v1/models//",
    "/admin/v1/modelsx",
    "/admin/v1/health/x",
    "/admin/v1/rate_limit_policies",
    "/admin/v1/api_keys/some-id/rotate",
    "/admin/v2/models",
    "/Admin/v1/models",
    "/playground/",
    "/playground/chat",
    "/v1/chat/completions",
]
WRITES = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def test_a_path_is_found_before_a_key_is_asked_for(board: Board) -> None:
    under_test = pages(board)
    for path, method in itertools.product(MISSING, ["GET", "HEAD", *WRITES]):
        assert (ask(under_test, method, path).status, path, method) == (404, path, method)
        assert ask(under_test, method, path, authorization=f"Bearer {KEY}").body == b""
    for path, method in itertools.product(GUARDED + OPEN, WRITES):
        page = ask(under_test, method, path)
        assert (page.status, page.body, page.fields) == (405, b"", b"allow: GET,HEAD\r\n"), (method, path)
    for path, method in itertools.product(GUARDED, ["GET", "HEAD"]):
        page = ask(under_test, method, path)
        assert page.status == 401
        assert orjson.loads(page.body) == {"error_msg": "missing or malformed admin authorization"}
    for path in OPEN:
        assert ask(under_test, "GET", path).status == 200
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        page = ask(under_test, method, "/playground/chat/completions")
        assert (page.status, page.body, page.fields) == (405, b"", b"allow: POST\r\n")


# -- keys


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"Bearer   {KEY}  "}, 200),
        ({"authorization": "Bearer another"}, 200),
        ({"x_api_key": KEY}, 200),
        ({"x_api_key": f"  {KEY} "}, 200),
        ({"authorization": f"bearer {KEY}"}, 401),
        ({"authorization": f"BEARER {KEY}"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401),
        ({"authorization": f"Bearer\t{KEY}"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": f"Bearer {KEY[:-1]}"}, 401),
        ({"authorization": f"Bearer {KEY.upper()}"}, 401),
        ({"authorization": "Bearer wrong", "x_api_key": KEY}, 401),
        ({"authorization": "", "x_api_key": KEY}, 401),
        ({"x_api_key": f"Bearer {KEY}"}, 401),
        ({"x_api_key": ""}, 401),
        ({}, 401),
    ],
)
def test_who_may_read(board: Board, fields: dict[str, str], status: int) -> None:
    assert ask(pages(board), "GET", "/admin/v1/models", **fields).status == status


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.binary(max_size=20), st.integers(0, 9))
def test_only_the_configured_keys_are_admitted(keys: list[str], other: bytes, pick: int) -> None:
    admitted = AdminKeys(keys)
    presented = [other, keys[pick % len(keys)].encode("utf-8", "replace")]
    for text in presented:
        known = {key.strip().encode("utf-8", "replace") for key in keys}
        assert admitted.admit(b"Bearer " + text, None) == (text.strip() in known and bool(text.strip()))


def test_all_keys_are_compared_whatever_the_first_comparisons_say(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def counting(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return hmac.compare_digest(a, b)

    keys = AdminKeys(["a", "b", "c"])
    monkeypatch.setattr(admin, "compare_digest", counting)
    for presented in (b"a", b"c", b"x", b""):
        compared.clear()
        keys.admit(None, presented)
        assert len(compared) == 3


def test_keys_are_not_kept() -> None:
    keys = AdminKeys([KEY])
    assert KEY not in repr(vars(keys))


# -- resources


def test_lists_and_single_resources(board: Board) -> None:
    under_test = pages(board)
    models = read(under_test, "/admin/v1/models")
    assert [(row["id"], row["value"]["display_name"], row["revision"]) for row in models] == [
        ("m2", "second", 7),
        ("a/b", "first", 7),
    ]
    assert read(under_test, "/admin/v1/models/m2") == models[0]
    assert read(under_test, "/admin/v1/models/a%2Fb") == models[1]
    assert read(under_test, "/admin/v1/guardrails") == []
    assert read(under_test, "/admin/v1/provider_keys/k1")["value"]["api_key"] == "the-secret"
    (key,) = read(under_test, "/admin/v1/api_keys")
    assert key == {"id": "c1", "value": {"key_hash": "h", "allowed_models": ["*"]}, "revision": 7}
    assert read(under_test, "/admin/v1/apikeys") == [key]
    assert read(under_test, "/admin/v1/apikeys/c1") == key


@pytest.mark.parametrize("name", ["nope", "%fe", "M2", "m2%20", "a%252Fb", "k1"])
def test_an_id_that_is_not_there(board: Board, name: str) -> None:
    page = ask(pages(board), "GET", f"/admin/v1/models/{name}", authorization=f"Bearer {KEY}")
    assert (page.status, orjson.loads(page.body)) == (404, {"error_msg": "resource not found"})


def test_a_store_that_does_not_answer(board: Board) -> None:
    class Broken:
        async def all(self, kind: str) -> Any:
            raise StoreError("no endpoint answers")

        one = all

    for path in ("/admin/v1/models", "/admin/v1/api_keys"):
        page = ask(pages(board, Broken()), "GET", path, authorization=f"Bearer {KEY}")
        assert (page.status, orjson.loads(page.body)) == (500, {"error_msg": "store error: no endpoint answers"})


def test_a_long_list_lets_others_run(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS, "provider_keys", ROWS["provider_keys"] * (3 * admin.YIELD_EVERY))
    turns = 0

    async def body() -> Page:
        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        try:
            return await pages(board).answer(request("GET", "/admin/v1/provider_keys", x_api_key=KEY))
        finally:
            task.cancel()

    assert len(orjson.loads(asyncio.run(body()).body)) == 3 * admin.YIELD_EVERY
    assert turns >= 2


# -- state


def test_states_of_models(board: Board) -> None:
    assert read(pages(board), "/admin/v1/models/status") == [
        {"id": "m2", "display_name": "second", "kind": "direct", "status": "healthy"},
        {"id": "a/b", "display_name": "first", "kind": "direct", "status": "healthy"},
    ]


def test_health_follows_failures(board: Board) -> None:
    under_test, failures = pages(board), Failures(board.named)

    def health() -> tuple[str, list[int]]:
        document = read(under_test, "/admin/v1/health")
        assert "config" not in document
        assert [(model["id"], model["name"]) for model in document["models"]] == [("m2", "second"), ("a/b", "first")]
        return document["status"], [model["health"] for model in document["models"]]

    for _ in range(3):
        failures.failed("first")
    assert health() == ("ok", [0, 0])
    failures.failed("first")
    assert health() == ("degraded", [0, 1])
    for _ in range(4):
        failures.failed("first")
    assert health() == ("unhealthy", [0, 2])
    count = failures.of("first")
    assert count is not None
    count.set(0)
    assert health() == ("ok", [0, 0])


@pytest.mark.parametrize(
    ("age", "failing", "status"),
    [(0, 0, "ok"), (300, 0, "ok"), (301, 0, "degraded"), (None, 0, "degraded"), (None, 8, "unhealthy")],
)
def test_health_with_a_store(board: Board, age: int | None, failing: int, status: str) -> None:
    for _ in range(failing):
        Failures(board.named).failed("first")
    overview = Overview(board, lambda kind: ROWS[kind], lambda: Applied(91, age))
    document = overview.health()
    assert document["status"] == status
    assert document["config"] == {"snapshot_revision": 91, "snapshot_age_seconds": age}


def test_probes(board: Board) -> None:
    under_test = pages(board)
    assert ask(under_test, "GET", "/livez").body == b"ok"
    assert ask(under_test, "GET", "/readyz").body == b"ok"
    assert ask(under_test, "GET", "/readyz?verbose").body == b"[+]shutdown ok\nreadyz check passed\n"
    for path in ("/livez", "/readyz"):
        assert ask(under_test, "GET", path).fields == b"x-content-type-options: nosniff\r\n"
    with_store = AdminPages(
        AdminKeys([KEY]),
        LoadedRecords(lambda kind: [], lambda: 1),
        Overview(board, lambda kind: [], lambda: Applied(0, None)),
        "fastgw",
    )
    page = ask(with_store, "GET", "/readyz")
    assert (page.status, page.body) == (503, b"[+]shutdown ok\n[-]config failed: not ready\nreadyz check failed")
    board.set_ready()
    assert ask(with_store, "GET", "/readyz").body == b"ok"
    board.set_draining()
    for path, body in (
        ("/livez", b"[+]ping ok\n[-]shutdown failed: reason withheld\nlivez check failed"),
        ("/readyz", b"[-]shutdown failed: draining\nreadyz check failed"),
    ):
        page = ask(under_test, "GET", path)
        assert (page.status, page.body) == (503, body)
