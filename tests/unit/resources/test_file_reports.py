"""The report on a resources file that is refused: every line of it, and their order."""

from pathlib import Path

import pytest

from fastgw.resources.kinds import KINDS
from tests.support.resource_files import (
    ENSEMBLE,
    SEMANTIC,
    TARGETS,
    caller,
    conditions,
    document,
    group,
    idp,
    key,
    leaf,
    mapping,
    model,
    nested,
    policy,
    problems,
    route,
)

UNIQUE = " — identities must be unique within a kind"
ALL = ", ".join("bcdefghim")
FORWARD = {"credential_mode": "forward_client"}
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
