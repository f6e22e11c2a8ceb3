"""What is said about one document: place, reason, and whether schema or decoding is at fault."""

import msgspec
import pytest

from fastgw.resources.models import ApiKey, Model, ProviderKey
from fastgw.resources.validate import Aliases, judge


def reasons(document: object, struct: type[msgspec.Struct], aliases: Aliases = ()) -> list[tuple[str, str, bool]]:
    return [tuple(problem) for problem in judge(document, struct, aliases).problems()]


MODEL = {"display_name": "m", "provider": "p", "model_name": "n", "provider_key_id": "k"}
KEY = {"key_hash": "h", "allowed_models": []}


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        ({"provider": "Open AI"}, "/provider", "must match ^[a-z0-9][a-z0-9._-]*$"),
        ({"provider": "a\n"}, "/provider", "must match ^[a-z0-9][a-z0-9._-]*$"),
        ({"provider": "a" * 65}, "/provider", "must have at most 64 characters"),
        ({"model_name": ""}, "/model_name", "must have at least 1 character(s)"),
        ({"timeout": -1}, "/timeout", "must be at least 0"),
        ({"timeout": None}, "/timeout", "expected an integer"),
        ({"rate_limit": None}, "/rate_limit", "expected an object"),
        ({"rate_limit": {"rpm": None}}, "/rate_limit/rpm", "expected an integer"),
        ({"rate_limit": {"burst": 1}}, "/rate_limit", "unknown field `burst`"),
        ({"cost": {"input_per_1k": -0.5, "output_per_1k": 0}}, "/cost/input_per_1k", "must be at least 0"),
        ({"cost": {"input_per_1k": 1}}, "/cost", "missing required field `output_per_1k`"),
        ({"cooldown": {"trigger_statuses": [500, 600]}}, "/cooldown/trigger_statuses/1", "must be at most 599"),
        ({"auto_prompt_caching": {"enabled": 1}}, "/auto_prompt_caching/enabled", "expected a boolean"),
        (
            {"auto_prompt_caching": {"enabled": True, "ttl": "2h"}},
            "/auto_prompt_caching/ttl",
            "expected one of `1h`, `5m`",
        ),
        ({"allowed_cidrs": "10/8"}, "/allowed_cidrs", "expected an array"),
        ({"nope": 1}, "", "unknown field `nope`"),
    ],
)
def test_reasons(change: dict[str, object], pointer: str, reason: str) -> None:
    assert reasons({**MODEL, **change}, Model) == [(pointer, reason, False)]


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        ({"timeout": 5.0}, "/timeout", "expected an integer, found a floating-point number"),
        ({"timeout": 2**64}, "/timeout", "integer does not fit uint64"),
        ({"retries": 2**32}, "/retries", "integer does not fit uint32"),
        ({"cost": {"input_per_1k": 10**400, "output_per_1k": 0}}, "/cost/input_per_1k", "number is out of range"),
    ],
)
def test_values_that_the_schema_admits_but_no_field_holds(change: dict[str, object], pointer: str, reason: str) -> None:
    assert reasons({**MODEL, **change}, Model) == [(pointer, reason, True)]


def test_free_form_numbers_are_bounded() -> None:
    document = {"display_name": "d", "api_key": "k", "request": {"default_body_fields": {"a/b": [{"~": 2**64}]}}}
    pointer = "/request/default_body_fields/a~1b/0/~0"
    assert reasons(document, ProviderKey) == [(pointer, "integer does not fit 64 bits", True)]


def test_limits_that_fit() -> None:
    document = {**MODEL, "timeout": 2**64 - 1, "retries": 2**32 - 1}
    assert reasons(document, Model) == []
    assert msgspec.convert(document, Model).timeout == 2**64 - 1


def test_every_problem_is_reported() -> None:
    document = {"provider": 5, "rate_limit": {"rpm": "x", "tpm": -1}, "surplus": 1, "retries": "x"}
    assert [pointer for pointer, _, _ in reasons(document, Model)] == [
        *("", "/provider", "/rate_limit/rpm", "/rate_limit/tpm", "/retries", "")
    ]


def test_api_key_nulls_and_dates() -> None:
    nulls = dict.fromkeys(("rate_limit", "team_id", "user_name", "mcp_access", "allowed_routes", "expires_at"))
    assert reasons({**KEY, **nulls, "rate_limit": {"rpm": None}}, ApiKey) == []
    assert reasons({**KEY, "expires_at": "tomorrow"}, ApiKey) == [
        ("/expires_at", "expected an RFC 3339 date-time", False)
    ]
    assert msgspec.convert({**KEY, "expires_at": "1970-01-01T00:01:00Z"}, ApiKey).expires_at_unix() == 60
    assert msgspec.convert(KEY, ApiKey).expires_at_unix() is None


def test_strip_headers_are_normalised() -> None:
    document = {"display_name": "d", "api_key": "k", "strip_headers": [" X-A ", "x-a", "", "  ", "B"]}
    assert msgspec.convert(document, ProviderKey).strip_headers == ("x-a", "b")
    assert msgspec.convert({"display_name": "d", "api_key": "k"}, ProviderKey).strip_headers == (
        *("authorization", "cookie", "set-cookie", "x-api-key"),
    )


def test_credentials_are_not_printed() -> None:
    key = msgspec.convert(
        {"display_name": "d", "api_key": "canary", "request": {"default_headers": {"a": "canary"}}}, ProviderKey
    )
    assert "canary" not in f"{key!r} {key} {key.request!r}"
