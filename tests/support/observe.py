"""What a test looks at from outside: metrics, the board's gauges, file descriptors, memory."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fastgw.runtime.supervisor import CELLS
from fastgw.state.board import Board
from tests.support.gateway import API_KEY, PATIENCE, Gateway
from tests.support.wire import Answer, Wire

T = TypeVar("T")
SAMPLE = re.compile(r"^(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def until(get: Callable[[], T], good: Callable[[T], bool], seconds: float = PATIENCE) -> T:
    """The first value of `get` that is good. Raises AssertionError with the last one after `seconds`."""
    end = time.monotonic() + seconds
    while not good(value := get()):
        assert time.monotonic() < end, value
        time.sleep(0.005)
    return value


def total(metrics: str, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that carry these labels."""
    found = 0.0
    for sample, text, value in SAMPLE.findall(metrics):
        if sample == name and labels.items() <= dict(LABEL.findall(text)).items():
            found += float(value)
    return found


def board(gw: Gateway, workers: int = 1) -> Board:
    """The board of a running gateway."""
    assert gw.process is not None
    for entry in Path(f"/proc/{gw.process.pid}/fd").iterdir():
        if "fastgw-board" in os.readlink(entry):
            return Board.attach(os.open(entry, os.O_RDWR), workers, CELLS)
    raise AssertionError("the supervisor has no board")


def descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def chat_request(model: str, *, stream: bool = False, content: str = "Say something.", **mock: Any) -> bytes:
    """A chat request for the gateway, with directives for the mock behind it."""
    document: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}]}
    if stream:
        document["stream"] = True
    if mock:
        document["mock"] = mock
    body = json.dumps(document).encode()
    head = f"host: gateway\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


def ask(gw: Gateway, model: str, *, stream: bool = False, timeout: float = PATIENCE, **mock: Any) -> Answer:
    """One chat request on a connection of its own."""
    with Wire(("127.0.0.1", gw.port), timeout=timeout) as wire:
        wire.send(chat_request(model, stream=stream, **mock))
        return wire.answer()
