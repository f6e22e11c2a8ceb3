"""An upstream whose every answer is the bytes that the test gives it, and that keeps what it was sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple


class Sent(NamedTuple):
    """One request. Names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Answer = bytes | Iterable[bytes | float]
"""Bytes as they go over the wire, or pieces of them; a number is a pause in seconds. Then the connection is closed."""


class Canned:
    """A running server. One connection per request."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.answer: Answer | Callable[[Sent], Answer] = ok({})
        self.requests: list[Sent] = []

    @property
    def last(self) -> Sent:
        """The newest request."""
        return self.requests[-1]

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := connection.recv(65536)):
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            while len(body) < int(headers.get("content-length", 0)):
                if not (more := connection.recv(65536)):
                    return
                body += more
            sent = Sent(line.split(" ")[1], headers, body)
            self.requests.append(sent)
            answer = self.answer(sent) if callable(self.answer) else self.answer
            for piece in [answer] if isinstance(answer, bytes) else answer:
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                else:
                    time.sleep(piece)


def reply(status: int, body: bytes, kind: str = "application/json", *fields: str) -> bytes:
    """A whole answer with its length."""
    lines = "".join(f"{field}\r\n" for field in fields)
    head = f"HTTP/1.1 {status} Words\r\ncontent-type: {kind}\r\nconnection: close\r\n{lines}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def ok(document: object) -> bytes:
    """A success with this JSON document."""
    return reply(200, json.dumps(document).encode())


def error(status: int, document: object, *fields: str) -> bytes:
    """An error with this JSON document."""
    return reply(status, json.dumps(document).encode(), "application/json", *fields)


def events(*payloads: object, kind: str = "text/event-stream") -> bytes:
    """A stream of server-sent events, ended with its message; strings as they are, other payloads as JSON."""
    texts = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
    return stream("".join(f"data: {text}\n\n" for text in texts).encode(), kind)


def stream(body: bytes, kind: str = "text/event-stream") -> bytes:
    """A chunked answer, complete."""
    return stream_head(kind) + chunk(body) + b"0\r\n\r\n"


def stream_head(kind: str = "text/event-stream") -> bytes:
    """The head of a chunked answer."""
    fields = f"content-type: {kind}\r\nconnection: close\r\ntransfer-encoding: chunked"
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()


def chunk(body: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


@contextmanager
def canned() -> Iterator[Canned]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Canned(listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
