"""The metric series of one worker's requests.

Series are bound once per caller, target and outcome: counting a request is one dict lookup and one compiled call. They
stay bound when a change of the configuration leaves the caller and the names of the target alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastgw._speedups.cells import Summary, Tally
from fastgw._speedups.loglines import plain
from fastgw.config.schema import Buckets
from fastgw.core.errors import GatewayError, UpstreamFailure
from fastgw.gateway.snapshot import Caller, Target, remember
from fastgw.policy.client_type import ClientTypes
from fastgw.state.failures import Failures
from fastgw.telemetry.labels import HANDLERS, TRACKED, event_protocol, inbound_protocol, outcome, status_class
from fastgw.telemetry.metrics import Counter, Registry

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange

UNKNOWN = "unknown"
UNRESOLVED = "unresolved"
LEFT = 499
"""Status of the usage event of a stream whose caller left."""
MAX_AGENTS = 1024
"""User agents whose classification is remembered."""
MAX_AGENT = 256
"""Bytes of the longest one that is."""
Sink = Callable[["Exchange", int, GatewayError | None], None]
"""Exchange, status of the event, error."""
CHAT = frozenset(("chat/completions", "messages", "responses"))
"""Operations by whose outcome the health of a model is judged."""
E2E = frozenset(("chat", "messages", "responses", "a2a"))
TTFT = frozenset(("chat", "messages"))


class InFlight(dict[str, Callable[[int], None]]):
    """By endpoint, what adds to the requests whose answer has not begun."""

    __slots__ = ("_registry",)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __missing__(self, endpoint: str) -> Callable[[int], None]:
        labels = (endpoint, inbound_protocol(endpoint))
        found = self[endpoint] = self._registry.gauge("proxy_in_flight_requests", labels).inc
        return found


class Accounts:
    """Counters of one worker. `sink` is told of every usage event (gateway/events.py makes the record); without one
    they are counted and nothing more."""

    def __init__(
        self,
        registry: Registry,
        clients: ClientTypes,
        failures: Failures,
        buckets: Buckets | None = None,
        env_id: str = "",
    ) -> None:
        self._registry = registry
        self._clients = clients
        self._failures = failures
        self._buckets = buckets or Buckets()
        self._env_id = env_id or UNKNOWN
        self._client_of: dict[bytes | None, str] = {}
        self.in_flight = InFlight(registry)
        self.sink: Sink | None = None
        self.allowed = registry.counter("auth_decisions_total", ("api_key", "allowed", "none")).inc

    # -- decisions about callers

    def allowed_token(self) -> None:
        """A caller was let in with a token."""
        self._registry.counter("auth_decisions_total", ("jwt", "allowed", "none")).inc()

    def denied(self, method: str, reason: str) -> None:
        """A caller was turned away."""
        self._registry.counter("auth_decisions_total", (method, "denied", reason)).inc()

    # -- outcomes

    def cancelled(self, ex: "Exchange") -> None:
        """A caller left before the head of its answer."""
        model = UNKNOWN if ex.alias is None else model_label(ex)
        labels = (ex.endpoint, model, *key_labels(row_of(ex.target)))
        self._registry.counter("proxy_client_cancelled_requests_total", labels).inc()

    def body_refused(self, endpoint: str, outcome: str) -> None:
        """A body declared more than the limit; `outcome` tells how reading the rest of it ended."""
        labels = (endpoint, inbound_protocol(endpoint), outcome)
        self._registry.counter("proxy_request_body_limit_rejections_total", labels).inc()

    def refused(self, endpoint: str, status: int, now: float) -> None:
        """A request that was answered, at once, before it became an exchange."""
        usage = (endpoint, inbound_protocol(endpoint), UNKNOWN, UNRESOLVED, *(UNKNOWN,) * 7)
        requests, durations = self._request(usage, "false", status)
        Tally(requests, durations=durations).count(0, 0, 0, now, now, now, -1.0)

    def attempt_failed(self, ex: "Exchange", target: Target, failure: GatewayError) -> None:
        """An attempt that is an event of its own. It counts for the deployment when it reached for the network."""
        row = target.row or target
        cells = self._event(ex.endpoint, failure.status, model_label(ex), row)
        if isinstance(failure, UpstreamFailure):
            cells += self._attempt(row, False)
        for cell in cells:
            cell.inc()
        if ex.operation in CHAT and tells_of_health(failure):
            self._failures.failed(row.name)

    def broke_off(self, target: Target, failure: GatewayError) -> None:
        """The relay of a chat ended with a failure. (One that succeeds is counted by its tally.)"""
        if tells_of_health(failure):
            self._failures.failed((target.row or target).name)

    def tally(self, ex: "Exchange", event: int) -> Tally:
        """The series for the outcome of this exchange, whose end is a usage event with this status, or 0 for none."""
        caller, row = ex.caller, row_of(ex.target)
        client = self.client_type(ex)
        if caller is None or row is None:
            return self._bind(ex, event, caller, row, client)
        key = (row.labels, ex.endpoint, ex.stream, ex.status, ex.relayed, event, client)
        found: Tally | None = caller.series.get(key)
        if found is None:
            found = remember(caller.series, key, self._bind(ex, event, caller, row, client))
        return found

    def client_type(self, ex: "Exchange") -> str:
        """The software that asked, by its User-Agent. Agents are remembered up to a bound."""
        agent = ex.request.first(b"user-agent")
        client = self._client_of.get(agent)
        if client is None:
            client = self._clients.classify((agent or b"").decode("latin-1"))
            if len(self._client_of) < MAX_AGENTS and len(agent or b"") <= MAX_AGENT:
                self._client_of[agent] = client
        return client

    # -- binding

    def _bind(self, ex: "Exchange", event: int, caller: Caller | None, row: Target | None, client: str) -> Tally:
        counter, histogram = self._registry.counter, self._registry.histogram
        endpoint, streamed = ex.endpoint, "true" if ex.stream else "false"
        handler = HANDLERS.get(endpoint, "")
        usage = usage_labels(ex, caller, row)
        provider, model = usage[2:4]
        requests, durations = self._request(usage, streamed, ex.status)
        if event:
            requests += self._event(endpoint, event, model, row)
        latency = ttft = first = failures = None
        slo = (self._env_id, endpoint, model, provider, status_class(ex.status), streamed)
        if handler in E2E:
            latency = histogram("request_e2e_latency_seconds", slo, self._buckets.request_e2e_latency)
        if not ex.relayed or row is None:
            return Tally(requests, durations=durations, latency=latency)
        success = event == LEFT or event < 400
        if handler in TRACKED:
            requests += self._attempt(row, success)
        if success and ex.operation in CHAT:
            failures = self._failures.of(row.name)
        if ex.stream and handler in TTFT:
            ttft = histogram("request_ttft_seconds", slo, self._buckets.request_ttft)
            first = self._registry.summary("llm_time_to_first_token_seconds", usage)
        prompt, completion, total = (
            (counter(f"llm_{kind}_tokens_total", usage), counter("llm_tokens_by_client_total", (client, model, kind)))
            for kind in ("input", "output", "total")
        )
        consumed = counter("tokens_consumed_total", (provider, model))
        return Tally(requests, prompt, completion, (*total, consumed), durations, latency, ttft, first, failures)

    def _request(
        self, usage: tuple[str, ...], streamed: str, status: int
    ) -> tuple[tuple[Counter, ...], tuple[Summary, ...]]:
        counter, summary = self._registry.counter, self._registry.summary
        provider, model = usage[2:4]
        tail = (str(status), outcome(status))
        requests = (
            counter("requests_total", (provider, model, *tail)),
            counter("proxy_requests_total", (*usage, streamed, "false", *tail)),
        )
        durations = (
            summary("request_duration_seconds", (provider, model, str(status))),
            summary("proxy_request_duration_seconds", (*usage, streamed, *tail)),
        )
        return requests, durations

    def _event(self, endpoint: str, status: int, model: str, row: Target | None) -> tuple[Counter, ...]:
        key = (model, *key_labels(row))
        labels = (HANDLERS[endpoint], status_class(status), event_protocol(endpoint), *key)
        return (
            self._registry.counter("usage_events_emitted_total", labels),
            # Without a control plane there is nobody to deliver to, which counts as dropped.
            self._registry.counter("usage_event_drops_total", ("sink_disabled", *key)),
        )

    def _attempt(self, row: Target, success: bool) -> tuple[Counter, ...]:
        outcome = "deployment_success_responses_total" if success else "deployment_failure_responses_total"
        labels = (known(row.provider.lower()), row.name, row.model_name, row.key_id)
        return tuple(self._registry.counter(name, labels) for name in ("deployment_requests_total", outcome))


def provider_of(row: Target, operation: str) -> str:
    """The provider label: the model's vendor, but on a native relay the vendor whose protocol it is."""
    return row.providers.get(operation) or row.provider.lower()


