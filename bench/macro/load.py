"""Runs a load generator as a process of its own on the load CPUs, and returns what it counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.macro.procs import Failed
from bench.macro.wire import Request

SCRIPT = Path(__file__).with_name("post.lua")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Sample:
    """One closed-loop run. wrk stops at its deadline and leaves up to `connections` requests uncounted."""

    requests: int
    seconds: float
    errors: int
    p50_us: float
    p99_us: float


def closed_loop(request: Request, connections: int, seconds: float, cpus: frozenset[int], use_wrk: bool) -> Sample:
    """Drives `request` from `connections` keep-alive connections. Raises Failed when one fails or stays unanswered."""
    if use_wrk:
        sample = _wrk(request, connections, seconds, cpus)
    else:
        fields = generator("closedloop", request, cpus, connections=connections, seconds=seconds)
        sample = Sample(**fields)
    if sample.errors:
        raise Failed(f"{sample.errors} failures in {sample.requests} requests to port {request.port}{request.path}")
    return sample


def _wrk(request: Request, connections: int, seconds: float, cpus: frozenset[int]) -> Sample:
    with tempfile.NamedTemporaryFile(prefix="body-") as body:
        body.write(request.body)
        body.flush()
        headers = {"Content-Type": "application/json", **request.headers}
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s"]
        argv += ["-s", str(SCRIPT), f"http://127.0.0.1:{request.port}{request.path}", "--", body.name]
        argv += [f"{name}: {value}" for name, value in headers.items()]
        output = run(argv, cpus)
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return Sample(**json.loads(line.removeprefix("RESULT ")))
    raise Failed(f"wrk printed no result:\n{output}")


def generator(module: str, request: Request, cpus: frozenset[int], **options: float | str) -> dict[str, Any]:
    """Runs `python -m bench.macro.<module>` with the request on its stdin. Returns the JSON object it prints."""
    return finish(start_generator(module, request, cpus, **options))


def start_generator(
    module: str, request: Request, cpus: frozenset[int], **options: float | str
) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", f"bench.macro.{module}"]
    for name, value in options.items():
        argv += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: pin(cpus),
    )
    assert process.stdin is not None
    process.stdin.write(request.to_json())
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate()
    if process.returncode:
        raise Failed(f"load generator failed ({process.returncode}):\n{errors}")
    result: dict[str, Any] = json.loads(output)
    return result


def run(argv: list[str], cpus: frozenset[int]) -> str:
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, preexec_fn=lambda: pin(cpus)
    )
    if done.returncode:
        raise Failed(f"{argv[0]} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def pin(cpus: frozenset[int]) -> None:
    if cpus:
        os.sched_setaffinity(0, cpus)


def wrk_available() -> bool:
    return shutil.which("wrk") is not None
