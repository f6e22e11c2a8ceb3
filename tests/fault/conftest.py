"""A gateway whose only way to its upstream leads through a proxy that can break it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fastgw.state.board import Board
from tests.support.faultproxy import FaultProxy
from tests.support.gateway import Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import board, descriptors, until

TIMEOUT_MS = 300
PACE_MS = 1000
"""For streams of which a part has to arrive in time: long enough for a machine that stands still for a moment."""


@dataclass
class Bench:
    """Mock, proxy, gateway with one worker, and what was open before anything happened."""

    mock: Mock
    proxy: FaultProxy
    gateway: Gateway
    board: Board
    worker: int
    descriptors: int

    def settled(self, seconds: float = 10.0) -> None:
        """Everything that a request holds has been given back."""
        until(self.board.in_flight, lambda count: count == 0, seconds)
        until(self.board.connections, lambda count: count == 0, seconds)
        until(lambda: descriptors(self.worker), lambda count: count <= self.descriptors, seconds)


def documents(url: str) -> dict[str, Any]:
    """Aliases on one upstream: by number of retries, and with a deadline."""
    document = resources(url, retries=0)
    model = document["models"][0]

    def alias(name: str, **more: Any) -> None:
        row = copy.deepcopy(model)
        del row["retries"]
        document["models"].append({**row, "display_name": name, **more})

    alias("retry-1", retries=1)
    alias("retry-default")
    alias("timed", retries=0, timeout=TIMEOUT_MS)
    alias("timed-1", retries=1, timeout=TIMEOUT_MS)
    alias("timed-default", timeout=TIMEOUT_MS)
    alias("stream-timed", retries=0, stream_timeout=TIMEOUT_MS)
    alias("stream-paced", retries=1, stream_timeout=PACE_MS)
    alias("stream-patient", retries=0, stream_timeout=2000)
    alias("stream-patient-1", retries=1, stream_timeout=2000)
    return document


@pytest.fixture(scope="module")
def running() -> Iterator[Bench]:
    with mock_upstream(tokens=6) as mock, FaultProxy(mock.address) as proxy:
        # No connection is kept: every attempt meets the script of its own connection.
        config = {"upstream": {"pool_max_idle_per_host": 0}, "downstream": {"sse_keepalive_interval_secs": 1}}
        with gateway(documents(proxy.url), config) as gw:
            shared = board(gw)
            try:
                until(shared.connections, lambda count: count == 0)
                (worker,) = gw.workers()
                yield Bench(mock, proxy, gw, shared, worker, descriptors(worker))
            finally:
                shared.close()


@pytest.fixture
def bench(running: Bench) -> Iterator[Bench]:
    running.mock.reset()
    running.proxy.reset()
    yield running
    running.proxy.reset()
    running.settled()
