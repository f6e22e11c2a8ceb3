"""What cannot be called, and what its callers are told."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from fastgw.config.schema import Config
from fastgw.core.errors import GatewayError
from fastgw.gateway.compile import Compiler, flaw
from fastgw.gateway.snapshot import Target
from fastgw.resources.models import Model, ProviderKey
from fastgw.telemetry.log import Log
from fastgw.upstream.pool import Pools, PoolSettings
from tests.support.catalog import Rows

BASE = "https://up.example/v1"


def config(**upstream: Any) -> Config:
    return msgspec.convert({"proxy": {"addr": "127.0.0.1:3000"}, "upstream": upstream}, Config)


DIRECT = Model(display_name="m", provider="p", model_name="u", provider_key_id="k")


def compiled(settings: Config, key: ProviderKey | None, model: Model = DIRECT) -> Target:
    rows = {} if key is None else {"k": key}

    async def scene() -> Target:
        pools = Pools(asyncio.get_running_loop(), PoolSettings())
        try:
            made = Rows(Compiler(settings, pools, Log(0)))
            found = made.change({"provider_keys": rows, "models": {"m": model}}).model(model.display_name)
        finally:
            await pools.close()
        assert found is not None
        return found

    return asyncio.run(scene())


def told(target: Target, operation: str) -> tuple[int, str, str]:
    error = target.flaws[operation](target.name)
    return error.status, error.type, error.message


def test_a_key_that_does_not_exist() -> None:
    message = 'request payload is invalid: model "m" references unknown provider_key_id "k"'
    target = compiled(config(), None)
    assert not target.operations
    for operation in ("chat/completions", "completions", "embeddings"):
        assert told(target, operation) == (400, "invalid_request_error", message)
        error = target.flaws[operation](target.name)
        assert (error.param, error.code) == ("model", "invalid_parameter")


VIRTUAL = {
    "routing": {"targets": [{"model": "a"}]},
    "semantic": {
        "embedding_model": "e",
        "default": "a",
        "routes": [{"name": "r", "target": "a", "examples": ["x"]}],
        "match": {"threshold": 0.5},
    },
    "ensemble": {"panel": [{"model": "a"}], "judge": {"model": "a"}},
}


@pytest.mark.parametrize("shape", VIRTUAL)
@pytest.mark.parametrize("operation", ["completions", "embeddings"])
def test_models_that_are_served_by_others_have_no_single_target(shape: str, operation: str) -> None:
    target = compiled(config(), None, msgspec.convert({"display_name": 'a "b"', shape: VIRTUAL[shape]}, Model))
    message = 'model "a \\"b\\"" has no provider (routing models can\'t be dispatched directly)'
    if shape == "ensemble":
        message = 'model `a "b"` is an ensemble model; only /v1/chat/completions is supported'
    assert told(target, operation) == (400, "invalid_request_error", f"request payload is invalid: {message}")
    error = target.flaws[operation](target.name)
    assert (error.param, error.code) == ("model", "invalid_parameter")


@pytest.mark.parametrize("adapter", ["anthropic", "azure-openai", "bedrock", "vertex"])
def test_operations_that_a_family_does_not_have(adapter: Any) -> None:
    target = compiled(config(), ProviderKey(display_name="k", api_key="s", api_base=BASE, adapter=adapter))
    message = "this provider does not support text completions"
    assert told(target, "completions") == (501, "not_implemented", message)
    assert ("embeddings" in target.flaws and target.flaws["embeddings"]("m").status == 501) == (
        adapter in ("anthropic", "azure-openai")
    )


WILDCARDS = {
    "openai": ("u-*", "s"),
    "anthropic": ("u-*", "s"),
    "azure-openai": ("u-*", "s"),
    "bedrock": ("amazon.u-*", '{"api_key": "s", "region": "r"}'),
    "vertex": ("gemini-*", '{"access_token": "s", "region": "r", "project": "p"}'),
}


@pytest.mark.parametrize("adapter", WILDCARDS)
def test_a_wildcard_has_endpoints_per_name_where_urls_name_the_model(adapter: Any) -> None:
    name, secret = WILDCARDS[adapter]
    wildcard = Model(display_name="m-*", provider="p", model_name=name, provider_key_id="k")
    key = ProviderKey(display_name="k", api_key=secret, api_base="https://up.example", adapter=adapter)
    row = compiled(config(), key, wildcard)
    one, other = (row.captured(text).operations["chat/completions"] for text in ("one", "other"))
    assert (one.url != other.url) == (adapter in ("azure-openai", "bedrock", "vertex"))
    assert (one is other) == (adapter in ("openai", "anthropic"))


def test_a_key_that_names_no_family() -> None:
    target = compiled(config(), ProviderKey(display_name="k", api_key="s", api_base=BASE, provider="acme"))
    for operation in ("chat/completions", "completions", "embeddings"):
        assert told(target, operation) == (503, "provider_unavailable", "no bridge registered for provider")


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Config]:
    """A deployment whose CA file was there at start and is not any more."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings = config(tls={"ca_file": str(tmp_path / "ca.pem")})
    (tmp_path / "ca.pem").unlink()
    yield settings


def test_trust_that_is_gone_is_an_error_of_those_who_need_it(gone: Config) -> None:
    target = compiled(gone, ProviderKey(display_name="k", api_key="s", api_base=BASE, adapter="openai"))
    message = "bridge is misconfigured: upstream.tls cannot be used"
    assert told(target, "embeddings") == (500, "config_error", message)
    cause = target.flaws["embeddings"]("m").cause
    assert cause is not None
    assert "ca.pem" in cause
    plain = ProviderKey(display_name="k", api_key="s", api_base="http://up.example", adapter="openai")
    assert compiled(gone, plain).operations


def test_a_flaw_is_told_whole_and_afresh() -> None:
    made = flaw(GatewayError(400, "t", '"a*" `a*`', param="model", code="c", fault="gateway"), "a*")
    one, other = made("a*"), made("a-b")
    assert one is not other
    assert other.message == '"a*" `a-b`'
    assert (one.status, one.type, one.message, one.param, one.code, one.fault) == (
        400,
        "t",
        '"a*" `a*`',
        "model",
        "c",
        "gateway",
    )
