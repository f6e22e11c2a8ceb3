"""What a finished exchange is worth: usage and request counters, and the access line.

Series are bound once per caller, target and outcome, and live as long as the snapshot they belong to: counting a
request is one dict lookup and a few compiled increments.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fastgw.gateway.snapshot import Caller, Target
from fastgw.policy.client_type import ClientTypes
from fastgw.telemetry.metrics import Registry

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange

Increment = Callable[..., None]
UNKNOWN = "unknown"
MAX_AGENTS = 1024
"""User agents whose classification is remembered."""


class Bound(NamedTuple):
    """The increments for one kind of outcome."""

    requests: tuple[Increment, ...]
    input_tokens: Increment
    output_tokens: Increment
    total_tokens: Increment
    latency: Callable[[float], None]


class Accounts:
    """Counters of one worker."""

    def __init__(self, registry: Registry, clients: ClientTypes) -> None:
        self._registry = registry
        self._clients = clients
        self._client_of: dict[bytes | None, str] = {}
        self._by_client: dict[tuple[str, str], tuple[Increment, ...]] = {}
        self.allowed = registry.counter("auth_decisions_total", ("api_key", "allowed", "none")).inc
        self._attempts: dict[tuple[str, bool], tuple[Increment, ...]] = {}

    def denied(self, method: str, reason: str) -> None:
        """A caller was turned away."""
        self._registry.counter("auth_decisions_total", (method, "denied", reason)).inc()

    def attempted(self, target: Target, success: bool) -> None:
        """An attempt reached for the network."""
        row = target.row or target
        increments = self._attempts.get((row.id, success))
        if increments is None:
            outcome = "deployment_success_responses_total" if success else "deployment_failure_responses_total"
            labels = (row.provider, row.name, row.model_name, row.key_id)
            increments = tuple(
                self._registry.counter(name, labels).inc for name in ("deployment_requests_total", outcome)
            )
            self._attempts[row.id, success] = increments
        for increment in increments:
            increment()

    def cancelled(self, ex: "Exchange") -> None:
        """A caller left before the head of its answer."""
        target = ex.target
        labels = (
            ex.endpoint,
            target.name if target is not None else UNKNOWN,
            target.key_id if target is not None else UNKNOWN,
            target.key_name if target is not None else UNKNOWN,
        )
        self._registry.counter("proxy_client_cancelled_requests_total", labels).inc()

    def client_tokens(self, ex: "Exchange", target: Target) -> None:
        """Count tokens by the software that asked. User agents are remembered up to a bound."""
        agent = ex.request.first(b"user-agent")
        client = self._client_of.get(agent)
        if client is None:
            client = self._clients.classify((agent or b"").decode("latin-1"))
            if len(self._client_of) < MAX_AGENTS:
                self._client_of[agent] = client
        model = (target.row or target).name
        increments = self._by_client.get((client, model))
        if increments is None:
            increments = self._by_client[client, model] = tuple(
                self._registry.counter("llm_tokens_by_client_total", (client, model, kind)).inc
                for kind in ("input", "output", "total")
            )
        for increment, count in zip(increments, (ex.prompt_tokens, ex.completion_tokens), strict=False):
            increment(count)
        increments[2](ex.prompt_tokens + ex.completion_tokens)

    def bound(self, ex: "Exchange") -> Bound:
        """The series for the outcome of this exchange."""
        caller, target = ex.caller, ex.target
        key = (target.row or target if target is not None else None, ex.endpoint, ex.stream, ex.status)
        if caller is None:
            return self._bind(ex, None, None)
        found: Bound | None = caller.series.get(key)
        if found is None:
            found = caller.series[key] = self._bind(ex, caller, target)
        return found

    def _bind(self, ex: "Exchange", caller: Caller | None, target: Target | None) -> Bound:
        row = (target.row or target) if target is not None else None
        provider = row.provider.lower() if row is not None else UNKNOWN
        model = row.name if row is not None else "unresolved"
        usage = (
            ex.endpoint,
            "openai",
            provider,
            model,
            row.model_name if row is not None else UNKNOWN,
            row.key_id if row is not None else UNKNOWN,
            row.key_name if row is not None else UNKNOWN,
            caller.id if caller is not None else UNKNOWN,
            (caller.team_id if caller is not None else None) or UNKNOWN,
            (caller.user_id if caller is not None else None) or UNKNOWN,
            (caller.user_name if caller is not None else None) or UNKNOWN,
        )
        result = outcome(ex.status)
        request = (*usage, "true" if ex.stream else "false", "false", str(ex.status), result)
        names = ["proxy_requests_total", "llm_requests_total"]
        if result != "success":
            names.append("proxy_failed_requests_total")
        counter = self._registry.counter
        requests = [counter("requests_total", (provider, model, str(ex.status), result)).inc]
        requests += [counter(name, request).inc for name in names]
        latency = self._registry.histogram(
            "request_e2e_latency_seconds",
            ("", ex.endpoint, model, provider, f"{ex.status // 100}xx", "true" if ex.stream else "false"),
        )
        return Bound(
            tuple(requests),
            counter("llm_input_tokens_total", usage).inc,
            counter("llm_output_tokens_total", usage).inc,
            counter("llm_total_tokens_total", usage).inc,
            latency.observe,
        )


def outcome(status: int) -> str:
    """The outcome label of a status."""
    if 200 <= status < 400:
        return "success"
    if status == 429:
        return "rate_limited"
    return "upstream_error" if status >= 500 else "client_error"


def settle(ex: "Exchange") -> None:
    """Count a finished exchange and write its access line. Must run before the caller can see the end of its
    answer; the answer's last bytes leave at the end of this turn of the loop.

    Refused callers, health checks and the model list are not counted.
    """
    gateway = ex.gateway
    if ex.gone and not ex.head_sent:
        gateway.accounts.cancelled(ex)
    if ex.status == 413:
        pass
    elif ex.caller is None or not ex.operation:
        return
    bound = gateway.accounts.bound(ex)
    for increment in bound.requests:
        increment()
    if ex.prompt_tokens:
        bound.input_tokens(ex.prompt_tokens)
    if ex.completion_tokens:
        bound.output_tokens(ex.completion_tokens)
    if ex.prompt_tokens or ex.completion_tokens:
        bound.total_tokens(ex.prompt_tokens + ex.completion_tokens)
        if ex.target is not None:
            gateway.accounts.client_tokens(ex, ex.target)
    bound.latency(ex.loop.time() - ex.started)
    if gateway.log.access:
        access_line(ex)


def access_line(ex: "Exchange") -> None:
    """One info line per request that got past authentication."""
    target, error = ex.target, ex.error
    row = (target.row or target) if target is not None else None
    streamed = ex.stream and ex.head_sent
    lost = ex.gone and not ex.head_sent
    kind, text = (error.type, error.cause or error.message) if error is not None else (None, None)
    if lost:
        kind = "client_disconnected"
        text = "client closed the request before the response head was written"
    gateway = ex.gateway
    gateway.log.request(
        ex.request_id.decode(),
        "proxy request completed",
        {
            "method": ex.request.method.decode(),
            "path": ex.request.path.decode("ascii", "replace") if lost else ex.endpoint,
            "status": ex.status,
            "latency_ms": round((ex.loop.time() - ex.started) * 1000),
            "provider": row.provider.lower() if row is not None else None,
            "model": ex.alias or None,
            "api_key_id": ex.caller.id if ex.caller is not None else None,
            "prompt_tokens": None if streamed else ex.prompt_tokens or None,
            "completion_tokens": None if streamed else ex.completion_tokens or None,
            "total_tokens": None if streamed else ex.total_tokens or None,
            "request_id": ex.request_id.decode(),
            "provider_request_id": None
            if streamed or ex.provider_request_id is None
            else ex.provider_request_id[:256].decode("ascii", "replace"),
            "served_by_model": row.name if row is not None else None,
            "routing_attempt_count": ex.attempts or None,
            "routing_fallback_count": 0 if ex.attempts else None,
            "error_kind": kind,
            "error": text,
        },
    )
