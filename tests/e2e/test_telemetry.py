"""Metrics and log lines of the real process, whatever the number of workers."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock
from tests.support.observe import ask, chat_request, total, until
from tests.support.wire import Wire

CHAT = "/v1/chat/completions"
BUCKETS = {"request_ttft": [0.5, 40], "request_e2e_latency": [0.25, 80]}


def document(mock: Mock) -> dict[str, Any]:
    """`fast-chat`, a wildcard, a model with a key that cannot be sent, and one whose upstream is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    found = resources(mock.url, retries=1)
    key, model = found["provider_keys"][0], found["models"][0]
    found["provider_keys"] += [
        {**key, "display_name": "flawed", "api_key": "a\nb"},
        {**key, "display_name": "gone", "api_base": nowhere},
    ]
    found["models"] += [
        {**model, "display_name": "wild-*", "model_name": "mock-*"},
        {**model, "display_name": "flawed", "provider_key": "flawed"},
        {**model, "display_name": "gone", "provider_key": "gone"},
    ]
    return found


@pytest.fixture(scope="module", params=[1, 3], ids=["1 worker", "3 workers"])
def running(mock: Mock, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    config = {"proxy": {"workers": request.param}, "observability": {"metrics": {"buckets": BUCKETS}}}
    with gateway(document(mock), config) as process:
        yield process


class Since:
    """What the metrics of a gateway have risen by since this was made."""

    def __init__(self, running: Gateway) -> None:
        self._running = running
        self._before = running.metrics()

    def __call__(self, name: str, **labels: str) -> float:
        name = f"fastgw_{name}"
        return round(total(self._running.metrics(), name, **labels) - total(self._before, name, **labels), 6)


def lines(running: Gateway, request_id: str, count: int) -> list[str]:
    """The lines about a request, once there are `count` of them."""
    return until(
        lambda: [line for line in running.log.splitlines() if f"request_id={request_id}}}" in line],
        lambda found: len(found) >= count,
    )


def send(running: Gateway, path: str, body: object, *fields: str) -> tuple[int, str]:
    """Status and request id of a call with more header fields."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "host: g", f"authorization: Bearer {API_KEY}", "content-type: application/json"]
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send("\r\n".join([*head, f"content-length: {len(data)}", *fields, "\r\n"]).encode() + data)
        answer = wire.answer()
    return answer.status, answer.headers["x-fastgw-request-id"]


def test_requests_of_all_workers_add_up(running: Gateway) -> None:
    since = Since(running)
    for _ in range(9):
        assert ask(running, "fast-chat", tokens=4).status == 200
    labels = {"endpoint": CHAT, "model": "fast-chat", "status": "200"}
    for family in ("requests_total", "proxy_requests_total", "llm_requests_total"):
        assert since(family, model="fast-chat", status="200", outcome="success") == 9
    for family in ("proxy_request_duration_seconds", "llm_request_duration_seconds"):
        assert since(f"{family}_count", **labels) == 9
        assert 0 < total(running.metrics(), f"fastgw_{family}", quantile="1", **labels) < 60
    assert since("llm_output_tokens_total", model="fast-chat") == 36
    assert since("tokens_consumed_total", model="fast-chat") == since("llm_total_tokens_total", model="fast-chat") > 36
    assert since("deployment_requests_total", model="fast-chat") == 9
    assert since("deployment_success_responses_total", model="fast-chat") == 9
    event = {"model": "fast-chat", "provider_key_name": "up"}
    assert since("usage_events_emitted_total", handler="chat", status_code="2xx", **event) == 9
    assert since("usage_event_drops_total", reason="sink_disabled", **event) == 9
    assert since("request_e2e_latency_seconds_count", env_id="unknown", endpoint=CHAT, streaming="false") == 9
    edges = set(re.findall(r'fastgw_request_e2e_latency_seconds_bucket\{.*?le="(.*?)"', running.metrics()))
    assert edges == {"0.25", "80", "+Inf"}


def test_a_call_has_two_lines(running: Gateway) -> None:
    answer = ask(running, "fast-chat")
    call, access = lines(running, answer.headers["x-fastgw-request-id"], 2)
    number = answer.json()["id"]
    assert (
        f' provider_request_id="{number}" attempt_index=0 attempt_kind="initial" handler="chat" status=200'
        ' requested_model="fast-chat" provider_model_version="mock-gpt"' in call
    )
    assert "fastgw::proxy: provider call completed " in call
    assert re.search(
        r'fastgw::proxy: proxy request completed method="POST" path="/v1/chat/completions" status=200 latency_ms=\d+ '
        r'provider="mock" model="fast-chat" api_key_id="[^"]+" '
        r"prompt_tokens=\d+ completion_tokens=\d+ total_tokens=\d+ "
        rf'request_id="[^"]+" provider_request_id="{number}" routing_attempt_count=1$',
        access,
    )


def test_a_stream_is_measured_to_its_first_chunk(running: Gateway) -> None:
    since = Since(running)
    answer = ask(running, "fast-chat", stream=True, tokens=5)
    assert since("request_ttft_seconds_count", model="fast-chat", streaming="true", status_class="2xx") == 1
    assert since("llm_time_to_first_token_seconds_count", model="fast-chat") == 1
    assert since("llm_time_to_first_token_seconds_sum") > 0
    assert since("request_e2e_latency_seconds_count", streaming="true") == 1
    assert since("proxy_requests_total", stream="true", status="200") == 1
    assert since("usage_events_emitted_total", status_code="2xx") == 1
    access, call = lines(running, answer.headers["x-fastgw-request-id"], 2)
    assert "proxy request completed" in access and "tokens=" not in access and "provider_request_id" not in access
    assert f'provider_request_id="{answer.chunks()[0]["id"]}"' in call


def test_failed_attempts(running: Gateway) -> None:
    since = Since(running)
    answer = ask(running, "fast-chat", stream=True, status=503)
    assert answer.status == 502
    assert since("usage_events_emitted_total", status_code="5xx", model="fast-chat", handler="chat") == 2
    assert since("deployment_failure_responses_total", model="fast-chat") == 2
    assert since("proxy_failed_requests_total", stream="true", status="502", provider_key_name="up") == 1
    assert since("request_ttft_seconds_count") == 0
    assert ask(running, "gone").status == 502
    assert since("deployment_failure_responses_total", model="gone") == 2
    (line,) = lines(running, answer.headers["x-fastgw-request-id"], 1)
    assert ' routing_attempt_count=2 error_kind="upstream_error" error="upstream returned 503' in line


def test_a_secret_that_cannot_be_sent(running: Gateway) -> None:
    since = Since(running)
    assert ask(running, "flawed").status == 401
    assert since("usage_events_emitted_total", status_code="4xx", model="flawed", provider_key_name="flawed") == 1
    assert since("deployment_requests_total") == 0
    assert since("proxy_requests_total", provider="mock", provider_key_name="flawed", status="401") == 1


def test_names_that_nothing_serves_make_no_series(running: Gateway) -> None:
    since = Since(running)
    for number in range(5):
        assert ask(running, f"made-up-{number}").status == 404
    assert send(running, CHAT, {"model": "fast-chat", "messages": []})[0] == 400
    assert send(running, "/v1/completions", {"prompt": "x"})[0] == 400
    status, request_id = send(running, CHAT, b"{")
    assert status == 400
    assert "made-up" not in running.metrics()
    assert since("proxy_requests_total", model="unresolved", status="404", provider="unknown") == 5
    assert since("usage_events_emitted_total", model="unresolved", handler="chat", status_code="4xx") == 5
    assert since("usage_events_emitted_total", model="fast-chat", provider_key_id="unknown", status_code="4xx") == 1
    assert since("usage_events_emitted_total", model="unknown", handler="completions") == 1
    # What cannot be read is counted, but there is nobody whose usage it could be.
    assert since("proxy_requests_total", model="unresolved", status="400") == 1
    assert since("usage_events_emitted_total") == 7
    (line,) = lines(running, request_id, 1)
    assert ' api_key_id="' in line and " model=" not in line


def test_a_wildcard_is_its_row(running: Gateway) -> None:
    since = Since(running)
    assert ask(running, "wild-a").status == ask(running, "wild-b").status == 200
    assert since("proxy_requests_total", model="wild-*", upstream_model="mock-*") == 2
    assert since("deployment_requests_total", model="wild-*", upstream_model="mock-*") == 2


def test_a_caller_that_leaves(running: Gateway, mock: Mock) -> None:
    since = Since(running)
    before = mock.stats()["requests"]
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send(chat_request("fast-chat", latency_ms=30_000))
        mock.wait(lambda stats: stats["requests"] == before + 1)
        assert since("proxy_in_flight_requests", endpoint=CHAT) == 1
    until(lambda: since("proxy_client_cancelled_requests_total", model="fast-chat", endpoint=CHAT), lambda n: n == 1)
    assert since("proxy_in_flight_requests", endpoint=CHAT) == 0
    assert since("proxy_requests_total") == since("usage_events_emitted_total") == 0
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send(chat_request("fast-chat", stream=True, cadence_ms=30_000, tokens=5))
        until(lambda: since("proxy_in_flight_requests", endpoint=CHAT), lambda n: n == 0)
        mock.wait(lambda stats: stats["requests"] == before + 2)
    until(lambda: since("usage_events_emitted_total", status_code="4xx", model="fast-chat"), lambda n: n == 1)
    assert since("proxy_requests_total", status="200", stream="true") == 1


def test_what_the_server_refuses_by_itself(running: Gateway) -> None:
    since = Since(running)
    status, request_id = send(running, CHAT, {}, "content-length: 5")
    assert status == 400
    (line,) = lines(running, request_id, 1)
    assert ' method="POST" path="/v1/chat/completions" status=400 ' in line
    assert ' error_kind="invalid_request_error" error="request payload is invalid: conflicting Content-Length' in line
    assert send(running, "/v1/messages", {}, "transfer-encoding: gzip")[0] in (400, 501)
    refused = {"provider": "unknown", "model": "unresolved", "api_key_id": "unknown"}
    assert since("proxy_failed_requests_total", endpoint=CHAT, status="400", inbound_protocol="openai", **refused) == 1
    assert since("llm_requests_total", endpoint="/v1/messages", inbound_protocol="anthropic", **refused) == 1
    assert since("usage_events_emitted_total") == 0


def test_the_removed_tunnel(running: Gateway) -> None:
    since = Since(running)
    status, request_id = send(running, "/passthrough/x/y", {})
    assert status == 410
    labels = {"endpoint": "/passthrough_route", "inbound_protocol": "passthrough", "provider": "unresolved"}
    assert since("proxy_requests_total", status="410", **labels) == 1
    assert since("llm_requests_total") == 0
    assert ' path="/passthrough/x/y" status=410 ' in lines(running, request_id, 1)[0]


def test_unknown_paths_and_refused_callers_count_nothing(running: Gateway) -> None:
    since = Since(running)
    assert running.get("/nowhere")[0] == 404
    assert running.get("/v1/models")[0] == 401
    assert since("requests_total") == since("proxy_requests_total") == 0
    assert since("proxy_in_flight_requests") == 0
    assert since("auth_decisions_total", result="denied", method="none", reason="missing_credentials") == 1


def test_a_dead_worker_takes_its_requests_out_of_the_gauge(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 3}}) as running:
        since = Since(running)
        before = mock.stats()["requests"]
        wires = [Wire(("127.0.0.1", running.port)) for _ in range(6)]
        for wire in wires:
            wire.send(chat_request("fast-chat", latency_ms=60_000))
        mock.wait(lambda stats: stats["requests"] == before + 6)
        assert since("proxy_in_flight_requests", endpoint=CHAT, inbound_protocol="openai") == 6
        for pid in running.workers():
            os.kill(pid, signal.SIGKILL)
        until(lambda: since("proxy_in_flight_requests", endpoint=CHAT), lambda count: count == 0, 15)
        for wire in wires:
            wire.__exit__()
        # The gauge stays, at 0.
        assert 'fastgw_proxy_in_flight_requests{endpoint="/v1/chat/completions",inbound_protocol="openai"} 0' in (
            running.metrics()
        )


@pytest.mark.parametrize(
    ("environ", "configured", "access", "auth"),
    [
        (None, "info", True, False),
        (None, "warn,fastgw::auth=debug", False, True),
        ("warn,fastgw::proxy=info", "debug", True, False),
        ("fastgw::auth=debug", "warn", False, True),
        ("info,loud", "warn", False, False),
        ("", "info", True, False),
    ],
)
def test_levels(mock: Mock, environ: str | None, configured: str, access: bool, auth: bool) -> None:
    variables = {} if environ is None else {"RUST_LOG": environ}
    with gateway(resources(mock.url), {"observability": {"log_level": configured}}, variables) as running:
        assert running.get("/v1/models")[0] == 401
        assert ask(running, "fast-chat").status == 200
        assert running.stop() == 0
        assert ("proxy request completed" in running.log) == access
        assert ("rejected inbound credential" in running.log) == auth
        assert ("RUST_LOG is malformed" in running.log) == (environ == "info,loud")


def test_no_line_is_lost_at_the_end(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 3}}) as running:
        for _ in range(30):
            assert ask(running, "fast-chat").status == 200
        assert running.stop() == 0
        assert running.log.count("proxy request completed") == running.log.count("provider call completed") == 30
