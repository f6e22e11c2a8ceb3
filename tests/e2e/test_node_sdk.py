"""The official Node SDK sees the same objects through the gateway as from the provider itself."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import gateway, resources
from tests.support.mock import mock_upstream

FOLDER = Path(__file__).parent / "node"
ALIAS = "fast-chat"
COMPARED = (
    "completion",
    "choices",
    "stream",
    "stream_usage",
    "tools",
    "tools_streamed",
    "tools_assembled",
    "abort",
    "error_400",
    "error_401",
    "error_403",
    "error_404",
    "error_429",
    "error_timeout",
)
ERRORS = {
    "error_400": ("BadRequestError", 400),
    "error_401": ("AuthenticationError", 401),
    "error_403": ("PermissionDeniedError", 403),
    "error_404": ("NotFoundError", 404),
    "error_429": ("RateLimitError", 429),
    "error_500": ("InternalServerError", 502),  # the gateway is the one that failed to get an answer
    "error_timeout": ("APIConnectionTimeoutError", None),
    "gateway_key": ("AuthenticationError", 401),
    "gateway_model": ("NotFoundError", 404),
    "gateway_access": ("PermissionDeniedError", 403),
}

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (FOLDER / "node_modules").is_dir(), reason="npm ci has not been run in tests/e2e/node"),
]


def run(base_url: str, api_key: str, model: str, *scenarios: str) -> dict[str, Any]:
    """Run scenarios of run.mjs; the result of each."""
    finished = subprocess.run(
        ["node", "run.mjs", *scenarios],
        cwd=FOLDER,
        env=os.environ | {"BASE_URL": base_url, "API_KEY": api_key, "MODEL": model},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert finished.returncode == 0, finished.stderr
    results: dict[str, Any] = json.loads(finished.stdout)
    assert set(results) == set(scenarios)
    return results


def comparable(value: Any) -> Any:
    """The object without what may differ: ids and times that the mock mints per answer, and the model's name."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        minted = value.get("object", "").startswith("chat.completion")
        dropped = {"id", "created", "model", "_request_id"} if minted else set()
        return {key: comparable(item) for key, item in value.items() if key not in dropped}
    return value


@pytest.fixture(scope="module")
def results() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(directly from the mock, through the gateway)"""
    with mock_upstream() as mock:
        document = resources(mock.url)
        document["models"].append(document["models"][0] | {"display_name": "private"})
        document["api_keys"][0]["allowed_models"] = [ALIAS]
        with gateway(document) as running:
            direct = run(mock.url, "any", "mock-gpt", *COMPARED)
            own = ("error_500", "models_list", "models_retrieve", "gateway_key", "gateway_model")
            through = run(running.url, running.api_key, ALIAS, *COMPARED, *own)
            through |= {"gateway_access": run(running.url, running.api_key, "private", "refused")["refused"]}
            mock.wait(lambda stats: stats["open_streams"] == 0)
            yield direct, through


@pytest.mark.parametrize("scenario", COMPARED)
def test_parity(results: tuple[dict[str, Any], dict[str, Any]], scenario: str) -> None:
    direct, through = results
    assert comparable(through[scenario]) == comparable(direct[scenario])


@pytest.mark.parametrize("scenario", ERRORS)
def test_errors_are_the_sdks_own_classes(results: tuple[dict[str, Any], dict[str, Any]], scenario: str) -> None:
    name, status = ERRORS[scenario]
    assert results[1][scenario] == {"class": name, "status": status}


def test_answers_carry_the_alias(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, through = results
    assert through["completion"]["model"] == ALIAS
    assert {chunk["model"] for chunk in through["stream"]} == {ALIAS}


def test_stream_contents(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, through = results
    assert len(through["choices"]["choices"]) == 2
    assert not any(chunk.get("usage") for chunk in through["stream"])
    assert [bool(chunk.get("usage")) for chunk in through["stream_usage"]][-1]
    calls = through["tools_assembled"]["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], json.loads(call["function"]["arguments"])) for call in calls] == [
        ("call_1", {"city": "Ulm"}),
        ("call_2", {"city": "Oslo"}),
    ]
    assert through["abort"] == {"seen": 3}


def test_models(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, through = results
    (listed,) = through["models_list"]
    assert (listed["id"], listed["object"]) == (ALIAS, "model")
    assert through["models_retrieve"] == listed
