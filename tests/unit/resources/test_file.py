"""The resources file: what loads, every line of the report, and that no value of the file reaches it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgw.resources import (
    FileProblem,
    Resources,
    ResourcesError,
    load_resources,
)
from fastgw.resources.change import decode_value, encode_value, whole
from fastgw.resources.kinds import KINDS

GOOD = """
_format_version: "1"
provider_keys:
  - {display_name: p, api_key: k}
models:
  - {display_name: m, provider: v, model_name: n, provider_key: p}
  - {display_name: v/*, provider: v, model_name: "*", provider_key: p}
api_keys:
  - {display_name: a, key_env: CALLER, allowed_models: [m, "x*"]}
"""
ENVIRON = {"CALLER": "sk-caller", "EMPTY": "", "V": "value", "BAD": "a\udcff", "NESTED": "${V}"}
UNIQUE = " — identities must be unique within a kind"


def load(directory: Path, text: str, environ: dict[str, str] | None = None) -> Resources:
    path = directory / "resources.yaml"
    path.write_text(text)
    return load_resources(path, ENVIRON if environ is None else environ)


def travels(resources: Resources) -> None:
    """Every row arrives in the workers as it is."""
    for kind, row in whole(resources).puts:
        assert decode_value(kind, encode_value(row.value)) == row.value


def failure(directory: Path, text: str, environ: dict[str, str] | None = None) -> ResourcesError:
    with pytest.raises(ResourcesError) as info:
        load(directory, text, environ)
    return info.value


def problems(directory: Path, text: str) -> list[FileProblem]:
    return list(failure(directory, text).problems)


def document(**collections: object) -> str:
    return json.dumps({"_format_version": "1", **collections})


def key(**members: object) -> dict[str, object]:
    return {"display_name": "p", "api_key": "k", **members}


def model(**members: object) -> dict[str, object]:
    return {"display_name": "m", "provider": "v", "model_name": "n", "provider_key": "p", **members}


def caller(**members: object) -> dict[str, object]:
    return {"display_name": "a", "key_hash": "h", "allowed_models": [], **members}


def group(display_name: str = "m", **members: object) -> dict[str, object]:
    return {"display_name": display_name, **members}


TARGETS = {"targets": [{"model": "t"}]}
ENSEMBLE = {"panel": [{"model": "t"}], "judge": {"model": "j"}}
SEMANTIC = {
    "embedding_model": "e",
    "default": "d",
    "routes": [{"name": "r", "target": "t", "examples": ["x"]}],
    "match": {"threshold": 0.5},
    "on_embedding_failure": {"target": "f"},
}
ALL = ", ".join("bcdefghim")
FORWARD = {"credential_mode": "forward_client"}


def policy(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "window": "minute", "max_requests": 1, **members}


def conditions(name: str, *nodes: object, **members: object) -> dict[str, object]:
    return {"name": name, "limits": {"rpm": 1}, "conditions": list(nodes), **members}


def leaf(dimension: str, value: object, operator: str = "==") -> dict[str, object]:
    return {"dimension": dimension, "operator": operator, "value": value}


def nested(depth: int) -> dict[str, object]:
    return {"logic": "and", "children": [nested(depth - 1)]} if depth else leaf("team", "t")


def route(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "hosts": ["h"], "target_url": "https://t", "provider_key": "p", **members}


def idp(**members: object) -> dict[str, object]:
    return {"name": "o", "issuer": "https://i", "audiences": ["gateway"], **members}


def mapping(**members: object) -> dict[str, object]:
    match = [{"claim": "team", "op": "exact", "values": ["red"]}]
    return {"name": "c", "jwt_provider": "o", "match": match, "resolve": {"api_key": "a"}, **members}


def test_good_file(tmp_path: Path) -> None:
    resources = load(tmp_path, GOOD)
    (provider_key,) = resources.provider_keys
    first, wildcard = resources.models
    (api_key,) = resources.api_keys
    assert first.value.provider_key_id == wildcard.value.provider_key_id == provider_key.id
    assert provider_key.value.api_key == "k"
    assert api_key.value.key_hash == hashlib.sha256(b"sk-caller").hexdigest()
    assert api_key.value.display_name is None
    assert api_key.value.allowed_models == ("m", "x*")
    assert resources.source_hash == hashlib.sha256((tmp_path / "resources.yaml").read_bytes()).hexdigest()
    travels(resources)
    assert all(b"sk-caller" not in encode_value(put.row.value) for put in whole(resources).puts)


def test_identity_providers(tmp_path: Path) -> None:
    text = document(api_keys=[caller()], oidc_providers=[idp()], claim_mappings=[mapping()])
    resources = load(tmp_path, text)
    (api_key,), (provider,), (rule,) = resources.api_keys, resources.oidc_providers, resources.claim_mappings
    assert rule.value.resolve.api_key_id == api_key.id
    assert (provider.value.identity_claim, provider.value.leeway_secs, provider.value.enabled) == ("sub", 0, True)
    by_id = load(tmp_path, text.replace('"api_key": "a"', f'"api_key_id": "{api_key.id}"'))
    assert by_id.claim_mappings == resources.claim_mappings
    travels(resources)


def test_ids_depend_on_kind_and_name_only(tmp_path: Path) -> None:
    text = document(provider_keys=[key()], models=[model(display_name="demo-chat")])
    assert load(tmp_path, text).models[0].id == "7b9a4852-df35-5bf6-a8f1-3d1ee7e4bbab"


def test_empty_collections(tmp_path: Path) -> None:
    text = document(**{kind.name: None if index % 2 else [] for index, kind in enumerate(KINDS)})
    resources = load(tmp_path, text)
    assert (resources.provider_keys, resources.models, resources.api_keys) == ((), (), ())
    load(tmp_path, '\ufeff_format_version: "1"\n')


def test_alias_of_the_credential(tmp_path: Path) -> None:
    text = document(provider_keys=[{"display_name": "p", "secret": "s"}])
    assert load(tmp_path, text).provider_keys[0].value.api_key == "s"


def test_explicit_id_of_a_key_in_the_file(tmp_path: Path) -> None:
    known = load(tmp_path, document(provider_keys=[key()])).provider_keys[0].id
    entry = {name: value for name, value in model(provider_key_id=known).items() if name != "provider_key"}
    assert load(tmp_path, document(provider_keys=[key()], models=[entry])).models[0].value.provider_key_id == known


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${V}", "value"),
        ("a${V}b${V}", "avaluebvalue"),
        ("$$", "$"),
        ("$${V}", "${V}"),
        ("$$${V}", "$value"),
        ("$V", "$V"),
        ("a$", "a$"),
        ("$ {V}", "$ {V}"),
        ("${NESTED}", "${V}"),
    ],
)
def test_interpolation(tmp_path: Path, written: str, value: str) -> None:
    text = document(provider_keys=[key(api_key=written, request={"default_body_fields": {"a": [{"$$k": written}]}})])
    loaded = load(tmp_path, text).provider_keys[0].value
    assert loaded.api_key == value
    assert loaded.request is not None
    assert loaded.request.default_body_fields == {"a": [{"$$k": value}]}


def test_interpolated_names_and_types(tmp_path: Path) -> None:
    text = document(provider_keys=[key(display_name="${V}")], models=[model(provider_key="val${E}", timeout=5)])
    assert load(tmp_path, text, {"V": "value", "E": "ue"}).provider_keys[0].value.display_name == "value"
    # The result of an interpolation is always a string.
    (problem,) = problems(tmp_path, document(provider_keys=[key()], models=[model(timeout="${V}")]))
    assert problem.message == "schema validation failed at `/timeout`: expected an integer"


P = 'provider_keys[0] ("p")'
M = 'models[0] ("m")'
A = 'api_keys[0] ("a")'
IDP = 'oidc_providers[0] ("o")'
C = 'claim_mappings[0] ("c")'
F = "(file)"
NAMES = ", ".join(kind.name for kind in KINDS)

REPORTS: list[tuple[str, list[tuple[str, str]]]] = [
    ("a: [\n", [(F, "YAML parse error: did not find expected node content at line 2 column 1")]),
    ("", [(F, "file is empty")]),
    ("# nothing\n---\n", [(F, "file is empty")]),
    ("a: 1\n---\nb: 1\n---\n", [(F, "expected a single YAML document, found 3")]),
    ("- 1", [(F, "top level must be a mapping with `_format_version` and resource collections")]),
    ("{}", [(F, 'missing mandatory _format_version (expected "1")')]),
    ("_format_version: 1", [(F, '_format_version must be the string "1" (quote it)')]),
    ("_format_version: null", [(F, '_format_version must be the string "1" (quote it)')]),
    ("_format_version: '2'", [(F, 'unrecognized _format_version "2" (supported: "1")')]),
    (
        document(mcp_policies=[], x=1),
        [
            (F, f"unknown top-level key `{name}` (expected _format_version and resource collections: {NAMES})")
            for name in ("mcp_policies", "x")
        ],
    ),
    (document(models={}), [(F, "`models` must be a sequence of maps")]),
    (document(models=["x", []]), [(f"models[{index}]", "entry must be a mapping") for index in (0, 1)]),
    (
        document(guardrails=[{"name": "g"}]),
        [('guardrails[0] ("g")', "schema validation failed at ``: missing required field `kind`")],
    ),
    (
        document(
            provider_keys=[key(api_key="${NO}", api_base="${EMPTY}${}", request={"default_headers": {"h": "${"}})]
        ),
        [
            ("provider_keys[0]", "field `api_key`: environment variable `NO` is unset or empty"),
            ("provider_keys[0]", "field `api_base`: environment variable `EMPTY` is unset or empty"),
            ("provider_keys[0]", "field `api_base`: empty variable name in `${}`"),
            (
                "provider_keys[0]",
                "field `request.default_headers.h`: unterminated `${` (write `$${` for a literal one)",
            ),
        ],
    ),
    (
        document(provider_keys=[key(api_key="${BAD}")]),
        [("provider_keys[0]", "field `api_key`: environment variable `BAD` is not valid UTF-8")],
    ),
    (
        document(models=[{"routing": {"targets": [{"model": "${NO}"}]}}]),
        [("models[0]", "field `routing.targets[0].model`: environment variable `NO` is unset or empty")],
    ),
    *(
        (
            document(models=[{"display_name": name} if name != "absent" else {}]),
            [("models[0]", "display_name is required and must be a non-empty string (it is the entry's identity)")],
        )
        for name in (None, "", 5, ["m"], "absent")
    ),
    (
        document(mcp_servers=[{}], guardrails=[{}]),
        [
            ("guardrails[0]", "name is required and must be a non-empty string (it is the entry's identity)"),
            (
                "mcp_servers[0]",
                "name (or display_name) is required and must be a non-empty string (it is the entry's identity)",
            ),
        ],
    ),
    (
        document(provider_keys=[key(), "x", key(), key(api_key=5)]),
        [
            ("provider_keys[1]", "entry must be a mapping"),
            (
                'provider_keys[2] ("p")',
                f'duplicate provider_keys entry: display_name "p" is already defined at provider_keys[0]{UNIQUE}',
            ),
            (
                'provider_keys[3] ("p")',
                f'duplicate provider_keys entry: display_name "p" is already defined at provider_keys[0]{UNIQUE}',
            ),
        ],
    ),
    (
        document(mcp_servers=[{"display_name": "s", "url": "u"}, {"name": "s"}], mcp_auth_settings=[{}, {}]),
        [
            (
                'mcp_servers[1] ("s")',
                f'duplicate mcp_servers entry: name "s" is already defined at mcp_servers[0]{UNIQUE}',
            ),
            (
                'mcp_auth_settings[1] ("mcp_auth_settings")',
                'duplicate mcp_auth_settings entry: mcp_auth_settings "mcp_auth_settings" is already defined at'
                f" mcp_auth_settings[0]{UNIQUE}",
            ),
        ],
    ),
    (
        document(provider_keys=[key(id="x")]),
        [
            (
                P,
                "the resources file does not accept `id` — ids are derived deterministically from the entry's name",
            )
        ],
    ),
    (
        document(models=[model(provider_key="q")]),
        [
            (
                M,
                '`provider_key` references unknown provider key "q" (no provider_keys are defined in this file)',
            )
        ],
    ),
    (
        document(provider_keys=[key(display_name="z"), key(api_key=5)], models=[model(provider_key="q")]),
        [
            ('provider_keys[1] ("p")', "schema validation failed at `/api_key`: expected a string"),
            (M, '`provider_key` references unknown provider key "q" (defined provider_keys: p, z)'),
        ],
    ),
    (
        document(provider_keys=[key()], models=[model(provider_key=["q"])]),
        [(M, "schema validation failed at `/provider_key`: expected a string")],
    ),
    (
        document(provider_keys=[key()], models=[model(provider_key_id="x", id="y")]),
        [
            (M, "the resources file does not accept `id` — ids are derived deterministically from the entry's name"),
            (M, "`provider_key` (a name reference) and `provider_key_id` are mutually exclusive — set exactly one"),
        ],
    ),
    (
        document(api_keys=[caller(key_env="CALLER")]),
        [(A, "`key_env` and `key_hash` are mutually exclusive — set exactly one")],
    ),
    (
        document(api_keys=[{"display_name": "a", "allowed_models": []}]),
        [
            (
                A,
                "one of `key_env` (an environment variable that holds the key) or `key_hash` (the SHA-256 of the key,"
                " in hex) is required",
            )
        ],
    ),
    *(
        (
            document(api_keys=[{"display_name": "a", "allowed_models": [], "key_env": variable}]),
            [(A, message)],
        )
        for variable, message in [
            ("NO", "`key_env` environment variable `NO` is unset or empty"),
            ("EMPTY", "`key_env` environment variable `EMPTY` is unset or empty"),
            ("", "`key_env` environment variable `` is unset or empty"),
            ("BAD", "`key_env` environment variable `BAD` is not valid UTF-8"),
            (
                "NESTED",
                "`key_env` environment variable `NESTED` contains an uninterpolated `${...}` reference; it must hold"
                " the key itself",
            ),
            (5, "schema validation failed at `/key_env`: expected a string"),
            (None, "schema validation failed at `/key_env`: expected a string"),
        ]
    ),
    (
        document(
            provider_keys=[key()],
            models=[
                group(routing={}),
                group("b", routing=TARGETS, retries=1, cost={"input_per_1k": 0, "output_per_1k": 0}),
                group("c", semantic=SEMANTIC, auto_prompt_caching={"enabled": True}),
                group("d", ensemble=ENSEMBLE, timeout=1, stream_timeout=1),
                group("e", routing=TARGETS, ensemble=ENSEMBLE, cooldown={}, retries=1),
                model(display_name="f", routing=TARGETS),
                {"display_name": "g", "provider": "v"},
                group("h", routing=TARGETS, retries=1, surplus=1),
                group("i", routing=TARGETS, timeout=1, stream_timeout=1),
            ],
        ),
        [
            (M, "schema validation failed at `/routing`: missing required field `targets`"),
            ('models[1] ("b")', "schema validation failed at ``: `cost`, `retries` not accepted on a model group"),
            (
                'models[2] ("c")',
                "schema validation failed at ``: `auto_prompt_caching` not accepted on a semantic router",
            ),
            (
                'models[3] ("d")',
                "schema validation failed at ``: `stream_timeout`, `timeout` not accepted on a ensemble",
            ),
            *(
                ('models[4] ("e")', f"schema validation failed at ``: `{name}` and `routing` are mutually exclusive")
                for name in ("ensemble", "cooldown")
            ),
            *(
                ('models[5] ("f")', f"schema validation failed at ``: `{name}` and `routing` are mutually exclusive")
                for name in ("provider", "model_name", "provider_key_id")
            ),
            *(
                ('models[6] ("g")', f"schema validation failed at ``: missing required field `{name}`")
                for name in ("model_name", "provider_key_id")
            ),
            *(
                ('models[7] ("h")', f"schema validation failed at ``: {reason}")
                for reason in ("unknown field `surplus`", "`retries` not accepted on a model group")
            ),
            ('models[8] ("i")', f'routing target references unknown model "t" (defined models: {ALL})'),
        ],
    ),
    (
        document(
            models=[
                group(routing={"targets": [{"model": "t"}, {"model": "m"}, {"model": "x*"}]}),
                group("b", ensemble=ENSEMBLE),
                group("c", semantic=SEMANTIC),
            ]
        ),
        [
            (scope, f'{what} references unknown model "{name}" (defined models: b, c, m)')
            for scope, what, name in [
                (M, "routing target", "t"),
                ('models[1] ("b")', "ensemble panel member", "t"),
                ('models[1] ("b")', "ensemble judge", "j"),
                ('models[2] ("c")', "semantic embedding_model", "e"),
                ('models[2] ("c")', "semantic default", "d"),
                ('models[2] ("c")', 'semantic route "r" target', "t"),
                ('models[2] ("c")', "semantic on_embedding_failure target", "f"),
            ]
        ],
    ),
    (
        document(
            guardrails=[
                {"name": "g", "kind": "keyword", "patterns": [{"kind": "literal", "value": "v", "y": 1}], "x": 1},
                {"name": "h", "kind": "keyword", "patterns": 5, "x": 1},
                {"name": "i", "kind": "none"},
            ],
            observability_exporters=[{"name": "e", "kind": "otlp_http", "endpoint": "https://h", "x": 1}],
        ),
        [
            (
                'guardrails[0] ("g")',
                "schema validation failed at ``: unknown field(s): `patterns.[].y`, `x`",
            ),
            ('guardrails[1] ("h")', "schema validation failed at ``: unknown field `x`"),
            ('guardrails[1] ("h")', "schema validation failed at `/patterns`: expected an array"),
            (
                'guardrails[2] ("i")',
                "schema validation failed at `/kind`: expected one of `keyword`, `bedrock`, `azure_content_safety`,"
                " `azure_content_safety_text_moderation`, `aliyun_text_moderation`, `aliyun_ai_guardrail`, `pii`,"
                " `lakera`, `openai_moderation`, `presidio`, `semantic`",
            ),
            ('observability_exporters[0] ("e")', "schema validation failed at ``: unknown field(s): `x`"),
        ],
    ),
    (
        document(
            models=[group(routing={"targets": [{"model": "m"}]})],
            api_keys=[caller()],
            rate_limit_policies=[
                policy("1", scope="api_key", scope_ref="no"),
                policy("2", scope="model", scope_ref="no"),
                policy("3", scope="team", scope_ref="no", limits={"rpm": 1}),
                conditions("4", leaf("api_key", "no"), {"logic": "or", "children": [leaf("model", ["m", "no"], "in")]}),
                conditions("5", leaf("team", "t", "~~"), leaf("model_name", "(", "~*"), leaf("team", [])),
                conditions("6", leaf("model_name", "x", "has"), group_by=["team", "team"]),
                conditions("7", *[leaf("team", "x")] * 17, limits={}),
                conditions("8", nested(3), {"logic": "and", "children": []}),
                conditions("9", leaf("provider", "a" * 257, "~~"), leaf("team", ["a"] * 65, "in")),
            ],
        ),
        [
            (f'rate_limit_policies[{int(name) - 1}] ("{name}")', message)
            for name, message in [
                ("1", '`scope_ref` references unknown api key "no" (defined api_keys: a)'),
                ("2", '`scope_ref` references unknown model "no" (defined models: m)'),
                *(
                    ("3", f"schema validation failed at ``: `{field}` and `limits` are mutually exclusive")
                    for field in ("scope", "scope_ref", "window", "max_requests")
                ),
                ("4", '`conditions[0].value` references unknown api key "no" (defined api_keys: a)'),
                (
                    "4",
                    '`conditions[1].children[0].value[1]` references unknown model "no" (defined models: m)',
                ),
                *(
                    (name, f"schema validation failed at `{pointer}`: {reason}")
                    for name, pointer, reason in [
                        ("5", "/conditions/0/operator", "this dimension does not admit the operator"),
                        (
                            "5",
                            "/conditions/1/value",
                            "must be a regular expression (RE2) of at most 256 bytes",
                        ),
                        ("5", "/conditions/2/value", "the operator takes one string, not empty"),
                        ("6", "/group_by", "must not repeat a dimension"),
                        ("6", "/conditions/0/operator", "this dimension does not admit the operator"),
                        ("7", "/limits", "must set at least one limit"),
                        ("7", "/conditions", "must have at most 16 conditions"),
                        (
                            "8",
                            "/conditions/0/children/0/children/0/children/0",
                            "conditions must not nest deeper than 3 levels",
                        ),
                        ("8", "/conditions/1", "a group must have at least one child"),
                        ("9", "/conditions/0/value", "must be a regular expression (RE2) of at most 256 bytes"),
                        ("9", "/conditions/1/value", "`in` takes a list of 1 to 64 strings, none empty"),
                    ]
                ),
            ]
        ],
    ),
    (
        document(
            provider_keys=[key()],
            passthrough_routes=[
                {"name": "1", "path_prefix": "/x", "target_url": "https://t", "provider_key": "q"},
                {"name": "2", "path_prefix": "/x", "target_url": "https://t", "provider_key_id": "x"},
                {"name": "3", "path_prefix": "/v1/x", "target_url": "https://t", "provider_key": "p"},
                {"name": "4", "target_url": "https://t", "preserve_host": True, "provider_key": "p"},
                route("5", auth_mode="anonymous", anonymous_key="b", anonymous_key_id="c"),
                route("6", auth_mode="header_key", auth_header_name="cookie"),
                route("7", auth_header_name="x-a", credential_mode="forward_client"),
                route("8", auth_mode="anonymous"),
            ],
            mcp_auth_settings=[{"resource_url": "https://r/?password=x"}],
        ),
        [
            *(
                (f'passthrough_routes[{int(name) - 1}] ("{name}")', message)
                for name, message in [
                    ("1", '`provider_key` references unknown provider key "q" (defined provider_keys: p)'),
                    (
                        "3",
                        "schema validation failed at `/path_prefix`: belongs to the gateway; without `hosts` it must be"
                        " elsewhere",
                    ),
                    *(
                        ("4", f"schema validation failed at ``: {reason}")
                        for reason in [
                            "at least one of `path_prefix` and `hosts` is required",
                            "exactly one of `target_url` and `preserve_host: true` is required",
                            "`preserve_host` needs `hosts`",
                        ]
                    ),
                    (
                        "5",
                        "`anonymous_key` (a name reference) and `anonymous_key_id` are mutually exclusive"
                        " — set exactly one",
                    ),
                    (
                        "6",
                        "schema validation failed at `/auth_header_name`: must not be a header that carries"
                        " credentials",
                    ),
                    (
                        "7",
                        "schema validation failed at `/auth_header_name`: is allowed with `auth_mode` `header_key`"
                        " only",
                    ),
                    (
                        "7",
                        "schema validation failed at `/provider_key_id`: is allowed with `credential_mode` `inject`"
                        " only",
                    ),
                    ("8", "schema validation failed at ``: `auth_mode` `anonymous` needs `anonymous_key_id`"),
                    (
                        "8",
                        "schema validation failed at ``: `auth_mode` `anonymous` needs `source_cidrs`, none of them"
                        " empty",
                    ),
                ]
            ),
            (
                'mcp_auth_settings[0] ("mcp_auth_settings")',
                "resource_url must not embed credentials (user information or a query parameter that holds one)",
            ),
            (
                'passthrough_routes[1] ("2")',
                'provider_key_id "x" does not match any provider key defined in this file'
                " — use `provider_key` with the key's display_name",
            ),
        ],
    ),
    (
        document(provider_keys=[{"display_name": "p"}]),
        [(P, "schema validation failed at ``: missing required field `api_key`")],
    ),
    (
        document(provider_keys=[{"display_name": "p", "secret": ""}]),
        [(P, "schema validation failed at `/secret`: must have at least 1 character(s)")],
    ),
    (
        document(provider_keys=[key(secret=5)]),
        [(P, "schema validation failed at `/secret`: expected a string")],
    ),
    (
        document(provider_keys=[key(secret="k")]),
        [(P, "cannot decode canonical document: `secret` and `api_key` are the same field")],
    ),
    (
        document(provider_keys=[key()], models=[model(timeout=5.0, retries=2**32)]),
        [
            (
                M,
                "cannot decode canonical document: at `/timeout`: expected an integer, found a floating-point number",
            ),
            (M, "cannot decode canonical document: at `/retries`: integer does not fit uint32"),
        ],
    ),
    (
        document(provider_keys=[key()], models=[model(timeout=5.0, retries=-1, surplus=1)]),
        [
            (M, "schema validation failed at ``: unknown field `surplus`"),
            (M, "schema validation failed at `/retries`: must be at least 0"),
        ],
    ),
    (
        document(api_keys=[caller(allowed_models=["m", "*", "no"], allowed_routes=["r", "r*"])]),
        [
            (A, 'allowed_models entry references unknown model "m" (defined models: none)'),
            (A, 'allowed_models entry references unknown model "no" (defined models: none)'),
            (A, 'allowed_routes entry references unknown passthrough route "r" (defined routes: none)'),
        ],
    ),
    (
        document(
            models=[group(routing={}), group("b", routing={})],
            api_keys=[caller(allowed_models=["m", "no"])],
        ),
        [
            (M, "schema validation failed at `/routing`: missing required field `targets`"),
            ('models[1] ("b")', "schema validation failed at `/routing`: missing required field `targets`"),
            (A, 'allowed_models entry references unknown model "no" (defined models: b, m)'),
        ],
    ),
    (
        document(
            passthrough_routes=[{"display_name": "r", "hosts": ["h"], "target_url": "http://t", **FORWARD}],
            api_keys=[caller(allowed_routes=["r", "s"])],
        ),
        [(A, 'allowed_routes entry references unknown passthrough route "s" (defined routes: r)')],
    ),
    (
        document(api_keys=[caller(), caller(display_name="b"), caller(display_name="c")]),
        [
            (
                f'api_keys[{index}] ("{name}")',
                f"duplicate api key credential: this entry's key resolves to the same key_hash as {A}"
                " — every entry needs a key of its own",
            )
            for index, name in ((1, "b"), (2, "c"))
        ],
    ),
    (
        document(
            api_keys=[
                caller(jwt_subject="s", jwt_provider="o"),
                caller(display_name="b", key_hash="i", jwt_subject="s", jwt_provider="o"),
                caller(display_name="c", key_hash="j", jwt_subject="s", jwt_provider="q"),
                caller(display_name="d", key_hash="k", jwt_subject="s"),
                caller(display_name="e", key_hash="l", jwt_provider="o"),
            ]
        ),
        [
            ('api_keys[1] ("b")', f'duplicate jwt binding "o"/"s": already used by {A}'),
            ('api_keys[3] ("d")', 'jwt_subject "s" is set without jwt_provider — set both or neither'),
        ],
    ),
    (
        document(
            api_keys=[caller()],
            oidc_providers=[
                idp(),
                idp(name="q"),
                idp(name="r", enabled=False),
                idp(name="s", issuer="https://u:p@i"),
                idp(name="t", issuer="https://u:p@i", jwks_uri="https://k?x=1&Token=2"),
            ],
            claim_mappings=[
                mapping(jwt_provider="x", resolve={"api_key_id": "y"}),
                mapping(name="d", resolve={"api_key": "a", "api_key_id": "y"}),
                mapping(name="e", resolve={"api_key": "b"}),
                mapping(name="f", resolve={"api_key": 5}),
                mapping(name="g", resolve={}),
                mapping(name="h", resolve=5),
                mapping(name="i", match=[]),
            ],
        ),
        [
            (
                'claim_mappings[1] ("d")',
                "`resolve.api_key` (a name reference) and `resolve.api_key_id` are mutually exclusive"
                " — set exactly one",
            ),
            (
                'claim_mappings[2] ("e")',
                '`resolve.api_key` references unknown api key "b" (defined api_keys: a)',
            ),
            ('claim_mappings[3] ("f")', "schema validation failed at `/resolve/api_key`: expected a string"),
            (
                'claim_mappings[4] ("g")',
                "schema validation failed at `/resolve`: missing required field `api_key_id`",
            ),
            ('claim_mappings[5] ("h")', "schema validation failed at `/resolve`: expected an object"),
            ('claim_mappings[6] ("i")', "schema validation failed at `/match`: must have at least 1 item(s)"),
            (
                'oidc_providers[1] ("q")',
                f'duplicate enabled OIDC issuer "https://i": already used by {IDP}'
                " — tokens of this issuer would be refused",
            ),
            (
                'oidc_providers[4] ("t")',
                'duplicate enabled OIDC issuer "…": already used by oidc_providers[3] ("s")'
                " — tokens of this issuer would be refused",
            ),
            (C, 'jwt_provider references unknown OIDC provider "x" (defined providers: o, q, r, s, t)'),
            (
                C,
                'resolve.api_key_id "y" does not match any api key defined in this file'
                " — use `resolve.api_key` with the key's display_name",
            ),
            *(
                (
                    f'oidc_providers[{index}] ("{name}")',
                    f"{field} must not embed credentials (user information or a query parameter that holds one)",
                )
                for index, name, field in ((3, "s", "issuer"), (4, "t", "issuer"), (4, "t", "jwks_uri"))
            ),
        ],
    ),
    (
        document(
            provider_keys=[key()],
            models=[{"display_name": "m", "provider": "v", "model_name": "n", "provider_key_id": "x"}],
        ),
        [
            (
                M,
                'provider_key_id "x" does not match any provider key defined in this file'
                " — use `provider_key` with the key's display_name",
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), REPORTS)
def test_report(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert [tuple(problem) for problem in problems(tmp_path, text)] == expected


def test_unreadable_files(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.yaml", "cannot read file: No such file or directory"),
        (tmp_path, "cannot read file: Is a directory"),
    ):
        with pytest.raises(ResourcesError) as info:
            load_resources(path, {})
        assert str(info.value) == f"resources file {path}: 1 error(s):\n  - (file): {message}"
    (tmp_path / "r.yaml").write_bytes(b"\xff")
    with pytest.raises(ResourcesError, match="cannot read file: it is not valid UTF-8"):
        load_resources(tmp_path / "r.yaml", {})


def test_all_errors_at_once_in_stage_order(tmp_path: Path) -> None:
    text = """
_format_version: "2"
surplus: 1
api_keys:
  - {display_name: a, key_env: NO, allowed_models: []}
  - {display_name: b, key_hash: h, allowed_models: [no, m]}
models:
  - {display_name: m, provider: V, model_name: n, provider_key: p}
  - nonsense
provider_keys:
  - {display_name: p, api_key: "${NO}"}
"""
    lines = str(failure(tmp_path, text)).splitlines()
    assert lines[0] == f"resources file {tmp_path / 'resources.yaml'}: 7 error(s):"
    assert [line.split(": ")[0] for line in lines[1:]] == [
        "  - (file)",
        "  - (file)",
        "  - provider_keys[0]",
        "  - models[1]",
        '  - models[0] ("m")',
        '  - api_keys[0] ("a")',
        '  - api_keys[1] ("b")',
    ]


def test_names_cannot_forge_lines(tmp_path: Path) -> None:
    text = document(models=[{"display_name": 'a"\n  - (file): fine', "nope\n": 1, "provider_key": "\u2028"}])
    report = str(failure(tmp_path, text))
    assert len(report.splitlines()) == 2
    assert '("a\\"\\u000a  - (file): fine")' in report


def test_long_lists_of_names_are_cut(tmp_path: Path) -> None:
    models = [model(display_name=f"m{index:03}") for index in range(30)]
    text = document(provider_keys=[key()], models=models, api_keys=[caller(allowed_models=["no"])])
    (problem,) = problems(tmp_path, text)
    assert problem.message.endswith("m018, m019, … 10 more)")


CANARY = "canary5f1d"


@pytest.mark.parametrize(
    "text",
    [
        document(provider_keys=[key(api_key=[CANARY], api_base={"a": CANARY}, tls=CANARY, adapter=CANARY)]),
        document(
            provider_keys=[key(secret=CANARY, strip_headers=CANARY, request={"default_headers": {"a": [CANARY]}})]
        ),
        document(provider_keys=[key(api_key=f"{CANARY}${{", request={"default_headers": {"h": f"{CANARY}${{NO}}"}})]),
        document(provider_keys=[key()], models=[model(model_name=[CANARY], timeout=CANARY, provider=CANARY.upper())]),
        document(
            api_keys=[caller(key_hash=[CANARY], expires_at=CANARY, rate_limit=CANARY, mcp_access={"allow": CANARY})]
        ),
        document(api_keys=[caller(key_hash=CANARY), caller(display_name="b", key_hash=CANARY)]),
        document(api_keys=[{"display_name": "a", "key_env": "PLAIN", "allowed_models": 5}]),
        document(api_keys=[{"display_name": "a", "key_env": "NESTED", "allowed_models": []}]),
        document(provider_keys=[CANARY], models=CANARY),
        f"provider_keys: [{{api_key: *{CANARY}}}]",
        f"provider_keys: [{{api_key: !{CANARY} x}}]",
        f"provider_keys: [{{api_key: '{CANARY}]",
        f"provider_keys:\n - api_key: {CANARY}: x",
    ],
)
def test_values_do_not_reach_the_report(tmp_path: Path, text: str) -> None:
    environ = {"PLAIN": CANARY, "NESTED": f"{CANARY}${{x}}"}
    error = failure(tmp_path, text, environ)
    assert CANARY not in f"{error}{error!r}"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 700) | st.sampled_from(["", "a", "p", "m", "${V}", "${NO}", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["display_name", "name", "id", "allow", "rps", "$"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def entries(template: dict[str, object], *names: str) -> st.SearchStrategy[Any]:
    """Entries near a valid one: some members replaced, some left out."""
    change = st.dictionaries(st.sampled_from([*template, *names]), VALUES, max_size=2)
    drop = st.sets(st.sampled_from(sorted(template)), max_size=1)
    entry = st.tuples(change, drop).map(
        lambda parts: {name: value for name, value in {**template, **parts[0]}.items() if name not in parts[1]}
    )
    return st.lists(entry | VALUES, max_size=2) | VALUES


FILES = st.fixed_dictionaries(
    {"_format_version": st.just("1")},
    optional={
        "provider_keys": entries(key(), "secret", "request", "tls", "id"),
        "models": entries(model(), "routing", "rate_limit", "provider_key_id"),
        "api_keys": entries(caller(), "key_env", "mcp_access", "expires_at"),
        "guardrails": entries({"name": "g", "kind": "keyword", "patterns": []}, "x"),
        "mcp_servers": entries({"name": "s", "url": "u"}, "display_name", "spec"),
        "rate_limit_policies": entries(conditions("r", leaf("model", "m")), "scope", "scope_ref", "conditions"),
        "passthrough_routes": entries(route("r"), "provider_key", "anonymous_key"),
        "claim_mappings": entries(mapping(), "resolve"),
        "mcp_auth_settings": VALUES,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES | VALUES)
def test_any_document_gives_resources_or_the_declared_error(tmp_path: Path, value: object) -> None:
    try:
        resources = load(tmp_path, yaml.safe_dump(value), ENVIRON)
    except ResourcesError as exc:
        assert exc.problems
        assert str(exc).count("\n") == len(exc.problems)
    else:
        travels(resources)


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("resources.example.yaml", ["gpt", "llama", "embed", "openai/*", "chat", "panel", "smart"]),
        ("minimal/resources.yaml", ["gpt"]),
        ("quickstart/openai.yaml", ["gpt-5", "gpt-5-mini", "gpt-4o-mini"]),
    ],
)
def test_example_files_load(name: str, models: list[str]) -> None:
    names = (
        "ALIYUN_SECRET",
        "AWS_SECRET",
        "SEARCH_SECRET",
        "OPENAI_API_KEY",
        "VLLM_API_KEY",
        "BACKEND_CALLER_KEY",
        "CALLER_KEY",
    )
    resources = load_resources(Path(__file__).parents[3] / "config" / name, dict.fromkeys(names, "x"))
    assert [row.value.display_name for row in resources.models] == models


def test_quickstart_needs_no_environment() -> None:
    resources = load_resources(Path(__file__).parents[3] / "config" / "quickstart" / "resources.yaml", {})
    assert [row.value.display_name for row in resources.models] == ["mock-gpt"]
    assert resources.provider_keys[0].value.api_base == "http://127.0.0.1:4010/v1"
    assert resources.api_keys[0].value.key_hash == hashlib.sha256(b"sk-fastgw-quickstart").hexdigest()


def fields(struct: Any) -> set[str]:
    """Every field of a type and of what is in it, by its name alone."""
    found: set[str] = set()
    waiting = [msgspec.inspect.type_info(struct)]
    seen: set[type] = set()
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, msgspec.inspect.StructType):
            if kind.cls not in seen:
                seen.add(kind.cls)
                found.update(field.encode_name for field in kind.fields)
                waiting += [field.type for field in kind.fields]
        elif isinstance(kind, msgspec.inspect.UnionType):
            waiting += kind.types
        else:
            inner = (getattr(kind, name, None) for name in ("type", "item_type", "value_type"))
            waiting += [item for item in inner if item is not None]
    return found


def test_the_annotated_example_shows_every_field() -> None:
    text = (Path(__file__).parents[3] / "config" / "resources.example.yaml").read_text()
    # One of two spellings is enough.
    omitted = {"branded_provider", "pk_label", "provider_key_id", "anonymous_key_id"}
    for kind in KINDS:
        for field in fields(kind.struct):
            assert f"{field}:" in text or field in omitted, f"{kind.name}: {field}"


def test_a_refused_file_is_told_by_what_was_read(tmp_path: Path) -> None:
    """Its hash is not that of what lies there a moment later."""
    path = tmp_path / "resources.yaml"
    with pytest.raises(ResourcesError) as missing:
        load_resources(path, {})
    assert missing.value.source_hash is None
    for text in (b"", b"_format_version: 1\n", b"[", b"\xff"):
        path.write_bytes(text)
        with pytest.raises(ResourcesError) as refused:
            load_resources(path, {})
        assert refused.value.source_hash == hashlib.sha256(text).hexdigest()
