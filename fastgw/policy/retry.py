"""Retries of one target: how many, after which failures, how long after."""

from collections.abc import Callable
from typing import Final

from fastgw.core.errors import GatewayError, UpstreamFailure

FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 2.0
JITTER: Final = 0.25


def retry_budget(target_retries: int | None, default: int) -> int:
    """Retries after the first attempt: the target's own number, 0 included, else the deployment's."""
    return default if target_retries is None else target_retries


def may_retry(failure: GatewayError, explicit: bool) -> bool:
    """Whether the same target may be tried again. `explicit`: the budget was configured, not the default.

    A passed deadline is repeated only with an explicit budget: it has already cost the caller all of its time. Of the
    gateway's own refusals only a misconfiguration (500) is, because a reload may have repaired it.
    """
    if isinstance(failure, UpstreamFailure):
        return explicit if failure.timed_out else failure.retryable
    return failure.type == "config_error"


def backoff(n: int, failure: GatewayError, random: Callable[[], float]) -> float:
    """Seconds before retry `n` (1, 2, ...). `random` gives a number in [0, 1).

    Doubles from 250 ms to at most 2 s; a short wait that the upstream asked for replaces it. Up to 250 ms are added,
    so that callers who failed together do not return together.
    """
    hint = failure.wait_hint if isinstance(failure, UpstreamFailure) else None
    wait = min(FIRST_WAIT * 2 ** (min(n, 8) - 1), LONGEST_WAIT) if hint is None else hint
    return wait + JITTER * random()
