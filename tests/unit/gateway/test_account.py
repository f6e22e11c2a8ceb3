"""What the end of an exchange leaves behind: counters, lines, usage events. With the real exchange, series and log."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from httptools import HttpRequestParser

from fastgw._speedups.head import Request, RequestReader
from fastgw.config.schema import Buckets
from fastgw.core.errors import GatewayError, UpstreamFailure, invalid_credentials, transport_error, upstream_timeout
from fastgw.gateway.account import attempt_failed, opened, refusal, settle
from fastgw.gateway.call import Tokens
from fastgw.gateway.events import usage_event
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.identity import Principal
from fastgw.gateway.series import MAX_AGENT, Accounts
from fastgw.gateway.snapshot import Caller, Target
from fastgw.policy.access import ModelPatterns
from fastgw.policy.client_type import ClientTypes
from fastgw.state.board import Board
from fastgw.state.failures import Failures
from fastgw.state.named import NamedCells
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.levels import LEVELS
from fastgw.telemetry.log import Log
from tests.support.catalog import snapshot_of
from tests.support.observe import total

CHAT = "/v1/chat/completions"
ANSWER = Tokens(9, 2, 11, "chatcmpl-1", "gpt-4o-mini", "stop")


def target(name: str, model: str = "gpt", **more: Any) -> Target:
    fields: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "provider": "OpenAI",
        "model_name": model,
        "model_json": b'"x"',
        "key_id": "k1",
        "key_name": "main\x07 key",
        "operations": {},
        "flaws": {},
        "networks": None,
        "overrides": None,
        "retries": None,
        "timeout": None,
        "stream_timeout": None,
        "stream_configured": False,
        **more,
    }
    return Target(**fields)


def parsed(path: str, agent: str = "curl/8") -> Request:
    reader = RequestReader()
    reader.parser = parser = HttpRequestParser(reader)
    parser.feed_data(f"POST {path} HTTP/1.1\r\nhost: g\r\nuser-agent: {agent}\r\n\r\n".encode())
    request = reader.take()
    assert request is not None
    return request


class Desk:
    """Makes exchanges and tells what they left: `metrics()`, `lines()`, `events`."""

    def __init__(self, directory: Path, level: str = "info") -> None:
        self.board = Board.create(1, 64)
        self.exposition = Exposition("ns", self.board)
        self._log = directory / "log"
        self._log.touch()
        self.fd = os.open(self._log, os.O_WRONLY | os.O_APPEND)
        self.accounts = Accounts(
            self.exposition.local,
            ClientTypes(),
            Failures(NamedCells.private()),
            Buckets(request_ttft=(0.5, 7.0)),
        )
        self.caller = Caller("key-1", "caller", ModelPatterns(["*"]), False, None, "team", None, "")
        self.models = {"fast": target("fast"), "any-*": target("any-*", "up-*"), "other": target("other")}
        self.snapshot = snapshot_of(self.models)
        self.gateway: Any = SimpleNamespace(
            loop=None,
            log=Log(LEVELS[level], fd=self.fd),
            accounts=self.accounts,
            current=lambda: self.snapshot,
            request_id=lambda request: b"the-id",
            address=SimpleNamespace(enabled=False),
        )

    def exchange(self, path: str = CHAT, *, alias: str | None = "fast", resolved: bool = True, **fields: Any) -> Any:
        """An exchange that got past authentication, up to `resolved`."""
        ex = Exchange(self.gateway, SimpleNamespace(peer="10.0.0.1"), parsed(path))  # type: ignore[arg-type]
        ex.endpoint, ex.caller, ex.counted, ex.alias = path, self.caller, True, alias
        if resolved and alias is not None:
            ex.target = self.snapshot.model(alias)
        for name, value in fields.items():
            setattr(ex, name, value)
        return ex

    def answered(self, answer: Tokens = ANSWER, **fields: Any) -> Any:
        """An exchange whose first attempt was answered, before it is settled."""
        used = {name: getattr(answer, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        state = {"attempts": 1, "relayed": True, "head_sent": True, "status": 200, "reported": answer}
        return self.exchange(**{**state, **used, **fields})

    def lines(self) -> list[str]:
        """What was logged, without the time."""
        return [line.split("Z ", 1)[1] for line in self._log.read_text().splitlines()]

    def count(self, name: str, **labels: str) -> float:
        return total(self.exposition.render().decode(), f"ns_{name}", **labels)

    def close(self) -> None:
        self.board.close()
        os.close(self.fd)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_an_answer_is_counted_everywhere_and_once(desk: Desk) -> None:
    ex = desk.answered()
    settle(ex)
    settle(ex)
    key = {"provider": "openai", "model": "fast"}
    usage = {
        **key,
        "endpoint": CHAT,
        "inbound_protocol": "openai",
        "upstream_model": "gpt",
        "provider_key_id": "k1",
        "provider_key_name": "main key",
        "api_key_id": "key-1",
        "team_id": "team",
        "user_id": "unknown",
        "user_name": "unknown",
    }
    done = {"status": "200", "outcome": "success"}
    assert desk.count("requests_total", **key, **done) == 1
    for family in ("proxy_requests_total", "llm_requests_total"):
        assert desk.count(family, **usage, **done, stream="false", is_fallback="false") == 1
    for family in ("request", "proxy_request", "llm_request"):
        assert desk.count(f"{family}_duration_seconds_count", **key, status="200") == 1
    assert desk.count("proxy_failed_requests_total") == 0
    assert desk.count("request_e2e_latency_seconds_count", env_id="unknown", status_class="2xx", streaming="false") == 1
    assert desk.count("llm_input_tokens_total", **usage) == 9
    assert desk.count("llm_output_tokens_total", **usage) == 2
    assert desk.count("llm_total_tokens_total", **usage) == 11
    assert desk.count("tokens_consumed_total", **key) == 11
    assert desk.count("llm_tokens_by_client_total", client_type="curl", model="fast", token_type="total") == 11
    assert desk.count("deployment_requests_total", **key, upstream_model="gpt", provider_key_id="k1") == 1
    assert desk.count("deployment_success_responses_total", **key) == 1
    assert desk.count("usage_events_emitted_total", handler="chat", status_code="2xx", model="fast") == 1
    assert desk.count("usage_event_drops_total", reason="sink_disabled", model="fast", provider_key_id="k1") == 1
    assert desk.count("request_ttft_seconds_count") == 0


def test_the_lines_of_an_answer(desk: Desk) -> None:
    settle(desk.answered())
    call, access = desk.lines()
    assert call == (
        " INFO request{request_id=the-id}: fastgw::proxy: provider call completed"
        ' request_id="the-id" provider_request_id="chatcmpl-1" attempt_index=0 attempt_kind="initial" handler="chat"'
        ' status=200 requested_model="fast" provider_model_version="gpt-4o-mini"'
    )
    before, latency, after = access.partition(" latency_ms=0")
    assert latency
    assert before == (
        " INFO request{request_id=the-id}: fastgw::proxy: proxy request completed"
        ' method="POST" path="/v1/chat/completions" status=200'
    )
    assert after == (
        ' provider="openai" model="fast" api_key_id="key-1" prompt_tokens=9 completion_tokens=2 total_tokens=11'
        ' request_id="the-id" provider_request_id="chatcmpl-1" routing_attempt_count=1'
    )


def test_values_of_a_line_cannot_break_it(desk: Desk) -> None:
    desk.gateway.request_id = lambda request: b'a"b\\c'
    answer = Tokens(0, 0, 0, 'id"\n\x85' + "x" * 400, "m\u2028\x1b[31m")
    settle(desk.answered(answer, alias='any-"\n=\x7f', attempts=2))
    call, access = desk.lines()
    assert f' request_id="a\\"b\\\\c" provider_request_id="id\\"{"x" * 253}" attempt_index=1' in call
    assert 'attempt_kind="retry"' in call
    assert 'requested_model="any-\\"\\n=\\u007f" provider_model_version="m[31m"' in call
    assert ' provider="openai" model="any-\\"\\n=\\u007f" api_key_id="key-1" request_id="a' in access
    assert access.endswith(" routing_attempt_count=2")
    assert all(line.isprintable() for line in desk.lines())


def test_a_line_holds_the_beginning_of_a_long_name(desk: Desk) -> None:
    error = GatewayError(404, "model_not_found", "m" * 1_000_000)
    settle(desk.exchange(alias="n" * 1_000_000, status=404, head_sent=True, error=error))
    (line,) = desk.lines()
    assert f' model="{"n" * 1024}" api' in line
    assert f' error_kind="model_not_found" error="{"m" * 2048}"' in line


def test_nothing_is_formatted_below_the_level(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "warn")
    settle(desk.answered())
    assert desk.lines() == []
    desk.close()


def test_wildcards_are_labelled_with_their_row_and_logged_by_name(desk: Desk) -> None:
    for name in ("any-1", "any-2"):
        settle(desk.answered(alias=name))
    assert desk.count("proxy_requests_total", model="any-*", upstream_model="up-*") == 2
    assert [line.count(f' model="any-{n}" ') for n, line in zip((1, 2), desk.lines()[1::2], strict=True)] == [1, 1]


@pytest.mark.parametrize(
    ("alias", "label"),
    [("fast", "fast"), ("any-x", "any-*"), ("nobody", "unresolved"), (None, "unresolved"), ("", "unknown")],
)
def test_a_refusal_names_no_target_and_no_text_of_the_caller(desk: Desk, alias: str | None, label: str) -> None:
    settle(desk.exchange(alias=alias, resolved=False, status=403, head_sent=True, error=GatewayError(403, "x", "y")))
    labels = {"provider": "unknown", "model": label, "status": "403", "outcome": "client_error"}
    for family in ("proxy_requests_total", "proxy_failed_requests_total", "llm_requests_total"):
        assert desk.count(family, **labels, upstream_model="unknown", provider_key_id="unknown") == 1
    # Without a readable request there is no event.
    assert desk.count("usage_events_emitted_total", model=label, status_code="4xx") == (alias is not None)
    assert desk.count("deployment_requests_total") == 0
    assert len(desk.lines()) == 1
    assert (' model="' in desk.lines()[0]) == bool(alias)
    assert " provider=" not in desk.lines()[0]


def test_failed_attempts_are_events_of_their_own(desk: Desk) -> None:
    ex = desk.exchange(attempts=1)
    attempt_failed(ex, ex.target, upstream_timeout(250))
    ex.attempts = 2
    attempt_failed(ex, ex.target, transport_error("refused"))
    ex.error, ex.status, ex.head_sent = transport_error("refused"), 502, True
    settle(ex)
    assert desk.count("usage_events_emitted_total") == 2
    assert desk.count("usage_events_emitted_total", status_code="5xx", model="fast", provider_key_name="main key") == 2
    assert desk.count("usage_event_drops_total", reason="sink_disabled") == 2
    assert desk.count("deployment_failure_responses_total") == desk.count("deployment_requests_total") == 2
    assert desk.count("proxy_requests_total", provider="openai", provider_key_id="k1", status="502") == 1
    assert desk.lines()[0].endswith(' error_kind="transport_error" error="transport error: refused"')


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_what_never_reached_the_network_is_an_event_but_no_attempt_of_a_deployment(desk: Desk, path: str) -> None:
    error = invalid_credentials("provider_key.api_key is empty")
    ex = desk.exchange(path, attempts=1)
    attempt_failed(ex, ex.target, error)
    ex.error, ex.status, ex.head_sent = error, 401, True
    settle(ex)
    assert desk.count("usage_events_emitted_total", status_code="4xx", provider_key_id="k1") == 1
    assert desk.count("usage_events_emitted_total") == 1
    assert desk.count("deployment_requests_total") == 0


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_other_endpoints_are_one_event_per_request_and_no_deployment(desk: Desk, path: str) -> None:
    ex = desk.exchange(path, attempts=1)
    for _ in range(2):
        attempt_failed(ex, ex.target, transport_error("refused"))
    ex.error, ex.status, ex.head_sent = transport_error("refused"), 502, True
    settle(ex)
    settle(desk.answered(path=path))
    assert desk.count("usage_events_emitted_total", handler=path.rpartition("/")[2]) == 2
    assert desk.count("usage_events_emitted_total", status_code="2xx") == 1
    assert desk.count("deployment_requests_total") == 0
    assert desk.count("request_e2e_latency_seconds_count") == 0
    assert desk.count("llm_input_tokens_total") == 9
    assert not any("provider call" in line for line in desk.lines())


def test_an_operation_that_is_not_offered_is_no_event(desk: Desk) -> None:
    ex = desk.exchange("/v1/embeddings", attempts=1)
    ex.error, ex.status, ex.head_sent = GatewayError(501, "not_implemented", "x"), 501, True
    attempt_failed(ex, ex.target, ex.error)
    settle(ex)
    assert desk.count("usage_events_emitted_total") == 0
    assert desk.count("proxy_requests_total", status="501") == 1


class Stream:
    """What a relayed stream says about itself."""

    id, model, cached_tokens, reasoning_tokens = b"chatcmpl-\xc3\xbc", b"gpt", 3, 0
    finish_reason = b"length"


def streaming(desk: Desk, **fields: Any) -> Any:
    ex = desk.exchange(stream=True, attempts=1, relayed=True, reported=Stream(), ttft=0.6, delivered=0.7, **fields)
    opened(ex)
    return ex


def test_a_stream_is_logged_at_its_head_and_counted_at_its_end(desk: Desk) -> None:
    ex = streaming(desk)
    (access,) = desk.lines()
    assert "prompt_tokens" not in access and "provider_request_id" not in access
    assert ' request_id="the-id" routing_attempt_count=1' in access
    assert desk.count("proxy_requests_total") == 0
    ex.prompt_tokens, ex.completion_tokens = 5, 6
    settle(ex)
    assert len(desk.lines()) == 2
    assert ' provider_request_id="chatcmpl-ü" ' in desk.lines()[1]
    assert desk.count("proxy_requests_total", stream="true", status="200") == 1
    assert desk.count("llm_total_tokens_total") == 11
    assert desk.count("request_ttft_seconds_bucket", le="0.5", streaming="true") == 0
    assert desk.count("request_ttft_seconds_bucket", le="7", streaming="true") == 1
    assert desk.count("llm_time_to_first_token_seconds_sum") == 0.6


def test_durations_of_a_stream_end_with_its_head(desk: Desk) -> None:
    ex = streaming(desk)
    ex.started, ex.headed = ex.headed - 100, ex.headed - 98
    settle(ex)
    assert desk.count("proxy_request_duration_seconds_sum") == pytest.approx(2)
    assert desk.count("request_e2e_latency_seconds_sum") == pytest.approx(100, abs=30)


def test_a_caller_that_leaves_a_stream(desk: Desk) -> None:
    settle(streaming(desk, gone=True))
    assert desk.count("usage_events_emitted_total", status_code="4xx") == 1
    assert " status=499 " in desk.lines()[1]
    assert desk.count("proxy_requests_total", status="200", outcome="success") == 1
    assert desk.count("request_e2e_latency_seconds_count", status_class="2xx") == 1
    assert desk.count("deployment_success_responses_total") == 1, "it did what it was asked for"


def test_a_stream_that_breaks(desk: Desk) -> None:
    settle(streaming(desk, error=UpstreamFailure(502, "stream_aborted", "x", retryable=True)))
    assert desk.count("usage_events_emitted_total", status_code="5xx") == 1
    assert desk.count("proxy_requests_total", status="200") == 1
    assert desk.count("deployment_failure_responses_total") == 1


def test_a_stream_without_a_chunk_has_no_time_to_its_first(desk: Desk) -> None:
    ex = streaming(desk)
    ex.ttft = -1.0
    settle(ex)
    assert desk.count("request_ttft_seconds_count") == desk.count("llm_time_to_first_token_seconds_count") == 0


def test_a_caller_that_leaves_before_the_head(desk: Desk) -> None:
    settle(desk.exchange('/v1/chat/completions?"', alias="any-1", gone=True, status=499, endpoint=CHAT))
    labels = {"endpoint": CHAT, "model": "any-*", "provider_key_id": "k1", "provider_key_name": "main key"}
    assert desk.count("proxy_client_cancelled_requests_total", **labels) == 1
    (line,) = desk.lines()
    assert ' path="/v1/chat/completions" status=499 ' in line
    assert ' provider="openai" model="any-1" request_id="the-id" error_kind="client_disconnected" ' in line
    assert line.endswith('error="client closed the request before the response head was written"')
    settle(desk.exchange(alias=None, gone=True, status=499, counted=False, caller=None))
    assert desk.count("proxy_client_cancelled_requests_total", model="unknown", provider_key_id="unknown") == 1
    for family in ("proxy_requests_total", "requests_total", "usage_events_emitted_total"):
        assert desk.count(family) == 0


def test_a_refusal_of_the_server(desk: Desk) -> None:
    refusal(desk.gateway, b"r-1", b"POST", b"/v1/messages", 400, "invalid_request_error", "conflicting lengths")
    refusal(desk.gateway, b"r-2", b"GET", b'/x"\x01' + b"y" * 5000, 400, "invalid_request_error", "bad")
    labels = {"endpoint": "/v1/messages", "inbound_protocol": "anthropic", "provider": "unknown", "model": "unresolved"}
    assert desk.count("proxy_failed_requests_total", **labels, status="400", api_key_id="unknown") == 1
    assert desk.count("proxy_requests_total", endpoint="other") == 1
    first, second = desk.lines()
    assert first == (
        " INFO request{request_id=r-1}: fastgw::proxy: proxy request completed"
        ' method="POST" path="/v1/messages" status=400 latency_ms=0 request_id="r-1"'
        ' error_kind="invalid_request_error" error="conflicting lengths"'
    )
    assert ' path="/x\\"\\u0001y' in second and len(second) < 2000


def test_the_gauge_falls_with_the_head_or_the_end(desk: Desk) -> None:
    def waiting() -> float:
        return desk.count("proxy_in_flight_requests", endpoint=CHAT, inbound_protocol="openai")

    for finish in (settle, opened):
        ex = desk.exchange(status=200, head_sent=True)
        ex.under_way = desk.accounts.in_flight[ex.endpoint]
        ex.under_way(1)
        assert waiting() == 1
        finish(ex)
        assert waiting() == 0
        settle(ex)
        assert waiting() == 0


def test_long_agents_are_classified_but_not_remembered(desk: Desk) -> None:
    for agent in ("curl/8", "curl/" + "8" * MAX_AGENT, ""):
        ex = desk.exchange(request=parsed("/", agent))
        assert desk.accounts.client_type(ex) == ("curl" if agent else "unknown")
    assert set(desk.accounts._client_of) == {b"curl/8", b""}


def test_the_record_is_made_for_a_sink_only(desk: Desk) -> None:
    events: list[dict[str, Any]] = []
    desk.accounts.sink = lambda ex, status, error: events.append(
        json.loads(msgspec.json.encode(usage_event(ex, status, error)))
    )
    ex = desk.exchange(attempts=1, dispatched=0.0, principal=Principal(subject="sub", provider="idp", mapping="map"))
    attempt_failed(ex, ex.target, transport_error("refused\r\nby peer"))
    ex.attempts = 2
    for name in ("relayed", "head_sent", "status", "reported", "prompt_tokens", "completion_tokens"):
        setattr(ex, name, getattr(desk.answered(), name))
    settle(ex)
    failed, won = events
    constant = {
        "request_id": "the-id",
        "model_id": "id-fast",
        "api_key_id": "key-1",
        "requested_model": "fast",
        "inbound_protocol": "openai",
        "client_source_ip": "10.0.0.1",
        "client_user_agent": "curl/8",
        "jwt_subject": "sub",
        "jwt_provider": "idp",
        "jwt_claim_mapping": "map",
    }
    for event in (failed, won):
        assert event.pop("occurred_at").endswith("Z")
        assert event.pop("upstream_latency_ms") > 0
        assert {name: event.pop(name) for name in constant} == constant
    assert failed == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "status_code": 502,
        "attempt_index": 0,
        "attempt_kind": "initial",
        "error_class": "transport",
        "error_message": "transport error: refusedby peer",
    }
    assert won.pop("downstream_latency_ms") >= 1
    assert won == {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "status_code": 200,
        "attempt_index": 1,
        "attempt_kind": "retry",
        "provider_request_id": "chatcmpl-1",
        "provider_model_version": "gpt-4o-mini",
        "finish_reason": "stop",
    }
    desk.accounts.sink = lambda ex, status, error: events.append({"status": status, "error": error})
    settle(streaming(desk, gone=True))
    settle(desk.exchange(alias="nobody", status=404, head_sent=True, error=GatewayError(404, "model_not_found", "x")))
    assert [event["status"] for event in events[2:]] == [499, 404]


def test_the_record_of_a_stream(desk: Desk) -> None:
    event = usage_event(streaming(desk, usage_estimated=True), 200, None)
    assert (event.upstream_ttft_ms, event.downstream_latency_ms) == (600, 700)
    assert (event.provider_request_id, event.finish_reason) == ("chatcmpl-ü", "length")
    assert (event.usage_estimated, event.cached_prompt_tokens, event.reasoning_tokens) == (True, 3, 0)
    short = streaming(desk)
    short.ttft = 0.0001
    assert usage_event(short, 200, None).upstream_ttft_ms == 1


def test_a_target_in_disguise_shares_nothing_with_its_alias(desk: Desk) -> None:
    """What a line says is remembered for the target's own name only."""
    settle(desk.answered())
    disguised = desk.answered()
    disguised.alias, disguised.target = "group", replace(desk.models["fast"])
    settle(disguised)
    assert ' model="fast" ' in desk.lines()[1]
    assert ' model="group" ' in desk.lines()[3]
