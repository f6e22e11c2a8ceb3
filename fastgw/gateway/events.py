"""The usage event of an exchange. Built only for a sink: `Accounts.sink` is called with the exchange, the status of the
event and the error, when it is over or an attempt of it has failed."""

from time import monotonic

from fastgw._speedups.loglines import plain
from fastgw.core.errors import GatewayError, UpstreamFailure
from fastgw.gateway.authenticate import client_address
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.lines import attempt_kind
from fastgw.telemetry.labels import HANDLERS, TRACKED, inbound_protocol
from fastgw.telemetry.usage import MAX_MESSAGE, UsageEvent, error_class, milliseconds, occurred_at


def usage_event(ex: Exchange, status: int, error: GatewayError | None) -> UsageEvent:
    """The record of the latest attempt, or of a request that came to none."""
    now = monotonic()
    target, caller, principal, reported = ex.target, ex.caller, ex.principal, ex.reported
    tracked = HANDLERS.get(ex.endpoint) in TRACKED
    whole = reported is not None and ex.relayed
    return UsageEvent(
        request_id=ex.request_id.decode(),
        occurred_at=occurred_at(),
        model_id=target.id if target is not None and (tracked or error is None) else "",
        api_key_id=caller.id if caller is not None else "",
        requested_model=ex.alias or "",
        prompt_tokens=ex.prompt_tokens,
        completion_tokens=ex.completion_tokens,
        cached_prompt_tokens=getattr(reported, "cached_tokens", 0) if whole else 0,
        reasoning_tokens=getattr(reported, "reasoning_tokens", 0) if whole else 0,
        cache_creation_tokens=getattr(reported, "cache_creation_tokens", 0) if whole else 0,
        cache_read_tokens=getattr(reported, "cache_read_tokens", 0) if whole else 0,
        usage_estimated=ex.usage_estimated,
        upstream_latency_ms=milliseconds(now - ex.dispatched) if ex.attempts and (tracked or error is None) else 0,
        upstream_ttft_ms=milliseconds(ex.ttft),
        downstream_latency_ms=milliseconds(ex.delivered if ex.headed else now - ex.started) if ex.relayed else 0,
        status_code=status,
        provider_request_id=plain(reported.id) if whole and reported is not None else "",
        provider_model_version=plain(reported.model) if whole and reported is not None else "",
        finish_reason=plain(reported.finish_reason) if whole and reported is not None else "",
        inbound_protocol=inbound_protocol(ex.endpoint),
        attempt_index=max(0, ex.attempts - 1) if tracked else 0,
        attempt_kind=attempt_kind(ex) if tracked else "",
        error_class=error_class(error.type) if error is not None else "",
        error_message=plain(error.cause or error.message, MAX_MESSAGE) if isinstance(error, UpstreamFailure) else "",
        client_source_ip=client_address(ex),
        client_user_agent=plain(ex.request.first(b"user-agent")),
        jwt_subject=plain(principal.subject) if principal is not None else "",
        jwt_provider=plain(principal.provider) if principal is not None else "",
        jwt_claim_mapping=plain(principal.mapping) if principal is not None else "",
    )
