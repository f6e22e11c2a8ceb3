"""Closed-loop generator for machines without wrk: a connection sends its next request when the last one is answered.

    python -m bench.macro.closedloop --connections 32 --seconds 5 < request.json

Prints the JSON that load.py also makes of wrk's output. It costs about 10 µs of CPU per request, three times as much
as wrk, but waits for every answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import uvloop

from bench.macro.wire import Answer, Request, Wire, percentiles

DEADLINE = 30.0
"""Seconds after the last start in which an answer must come; then it counts as an error."""


class Loop:
    def __init__(self, request: Request, seconds: float) -> None:
        self.encoded = request.encoded()
        self.events = request.events
        self.begin = time.perf_counter()
        self.end = self.begin + seconds
        self.latencies: list[float] = []
        self.errors = 0
        self.running = 0
        self.idle = asyncio.Event()

    def next(self, wire: Wire) -> None:
        now = time.perf_counter()
        if now < self.end and not wire.closed:
            wire.send(self.encoded, Answer(now), self.events)
            return
        wire.transport.abort()
        self.running -= 1
        if not self.running:
            self.idle.set()

    def finished(self, wire: Wire, answer: Answer) -> None:
        if answer.failure:
            self.errors += 1
        else:
            self.latencies.append(answer.done - answer.intended)
        self.next(wire)


async def run(request: Request, connections: int, seconds: float) -> dict[str, float]:
    """Opens all connections first; ends when the last answer is in. A lost connection is not replaced."""
    loop = Loop(request, seconds)
    event_loop = asyncio.get_running_loop()
    wires = []
    for _ in range(connections):
        _, wire = await event_loop.create_connection(lambda: Wire(loop.finished), "127.0.0.1", request.port)
        wires.append(wire)
    loop.begin = time.perf_counter()
    loop.end = loop.begin + seconds
    loop.running = connections
    for wire in wires:
        loop.next(wire)
    try:
        await asyncio.wait_for(loop.idle.wait(), seconds + DEADLINE)
    except TimeoutError:
        loop.errors += loop.running
    latency = percentiles(loop.latencies)
    return {
        "requests": len(loop.latencies),
        "seconds": time.perf_counter() - loop.begin,
        "errors": loop.errors,
        "p50_us": latency.get("p50", 0.0) * 1e3,
        "p99_us": latency.get("p99", 0.0) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    request = Request.from_json(sys.stdin.read())
    print(json.dumps(uvloop.run(run(request, options.connections, options.seconds))))


if __name__ == "__main__":
    main()
