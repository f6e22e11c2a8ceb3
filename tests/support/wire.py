"""A raw connection with h11 as an independent reader of what comes back."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import h11


@dataclass
class Answer:
    """One response as h11 read it, whole or up to where it broke off."""

    end: str = "complete"
    """``complete``, ``eof``, ``reset``, ``truncated`` (TLS), ``protocol`` (not HTTP) or ``timeout``."""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    started: float = 0.0
    """Seconds from the start of reading to the head."""
    finished: float = 0.0

    def json(self) -> Any:
        return json.loads(self.body)

    def payloads(self) -> list[str]:
        """The data of an event stream, event by event; any line end."""
        text = self.body.decode().replace("\r\n", "\n").replace("\r", "\n")
        events = [event.split("\n") for event in text.split("\n\n") if event]
        return ["\n".join(line.removeprefix("data: ") for line in event) for event in events]

    def chunks(self) -> list[Any]:
        """The JSON payloads of an event stream, without ``[DONE]``."""
        return [json.loads(payload) for payload in self.payloads() if payload != "[DONE]"]


class Wire:
    """A client connection. Use as a context manager."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None, timeout: float = 20) -> None:
        self.socket: socket.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            # Older Pythons take a connection that was cut for one that was closed.
            tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0], suppress_ragged_eofs=False)
        self._left = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, document: object, path: str = "/v1/chat/completions", method: str = "POST") -> Answer:
        """Send a JSON request and read its answer."""
        self.send(request(document, path, method))
        return self.answer(method)

    def answer(self, method: str = "POST") -> Answer:
        """Read one response to a request with this method."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("host", "mock")]))
        reader.send(h11.EndOfMessage())
        answer, began = Answer(), time.monotonic()
        if self._left:
            reader.receive_data(self._left)
            self._left = b""
        try:
            while True:
                event = reader.next_event()
                if event is h11.NEED_DATA:
                    data = self.socket.recv(65536)
                    if not data and reader.their_state is h11.SEND_RESPONSE:
                        answer.end = "eof"
                        break
                    reader.receive_data(data)
                elif isinstance(event, h11.Response):
                    answer.status = event.status_code
                    answer.headers = {name.decode(): value.decode() for name, value in event.headers}
                    answer.started = time.monotonic() - began
                elif isinstance(event, h11.Data):
                    answer.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._left = reader.trailing_data[0]
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    answer.end = "eof"
                    break
        except h11.RemoteProtocolError as error:
            answer.end = "eof" if "closed" in str(error) or "complete" in str(error) else "protocol"
        except (ConnectionResetError, BrokenPipeError):
            answer.end = "reset"
        except ssl.SSLError as error:
            if not isinstance(error, ssl.SSLEOFError) and error.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise
            answer.end = "truncated"
        except TimeoutError:
            answer.end = "timeout"
        answer.finished = time.monotonic() - began
        return answer

    def read_until(self, mark: bytes) -> bytes:
        """What comes up to the end of `mark`, however it is cut into pieces. Raises AssertionError when it does not."""
        while mark not in self._left:
            data = self.socket.recv(65536)
            assert data, self._left
            self._left += data
        end = self._left.index(mark) + len(mark)
        found, self._left = self._left[:end], self._left[end:]
        return found

    def closed(self) -> str:
        """How the peer ends the connection: ``eof``, ``reset``, or ``timeout`` when it does not."""
        try:
            return "data" if self._left or self.socket.recv(65536) else "eof"
        except ConnectionResetError:
            return "reset"
        except TimeoutError:
            return "timeout"


def request(document: object, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    """A JSON request as bytes, HTTP/1.1 with a declared length."""
    body = b"" if document is None else json.dumps(document).encode()
    fields = f"host: mock\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() + body


def chat(stream: bool = False, model: str = "mock-gpt", **mock: Any) -> dict[str, Any]:
    """A small chat request with these directives."""
    document: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say something."}]}
    if stream:
        document["stream"] = True
    if mock:
        document["mock"] = mock
    return document
