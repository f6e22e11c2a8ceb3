"""The official Node SDK gets through the gateway, and sees the same objects as from the provider itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.sdk import ALIAS, CALLS, SLASHED, UPSTREAM_MODEL, Stack, comparable, stack

FOLDER = Path(__file__).parent / "node"
ANSWERS = ("answers", "streams", "streams_usage", "assembled")
STATUSES = (400, 401, 403, 404, 409, 413, 422, 429)
PROMPT = 0.1
"""Seconds within which an upstream must learn that its caller has left."""

CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    413: "APIError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}

# class, status, type, code, param
ERRORS: dict[str, tuple[str, int | None, str | None, str | None, str | None]] = {
    **{f"error_{status}": (CLASSES[status], status, "upstream_error", "why", "messages") for status in STATUSES},
    "error_500": ("InternalServerError", 502, "upstream_error", None, None),
    "error_timeout": ("APIConnectionTimeoutError", None, None, None, None),
    "error_abort": ("APIUserAbortError", None, None, None, None),
    "gateway_key": ("AuthenticationError", 401, "invalid_api_key", None, None),
    "gateway_model": ("NotFoundError", 404, "model_not_found", "model_not_found", "model"),
    "gateway_retrieve": ("NotFoundError", 404, "model_not_found", "model_not_found", "model"),
    "gateway_access": ("PermissionDeniedError", 403, "permission_denied", None, "model"),
    "gateway_parameter": ("BadRequestError", 400, "invalid_request_error", "invalid_parameter", "temperature"),
    "gateway_deadline": ("InternalServerError", 504, "timeout", None, None),
    "gateway_dead": ("InternalServerError", 502, "transport_error", None, None),
    "nobody_listens": ("APIConnectionError", None, None, None, None),
}
ERRORS |= {f"{name}_stream": told for name, told in ERRORS.items() if name.removeprefix("error_").isdigit()}
BROKEN = {
    "broken_truncated": (2, "stream_aborted", None),
    "broken_reset": (2, "stream_aborted", None),
    "broken_in_band": (1, "upstream_in_band_error", "overloaded"),
}
OTHERS = ("models_list", "models_retrieve", "models_retrieve_slashed", "models_retrieve_raw", "headers")

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (FOLDER / "node_modules").is_dir(), reason="npm ci has not been run in tests/e2e/node"),
]


def run(base_url: str, api_key: str, model: str, *scenarios: str) -> dict[str, Any]:
    """Run scenarios of run.mjs; the result of each."""
    calls = {name: {**call, **call.get("extra_body", {})} for name, call in CALLS.items()}
    for call in calls.values():
        call.pop("extra_body", None)
    finished = subprocess.run(
        ["node", "run.mjs", *scenarios],
        cwd=FOLDER,
        env=os.environ | {"BASE_URL": base_url, "API_KEY": api_key, "MODEL": model, "SLASHED": SLASHED},
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    results: dict[str, Any] = json.loads(finished.stdout)
    assert set(results) == set(scenarios)
    return results


def through(running: Stack, *scenarios: str) -> dict[str, Any]:
    """The results of scenarios through the gateway."""
    return run(running.gateway.url, running.gateway.api_key, ALIAS, *scenarios)


@pytest.fixture(scope="module")
def results() -> tuple[dict[str, Any], dict[str, Any]]:
    """(directly from the mock, through the gateway)"""
    with stack() as running:
        direct = run(running.mock.url, "any", UPSTREAM_MODEL, *ANSWERS, "parsed")
        relayed = through(running, *ANSWERS, "parsed", *ERRORS, *BROKEN, *OTHERS)
        running.mock.wait(lambda stats: stats["open_streams"] == 0)
        return direct, relayed


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("scenario", ANSWERS)
def test_parity(results: tuple[dict[str, Any], dict[str, Any]], scenario: str, name: str) -> None:
    direct, relayed = (result[scenario][name] for result in results)
    assert relayed
    assert node_comparable(relayed) == node_comparable(direct)
    assert {each["model"] for each in (relayed if isinstance(relayed, list) else [relayed])} == {ALIAS}


def test_parse_helper(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    direct, relayed = (result["parsed"] for result in results)
    assert relayed == direct
    assert relayed[0]["message"]["parsed"] == {"city": "mock", "days": 0}


def node_comparable(value: Any) -> Any:
    """`comparable`, and without the request id that the SDK puts into an object."""
    value = comparable(value)
    if isinstance(value, dict):
        value.pop("_request_id", None)
    return value


@pytest.mark.parametrize("scenario", ERRORS)
def test_errors_are_the_sdks_own(results: tuple[dict[str, Any], dict[str, Any]], scenario: str) -> None:
    names = ("class", "status", "type", "code", "param")
    assert results[1][scenario] == dict(zip(names, ERRORS[scenario], strict=True))


@pytest.mark.parametrize("scenario", BROKEN)
def test_errors_mid_stream(results: tuple[dict[str, Any], dict[str, Any]], scenario: str) -> None:
    seen, kind, code = BROKEN[scenario]
    found = results[1][scenario]
    assert found == {"seen": seen, "class": "APIError", "status": None, "type": kind, "code": code, "param": None}


def test_models(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, relayed = results
    listed = {entry["id"]: comparable(entry) for entry in relayed["models_list"]}
    assert list(listed) == sorted(listed, key=str.encode)
    assert {ALIAS, SLASHED} <= set(listed)
    assert comparable(relayed["models_retrieve"]) == listed[ALIAS]
    for scenario in ("models_retrieve_slashed", "models_retrieve_raw"):
        assert comparable(relayed[scenario]) == listed[SLASHED]


def test_headers(results: tuple[dict[str, Any], dict[str, Any]]) -> None:
    whole, streamed, seen = results[1]["headers"]
    assert seen == {"model": ALIAS, "request_id": None}
    for headers in (whole, streamed):
        assert headers["x-fastgw-request-id"] == headers["x-fastgw-call-id"]
        assert "x-request-id" not in headers
    assert whole["content-type"] == "application/json"
    assert streamed["content-type"] == "text/event-stream"


@pytest.mark.parametrize("scenario", ["abort_stream", "abort_signal", "abort_break"])
def test_leaving_a_stream_ends_the_upstreams(sdk: Stack, scenario: str) -> None:
    delays = []
    for _ in range(3):
        sdk.mock.reset()
        left = through(sdk, scenario)[scenario]
        assert left["seen"] == 3
        stats = sdk.mock.wait(lambda stats: stats["streams_aborted"] == 1)
        delays.append(stats["last_abort"] - left["left"])
        if delays[-1] < PROMPT:
            break
    assert min(delays) < PROMPT


def test_default_retries(sdk: Stack) -> None:
    assert through(sdk, "retries") == {"retries": 1}
    assert sdk.mock.stats()["requests"] == 3
