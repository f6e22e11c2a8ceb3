"""Heads and refusals, as the connections of one listener share them."""

import asyncio
import time
from typing import Any, cast

import pytest
from httptools import HttpParserError

from fastgw.http.connection import Connection
from fastgw.http.refusals import Refusal, flaw_of, parser_refusal
from fastgw.http.server import Server
from tests.protocol.harness import FakeLoop, stable


def server(loop: FakeLoop, **options: Any) -> Server:
    def make(connection: Connection, request: Any) -> Any:
        raise AssertionError

    settings: dict[str, Any] = {"server_token": b"T/1.2.3", "mint": lambda: b"minted", "id_field": b"x-id", **options}
    return Server(cast(asyncio.AbstractEventLoop, loop), make, **settings)


@pytest.mark.parametrize(
    ("length", "http11", "keep", "framing"),
    [
        (5, True, True, b"content-length: 5\r\n"),
        (5, True, False, b"content-length: 5\r\nconnection: close\r\n"),
        (5, False, True, b"content-length: 5\r\nconnection: keep-alive\r\n"),
        (5, False, False, b"content-length: 5\r\n"),
        (-1, True, True, b"transfer-encoding: chunked\r\n"),
        (-1, True, False, b"transfer-encoding: chunked\r\nconnection: close\r\n"),
        (-1, False, False, b""),
    ],
)
def test_framing(length: int, http11: bool, keep: bool, framing: bytes) -> None:
    head = server(FakeLoop()).head(200, b"a: b\r\n", length, http11, keep)
    assert stable(head) == b"HTTP/1.1 200 OK\r\nserver: T/1.2.3\r\na: b\r\n" + framing + b"\r\n"


@pytest.mark.parametrize(
    ("status", "line"),
    [(404, b"404 Not Found"), (431, b"431 Request Header Fields Too Large"), (599, b"599 Unknown"), (200, b"200 OK")],
)
def test_status_lines(status: int, line: bytes) -> None:
    assert server(FakeLoop()).head(status, b"", 0, True, True).startswith(b"HTTP/1.1 " + line + b"\r\n")


def test_the_date_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = FakeLoop()
    made = server(loop)
    seconds = iter(range(100))
    gmtime = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda: gmtime(next(seconds)))
    dates = []
    for _ in range(6):
        head = made.head(200, b"", 0, True, True)
        dates.append(head.partition(b"date: ")[2].partition(b"\r\n")[0])
        loop.advance(0.5)
    assert [date[-6:-4] for date in dates] == [b"00", b"00", b"01", b"01", b"02", b"02"]
    assert dates[0] == b"Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_refusal_without_identity() -> None:
    made = server(FakeLoop(), server_token=None, id_field=b"")
    head, _, body = made.refusal(Refusal(400, "x"), None, b"").partition(b"\r\n\r\n")
    assert b"server:" not in head
    assert b"x-id" not in head
    assert body == b'{"error":{"message":"request payload is invalid: x","type":"invalid_request_error"}}'


def test_a_refusal_without_detail_or_body() -> None:
    made = server(FakeLoop())
    assert stable(made.refusal(Refusal(405, ""), None, b"")) == (
        b"HTTP/1.1 405 Method Not Allowed\r\nserver: T/1.2.3\r\nallow: GET,HEAD,POST\r\nx-id: minted\r\n"
        b"content-length: 0\r\nconnection: close\r\n\r\n"
    )
    full, bare = (made.refusal(Refusal(400, "x"), None, method) for method in (b"GET", b"HEAD"))
    assert full.startswith(bare)
    assert bare.endswith(b"\r\n\r\n")


def test_every_flaw_has_a_refusal() -> None:
    assert [flaw_of(1 << bit).status for bit in range(9)] == [400, 501, 400, 400, 505, 431, 417, 400, 400]
    # Of several, the one that makes the others meaningless.
    assert flaw_of(0xFFFF).status == 400
    assert flaw_of(16 | 1).status == 505
    assert flaw_of(32 | 64).status == 431
    assert flaw_of(0).status == 400


def test_what_the_parser_says() -> None:
    assert parser_refusal(HttpParserError("Duplicate Content-Length")).detail == "conflicting Content-Length headers"
    assert parser_refusal(HttpParserError("Invalid HTTP version")).status == 505
    assert parser_refusal(HttpParserError("anything else")).status == 400