def tells_of_health(failure: GatewayError) -> bool:
    """The upstream is at fault, not the request: what a later attempt might not meet."""
    return isinstance(failure, UpstreamFailure) and (failure.retryable or failure.timed_out)


def row_of(target: Target | None) -> Target | None:
    """The configured model that a target stands for: targets of a wildcard share their row."""
    return None if target is None else target.row or target


def usage_labels(ex: "Exchange", caller: Caller | None, row: Target | None) -> tuple[str, ...]:
    """Who asked where for what and which target it was, as far as it got."""
    key_id, key_name = key_labels(row)
    return (
        ex.endpoint,
        inbound_protocol(ex.endpoint),
        known(provider_of(row, ex.operation)) if row is not None else ex.refused_as,
        model_label(ex),
        known(row.model_name) if row is not None else UNKNOWN,
        key_id,
        key_name,
        known(caller.id if caller is not None else None),
        known(caller.team_id if caller is not None else None),
        known(caller.user_id if caller is not None else None),
        known(caller.user_name if caller is not None else None),
    )


def key_labels(row: Target | None) -> tuple[str, str]:
    """Id and name of the provider key of a target."""
    return (UNKNOWN, UNKNOWN) if row is None else (known(row.key_id), known(row.key_name))


def model_label(ex: "Exchange") -> str:
    """The model that was asked for, as a name of the configuration: text of callers never becomes a label."""
    row = row_of(ex.target)
    if row is not None:
        return row.name
    if not ex.alias:
        return UNRESOLVED if ex.alias is None else UNKNOWN
    found = row_of(ex.snapshot.model(ex.alias))
    return UNRESOLVED if found is None else found.name


def known(value: str | None) -> str:
    """A label value that is never empty."""
    return plain(value) or UNKNOWN
