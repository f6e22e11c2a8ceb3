"""Budget, decision and wait of retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import (
    GatewayError,
    decode_error,
    internal_error,
    invalid_credentials,
    invalid_upstream,
    stream_aborted,
    transport_error,
    upstream_timeout,
)
from fastgw.policy.retry import backoff, may_retry, retry_budget
from fastgw.providers.failures import answer_failure, in_band_failure


def test_budget() -> None:
    assert [retry_budget(own, 2) for own in (None, 0, 5)] == [2, 0, 5]


@pytest.mark.parametrize(
    ("failure", "by_default", "explicitly"),
    [
        (answer_failure(500, b"", None), True, True),
        (answer_failure(302, b"", None), True, True),
        (answer_failure(400, b"", None), False, False),
        (answer_failure(408, b"", None), False, False),
        (answer_failure(429, b"", b"1"), False, False),
        (transport_error("reset"), True, True),
        (stream_aborted(), True, True),
        (decode_error("no JSON"), True, True),
        (upstream_timeout(50), False, True),
        (in_band_failure(b'{"error":{"message":"m"}}', before_first=True), True, True),
        (in_band_failure(b'{"error":{"message":"m","code":503}}', before_first=True), True, True),
        (in_band_failure(b'{"error":{"message":"m","code":429}}', before_first=True), False, False),
        (GatewayError(500, "config_error", "bridge is misconfigured: x", fault="gateway"), True, True),
        (invalid_upstream("x"), False, False),
        (invalid_credentials("x"), False, False),
        (internal_error(), False, False),
    ],
)
def test_may_retry(failure: GatewayError, by_default: bool, explicitly: bool) -> None:
    assert (may_retry(failure, False), may_retry(failure, True)) == (by_default, explicitly)


@pytest.mark.parametrize(("n", "wait"), [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 2.0), (10**9, 2.0)])
def test_backoff_doubles_to_a_limit(n: int, wait: float) -> None:
    failure = transport_error("reset")
    assert backoff(n, failure, lambda: 0.0) == wait
    assert backoff(n, failure, lambda: 0.5) == wait + 0.125


@pytest.mark.parametrize(("value", "wait"), [(b"3", 3.0), (b"5", 5.0), (b"0", 0.25), (b"6", 0.25), (b"soon", 0.25)])
def test_a_short_retry_after_replaces_it(value: bytes, wait: float) -> None:
    assert backoff(1, answer_failure(503, b"", value), lambda: 0.0) == wait


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(n: int, chance: float) -> None:
    assert 0.25 <= backoff(n, internal_error(), lambda: chance) <= 2.25
