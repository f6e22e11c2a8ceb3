"""The client side of one HTTP/1.1 connection for the load generators: raw bytes out, httptools in.

Deliberately small: a general client costs several times what the gateway itself costs per request, so the generator
would be what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httptools


@dataclass(frozen=True, slots=True)
class Request:
    """What one target is asked: POST `path` with `headers` and `body`.

    `events` is 0 for a plain answer, else the number of SSE events that a complete answer holds.
    """

    port: int
    path: str
    headers: dict[str, str]
    body: bytes
    events: int = 0

    def encoded(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def to_json(self) -> str:
        body = base64.b64encode(self.body).decode()
        return json.dumps(
            {"port": self.port, "path": self.path, "headers": self.headers, "body": body, "events": self.events}
        )

    @classmethod
    def from_json(cls, text: str) -> Request:
        fields = json.loads(text)
        return cls(**{**fields, "body": base64.b64decode(fields["body"])})


@dataclass(slots=True)
class Answer:
    """What arrived for one request, with `time.perf_counter` times in seconds."""

    intended: float
    status: int = 0
    bytes: int = 0
    events: int = 0
    first: float = 0.0
    last: float = 0.0
    done: float = 0.0
    failure: str = ""
    gaps: list[float] = field(default_factory=list)


class Wire(asyncio.Protocol):
    """One keep-alive connection with at most one request on it. `finished(wire, answer)` is called once per request."""

    def __init__(self, finished: Callable[[Wire, Answer], None]) -> None:
        self.finished = finished
        self.answer: Answer | None = None
        self.closed = False
        self._expected = 0
        self._newline = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, answer: Answer, events: int) -> None:
        self.answer = answer
        self._expected = events
        self._newline = False
        self._parser: Any = httptools.HttpResponseParser(self)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.closed = True
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"not HTTP: {error!r}")

    def on_headers_complete(self) -> None:
        assert self.answer is not None
        self.answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.closed = True

    def on_body(self, body: bytes) -> None:
        answer = self.answer
        assert answer is not None
        now = time.perf_counter()
        if not answer.first:
            answer.first = now
        answer.bytes += len(body)
        if self._expected:
            # An event ends with an empty line, which may lie across two pieces of body.
            count = body.count(b"\n\n") + (self._newline and body.startswith(b"\n"))
            self._newline = body.endswith(b"\n") and not body.endswith(b"\n\n")
            if count:
                answer.events += count
                if answer.last:
                    answer.gaps.append(now - answer.last)
                answer.last = now

    def on_message_complete(self) -> None:
        answer = self.answer
        assert answer is not None
        if answer.status != 200:
            self._end(f"status {answer.status}")
        elif answer.events != self._expected:
            self._end(f"{answer.events} of {self._expected} events")
        else:
            self._end("")

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.answer is not None:
            self._end(f"connection lost: {error!r}")

    def _end(self, failure: str) -> None:
        answer = self.answer
        assert answer is not None
        self.answer = None
        answer.done = time.perf_counter()
        answer.failure = failure
        if failure:
            self.closed = True
        if self.closed:
            self.transport.abort()
        self.finished(self, answer)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p90, p99, p99.9 and maximum in milliseconds; empty for no samples. O(n log n)."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    result = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in at.items()}
    result["max"] = ordered[-1]
    return {name: round(value * 1e3, 4) for name, value in result.items()}
