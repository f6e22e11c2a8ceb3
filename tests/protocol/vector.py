"""What one inbound vector is, and how to spell requests briefly."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

CHAT = "/v1/chat/completions"
KEY = "Authorization: Bearer sk-protocol"
JSON = "Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Vector:
    """Bytes of a client and what must come of them, however they are cut into pieces.

    `answers` are the statuses in order, 100 included. `open`: the connection takes another request afterwards.
    `waits`: the last request is not complete, and the server waits for the rest. `bodies` are those that reached the
    application. `methods` tell the reader of the answers what was asked (the last one repeats). `limited`: with a body
    limit of 1000 bytes. `loose`: the client says that it may hold the body back (Expect), so whether it gets a 100
    depends on what has arrived; only final statuses are compared. `reason`: why it is right to accept what nginx
    refuses.
    """

    id: str
    rfc: str
    data: bytes
    answers: tuple[int, ...]
    _: KW_ONLY
    open: bool = False
    waits: bool = False
    bodies: tuple[bytes, ...] = ()
    methods: tuple[str, ...] = ("POST",)
    limited: bool = False
    loose: bool = False
    reason: str = ""


def raw(text: str) -> bytes:
    """Latin-1: one character, one byte."""
    return text.encode("latin-1")


def request(line: str, *fields: str, body: str = "", host: str | None = "Host: a") -> bytes:
    """A request with these lines, Host first unless it is None."""
    lines = [line, *([] if host is None else [host]), *fields]
    return raw("\r\n".join(lines) + "\r\n\r\n" + body)


def get(*fields: str, path: str = "/livez", host: str | None = "Host: a") -> bytes:
    return request(f"GET {path} HTTP/1.1", *fields, host=host)


def post(*fields: str, body: str = "", path: str = "/echo") -> bytes:
    """A POST to the echo endpoint; the caller gives the framing fields."""
    return request(f"POST {path} HTTP/1.1", *fields, body=body)


def sized(body: str = "", *fields: str, path: str = "/echo") -> bytes:
    """A POST with Content-Length."""
    return post(*fields, f"Content-Length: {len(body)}", body=body, path=path)


def chunked(body: str, *fields: str, path: str = "/echo") -> bytes:
    """A chunked POST; `body` is already framed."""
    return post(*fields, "Transfer-Encoding: chunked", body=body, path=path)


def accepted(id: str, rfc: str, data: bytes, *bodies: str, reason: str = "") -> Vector:
    """Every request is answered with 200 by the echo endpoint, and the connection goes on."""
    return Vector(
        id, rfc, data, (200,) * len(bodies), open=True, bodies=tuple(raw(body) for body in bodies), reason=reason
    )


def refused(id: str, rfc: str, data: bytes, status: int = 400, *, methods: tuple[str, ...] = ("POST",)) -> Vector:
    """One refusal, after which the connection is closed; nothing reaches the application."""
    return Vector(id, rfc, data, (status,), methods=methods)
