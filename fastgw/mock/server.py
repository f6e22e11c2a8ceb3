"""The mock's connections and what it knows about itself.

A request that came whole and whose answer needs no waiting is answered inside ``data_received``: two memoised
look-ups, one join, one write. Everything else goes through a buffer and a Player.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter, deque
from functools import lru_cache
from typing import Any, cast

import orjson

from . import faults
from .http1 import CONTINUE, CONTROL, MAX_HEAD, BadRequest, ChunkedBody, Head, parse_head, response_head
from .plan import Plan, compile_plan, unsigned
from .play import Player, Wheel
from .script import Script, build
from .signature import flaw

_CACHED_PLANS = 256
CACHED_BODY = 16384


class Server:
    """One mock upstream: its flags, counters, recorded requests, and the plans of recent requests."""

    def __init__(self, flags: dict[str, object], record: int = 0, aws_secret: str | None = None) -> None:
        self.wheel = Wheel(asyncio.get_running_loop())
        self.script: Script = build(flags)
        self.recorded: deque[tuple[int, Head, bytes]] | None = deque(maxlen=record) if record else None
        self.failures: Counter[str] = Counter()
        self.open = self.streaming = self.serial = self.connections = 0
        self.clear()
        self._flags = flags
        self._aws_secret = aws_secret
        self._prefix = secrets.token_hex(6).encode()
        self._second = 0.0
        self._now = b""
        self._plans = lru_cache(maxsize=_CACHED_PLANS)(self._compile)

    def clear(self) -> None:
        """Zero the counters, but not the numbers of open connections and streams."""
        self.requests = self.aborted = self.accepted = 0
        self.started = self.finished = self.streams_aborted = self.faulted = 0
        self.last_abort: float | None = None

    def _compile(self, method: str, path: str, body: bytes, healthy: bool) -> Plan:
        return compile_plan(self._flags, method, path, body, healthy)

    def plan(self, head: Head, body: bytes, healthy: bool = False) -> Plan:
        """How to answer this request, with its scripted failure or without."""
        if self._aws_secret is not None and (wrong := flaw(head.raw, body, self._aws_secret)) is not None:
            return unsigned(wrong)
        # A large body is not worth its memory: compiling costs little more than hashing and keeping it.
        find = self._plans if len(body) <= CACHED_BODY else self._compile
        return find(head.method, head.path, body, healthy)

    def fails(self, script: Script) -> bool:
        """Whether a scripted failure is still to happen; counts it if so."""
        if self.failures[script.key] >= script.fail_times:
            return False
        self.failures[script.key] += 1
        return True

    def render(self, plan: Plan) -> bytes:
        """The whole answer of a plain plan."""
        rid, now = self.stamp()
        post = plan.post
        if post is None:
            return b"".join((plan.lead, rid, plan.middle))
        return b"".join((plan.lead, rid, plan.middle, rid, plan.infix, now, post))

    def stamp(self) -> tuple[bytes, bytes]:
        """A fresh id and the time in seconds, as text."""
        self.serial += 1
        now = time.time()
        if now >= self._second:
            self._second = now // 1 + 1
            self._now = b"%d" % now
        return self._prefix + b"%012x" % self.serial, self._now

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "requests_aborted": self.aborted,
            "open_connections": self.open,
            "accepted_connections": self.accepted,
            "streams_started": self.started,
            "streams_finished": self.finished,
            "streams_aborted": self.streams_aborted,
            "streams_faulted": self.faulted,
            "open_streams": self.streaming,
            "last_abort": self.last_abort,
        }

    def control(self, head: Head) -> tuple[int, bytes]:
        """Introspection: status and JSON body."""
        what = (head.method, head.path.removeprefix(CONTROL))
        if what == ("GET", "stats"):
            return 200, orjson.dumps(self.stats())
        if what == ("DELETE", "stats"):
            self.clear()
            return 200, b"{}"
        if what == ("GET", "requests"):
            return 200, orjson.dumps([_recorded(*entry) for entry in self.recorded or ()])
        if what == ("DELETE", "requests"):
            self.failures.clear()
            if self.recorded is not None:
                self.recorded.clear()
            return 200, b"{}"
        return 404, b'{"error":{"message":"No such introspection endpoint."}}'


def _recorded(connection: int, head: Head, body: bytes) -> dict[str, Any]:
    lines = head.raw.decode("latin-1").split("\r\n")
    fields = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines[1:] if line)]
    return {
        "connection": connection,
        "method": head.method,
        "path": lines[0].split(" ")[1],
        "headers": fields,
        "body": body.decode("utf-8", "replace"),
    }


class Connection(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._number = 0
        self._served = 0
        self._control = False
        self._deaf = False
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._player: Player | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._pumping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._server
        self._transport = cast(asyncio.Transport, transport)
        server.open += 1
        server.accepted += 1
        server.connections += 1
        self._number = server.connections
        script = server.script
        if script.fault and script.at == "connect":
            if script.fail_times and not server.fails(script):
                return
            self._deaf = True
            steps, ending = faults.broken(script, [(0, b"\r\n\r\n")], False)
            self._play(Player(server.wheel, self._transport, steps, self._done, ending=ending, stream=False))

    def connection_lost(self, exc: Exception | None) -> None:
        server = self._server
        if not self._control:
            server.open -= 1
        if self._closing is not None:
            self._closing.cancel()
        player, self._player = self._player, None
        if player is None:
            return
        player.stop()
        if self._deaf:
            return
        server.last_abort = time.time()
        if player.stream:
            server.streaming -= 1
            server.streams_aborted += 1
        else:
            server.aborted += 1

    def pause_writing(self) -> None:
        if self._player is not None:
            self._player.block()

    def resume_writing(self) -> None:
        if self._player is not None:
            self._player.unblock()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._player is not None or self._buffer or self._head is not None:
            self._buffer += data
            self._pump()
            return
        try:
            used = self._answer_quickly(data)
        except BadRequest as error:
            self._refuse(error)
            return
        if used < len(data):
            self._buffer += data[used:] if used else data
            self._pump()

    def _answer_quickly(self, data: bytes) -> int:
        """Answer the plain requests at the start of `data` with one write; the number of bytes used."""
        server = self._server
        answers: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            end = data.find(b"\r\n\r\n", at) + 4
            if end < 4:
                break
            head = parse_head(data[at:end])
            stop = end + head.length
            if not head.plain or stop > size or head.length > CACHED_BODY:
                break
            body = data[end:stop]
            plan = server.plan(head, body)
            if not plan.plain:
                break
            self._count(head, body)
            answers.append(server.render(plan))
            at = stop
        if answers:
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        return at

    def _count(self, head: Head, body: bytes) -> None:
        server = self._server
        server.requests += 1
        self._served += 1
        if server.recorded is not None:
            server.recorded.append((self._number, head, body))

    def _pump(self) -> None:
        """Answer what the buffer holds, request by request, as long as no answer is under way."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._player is None and not self._transport.is_closing() and self._read_request():
                pass
        except BadRequest as error:
            self._refuse(error)
        finally:
            self._pumping = False

    def _read_request(self) -> bool:
        buffer = self._buffer
        head = self._head
        if head is None:
            end = buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(buffer) > MAX_HEAD:
                    raise BadRequest("head too large")
                return False
            head = self._head = parse_head(bytes(buffer[:end]))
            del buffer[:end]
            self._chunks = ChunkedBody() if head.chunked else None
            if head.expects_continue and not buffer:
                self._transport.write(CONTINUE)
        if self._chunks is not None:
            if not self._chunks.feed(buffer):
                return False
            body = bytes(self._chunks.body)
        else:
            if len(buffer) < head.length:
                return False
            body = bytes(memoryview(buffer)[: head.length])
            del buffer[: head.length]
        self._head = self._chunks = None
        if head.path.startswith(CONTROL):
            self._introspect(head)
        else:
            self._respond(head, body)
        return True

    def _respond(self, head: Head, body: bytes) -> None:
        server = self._server
        self._count(head, body)
        plan = server.plan(head, body)
        if plan.script.fail_times and not server.fails(plan.script):
            plan = server.plan(head, body, healthy=True)
        if plan.plain and head.plain:
            self._transport.write(server.render(plan))
            return
        script = plan.script
        rid, now = server.stamp()
        steps = plan.steps(head, rid, now)
        ending = faults.KEEP
        if script.fault and script.at != "connect":
            steps, ending = faults.broken(script, steps, plan.stream)
        if script.coalesce:
            steps = faults.coalesce(steps)
        if script.split:
            steps = faults.split(steps, script.split)
        if ending == faults.KEEP:
            ending = self._ending(plan, head)
        player = Player(server.wheel, self._transport, steps, self._done, ending=ending, stream=plan.stream)
        if plan.stream:
            server.started += 1
            server.streaming += 1
        self._play(player)

    def _ending(self, plan: Plan, head: Head) -> str:
        script = plan.script
        if not plan.keeps(head):
            return "last"
        wanted = script.close_after is not None or script.close_chance is not None
        # Not a secret: any generator will do for a chance.
        if wanted and random.random() < (1 if script.close_chance is None else script.close_chance):  # noqa: S311
            return f"idle {script.close_after or 0}"
        return faults.KEEP

    def _play(self, player: Player) -> None:
        self._player = player
        player.start()

    def _done(self, player: Player) -> None:
        """The last write is with the transport: end the connection as scripted, or take the next request."""
        server, ending = self._server, player.ending
        if ending == "stall":
            return
        self._player = None
        whole = ending in (faults.KEEP, "last") or ending.startswith("idle")
        if player.stream:
            server.streaming -= 1
            if whole:
                server.finished += 1
            else:
                server.faulted += 1
        if ending == faults.KEEP:
            self._pump()
        elif ending == "last":
            self._transport.close()
        elif ending.startswith("idle"):
            delay = float(ending[5:]) / 1000
            if delay:
                self._closing = server.wheel.loop.call_later(delay, self._transport.close)
                self._pump()
            else:
                self._transport.close()
        else:
            self._deaf = True
            server.wheel.loop.call_soon(self._break, ending)

    def _break(self, ending: str) -> None:
        """End the connection by a fault, once the kernel has what was written before."""
        transport = self._transport
        if transport.get_write_buffer_size():
            self._server.wheel.loop.call_later(0.001, self._break, ending)
        elif ending == "half_close":
            if not transport.is_closing():
                faults.half_close(transport)
        elif ending == "close":
            transport.close()
        else:
            if ending == "reset" and not transport.is_closing():
                faults.reset(transport)
            transport.abort()

    def _introspect(self, head: Head) -> None:
        server = self._server
        if not self._served and not self._control:
            # A connection that only looks does not count.
            self._control = True
            server.open -= 1
            server.accepted -= 1
        status, body = server.control(head)
        fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
        if not head.keep_alive:
            fields.append(("connection", "close"))
        self._transport.write(response_head(status, fields) + b"\r\n" + body)
        if not head.keep_alive:
            self._transport.close()

    def _refuse(self, error: BadRequest) -> None:
        body = orjson.dumps({"error": {"message": f"Bad request: {error}.", "type": "invalid_request_error"}})
        fields = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        self._transport.write(response_head(400, fields) + b"\r\n" + body)
        self._transport.close()
