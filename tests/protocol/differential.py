"""Every inbound vector sent to nginx and to fastgw, over sockets: what does fastgw accept that nginx refuses?

`python -m tests.protocol.differential` prints the table. nginx runs with its defaults as a proxy in front of the same
fastgw server, so that it has to read whole requests, bodies included.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h11
import uvloop

from fastgw.http.listen import Acceptor, bind
from tests.protocol.harness import World, endpoints, read_answers
from tests.protocol.vector import Vector, request
from tests.protocol.vectors import VECTORS

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
REFUSALS = frozenset({400, 408, 411, 413, 414, 417, 431, 494, 501, 505})
SILENCE = 0.5
"""Seconds without a byte after which nothing more is expected."""
LAST = request("GET /livez HTTP/1.1", "Connection: close")

CONFIG = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@contextlib.contextmanager
def fastgw_server() -> Iterator[int]:
    """The port of a server on a loop in a thread."""
    listener = bind("127.0.0.1:0", "proxy")
    loop = uvloop.new_event_loop()
    with endpoints(), contextlib.closing(World(real_loop=loop)) as world:
        acceptor = Acceptor(loop, listener, world.server, lambda: None)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(wind_down(world, acceptor), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
            listener.close()


async def wind_down(world: World, acceptor: Acceptor) -> None:
    acceptor.stop()
    while world.server.connections:
        for connection in list(world.server.connections):
            connection.cut()
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def nginx_server(behind: int) -> Iterator[int]:
    """The port of an nginx that forwards to a port."""
    assert NGINX is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fastgw-nginx-") as directory:
        config = Path(directory) / "nginx.conf"
        config.write_text(CONFIG.format(directory=directory, behind=behind, port=port))
        with subprocess.Popen([NGINX, "-p", directory, "-c", config], stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                yield port
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def ask(port: int, vector: Vector) -> tuple[int, ...]:
    """The statuses of the final answers to a vector (and to the request that ends the connection behind it)."""
    output = b""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(SILENCE)
        with contextlib.suppress(OSError):
            client.sendall(vector.data + (LAST if vector.open else b""))
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                output += data
    with contextlib.suppress(h11.RemoteProtocolError, AssertionError):
        return tuple(a.status for a in read_answers(output, (*vector.methods, "GET"), True) if a.status >= 200)
    # Cut short, or more than was asked for: the status lines are all there is to say.
    lines = [line for line in output.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return tuple(status for line in lines if (status := int(line.split(b" ")[1])) >= 200)


def refused(statuses: tuple[int, ...]) -> int:
    """The first refusal of the protocol layer, or 0."""
    return next((status for status in statuses if status in REFUSALS), 0)


def differences() -> list[tuple[Vector, tuple[int, ...], tuple[int, ...]]]:
    """Vectors that fastgw accepts and nginx refuses, with the answers of both."""
    with fastgw_server() as ours, nginx_server(ours) as theirs, ThreadPoolExecutor(8) as pool:
        vectors = [vector for vector in VECTORS if not vector.limited]
        mine = list(pool.map(lambda vector: ask(ours, vector), vectors))
        other = list(pool.map(lambda vector: ask(theirs, vector), vectors))
    rows = zip(vectors, mine, other, strict=True)
    return [(v, a, b) for v, a, b in rows if refused(b) and refused(a) != refused(b) and not refused(a)]


if __name__ == "__main__":
    for vector, a, b in differences():
        print(f"{vector.id:32} fastgw {a} nginx {b} {vector.reason or 'NO REASON'}")
