"""Error answers and in-band errors of upstreams."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import UpstreamFailure, render
from fastgw.providers.failures import Family, answer_failure, exception_frame, in_band_failure


def body(**error: Any) -> bytes:
    return orjson.dumps({"error": error})


def envelope(failure: UpstreamFailure) -> Any:
    return orjson.loads(render(failure))["error"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422, 429, 451, 499])
def test_a_4xx_keeps_status_and_words(status: int) -> None:
    failure = answer_failure(status, body(message="no", type="t", code="c", param="p"), None)
    assert (failure.status, failure.upstream_status, failure.retryable) == (status, status, False)
    assert failure.fault == "upstream"
    assert not failure.timed_out
    assert envelope(failure) == {"message": "no", "type": "upstream_error", "code": "c", "param": "p"}


@pytest.mark.parametrize("status", [500, 502, 503, 529, 599])
def test_a_5xx_shows_nothing_of_its_body(status: int) -> None:
    failure = answer_failure(status, body(message="host db-7 is down", code="c", param="p"), b"3")
    assert (failure.status, failure.upstream_status, failure.retryable) == (502, status, True)
    assert envelope(failure) == {"message": f"upstream returned {status}", "type": "upstream_error"}
    assert (failure.retry_after, failure.wait_hint) == (None, 3.0)
    assert failure.cause == f"upstream returned {status}: host db-7 is down"


def test_the_log_is_told_what_a_5xx_said_but_no_credential() -> None:
    failure = answer_failure(503, b"see https://u:p@host/x?api_key=sk-1&a=2", None)
    assert failure.cause == "upstream returned 503: see https://REDACTED@host/x?api_key=REDACTED&a=2"
    assert answer_failure(503, b"", None).cause is None
    cause = answer_failure(503, b"x" * 70000, None).cause
    assert cause is not None and len(cause) < 1100


@pytest.mark.parametrize("status", [301, 304, 399, 600])
def test_other_statuses(status: int) -> None:
    failure = answer_failure(status, b"moved", None)
    assert (failure.status, failure.upstream_status, failure.retryable) == (502, status, True)
    assert envelope(failure) == {"message": "moved", "type": "upstream_error"}


@pytest.mark.parametrize(
    "raw",
    [
        b"plain words",
        b'{"error":"text"}',
        b'{"error":null}',
        b'{"message":"top"}',
        b'[{"error":{"message":"x"}}]',
        b'{"error":{"message":"x","code":404}}',
        b'{"error":{"message":{"a":1}}}',
        b'{"error":{"message":"x","type":[]}}',
        b'{"error":{"message":"x","param":true}}',
        b'{"error":{"message":"x"}',
    ],
)
def test_an_unrecognised_body_is_the_message(raw: bytes) -> None:
    assert envelope(answer_failure(400, raw, None)) == {"message": raw.decode(), "type": "upstream_error"}


@pytest.mark.parametrize("raw", [b'{"error":{"message":"m"}}', b'{"error":{"message":"m","type":null,"code":null}}'])
def test_absent_and_null_members_do_not_appear(raw: bytes) -> None:
    assert envelope(answer_failure(404, raw, None)) == {"message": "m", "type": "upstream_error"}


@pytest.mark.parametrize("raw", [b"", b'{"error":{"message":""}}'])
def test_no_words_at_all(raw: bytes) -> None:
    assert envelope(answer_failure(401, raw, None))["message"] == "upstream returned 401"


def test_strings_are_cut_at_characters() -> None:
    failure = answer_failure(400, body(message="é" * 600, code="c" * 1025, param="ä" * 513), None)
    told = envelope(failure)
    assert told == {
        "message": "é" * 512 + "…",
        "type": "upstream_error",
        "code": "c" * 1024 + "…",
        "param": "ä" * 512 + "…",
    }
    assert envelope(answer_failure(400, body(message="x" * 1024), None))["message"] == "x" * 1024


def test_bodies_that_are_no_text() -> None:
    assert envelope(answer_failure(400, b"\xff\xfe", None))["message"] == "\ufffd\ufffd"
    huge = body(message="m" * 70_000)
    assert envelope(answer_failure(400, huge, None))["message"] == '{"error":{"message":"' + "m" * 1003 + "…"


@pytest.mark.parametrize(
    ("status", "value", "told", "hint"),
    [
        (429, None, None, None),
        (429, b"0", 0, None),
        (429, b"1", 1, 1.0),
        (429, b" 5 ", 5, 5.0),
        (429, b"6", 6, None),
        (429, b"86400", 86400, None),
        (429, b"1.5", None, None),
        (429, b"-1", None, None),
        (429, b"+1", None, None),
        (429, b"", None, None),
        (429, b"Wed, 21 Oct 2026 07:28:00 GMT", None, None),
        (429, "٣".encode(), None, None),
        (429, b"9" * 5000, None, None),
        (503, b"2", None, 2.0),
        (503, b"60", None, None),
        (400, b"2", None, 2.0),
        (302, b"4", None, 4.0),
    ],
)
def test_retry_after(status: int, value: bytes | None, told: int | None, hint: float | None) -> None:
    failure = answer_failure(status, b"{}", value)
    assert (failure.retry_after, failure.wait_hint) == (told, hint)


CODES: list[tuple[Family, bytes, str | None]] = [
    ("openai", body(message="m", type="insufficient_quota", code="insufficient_quota"), "insufficient_quota"),
    ("openai", body(message="m", type="DeploymentNotFound"), None),
    ("openai", body(message="m", code=""), ""),
    ("azure", body(message="m", type="DeploymentNotFound", code="x"), "model_not_found"),
    ("azure", body(message="m", code="DeploymentNotFound"), "model_not_found"),
    ("azure", body(message="m", type="ResponsibleAIPolicyViolation"), "content_policy_violation"),
    ("azure", body(message="m", code="content_filter"), "content_policy_violation"),
    (
        "azure",
        body(message="m", code="other", innererror={"code": "ResponsibleAIPolicyViolation"}),
        "content_policy_violation",
    ),
    ("azure", body(message="m", type="invalid_encrypted_content"), "invalid_encrypted_content"),
    ("azure", body(message="m", type="t", code="429"), "429"),
    ("anthropic", body(type="authentication_error", message="m"), "invalid_api_key"),
    ("anthropic", body(type="permission_error", message="m"), "permission_denied"),
    ("anthropic", body(type="not_found_error", message="m"), "model_not_found"),
    ("anthropic", body(type="request_too_large", message="m"), "request_too_large"),
    ("anthropic", body(type="rate_limit_error", message="m"), "rate_limit_exceeded"),
    ("anthropic", body(type="overloaded_error", message="m"), "overloaded"),
    ("anthropic", body(type="invalid_request_error", message="m", code="c"), None),
    ("bedrock", b'{"__type":"com.amazon.coral#ThrottlingException:http://x"}', "rate_limit_exceeded"),
    ("bedrock", b'{"code":"ServiceQuotaExceededException"}', "insufficient_quota"),
    ("bedrock", b'{"__type":"AccessDeniedException"}', "permission_denied"),
    ("bedrock", b'{"__type":"ResourceNotFoundException"}', "model_not_found"),
    ("bedrock", b'{"__type":"ModelNotReadyException"}', "model_not_ready"),
    ("bedrock", b'{"__type":"ModelTimeoutException"}', "timeout"),
    ("bedrock", b'{"__type":"ModelStreamErrorException"}', "stream_error"),
    ("bedrock", b'{"__type":"ModelErrorException"}', "model_error"),
    ("bedrock", b'{"__type":"ServiceUnavailableException"}', "overloaded"),
    ("bedrock", b'{"__type":"ValidationException"}', None),
    ("bedrock", b"{}", None),
    ("vertex", body(code=429, message="project 7", status="RESOURCE_EXHAUSTED"), "rate_limit_exceeded"),
    ("vertex", body(status="PERMISSION_DENIED"), "permission_denied"),
    ("vertex", body(status="UNAUTHENTICATED"), "invalid_api_key"),
    ("vertex", body(status="NOT_FOUND"), "model_not_found"),
    ("vertex", body(status="UNAVAILABLE"), "overloaded"),
    ("vertex", body(status="DEADLINE_EXCEEDED"), "timeout"),
    ("vertex", body(status="INVALID_ARGUMENT"), None),
]


@pytest.mark.parametrize(("family", "raw", "code"), CODES)
def test_codes(family: Family, raw: bytes, code: str | None) -> None:
    assert answer_failure(400, raw, None, family).code == code


@pytest.mark.parametrize(
    ("family", "status", "message"),
    [
        ("vertex", 401, "upstream authentication failed"),
        ("vertex", 403, "upstream authentication failed"),
        ("vertex", 404, "upstream model or endpoint not found"),
        ("vertex", 408, "upstream request timeout"),
        ("vertex", 429, "upstream rate limited"),
        ("vertex", 400, "upstream returned 400"),
        ("vertex", 500, "upstream returned 500"),
        ("bedrock", 404, "upstream model not found"),
        ("bedrock", 409, "upstream returned 409"),
        ("azure", 404, "upstream deployment or model not found"),
        ("azure", 409, "upstream conflict"),
        ("azure", 413, "upstream request entity too large"),
    ],
)
def test_families_that_hide_messages(family: Family, status: int, message: str) -> None:
    assert answer_failure(status, body(message="project 4711"), None, family).message == message


IN_BAND = [
    # frame, embedded status, status before, message before, code, retryable
    (body(message="slow", code=429), 429, 429, "slow", None, False),
    (body(message="slow", code="429"), 429, 429, "slow", None, False),
    (body(message="dead", code=503), 503, 502, "upstream returned 503", None, True),
    (body(message="m", type="server_error", code="quota"), 0, 502, "upstream returned 502", "quota", True),
    (body(message="m", code=200), 0, 502, "upstream returned 502", None, True),
    (body(message="m", code="600"), 0, 502, "upstream returned 502", "600", True),
    (body(message="m", code=400.0), 0, 502, "upstream returned 502", None, True),
    (body(message="m", code=True), 0, 502, "upstream returned 502", None, True),
    (b'{"error":"boom"}', 0, 502, "upstream returned 502", None, True),
]


@pytest.mark.parametrize(("frame", "embedded", "status", "message", "code", "retryable"), IN_BAND)
def test_in_band(frame: bytes, embedded: int, status: int, message: str, code: str | None, retryable: bool) -> None:
    early = in_band_failure(frame, before_first=True)
    assert (early.status, early.type, early.message) == (status, "upstream_error", message)
    assert (early.upstream_status, early.retryable) == (embedded, retryable)
    # An answer of 5xx has no code, wherever the status came from.
    assert early.code == (code if status < 500 else None)

    late = in_band_failure(frame, before_first=False)
    error = orjson.loads(frame)["error"]
    said = error if isinstance(error, str) else error["message"]
    assert (late.type, late.message) == (
        "upstream_in_band_error",
        f"upstream reported an in-band stream error: {said}",
    )
    assert (late.status, late.upstream_status, late.retryable, late.code) == (status, embedded, retryable, code)


def test_in_band_without_a_message_shows_the_frame() -> None:
    frame = b'{"error":{"code":400,"message":7}}'
    assert in_band_failure(frame, before_first=True).message == frame.decode()
    assert in_band_failure(frame, before_first=False).message.endswith(": " + frame.decode())


def test_in_band_google_status() -> None:
    frame = body(code=429, message="project 4711", status="RESOURCE_EXHAUSTED")
    failure = in_band_failure(frame, before_first=True, family="vertex")
    assert (failure.status, failure.code, failure.message) == (429, "rate_limit_exceeded", "upstream rate limited")


def test_in_band_messages_are_cut() -> None:
    late = in_band_failure(body(message="x" * 2000), before_first=False)
    assert late.message == "upstream reported an in-band stream error: " + "x" * 1024 + "…"


FAMILIES: list[Family] = ["openai", "azure", "anthropic", "bedrock", "vertex"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "status", "param", "__type"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=80) | JSON.map(orjson.dumps), st.integers(300, 999), st.sampled_from(FAMILIES))
def test_any_body_becomes_a_failure(raw: bytes, status: int, family: Family) -> None:
    for failure in (
        answer_failure(status, raw, raw, family),
        in_band_failure(raw, before_first=True, family=family),
        in_band_failure(raw, before_first=False, family=family),
    ):
        assert 400 <= failure.status < 500 or failure.status == 502
        assert failure.retryable == (failure.status == 502)
        told = envelope(failure)
        assert told["message"]
        assert len(told["message"].encode()) <= 1024 + 50


def test_bedrock_names_exceptions_in_the_body_or_in_the_head() -> None:
    named = b"ThrottlingException:http://internal.amazon.com/coral/"
    assert answer_failure(429, b'{"message":"m"}', None, "bedrock", name=named).code == "rate_limit_exceeded"
    assert answer_failure(429, b"no json", None, "bedrock", name=named).code == "rate_limit_exceeded"
    document = b'{"__type":"x#AccessDeniedException"}'
    assert answer_failure(403, document, None, "bedrock", name=named).code == "permission_denied"
    assert answer_failure(400, b"{}", None, "bedrock", name=b"\xff").code is None
    # The field means nothing elsewhere.
    assert answer_failure(429, b'{"error":{"message":"m","code":"c"}}', None, "openai", name=named).code == "c"


@pytest.mark.parametrize(
    ("name", "payload", "status", "code", "message"),
    [
        ("throttlingException", b'{"message":"arn:secret"}', 429, "rate_limit_exceeded", "upstream rate limited"),
        ("validationException", b"", 400, None, "upstream rejected the streaming request"),
        (
            "modelStreamErrorException",
            b'{"originalStatusCode":404}',
            404,
            "stream_error",
            "upstream reported stream error 404",
        ),
        ("modelStreamErrorException", b'{"originalStatusCode":424.5}', 502, "stream_error", "upstream returned 502"),
        ("modelStreamErrorException", b"[1]", 502, "stream_error", "upstream returned 502"),
        ("serviceUnavailableException", b"{}", 502, None, "upstream returned 503"),
        ("", b"", 502, None, "upstream returned 502"),
    ],
)
def test_exceptions_of_bedrocks_streams(name: str, payload: bytes, status: int, code: str | None, message: str) -> None:
    frame = exception_frame(name.encode(), payload)
    first = in_band_failure(frame, before_first=True, family="bedrock")
    assert (first.status, first.message) == (status, message)
    assert first.code == (code if status < 500 else None)
    later = in_band_failure(frame, before_first=False, family="bedrock")
    assert (later.status, later.type, later.code) == (
        status, "upstream_in_band_error", "overloaded" if name.startswith("service") else code
    )  # fmt: skip
    assert later.message.startswith("upstream reported an in-band stream error: upstream r")
    assert "secret" not in later.message


@pytest.mark.parametrize("family", ["azure", "bedrock", "vertex"])
def test_families_that_hide_messages_hide_those_of_redirects(family: Family) -> None:
    failure = answer_failure(307, b"go to resource acme", None, family, kind=b"text/plain")
    assert (failure.status, failure.message) == (502, "upstream returned 307")
    assert failure.cause == "upstream returned 307: go to resource acme"


@pytest.mark.parametrize(
    ("family", "raw", "code"),
    [
        ("azure", body(code="DeploymentNotFound"), "model_not_found"),
        ("vertex", body(status="NOT_FOUND"), "model_not_found"),
        ("openai", body(message="no", code="c"), "c"),
        ("anthropic", body(type="not_found_error"), "model_not_found"),
    ],
)
def test_whether_the_content_type_counts(family: Family, raw: bytes, code: str) -> None:
    for kind in (b"application/json", b"Application/Problem+JSON; charset=utf-8"):
        assert answer_failure(404, raw, None, family, kind=kind).code == code
    for kind in (b"text/html", None):
        unread = family in ("azure", "vertex")
        assert answer_failure(404, raw, None, family, kind=kind).code == (None if unread else code)


def test_errors_of_claudes_streams_on_vertex() -> None:
    event = orjson.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    failure = in_band_failure(event, before_first=True, family="vertex")
    assert (failure.status, failure.upstream_status, failure.retryable) == (502, 529, True)
    event = orjson.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "busy"}})
    failure = in_band_failure(event, before_first=True, family="vertex")
    assert (failure.status, failure.message, failure.code) == (429, "upstream rate limited", "rate_limit_exceeded")
    failure = in_band_failure(event, before_first=False, family="vertex")
    assert (failure.status, failure.message) == (429, "upstream reported an in-band stream error: busy")
