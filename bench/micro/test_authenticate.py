"""Who calls and what may be called: key lookup and model resolution among few and among many rows, which must cost the
same."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastgw.config.schema import Config, Proxy
from fastgw.gateway.authenticate import key_caller
from fastgw.gateway.catalog import Catalog
from fastgw.gateway.compile import Compiler
from fastgw.gateway.resolve import resolve
from fastgw.resources.change import encode_value
from fastgw.resources.models import ApiKey, Model, ProviderKey
from fastgw.telemetry.log import Log
from fastgw.upstream.pool import Pools, PoolSettings

SIZES = {"10 keys, 10 models": (10, 10), "100,000 keys, 10,000 models": (100_000, 10_000)}


async def catalog(keys: int, models: int) -> Catalog:
    compiler = Compiler(
        Config(proxy=Proxy(addr="127.0.0.1:1")), Pools(asyncio.get_running_loop(), PoolSettings()), Log(0)
    )
    made = Catalog(compiler, lambda: 1)
    up = ProviderKey(display_name="up", adapter="openai", api_key="secret", api_base="http://127.0.0.1:9/v1")
    made.stage(1, "provider_keys", [("up", encode_value(up))], bulk=True)
    for number in range(models):
        model = Model(display_name=f"model-{number}", provider="mock", model_name="gpt", provider_key_id="up")
        made.stage(1, "models", [(str(number), encode_value(model))], bulk=True)
    for number in range(keys):
        key_hash = sha256(f"sk-bench-{number}".encode()).hexdigest()
        key = ApiKey(key_hash=key_hash, allowed_models=("*",))
        made.stage(1, "api_keys", [(str(number), encode_value(key))], bulk=True)
    made.stage(1, "models", bulk=True).complete = True
    return made


@pytest.fixture(scope="module", params=SIZES.values(), ids=SIZES)
def exchange(request: pytest.FixtureRequest) -> Any:
    return SimpleNamespace(
        snapshot=asyncio.run(catalog(*request.param)).current(),
        gateway=SimpleNamespace(accounts=SimpleNamespace(allowed=int)),
        caller=None,
        target=None,
        alias="",
    )


def test_key(benchmark: BenchmarkFixture, exchange: Any) -> None:
    assert benchmark(key_caller, exchange, b"sk-bench-7").id == "7"


def test_resolve(benchmark: BenchmarkFixture, exchange: Any) -> None:
    exchange.caller = key_caller(exchange, b"sk-bench-7")
    assert benchmark(resolve, exchange, "model-5").name == "model-5"
