"""Clients that read a stream far slower than it is produced.

    python -m bench.macro.slowreaders --readers 200 --rate 1000 --seconds 8 < request.json

Every reader takes `rate` bytes once a second through a small receive buffer, so nearly all of the stream has to wait
somewhere: in the upstream when back pressure works, in the gateway's memory when it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time

from bench.macro.wire import Request

RECEIVE_BUFFER = 4096


class Reader:
    """One slow client. `received` counts bytes, head included; `failure` is empty while the stream is intact."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.received = 0
        self.failure = ""

    async def run(self, rate: int, until: float) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            # Before connect: the window that is announced in the handshake follows from it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, ("127.0.0.1", self.request.port))
                await loop.sock_sendall(sock, self.request.encoded())
                while time.monotonic() < until:
                    data = await asyncio.wait_for(loop.sock_recv(sock, rate), 30)
                    if not self.received and not data.startswith(b"HTTP/1.1 200"):
                        self.failure = f"answer begins {data[:40]!r}"
                    if not data:
                        self.failure = f"closed after {self.received} bytes"
                    if self.failure:
                        return
                    self.received += len(data)
                    await asyncio.sleep(1)
            except (OSError, TimeoutError) as error:
                self.failure = f"after {self.received} bytes: {error!r}"


async def run(request: Request, readers: int, rate: int, seconds: float) -> dict[str, object]:
    until = time.monotonic() + seconds
    group = [Reader(request) for _ in range(readers)]
    await asyncio.gather(*(reader.run(rate, until) for reader in group))
    failures = [reader.failure for reader in group if reader.failure]
    return {
        "readers": readers,
        "failed": len(failures),
        "first_failure": failures[0] if failures else "",
        "bytes_per_reader": round(sum(reader.received for reader in group) / readers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--rate", type=int, default=1000, help="bytes per second and reader")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    request = Request.from_json(sys.stdin.read())
    print(json.dumps(asyncio.run(run(request, options.readers, options.rate, options.seconds))))


if __name__ == "__main__":
    main()
