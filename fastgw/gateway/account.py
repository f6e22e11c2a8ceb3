"""What a finished exchange is worth: usage and request counters, and the access line.

Series are bound once per caller, target and outcome, and live as long as the snapshot they belong to: counting a
request is one dict lookup and one compiled call.
"""

from typing import TYPE_CHECKING

from fastgw._speedups.cells import Tally
from fastgw.core.errors import GatewayError, UpstreamFailure
from fastgw.gateway.snapshot import Caller, Target
from fastgw.policy.client_type import ClientTypes
from fastgw.state.failures import Failures
from fastgw.telemetry.metrics import Counter, Registry

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange

UNKNOWN = "unknown"
CHAT = frozenset(("chat/completions",))
"""Operations by whose outcome the health of a model is judged."""
MAX_AGENTS = 1024
"""User agents whose classification is remembered."""
MAX_AGENT = 256
"""Bytes of the longest one that is."""
MAX_LOGGED = 1024
"""Characters of a caller's text in an access line: a model name may be as long as a body."""


class Accounts:
    """Counters of one worker."""

    def __init__(self, registry: Registry, clients: ClientTypes, failures: Failures) -> None:
        self._registry = registry
        self._failures = failures
        self._clients = clients
        self._client_of: dict[bytes | None, str] = {}
        self.allowed = registry.counter("auth_decisions_total", ("api_key", "allowed", "none")).inc

    def allowed_token(self) -> None:
        """A caller was let in with a token."""
        self._registry.counter("auth_decisions_total", ("jwt", "allowed", "none")).inc()

    def denied(self, method: str, reason: str) -> None:
        """A caller was turned away."""
        self._registry.counter("auth_decisions_total", (method, "denied", reason)).inc()

    def attempt_failed(self, target: Target, operation: str, failure: UpstreamFailure) -> None:
        """An attempt reached for the network in vain."""
        row = target.row or target
        for cell in self._attempt(row, False):
            cell.inc()
        if operation in CHAT and tells_of_health(failure):
            self._failures.failed(row.name)

    def relayed(self, target: Target, failure: GatewayError | None) -> None:
        """A chat was relayed to its end, or to a failure on the way."""
        row = target.row or target
        if failure is None:
            self._failures.succeeded(row.name)
        elif tells_of_health(failure):
            self._failures.failed(row.name)

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

    def body_refused(self, endpoint: str, outcome: str) -> None:
        """A body declared more than the limit; `outcome` tells how reading the rest of it ended."""
        labels = (endpoint, "openai", outcome)
        self._registry.counter("proxy_request_body_limit_rejections_total", labels).inc()

    def client_type(self, ex: "Exchange") -> str:
        """The software that asked, by its User-Agent. Agents are remembered up to a bound."""
        agent = ex.request.first(b"user-agent")
        client = self._client_of.get(agent)
        if client is None:
            client = self._clients.classify((agent or b"").decode("latin-1"))
            if len(self._client_of) < MAX_AGENTS and len(agent or b"") <= MAX_AGENT:
                self._client_of[agent] = client
        return client

    def tally(self, ex: "Exchange") -> Tally:
        """The series for the outcome of this exchange."""
        caller, target = ex.caller, ex.target
        row = (target.row or target) if target is not None else None
        client = self.client_type(ex)
        if caller is None:
            return self._bind(ex, None, row, client)
        key = (row, ex.endpoint, ex.stream, ex.status, ex.relayed, ex.error is None, client)
        found: Tally | None = caller.series.get(key)
        if found is None:
            found = caller.series[key] = self._bind(ex, caller, row, client)
        return found

    def _attempt(self, row: Target, success: bool) -> tuple[Counter, ...]:
        outcome = "deployment_success_responses_total" if success else "deployment_failure_responses_total"
        labels = (row.provider, row.name, row.model_name, row.key_id)
        return tuple(self._registry.counter(name, labels) for name in ("deployment_requests_total", outcome))

    def _bind(self, ex: "Exchange", caller: Caller | None, row: Target | None, client: str) -> Tally:
        counter = self._registry.counter
        provider = row.provider.lower() if row is not None else UNKNOWN
        model = row.name if row is not None else "unresolved"
        streamed = "true" if ex.stream else "false"
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
        names = ["proxy_requests_total", "llm_requests_total"]
        if result != "success":
            names.append("proxy_failed_requests_total")
        requests = [counter("requests_total", (provider, model, str(ex.status), result))]
        requests += [counter(name, (*usage, streamed, "false", str(ex.status), result)) for name in names]
        if row is not None and ex.relayed:
            requests += self._attempt(row, ex.error is None)
        by_client = [
            counter("llm_tokens_by_client_total", (client, model, kind)) for kind in ("input", "output", "total")
        ]
        return Tally(
            tuple(requests),
            (counter("llm_input_tokens_total", usage), by_client[0]),
            (counter("llm_output_tokens_total", usage), by_client[1]),
            (counter("llm_total_tokens_total", usage), by_client[2]),
            self._registry.histogram(
                "request_e2e_latency_seconds",
                ("", ex.endpoint, model, provider, f"{ex.status // 100}xx", streamed),
            ),
        )


