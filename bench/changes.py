"""python -m bench.changes: what changes of a large configuration cost while the gateway serves.

Needs etcd. Starts it with 100,000 keys and 10,000 models, a mock upstream and fastgw with two workers, and prints
Markdown: time to load, memory, time from a write to its effect, and for how long the event loops are busy with changes.

* `turn`: the longest turn of the event loop in CPU time, of the workers and of the supervisor (probe/sitecustomize.py).
* `/livez`: a process of its own sends one every 2 ms over connections to both workers. The answer times contain what
  the machine does to the probe itself: compare with the row in which nothing changes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from tests.support.etcd import Etcd, etcd, model_document, source
from tests.support.gateway import Gateway, gateway
from tests.support.load import Client
from tests.support.mock import mock_upstream
from tests.support.wire import Wire

PREFIX = "/fastgw"
PROVIDER_KEYS = 20
PROBES = 8
TICK = 0.002


def key_document(secret: str) -> dict[str, Any]:
    return {"key_hash": sha256(secret.encode()).hexdigest(), "allowed_models": ["*"], "team_id": "team"}


def rows(upstream: str, keys: int, models: int) -> dict[str, Any]:
    """The whole configuration by etcd key."""
    up = {"provider": "mock", "adapter": "openai", "api_key": "secret", "api_base": upstream}
    found: dict[str, Any] = {
        f"{PREFIX}/provider_keys/up-{number}": {"display_name": f"up-{number}", **up} for number in range(PROVIDER_KEYS)
    }
    for number in range(models):
        document = model_document(f"model-{number}") | {"provider_key_id": f"up-{number % PROVIDER_KEYS}"}
        found[f"{PREFIX}/models/{number:06}"] = document
    for number in range(keys):
        found[f"{PREFIX}/api_keys/{number:06}"] = key_document(f"sk-{number}")
    return found


def request(secret: str, model: str) -> bytes:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


# -- the probe


async def probe(port: int, stop: Event) -> list[float]:
    """Seconds of every answer, from the intended start of its request."""
    taken: list[float] = []

    async def one(offset: float) -> None:
        client, clock = Client(port), time.perf_counter
        due = clock() + offset
        while not stop.is_set():
            due += TICK * PROBES
            await asyncio.sleep(max(0.0, due - clock()))
            due = max(due, clock() - TICK)
            begun = clock()
            await client.request(b"GET /livez HTTP/1.1\r\nhost: g\r\n\r\n")
            taken.append(clock() - begun)
        client.close()

    await asyncio.gather(*(one(number * TICK) for number in range(PROBES)))
    return taken


def probing(port: int, stop: Event, result: Any) -> None:
    result.send(asyncio.run(probe(port, stop)))


def waits(port: int, work: Callable[[], object]) -> list[float]:
    """What the probe saw while `work` ran."""
    stop, (ours, theirs) = multiprocessing.Event(), multiprocessing.Pipe()
    process = multiprocessing.Process(target=probing, args=(port, stop, theirs))
    process.start()
    time.sleep(0.5)
    work()
    stop.set()
    taken: list[float] = sorted(ours.recv())
    process.join()
    return taken


# -- what is done


def serves(gw: Gateway, secret: str, model: str) -> bool:
    with Wire(("127.0.0.1", gw.port)) as wire:
        wire.send(request(secret, model))
        return wire.answer().status == 200


def effect(store: Etcd, gw: Gateway, edits: int) -> list[float]:
    """Seconds from the write of a key, as acknowledged, to the first request that is served with it."""
    taken = []
    with Wire(("127.0.0.1", gw.port)) as wire:
        for number in range(edits):
            store.put(f"{PREFIX}/api_keys/000007", key_document(f"edit-{number}"))
            begun = time.perf_counter()
            while True:
                wire.send(request(f"edit-{number}", "model-2"))
                if wire.answer().status == 200:
                    break
            taken.append(time.perf_counter() - begun)
    return sorted(taken)


def paced(store: Etcd, rate: int, seconds: float) -> Callable[[], None]:
    """Keys, models and a provider key in turn."""

    def work() -> None:
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            if number % 10 == 9:
                up = {
                    "provider": "mock",
                    "adapter": "openai",
                    "api_key": f"s{number}",
                    "api_base": "http://127.0.0.1:9/v1",
                }
                store.put(f"{PREFIX}/provider_keys/up-0", {"display_name": "up-0", **up})
            elif number % 2:
                store.put(f"{PREFIX}/models/{number % 1000:06}", model_document(f"model-{number % 1000}", f"c{number}"))
            else:
                store.put(f"{PREFIX}/api_keys/{number % 1000:06}", key_document(f"paced-{number}"))

    return work


def reading_everything(store: Etcd, gw: Gateway) -> Callable[[], None]:
    """etcd restarts, and the gateway reads all of it again."""

    def reloads() -> float:
        lines = [line for line in gw.metrics().splitlines() if "config_reloads_total" in line and line[0] != "#"]
        return float(lines[0].split()[-1])

    def work() -> None:
        before = reloads()
        store.stop()
        store.start()
        while not (gw.status()["source"]["connected"] and reloads() > before + 0.5 and reads(gw)):
            time.sleep(0.05)
        time.sleep(1.5)

    return work


def reads(gw: Gateway) -> bool:
    return bool(gw.status()["last_reload"]["successful"])


def everything_else(store: Etcd, gw: Gateway, keys: int) -> Callable[[], None]:
    """Every key is replaced, as fast as etcd takes it."""

    def work() -> None:
        store.write({f"{PREFIX}/api_keys/{number:06}": key_document(f"new-{number}") for number in range(keys)})
        while not serves(gw, f"new-{keys - 1}", "model-2"):
            time.sleep(0.01)

    return work


def resident(pid: int) -> float:
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(pid)


class Turns:
    """What the probes in the gateway's processes have written since the last look."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: dict[Path, int] = {}

    def longest(self) -> str:
        """Workers | supervisor, milliseconds of CPU."""
        found = {"worker": 1.0, "supervisor": 1.0}
        for path in self.directory.iterdir():
            lines = path.read_text().splitlines()
            role = path.name.partition("-")[0]
            for line in lines[self._read.get(path, 0) :]:
                found[role] = max(found[role], float(line.split()[1]))
            self._read[path] = len(lines)
        return f"{found['worker']:.0f} | {found['supervisor']:.0f}"


