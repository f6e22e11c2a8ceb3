"""What is measured, one function per scenario. Each returns rows for the JSON report."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.macro import upstream
from bench.macro.compare import Effort, compare, median, spread
from bench.macro.load import closed_loop, finish, generator, start_generator
from bench.macro.placement import pinned
from bench.macro.procs import Failed
from bench.macro.targets import Target, ask, count_events, running
from bench.macro.translation import translated
from bench.peers import Peer
from bench.peers.fastgw import Fastgw, FastgwLogging

Rows = list[dict[str, Any]]
SETTLING = 8.0

Kinds = Sequence[type[Peer]]


def chat(kinds: Kinds, effort: Effort) -> Rows:
    """Small non-streaming completions at several concurrencies, one worker."""
    placement, rows = pinned(1), []
    with running(kinds, placement) as targets:
        for connections in (32,) if effort.quick else (1, 32, 256):
            rows += compare(targets, lambda one: one.request(upstream.CHAT), connections, effort, placement.load)
    return rows


def logging(kinds: Kinds, effort: Effort) -> Rows:
    """The chat load at 32 connections once more, beside a gateway that writes its lines about requests."""
    placement = pinned(1)
    loud = [FastgwLogging] if Fastgw in kinds else []
    with running([*kinds, *loud], placement, with_mock=False) as targets:
        return compare(targets, lambda one: one.request(upstream.CHAT), 32, effort, placement.load)


def workers(kinds: Kinds, effort: Effort) -> Rows:
    """The same load on one and on two workers, both placed alike, so that only the number of workers differs."""
    placement = pinned(2)
    with running(kinds, placement, workers=(1, 2), with_mock=False) as targets:
        return compare(targets, lambda one: one.request(upstream.CHAT), 64, effort, placement.load)


def sse(kinds: Kinds, effort: Effort) -> Rows:
    """Streams of 100 events as fast as the chain takes them; CPU per event."""
    placement = pinned(1)
    with running(kinds, placement) as targets:
        events = {id(one): count_events(ask(one.request(upstream.SSE_100, events=1))) for one in targets}
        # Divided by what the upstream sends, whatever a target makes of it.
        units = count_events(ask(targets[0].request(upstream.SSE_100, events=1)))
        rows = compare(
            targets[1:] if effort.quick else targets,
            lambda one: one.request(upstream.SSE_100, events=events[id(one)]),
            32,
            effort,
            placement.load,
            units,
        )
    for row in rows:
        row["events_per_stream"] = units
        row["events_per_second"] = round(row["rps"] * units)
    return rows


def bodies(kinds: Kinds, effort: Effort) -> Rows:
    """CPU per request by size of the prompt; `slope_ms_per_mb` is the least-squares line through the sizes."""
    placement, rows = pinned(1), []
    sizes = (1_000_000,) if effort.quick else (1_000, 100_000, 1_000_000, 10_000_000)
    with running(kinds, placement, with_mock=False) as targets:
        for size in sizes:
            part = compare(targets, sized(size), 4, effort, placement.load)
            rows += [{**row, "prompt_bytes": size} for row in part]
    for target in targets:
        points = [(row["prompt_bytes"] / 1e6, row["cpu_us"] / 1e3) for row in rows if row["target"] == target.name]
        for row in rows:
            if row["target"] == target.name and len(points) > 1:
                row["slope_ms_per_mb"] = slope(points)
    return rows


def sized(size: int) -> Callable[[Target], Any]:
    return lambda target: target.request(upstream.CHAT, prompt_bytes=size)


def slope(points: list[tuple[float, float]]) -> float:
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return round(above / sum((x - mean_x) ** 2 for x, _ in points), 4)


def latency(kinds: Kinds, effort: Effort) -> Rows:
    """Added latency at a fixed arrival rate well below the knee: 1000/s, or half of what a slower target manages.

    Each round measures the mock directly and then through the target, at the same rate.
    """
    placement, rows = pinned(1), []
    seconds = 2.0 if effort.quick else 5.0
    with running(kinds, placement) as (mock, *targets):
        for target in targets:
            request = target.request(upstream.CHAT)
            knee = closed_loop(request, 32, 0.5, placement.load, use_wrk=False)
            rate = min(1000, max(10, int(knee.requests / knee.seconds / 2)))
            direct, through = [], []
            for seed in range(1 if effort.quick else effort.rounds):
                load = {"rate": rate, "seconds": seconds, "connections": 32, "seed": seed}
                direct.append(generator("openloop", mock.request(upstream.CHAT), placement.load, **load))
                through.append(generator("openloop", request, placement.load, **load))
            rows.append(added(target, rate, direct, through))
    return rows


def added(target: Target, rate: int, direct: Rows, through: Rows) -> dict[str, Any]:
    row: dict[str, Any] = {"target": target.name, "rate": rate}
    row["failures"] = sum(sum(run["failures"].values()) for run in through)
    refused = [run["refused"] for run in direct + through if "refused" in run]
    pairs = [(a, b) for a, b in zip(direct, through, strict=True) if "refused" not in a and "refused" not in b]
    row["rounds"] = len(pairs)
    if not pairs:
        return {**row, "refused": refused[0]}
    for name in ("p50", "p99"):
        differences = [b["latency_ms"][name] - a["latency_ms"][name] for a, b in pairs]
        row[f"added_{name}_ms"] = median(differences)
        row[f"added_{name}_spread"] = spread(differences)
        row[f"direct_{name}_ms"] = median([a["latency_ms"][name] for a, _ in pairs])
    return row


def memory(kinds: Kinds, effort: Effort) -> Rows:
    """Memory of the idle process, and per idle keep-alive connection that has served one request."""
    placement, rows = pinned(1), []
    count = 200 if effort.quick else 1000
    with running(kinds, placement, with_mock=False) as targets:
        for target in targets:
            idle = target.memory_kib()
            with idle_connections(target, count):
                held = target.memory_kib()
            per = round((held - idle) / count, 2)
            rows.append({"target": target.name, "idle_kib": idle, "connections": count, "kib_per_connection": per})
    return rows


@contextlib.contextmanager
def idle_connections(target: Target, count: int) -> Iterator[None]:
    request = target.request(upstream.CHAT).encoded()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=30))
            sock.sendall(request)
            # The answer is small and written at once, so the end of its head says that all of it is on the way.
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                if not piece:
                    raise Failed(f"{target.name} closed a connection after {data[:60]!r}")
                data += piece
            if not data.startswith(b"HTTP/1.1 200"):
                raise Failed(f"{target.name}: {data[:60]!r}")
        yield


def streams(kinds: Kinds, effort: Effort) -> Rows:
    """1,000 concurrent streams of 200 events at 20 ms: completeness, gaps, memory and CPU per event."""
    rows = []
    placement = pinned(1)
    count = 200 if effort.quick else 1000
    # One kind at a time, freshly started: memory that an earlier run left behind would hide what a stream needs.
    for kind in (None, *kinds):
        with running([kind] if kind else [], placement, with_mock=kind is None) as (target,):
            events = count_events(ask(target.request(upstream.SSE_PACED, events=1)))
            request = target.request(upstream.SSE_PACED, events=events)
            idle, before = target.memory_kib(), target.cpu_seconds()
            load: dict[str, float | str] = {
                "rate": count / 2,
                "seconds": 2,
                "arrivals": "fixed",
                "max_lag_ms": 10,
                "loop": "uvloop",
            }
            process = start_generator("openloop", request, placement.load, **load)
            with Peak(target) as peak:
                result = finish(process)
            spent = target.cpu_seconds() - before
        row = {"target": target.name, "streams": count, "cadence_ms": 20, **result}
        row["idle_kib"], row["peak_kib"] = idle, peak.kib
        row["kib_per_stream"] = round((peak.kib - idle) / count, 2)
        if result["events"]:
            row["cpu_us_per_event"] = round(spent * 1e6 / result["events"], 3)
        rows.append(row)
    return rows


class Peak:
    """Samples the memory of a target every 200 ms until left; `kib` is the highest value seen."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.kib = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.kib = max(self.kib, self.target.memory_kib())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def slow(kinds: Kinds, effort: Effort) -> Rows:
    """200 readers at 1 kB/s of a stream without pauses: memory, and what other callers notice of it.

    The others are measured once the buffers on the way are full, which takes the mock a few seconds of full load.
    """
    rows = []
    placement = pinned(1)
    readers = 50 if effort.quick else 200
    for kind in kinds:
        with running([kind], placement, with_mock=False) as (target,):
            others = {"rate": 100, "seconds": 4, "connections": 8, "max_lag_ms": 5}
            request = target.request(upstream.CHAT)
            alone = generator("openloop", request, placement.load, **others)
            idle = target.memory_kib()
            long = target.request(upstream.SSE_LONG, events=1)
            process = start_generator("slowreaders", long, placement.load, readers=readers, seconds=SETTLING + 5)
            with Peak(target) as peak:
                settled = settle(target)
                beside = generator("openloop", request, placement.load, **others)
                result = finish(process)
        row = {"target": target.name, "rate_bytes": 1000, **result, "idle_kib": idle, "peak_kib": peak.kib}
        row["kib_per_reader"] = round((peak.kib - idle) / readers, 1)
        row["settled_s"] = settled
        row["others_failed"] = sum(beside["failures"].values())
        for name, run in (("alone", alone), ("beside", beside)):
            row[f"others_p99_ms_{name}"] = run.get("latency_ms", {}).get("p99")
        rows.append(row)
    return rows


def settle(target: Target) -> float | None:
    """Waits until the target uses under a fifth of a CPU. Seconds that took; None when it never did within SETTLING."""
    begin = time.monotonic()
    time.sleep(1)
    while time.monotonic() - begin < SETTLING:
        before = target.cpu_seconds()
        time.sleep(0.5)
        if target.cpu_seconds() - before < 0.1:
            return round(time.monotonic() - begin, 1)
    return None


SCENARIOS: dict[str, Callable[[Kinds, Effort], Rows]] = {
    "chat": chat,
    "logging": logging,
    "sse": sse,
    "translated": translated,
    "bodies": bodies,
    "workers": workers,
    "latency": latency,
    "memory": memory,
    "streams": streams,
    "slow": slow,
}
