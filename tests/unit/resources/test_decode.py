"""One document to a row: what is refused and as what, what is left out and said."""

import json
from typing import Any

import msgspec
import orjson
import pytest

from fastgw.resources.decode import MAX_DEPTH, MAX_IGNORED, TRUNCATED, Decoded, Rejected, decode
from fastgw.resources.models import ApiKey, ProviderKey

KEY: dict[str, Any] = {"display_name": "p", "api_key": "canary"}


def read(kind: str, document: object, *, strict: bool = False) -> Decoded:
    return decode(kind, json.dumps(document).encode(), strict=strict)


def refused(kind: str, document: bytes | dict[str, Any], *, strict: bool = False) -> tuple[str, str]:
    with pytest.raises(Rejected) as info:
        decode(kind, document if isinstance(document, bytes) else orjson.dumps(document), strict=strict)
    assert "canary" not in f"{info.value} {info.value!r}"
    return info.value.error_kind, info.value.message


def test_row_without_id() -> None:
    assert read("provider_keys", KEY) == Decoded(ProviderKey(display_name="p", api_key="canary"), ())
    assert read("provider_keys", {"display_name": "p", "secret": "canary"}) == read("provider_keys", KEY)


@pytest.mark.parametrize(
    ("kind", "document", "error_kind", "message"),
    [
        ("gateways", b"{}", "unknown_kind", 'unknown kind "gateways"'),
        ("provider_keys", b'{"api_key": "canary"', "non_json", "document is not valid JSON"),
        ("provider_keys", b"", "non_json", "document is not valid JSON"),
        ("provider_keys", b'"\xff"', "non_json", "document is not valid JSON"),
        ("provider_keys", b'["canary"]', "schema_failed", "schema validation failed at ``: expected an object"),
        (
            "provider_keys",
            {"display_name": 5, "api_key": "canary"},
            "schema_failed",
            "schema validation failed at `/display_name`: expected a string",
        ),
        (
            "provider_keys",
            {**KEY, "secret": "canary"},
            "parse_failed",
            "cannot decode canonical document: `secret` and `api_key` are the same field",
        ),
        (
            "api_keys",
            {"key_hash": "canary", "allowed_models": [], "rate_limit": {"rpm": 5.0}},
            "parse_failed",
            "cannot decode canonical document: at `/rate_limit/rpm`:"
            " expected an integer, found a floating-point number",
        ),
    ],
)
def test_refusals(kind: str, document: bytes | dict[str, Any], error_kind: str, message: str) -> None:
    assert refused(kind, document) == (error_kind, message)


def test_nesting_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        return b'{"display_name": "p", "api_key": "canary", "request": {"default_body_fields": %s}}' % inner

    decode("provider_keys", nested(MAX_DEPTH - 2), strict=True)
    assert refused("provider_keys", nested(MAX_DEPTH - 1)) == ("non_json", "document is nested deeper than 128 levels")
    assert refused("provider_keys", b"[" * 100_000)[0] == "non_json"
    decode("provider_keys", orjson.dumps({**KEY, "strip_headers": ["[{" * 100]}), strict=True)


def test_unknown_members_are_left_out_and_listed() -> None:
    document = {
        "key_hash": "h",
        "allowed_models": ["m"],
        "tier": {"gold": {"deep": 1}},
        "rate_limit": {"rpm": 1, "burst": 2},
        "mcp_access": {"allow": [], "mode": "x", "moda": 1},
        "mcp_rate_limits": {"any.name": {"rps": 1, "tpm": 1}},
    }
    decoded = read("api_keys", document)
    assert decoded.ignored == ("mcp_access.moda", "mcp_rate_limits.any.name.tpm", "rate_limit.burst", "tier")
    assert isinstance(decoded.row, ApiKey)
    assert decoded.row.rate_limit is not None
    assert decoded.row.rate_limit.rpm == 1
    assert refused("api_keys", document, strict=True) == (
        "schema_failed",
        "schema validation failed at ``: unknown field `tier`",
    )


def test_lenient_leaves_more_out_than_strict() -> None:
    document = {"key_hash": "h", "allowed_models": [], "mcp_access": {}}
    decoded = read("api_keys", document)
    assert isinstance(decoded.row, ApiKey)
    assert decoded.row.mcp_access is not None
    assert decoded.row.mcp_access.allow == ()
    assert refused("api_keys", document, strict=True)[1] == (
        "schema validation failed at `/mcp_access`: missing required field `allow`"
    )
    document["mcp_access"] = {"allow": [], "mode": "x"}
    assert read("api_keys", document).ignored == ()
    assert refused("api_keys", document, strict=True)[1] == (
        "schema validation failed at `/mcp_access`: unknown field `mode`"
    )


def test_members_of_maps_and_free_form_are_never_unknown() -> None:
    request = {"param_renames": {"a": "b"}, "default_headers": {"x": "y"}, "default_body_fields": {"z": {"z": [1]}}}
    assert read("provider_keys", {**KEY, "request": request}).ignored == ()


def test_the_list_is_bounded() -> None:
    surplus = {f"x{index:03}": 1 for index in range(MAX_IGNORED)}
    full = tuple(surplus)
    assert read("provider_keys", {**KEY, **surplus}).ignored == full
    assert read("provider_keys", {**KEY, **surplus, "y": 1}).ignored == (*full, TRUNCATED)


def test_names_in_paths_survive_the_trip() -> None:
    decoded = read("provider_keys", {**KEY, "a.b/~": 1})
    assert decoded.ignored == ("a.b/~",)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(decoded.row), type=ProviderKey) == decoded.row
