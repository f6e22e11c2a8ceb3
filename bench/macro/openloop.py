"""Open-loop generator: requests start when the schedule says so, whether or not earlier ones have been answered.

    python -m bench.macro.openloop --rate 1000 --seconds 5 < request.json

Latency counts from the intended start, so a stalled server is charged for every request that should have been sent
meanwhile (no coordinated omission). Understands SSE: time to the first event, gaps between events, completeness.

Event times are those of the read that completed the event; two events in one read have no gap between them.

The generator judges itself: the delay of each start and of a 5 ms tick against their due times is its lag. When its p99
exceeds --max-lag-ms, latencies and gaps are withheld and `refused` says why.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import select
import selectors
import sys
import time
from typing import Any

import uvloop

from bench.macro.wire import Answer, Request, Wire, percentiles

TICK = 0.005


class PreciseSelector(selectors.EpollSelector):
    """epoll_wait counts in milliseconds, which would be the error of every start.

    select() on the epoll descriptor itself counts in microseconds.
    """

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


class Run:
    """One schedule against one target. Idle connections are reused last in, first out; more are opened on demand."""

    def __init__(self, request: Request, starts: list[float]) -> None:
        self.encoded = request.encoded()
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.starts = starts
        self.begin = time.perf_counter() + 0.05
        self.idle: list[Wire] = []
        self.answers: list[Answer] = []
        self.lags: list[float] = []
        self.opened = 0
        self.active = 0
        self.peak = 0
        self.over = asyncio.Event()
        self.dials: set[asyncio.Task[None]] = set()

    async def warm(self, connections: int) -> None:
        for _ in range(connections):
            self.idle.append(await self._open())

    async def run(self) -> None:
        self.begin = time.perf_counter() + 0.05
        self._tick(time.perf_counter() + TICK)
        self._schedule(0)
        await self.over.wait()
        for wire in self.idle:
            wire.transport.abort()

    def _tick(self, due: float) -> None:
        now = time.perf_counter()
        if now > due:
            self.lags.append(now - due)
            due = now + TICK
        if not self.over.is_set():
            self.loop.call_later(max(0.0, due - now), self._tick, due)

    def _schedule(self, index: int) -> None:
        """Starts everything that is due, then sleeps until the next due time."""
        now = time.perf_counter()
        while index < len(self.starts) and self.begin + self.starts[index] <= now:
            intended = self.begin + self.starts[index]
            self.lags.append(now - intended)
            self._start(Answer(intended))
            index += 1
            now = time.perf_counter()
        if index < len(self.starts):
            self.loop.call_later(self.begin + self.starts[index] - now, self._schedule, index)

    def _start(self, answer: Answer) -> None:
        self.active += 1
        self.peak = max(self.peak, self.active)
        while self.idle:
            wire = self.idle.pop()
            if not wire.closed:
                wire.send(self.encoded, answer, self.request.events)
                return
        task = self.loop.create_task(self._dial(answer))
        self.dials.add(task)
        task.add_done_callback(self.dials.discard)

    async def _dial(self, answer: Answer) -> None:
        try:
            wire = await self._open()
        except OSError as error:
            answer.failure = f"connect: {error!r}"
            self._count(answer)
        else:
            wire.send(self.encoded, answer, self.request.events)

    async def _open(self) -> Wire:
        _, wire = await self.loop.create_connection(lambda: Wire(self._finished), "127.0.0.1", self.request.port)
        self.opened += 1
        return wire

    def _finished(self, wire: Wire, answer: Answer) -> None:
        if not wire.closed:
            self.idle.append(wire)
        self._count(answer)

    def _count(self, answer: Answer) -> None:
        self.active -= 1
        self.answers.append(answer)
        if len(self.answers) == len(self.starts):
            self.over.set()


def report(run: Run, max_lag_ms: float) -> dict[str, Any]:
    good = [answer for answer in run.answers if not answer.failure]
    failures = collections.Counter(answer.failure for answer in run.answers if answer.failure)
    unfinished = len(run.starts) - len(run.answers)
    if unfinished:
        failures["unfinished at the deadline"] += unfinished
    lag = percentiles(run.lags)
    result: dict[str, Any] = {
        "requests": len(run.starts),
        "completed": len(good),
        "failures": dict(failures),
        "events": sum(answer.events for answer in good),
        "connections": run.opened,
        "concurrent": run.peak,
        "lag_ms": lag,
        "seconds": round(max((answer.done for answer in good), default=run.begin) - run.begin, 3),
    }
    if lag["p99"] > max_lag_ms:
        result["refused"] = f"the generator itself lagged {lag['p99']:.2f} ms at p99 (limit {max_lag_ms:g} ms)"
        return result
    result["latency_ms"] = percentiles([answer.done - answer.intended for answer in good])
    result["first_ms"] = percentiles([answer.first - answer.intended for answer in good])
    result["gap_ms"] = percentiles([gap for answer in good for gap in answer.gaps])
    return result


def schedule(rate: float, seconds: float, arrivals: str, seed: int) -> list[float]:
    """Offsets from the begin in seconds, ascending."""
    count = max(1, round(rate * seconds))
    if arrivals == "fixed":
        return [index / rate for index in range(count)]
    source, at, starts = random.Random(seed), 0.0, []
    for _ in range(count):
        at += source.expovariate(rate)
        starts.append(at)
    return starts


async def drive(request: Request, options: argparse.Namespace) -> dict[str, Any]:
    starts = schedule(options.rate, options.seconds, options.arrivals, options.seed)
    run = Run(request, starts)
    await run.warm(options.connections)
    try:
        await asyncio.wait_for(run.run(), starts[-1] + options.deadline)
    except TimeoutError:
        run.over.set()
    return report(run, options.max_lag_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="requests started per second")
    parser.add_argument("--seconds", type=float, required=True, help="length of the schedule")
    parser.add_argument("--arrivals", choices=["fixed", "poisson"], default="poisson")
    parser.add_argument("--connections", type=int, default=0, help="opened before the schedule begins")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds to wait after the last start")
    parser.add_argument("--max-lag-ms", type=float, default=1.0)
    parser.add_argument("--loop", choices=["precise", "uvloop"], default="precise")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    request = Request.from_json(sys.stdin.read())

    def precise() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(PreciseSelector())

    # uvloop's timers count in milliseconds: fine for paced streams, where many reads per second matter more.
    factory = uvloop.new_event_loop if options.loop == "uvloop" else precise
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(drive(request, options))))


if __name__ == "__main__":
    main()