def milliseconds(taken: list[float]) -> str:
    """p50, p99 and largest of sorted figures."""
    at = [statistics.median(taken), taken[int(0.99 * (len(taken) - 1))], taken[-1]]
    return " | ".join(f"{1000 * value:.1f}" for value in at)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.changes", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of 200 edits per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, mock_upstream() as mock, etcd() as store:
        store.write(rows(mock.url, options.keys, options.models))
        turns = Turns(Path(directory))
        probe = f"{Path(__file__).parent / 'probe'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        config = {"proxy": {"workers": 2}, **source(store.url), "observability": {"log_level": "warn"}}
        begun = time.perf_counter()
        with gateway({}, config, {"PYTHONPATH": probe, "BENCH_TURNS": directory}) as gw:
            loaded = time.perf_counter() - begun
            report(store, gw, options, turns, loaded)


def report(store: Etcd, gw: Gateway, options: argparse.Namespace, turns: Turns, loaded: float) -> None:
    def memory() -> str:
        assert gw.process is not None
        worker = max(resident(pid) for pid in gw.workers())
        return f"worker {worker:.0f} MiB, supervisor {resident(gw.process.pid):.0f} MiB (RSS)"

    def row(what: str, taken: list[float]) -> None:
        print(f"| {what} | {milliseconds(taken)} | {turns.longest()} |", flush=True)

    assert serves(gw, f"sk-{options.keys - 1}", f"model-{options.models - 1}")
    time.sleep(2)
    print(f"{options.keys:,} keys, {options.models:,} models in etcd, 2 workers\n")
    print(f"* start to ready, everything loaded: {loaded:.1f} s")
    print(f"* longest turn meanwhile, workers | supervisor: {turns.longest()} ms of CPU")
    print(f"* {memory()}\n")
    print("| | p50 ms | p99 ms | largest ms | turn of a worker, ms | turn of the supervisor, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    row("one key written to etcd until a request is served with it", effect(store, gw, 200))
    row("`/livez`, nothing changes", waits(gw.port, lambda: time.sleep(5)))
    row("`/livez`, 200 edits per second", waits(gw.port, paced(store, 200, options.seconds)))
    row("`/livez`, etcd restarts and all is read again", waits(gw.port, reading_everything(store, gw)))
    row("`/livez`, every key is replaced", waits(gw.port, everything_else(store, gw, options.keys)))
    print(f"\n* afterwards: {memory()}")


if __name__ == "__main__":
    main()
