"""Models that other models serve: what callers get until they are served, and in the list of models."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import mock_upstream

pytestmark = pytest.mark.any_workers

VIRTUAL: list[dict[str, Any]] = [
    {"display_name": "group", "routing": {"targets": [{"model": "fast-chat"}]}},
    {"display_name": "panel", "ensemble": {"panel": [{"model": "fast-chat"}], "judge": {"model": "fast-chat"}}},
    {
        "display_name": "by-meaning*",
        "semantic": {
            "embedding_model": "fast-chat",
            "default": "fast-chat",
            "routes": [{"name": "r", "target": "fast-chat", "examples": ["x"]}],
            "match": {"threshold": 0.5},
        },
    },
]


def document(url: str) -> dict[str, Any]:
    described = resources(url)
    described["models"] += VIRTUAL
    described["api_keys"][0]["allowed_models"] = ["*"]
    return described


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with mock_upstream() as mock, gateway(document(mock.url)) as started:
        yield started


def call(running: Gateway, path: str, model: str) -> tuple[int, str]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"})
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}{path}",
        body.encode(),
        {"content-type": "application/json", "authorization": f"Bearer {API_KEY}"},
    )
    with pytest.raises(urllib.error.HTTPError) as info:
        urllib.request.urlopen(request, timeout=10)
    with info.value as answer:
        return answer.code, json.loads(answer.read())["error"]["message"]


@pytest.mark.parametrize(
    ("model", "label"), [("group", "model group"), ("panel", "ensemble"), ("by-meaning*", "semantic router")]
)
def test_chat_is_refused(running: Gateway, model: str, label: str) -> None:
    expected = f'model "{model}" is a {label}, which this version does not serve'
    assert call(running, "/v1/chat/completions", model) == (503, expected)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_operations_for_single_targets(running: Gateway, path: str) -> None:
    assert call(running, path, "group") == (
        400,
        'request payload is invalid: model "group" has no provider (routing models can\'t be dispatched directly)',
    )
    assert call(running, path, "panel") == (
        400,
        "request payload is invalid: model `panel` is an ensemble model; only /v1/chat/completions is supported",
    )


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/responses"])
def test_operations_for_targets_and_groups(running: Gateway, path: str) -> None:
    assert call(running, path, "panel") == (
        400,
        "request payload is invalid: model `panel` is an ensemble model; only /v1/chat/completions is supported",
    )
    reason = "has no provider (routing models can't be dispatched directly)"
    assert call(running, path, "by-meaning*") == (400, f'request payload is invalid: model "by-meaning*" {reason}')


def test_a_virtual_model_is_no_wildcard(running: Gateway) -> None:
    assert call(running, "/v1/chat/completions", "by-meaning-x") == (404, 'model "by-meaning-x" not found')


def listed(running: Gateway) -> dict[str, str]:
    status, body = running.get("/v1/models", headers={"authorization": f"Bearer {API_KEY}"})
    assert status == 200
    return {entry["id"]: entry["owned_by"] for entry in json.loads(body)["data"]}


def test_the_list_of_models(running: Gateway) -> None:
    assert not {"group", "panel"} & set(listed(running))
    with (
        mock_upstream() as mock,
        gateway(document(mock.url), {"proxy": {"list_virtual_models": True}}) as other,
    ):
        shown = listed(other)
        assert shown.items() >= {"group": "fastgw", "panel": "fastgw", **listed(running)}.items()
        assert not [name for name in shown if "*" in name]


def test_the_operator_is_told(running: Gateway) -> None:
    for shape in ("routing", "ensemble", "semantic"):
        running.wait_log(f"models with {shape} cannot be called in this version (1 defined)")
