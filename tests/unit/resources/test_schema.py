"""The Structs and the published JSON Schemas judge documents alike; a document without problems decodes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.resources.models import ApiKey, ClaimMapping, Model, OidcProvider, ProviderKey, RateLimit
from fastgw.resources.validate import Aliases, Problem, judge

DATA = Path(__file__).parents[2] / "data" / "schemas"
SECRET: Aliases = (("secret", "api_key"),)
MOMENTS = ["2030-01-01T00:00:00Z", "2030-01-01t00:00:00.5+01:00", "9999-12-31T23:59:59-23:59"]
NO_MOMENTS = ["", "2030", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "2030-01-01T25:00:00Z", "x"]

Schema = dict[str, Any]


def problems(document: object, struct: type[msgspec.Struct], aliases: Aliases = ()) -> list[Problem]:
    return judge(document, struct, aliases).problems()


def formats() -> jsonschema.FormatChecker:
    """Only `date-time` is enforced by the schema; the integer formats bound what decodes."""
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("date-time")(lambda value: not isinstance(value, str) or value in MOMENTS)
    return checker


def load(name: str, shapes: tuple[str, ...] = ()) -> Schema:
    schema: Schema = json.loads((DATA / f"{name}.schema.json").read_text())
    for shape in shapes:  # documents of these shapes are refused before the schema is consulted
        del schema["properties"][shape]
    return schema


CASES: dict[str, tuple[type[msgspec.Struct], Schema, Aliases]] = {
    "provider_key": (ProviderKey, load("provider_key"), SECRET),
    "model": (Model, load("model", ("routing", "ensemble", "semantic")), ()),
    "api_key": (ApiKey, load("api_key"), ()),
    "rate_limit": (RateLimit, load("rate_limit"), ()),
    "oidc_provider": (OidcProvider, load("oidc_provider"), ()),
    "claim_mapping": (ClaimMapping, load("claim_mapping"), ()),
}

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 4, 5, 99, 100, 599, 600, 2**32, 2**64, 2**64 + 1, -(2**63) - 1, 1.0, 5.0, 0.5, -0.5]),
    st.sampled_from(["", "a", "A", "a" * 64, "a" * 65, "-a", "a b", *MOMENTS, *NO_MOMENTS]),
    st.lists(st.sampled_from([None, 1, "a", ""]), max_size=2),
    st.dictionaries(st.sampled_from(["a", "enabled"]), st.sampled_from([None, 1, "a", True]), max_size=2),
)


def mostly(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any] = JUNK) -> st.SearchStrategy[Any]:
    """`other` once in forty draws. A plain one_of would weigh every alternative inside it."""
    return st.integers(0, 39).flatmap(lambda draw: other if draw == 39 else usual)


def valid(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    """Values that mostly satisfy `schema`; every object member may be left out, be junk, or be surplus."""
    if "$ref" in schema:
        return valid(root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema and "properties" not in schema:
            return st.one_of([valid(option, root) for option in schema[key]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([PLAIN[name](schema, root) for name in types])


def objects(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    required = {
        *schema.get("required", ()),
        *(("provider", "model_name", "provider_key_id") if "provider_key_id" in properties else ()),
    }
    member = {name: mostly(valid(child, root)) for name, child in properties.items()}
    extra = schema.get("additionalProperties")
    names = st.sampled_from(["a", "b/~c"])
    if isinstance(extra, dict):
        surplus: st.SearchStrategy[dict[str, Any]] = st.dictionaries(names, mostly(valid(extra, root)), max_size=2)
    elif extra is True:
        surplus = st.dictionaries(names, JUNK, max_size=2)
    else:
        surplus = mostly(st.just({}), st.just({"surplus": 1}))
    fixed = st.fixed_dictionaries(
        {name: child for name, child in member.items() if name in required},
        optional={name: child for name, child in member.items() if name not in required},
    )
    dropped = mostly(st.none(), st.sampled_from(sorted(required) or [None]))
    return st.tuples(fixed, surplus, dropped).map(
        lambda parts: {name: value for name, value in {**parts[0], **parts[1]}.items() if name != parts[2]}
    )


PLAIN: dict[str, Callable[[Schema, Schema], st.SearchStrategy[Any]]] = {
    "object": objects,
    "array": lambda schema, root: st.lists(mostly(valid(schema["items"], root)), max_size=2),
    "string": lambda schema, root: st.sampled_from(MOMENTS if "format" in schema else ["a", "a.b-c_0", "b" * 64]),
    "integer": lambda schema, root: st.integers(int(schema.get("minimum", 0)), int(schema.get("maximum", 2**64 - 1))),
    "number": lambda schema, root: st.floats(0, 1e9) | st.integers(0, 10),
    "boolean": lambda schema, root: st.booleans(),
    "null": lambda schema, root: st.none(),
}


@pytest.mark.parametrize("name", CASES)
def test_judged_like_the_published_schema(name: str) -> None:
    struct, schema, aliases = CASES[name]
    validator = jsonschema.Draft7Validator(schema, format_checker=formats())
    verdicts = []

    @settings(max_examples=400)
    @given(mostly(valid(schema, schema)))
    def check(document: Any) -> None:
        found = list(problems(document, struct, aliases))
        expected = [error.message for error in validator.iter_errors(document)]
        refused = [problem for problem in found if not problem.decode]
        assert bool(refused) == bool(expected), (document, found, expected)
        verdicts.append(not expected)
        if not found:
            given_names = {dict(aliases).get(key, key): value for key, value in document.items()}
            decoded = msgspec.convert(given_names, struct)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(decoded), type=struct) == decoded

    check()
    assert 2 <= sum(verdicts) <= len(verdicts) - 2, "the generator no longer gives both kinds of documents"


def example(schema: Schema, root: Schema) -> Any:
    """A document with every member that the schema names."""
    if "$ref" in schema:
        return example(root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema and "properties" not in schema:
            return example(schema[key][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if kind == "object":
        members = {name: example(child, root) for name, child in schema.get("properties", {}).items()}
        extra = schema.get("additionalProperties")
        return {**members, **({"any": example(extra, root)} if isinstance(extra, dict) else {})}
    if kind == "array":
        return [example(schema["items"], root)]
    if kind == "string":
        return MOMENTS[0] if "format" in schema else "a"
    return {"integer": min(500, int(schema.get("maximum", 500))), "number": 0.5, "boolean": True}[kind]


def variants(value: Any) -> Iterator[Any]:
    """`value` with one part replaced by each probe or left out, for every part of it."""
    yield from PROBES
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {key: other for key, other in value.items() if key != name}
            yield from ({**value, name: changed} for changed in variants(inner))
        yield {**value, "surplus": 1}
    elif isinstance(value, list):
        yield from ([changed] for changed in variants(value[0]))


PROBES: list[Any] = [
    *(None, True, False, -1, 0, 1, 4, 5, 99, 100, 300, 301, 599, 600, -0.5, 0.5, 5.0, 5.5, 2**32, 2**64, -(2**63) - 1),
    *("", "a", "A", "-a", "a b", "a" * 64, "a" * 65, MOMENTS[1], *NO_MOMENTS, [], {}, [None], ["a"], [500], {"a": "a"}),
]


@pytest.mark.parametrize("name", CASES)
def test_every_single_change_is_judged_like_the_published_schema(name: str) -> None:
    struct, schema, aliases = CASES[name]
    validator = jsonschema.Draft7Validator(schema, format_checker=formats())
    start = example(schema, schema)
    assert [problem for problem in problems(start, struct, aliases) if not problem.decode] == []
    for document in variants(start):
        refused = [problem for problem in problems(document, struct, aliases) if not problem.decode]
        assert bool(refused) != validator.is_valid(document), (document, refused)


@pytest.mark.parametrize("name", CASES)
def test_same_fields_as_the_published_schema(name: str) -> None:
    struct, schema, aliases = CASES[name]
    assert {*struct.__struct_fields__, *(alias for alias, _ in aliases)} == set(schema["properties"])


def reasons(document: object, struct: type[msgspec.Struct], aliases: Aliases = ()) -> list[tuple[str, str, bool]]:
    return [tuple(problem) for problem in problems(document, struct, aliases)]


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
        *("", "/provider", "/rate_limit/rpm", "/rate_limit/tpm", "/retries", "", "", "")
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