def tells_of_health(failure: GatewayError) -> bool:
    """The upstream is at fault, not the request: what a later attempt might not meet."""
    return isinstance(failure, UpstreamFailure) and (failure.retryable or failure.timed_out)


def outcome(status: int) -> str:
    """The outcome label of a status."""
    if 200 <= status < 400:
        return "success"
    if status == 429:
        return "rate_limited"
    return "upstream_error" if status >= 500 else "client_error"


def settle(ex: "Exchange") -> None:
    """Count a finished exchange and write its access line, once.

    Called before the last bytes of the answer are written: a write may leave at once, and whoever has read the end of
    an answer must find it counted. Refused callers, health checks and the model list are not counted.
    """
    if ex.settled:
        return
    ex.settled = True
    gateway = ex.gateway
    if ex.gone and not ex.head_sent:
        # Nothing was answered: a counter and a line of their own, none of the counters of answers.
        gateway.accounts.cancelled(ex)
        if gateway.log.access:
            access_line(ex)
        return
    if not ex.counted and ex.status != 413:
        return
    seconds = ex.loop.time() - ex.started
    accounts = gateway.accounts
    accounts.tally(ex).count(ex.prompt_tokens, ex.completion_tokens, seconds)
    if ex.relayed and ex.target is not None and ex.operation in CHAT:
        accounts.relayed(ex.target, ex.error)
    if gateway.log.access and not streamed(ex):
        access_line(ex)


def streamed(ex: "Exchange") -> bool:
    """The head of a stream has gone out; its access line was written with it."""
    return ex.stream and ex.relayed and ex.head_sent


def access_line(ex: "Exchange") -> None:
    """One info line per request that got past authentication."""
    target, error = ex.target, ex.error
    row = (target.row or target) if target is not None else None
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
            "model": ex.alias[:MAX_LOGGED] or None,
            "api_key_id": ex.caller.id if ex.caller is not None and not lost else None,
            "prompt_tokens": None if streamed(ex) else ex.prompt_tokens or None,
            "completion_tokens": None if streamed(ex) else ex.completion_tokens or None,
            "total_tokens": None if streamed(ex) else ex.total_tokens or None,
            "request_id": ex.request_id.decode(),
            "provider_request_id": None
            if streamed(ex) or ex.provider_request_id is None
            else ex.provider_request_id[:256].decode("ascii", "replace"),
            "served_by_model": row.name if row is not None else None,
            "routing_attempt_count": ex.attempts or None,
            "routing_fallback_count": 0 if ex.attempts else None,
            "error_kind": kind,
            "error": text[: 2 * MAX_LOGGED] if text is not None else None,
        },
    )
