"""Who calls and what may be called: key lookup and model resolution on a snapshot of 10,000 keys and 1,000 models."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastgw.gateway.authenticate import authenticate
from fastgw.gateway.resolve import resolve
from fastgw.gateway.snapshot import Caller, Snapshot, Target
from fastgw.policy.access import ModelPatterns

KEY = b"sk-bench-caller-7777"


def caller(number: int) -> Caller:
    return Caller(str(number), f"key {number}", ModelPatterns(["*"]), False, None, None, None, None)


def target(number: int) -> Target:
    name = f"model-{number}"
    return Target(
        id=str(number),
        name=name,
        provider="mock",
        model_name=name,
        model_json=b'"model"',
        key_id="1",
        key_name="mock",
        operations={},
        flaws={},
        networks=None,
        overrides=None,
        retries=None,
        timeout=None,
        stream_timeout=None,
        stream_configured=False,
    )


@pytest.fixture
def exchange() -> Any:
    callers = {sha256(f"sk-bench-caller-{i}".encode()).hexdigest(): caller(i) for i in range(10_000)}
    models = {f"model-{i}": target(i) for i in range(1_000)}
    return SimpleNamespace(
        snapshot=Snapshot(1, callers, models, []),
        request=SimpleNamespace(authorization=b"Bearer " + KEY, api_key=None),
        gateway=SimpleNamespace(accounts=SimpleNamespace(allowed=int)),
        caller=None,
        target=None,
        alias="",
    )


def test_authenticate(benchmark: BenchmarkFixture, exchange: Any) -> None:
    assert benchmark(authenticate, exchange).id == "7777"


def test_resolve(benchmark: BenchmarkFixture, exchange: Any) -> None:
    authenticate(exchange)
    assert benchmark(resolve, exchange, "model-500").name == "model-500"
