"""A small forward proxy: CONNECT tunnels, and plain requests in absolute form. It resolves names by a table of its own,
so that a test can have hosts that are not on this machine."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from typing import BinaryIO, NamedTuple


class Seen(NamedTuple):
    """The head of one request to the proxy; names of fields in lower case."""

    method: str
    target: str
    fields: dict[str, str]


class ForwardProxy:
    """Listens on 127.0.0.1 while it is entered. `names` maps ``host`` to an address; an unknown host is answered with
    502, a request without the credential with 407."""

    def __init__(self, names: dict[str, tuple[str, int]], credential: str | None = None) -> None:
        self.names = names
        self.seen: list[Seen] = []
        self._wanted = None if credential is None else "Basic " + base64.b64encode(credential.encode()).decode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> ForwardProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake a thread that waits in accept or recv.
        for opened in (self._listener, *list(self._sockets)):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [f"{seen.method} {seen.target}" for seen in self.seen]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream: socket.socket | None = None
        with contextlib.suppress(OSError), client, client.makefile("rb") as reader:
            while (seen := self._head(reader)) is not None:
                host = seen.target.removeprefix("http://").partition("/")[0].partition(":")[0]
                if self._wanted not in (None, seen.fields.get("proxy-authorization")):
                    client.sendall(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
                    return
                if host not in self.names:
                    client.sendall(b"HTTP/1.1 502 No such host\r\ncontent-length: 0\r\n\r\n")
                    return
                if upstream is None:
                    upstream = socket.create_connection(self.names[host])
                    self._sockets.add(upstream)
                    if seen.method == "CONNECT":
                        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                    threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
                if seen.method == "CONNECT":
                    _pump(client, upstream)
                    return
                path = "/" + seen.target.removeprefix("http://").partition("/")[2]
                hop = {name: value for name, value in seen.fields.items() if name != "proxy-authorization"}
                lines = [f"{seen.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in hop.items())]
                body = reader.read(int(seen.fields.get("content-length", "0")))
                upstream.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def _head(self, reader: BinaryIO) -> Seen | None:
        method, _, rest = reader.readline().decode().partition(" ")
        if not method:
            return None
        fields: dict[str, str] = {}
        while line := reader.readline().decode().strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        seen = Seen(method, rest.rpartition(" ")[0], fields)
        self.seen.append(seen)
        return seen


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
