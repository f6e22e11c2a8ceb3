"""A file from stored documents: the same resources when it is loaded, and no credential in it."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.yaml import load_documents
from fastgw.core.yaml_dump import dump
from fastgw.resources.export import Exported, Replaced, Stored, export
from fastgw.resources.file import parse_resources
from fastgw.resources.kinds import KINDS, find_kind
from fastgw.resources.models import Resources
from fastgw.resources.render import document
from tests.support.documents import VALID

CANARY = "canary$5f1d"
HASH = "0123456789abcdef" * 4
NAME = "apikey-0123456789abcdef"


def stored(kind: str, id: str, value: Any) -> Stored:
    return Stored(f"/fastgw/{kind}/{id}", kind, id, orjson.dumps(value))


def run(*items: Stored, reveal: bool = False) -> Exported:
    return export(items, "fastgw", reveal=reveal)


def load(exported: Exported) -> Resources:
    return parse_resources("export", exported.text.encode(), exported.values)


def top(exported: Exported) -> Any:
    (value,) = load_documents(exported.text)
    return value


KEY = stored("provider_keys", "pk", {"display_name": "open-ai", "secret": CANARY, "x": 1})
MODEL = stored("models", "m1", {"display_name": "m", "provider": "p", "model_name": "n", "provider_key_id": "pk"})
CALLER = stored("api_keys", "ak", {"key_hash": HASH, "allowed_models": ["m", "$x*"], "display_name": "shown"})


def test_names_for_ids_and_placeholders_for_credentials() -> None:
    exported = run(CALLER, MODEL, KEY)
    assert exported.complete
    assert exported.text.startswith('_format_version: "1"\nprovider_keys:\n- display_name: open-ai\n')
    assert list(top(exported)) == ["_format_version", "provider_keys", "models", "api_keys"]
    (key,), (model,), (caller,) = (top(exported)[kind] for kind in ("provider_keys", "models", "api_keys"))
    assert key["api_key"] == "${FASTGWSECRET_PROVIDER_KEY_OPEN_AI_API_KEY}"
    assert "x" not in key
    assert model == {"display_name": "m", "provider": "p", "model_name": "n", "provider_key": "open-ai"}
    assert caller == {"key_hash": HASH, "allowed_models": ["m", "$$x*"], "display_name": NAME}
    assert exported.replaced == [
        Replaced("FASTGWSECRET_PROVIDER_KEY_OPEN_AI_API_KEY", "provider_keys", "open-ai", "api_key")
    ]
    loaded = load(exported)
    assert loaded.provider_keys[0].value.api_key == CANARY
    assert loaded.api_keys[0].value.allowed_models == ("m", "$x*")
    assert CANARY not in f"{exported.text}{exported!r}"


def test_revealed_credentials() -> None:
    exported = run(KEY, reveal=True)
    assert "canary$$5f1d" in exported.text
    assert not exported.replaced
    assert load(exported).provider_keys[0].value.api_key == CANARY


def test_references_of_every_kind() -> None:
    leaf = {"dimension": "api_key", "operator": "in", "value": ["ak"]}
    group = {"logic": "and", "children": [{"dimension": "model", "operator": "==", "value": "m1"}, leaf]}
    route = {"name": "r", "hosts": ["h"], "target_url": "https://t", "provider_key_id": "pk"}
    anonymous = {"auth_mode": "anonymous", "anonymous_key_id": "ak", "source_cidrs": ["::/0"]}
    match = [{"claim": "c", "op": "exact", "values": ["v"]}]
    exported = run(
        *(KEY, MODEL, CALLER),
        stored(
            "rate_limit_policies",
            "1",
            {"name": "a", "scope": "model", "scope_ref": "m1", "window": "day", "max_tokens": 1},
        ),
        stored(
            "rate_limit_policies",
            "2",
            {"name": "b", "scope": "api_key", "scope_ref": "ak", "window": "day", "max_tokens": 1},
        ),
        stored(
            "rate_limit_policies",
            "3",
            {"name": "c", "scope": "team", "scope_ref": "ak", "window": "day", "max_tokens": 1},
        ),
        stored("rate_limit_policies", "4", {"name": "d", "limits": {"rpm": 1}, "conditions": [group, leaf]}),
        stored("oidc_providers", "o", {"name": "o", "issuer": "https://i", "audiences": ["a"]}),
        stored(
            "claim_mappings",
            "c",
            {"name": "c", "jwt_provider": "o", "match": match, "resolve": {"api_key_id": "ak"}},
        ),
        stored("passthrough_routes", "r", {**route, **anonymous}),
        stored("cache_policies", "c", {"name": "c", "applies_to": "api_key:ak"}),
        stored("cache_policies", "d", {"name": "d", "applies_to": "model:ak"}),
        stored("mcp_auth_settings", "s", {"anonymous": {"api_key_id": "ak", "servers": ["s"], "source_cidrs": ["x"]}}),
    )
    assert exported.complete, exported.gaps
    assert not exported.warnings
    loaded = load(exported)
    caller, model, key = loaded.api_keys[0].id, loaded.models[0].id, loaded.provider_keys[0].id
    policies = {row.value.name: row.value for row in loaded.rate_limit_policies}
    assert [policies[name].scope_ref for name in "abc"] == [model, caller, "ak"]
    assert document(policies["d"])["conditions"] == [
        {"logic": "and", "children": [{**group["children"][0], "value": model}, {**leaf, "value": [caller]}]},
        {**leaf, "value": [caller]},
    ]
    assert loaded.claim_mappings[0].value.resolve.api_key_id == caller
    assert loaded.passthrough_routes[0].value.anonymous_key_id == caller
    assert loaded.passthrough_routes[0].value.provider_key_id == key
    assert [row.value.applies_to for row in loaded.cache_policies] == [f"api_key:{caller}", "model:ak"]
    anonymous_access = loaded.mcp_auth_settings[0].value.anonymous
    assert anonymous_access is not None
    assert anonymous_access.api_key_id == caller


def test_every_credential_is_replaced() -> None:
    bedrock, exporter = copy.deepcopy(VALID["guardrails"][2]), copy.deepcopy(VALID["observability_exporters"][1])
    bedrock["aws_credentials"]["secret_access_key"] = CANARY
    exporter["headers"] = {"x-key": CANARY, "empty": ""}
    request = {"default_headers": {"a-b": CANARY}, "default_body_fields": {"c": [{"d": CANARY, "e": 1}, CANARY]}}
    exported = run(
        stored("provider_keys", "p", {"display_name": "p", "api_key": CANARY, "request": request}),
        stored("mcp_servers", "s", {"display_name": "s", "url": "u", "auth_type": "bearer", "secret": CANARY}),
        stored("a2a_agents", "a", {"name": "a", "url": "u", "auth_type": "bearer", "secret": CANARY}),
        stored("guardrails", "g", bedrock),
        stored("guardrails", "h", {**VALID["guardrails"][6], "name": "h", "access_key_secret": CANARY}),
        stored("guardrails", "i", {**VALID["guardrails"][9], "name": "i", "api_key": CANARY}),
        *(stored("guardrail_attachments", id, attachment(id)) for id in "ghi"),
        stored("observability_exporters", "e", exporter),
    )
    assert exported.complete, exported.gaps
    assert CANARY not in exported.text
    assert "5f1d" not in exported.text
    assert [item.variable.removeprefix("FASTGWSECRET_") for item in exported.replaced] == [
        "PROVIDER_KEY_P_API_KEY",
        "PROVIDER_KEY_P_DEFAULT_HEADERS_A_B",
        "PROVIDER_KEY_P_DEFAULT_BODY_FIELDS_C_0_D",
        "PROVIDER_KEY_P_DEFAULT_BODY_FIELDS_C_1",
        "GUARDRAIL_G_SECRET_ACCESS_KEY",
        "GUARDRAIL_H_ACCESS_KEY_SECRET",
        "GUARDRAIL_I_API_KEY",
        "MCP_SERVER_S_SECRET",
        "A2A_AGENT_A_SECRET",
        "OBSERVABILITY_EXPORTER_E_HEADER_X_KEY",
    ]
    loaded = load(exported).provider_keys[0].value.request
    assert loaded is not None
    assert loaded.default_body_fields == {"c": [{"d": CANARY, "e": 1}, CANARY]}


def test_names_that_share_a_variable_do_not_share_a_credential() -> None:
    exported = run(
        *(
            stored("provider_keys", str(index), {"display_name": name, "api_key": secret})
            for index, (name, secret) in enumerate([("a-b", "one"), ("a_b", "two"), ("a.b", "two"), ("ä", "x")])
        )
    )
    assert exported.complete
    assert {row.value.display_name: row.value.api_key for row in load(exported).provider_keys} == {
        "a-b": "one",
        "a_b": "two",
        "a.b": "two",
        "ä": "x",
    }
    assert {item.variable for item in exported.replaced} == {
        *(f"FASTGWSECRET_PROVIDER_KEY_{name}" for name in ("A_B_API_KEY", "A_B_API_KEY_2", "__API_KEY"))
    }


def attachment(guardrail: str, **members: Any) -> dict[str, Any]:
    return {"guardrail_id": guardrail, "scope_type": "env", "priority": 0, **members}


def test_only_guardrails_of_all_traffic_are_written() -> None:
    def guardrail(name: str) -> Stored:
        return stored("guardrails", name, {"name": name, "kind": "keyword", "patterns": []})

    exported = run(
        *(guardrail(name) for name in "abcde"),
        stored("guardrail_attachments", "1", attachment("a")),
        stored("guardrail_attachments", "2", attachment("b", scope_type="model", scope_id="m")),
        stored("guardrail_attachments", "3", attachment("c", enabled=False)),
        stored("guardrail_attachments", "4", attachment("e", priority=5)),
        stored("mcp_policies", "p", {"scope": "env"}),
    )
    assert exported.complete
    assert [entry["name"] for entry in top(exported)["guardrails"]] == ["a", "e"]
    assert exported.warnings == [
        *(f'guardrails "{name}" is not attached to everything and is left out' for name in "bcd"),
        'guardrails "e" loses its priority: a resources file has none',
        "mcp_policies have no form in a resources file (1 left out)",
    ]


@pytest.mark.parametrize(
    ("items", "gap"),
    [
        (
            [KEY, stored("provider_keys", "q", {"display_name": "open-ai", "api_key": "k"})],
            'provider_keys "open-ai" is there 2 times; a resources file needs unique names',
        ),
        ([MODEL], 'models "m": provider_key_id "pk" refers to nothing that was exported'),
        (
            [
                stored(
                    "rate_limit_policies",
                    "1",
                    {"name": "a", "scope": "model", "scope_ref": "m1", "window": "day", "max_tokens": 1},
                )
            ],
            'rate_limit_policies "a": scope_ref "m1" refers to nothing that was exported',
        ),
        (
            [CALLER],
            f'the file does not load: api_keys[0] ("{NAME}"): allowed_models entry references unknown model "m"'
            " (defined models: none)",
        ),
    ],
)
def test_what_makes_a_file_incomplete(items: list[Stored], gap: str) -> None:
    exported = run(*items)
    assert not exported.complete
    assert exported.gaps[0] == gap
    assert exported.count == len(items)


def test_what_cannot_be_served_is_said_and_left_out() -> None:
    exported = run(
        Stored("/fastgw/x", None, "", b"{}"),
        stored("gateways", "g", {}),
        Stored("/fastgw/models/m", "models", "m", b"{"),
        stored("provider_keys", "p", {"display_name": "p", "api_key": [CANARY]}),
        stored("models", "d", {"display_name": "d", "routing": {"targets": [{"model": "d"}], "x": 1}, "retries": 1}),
    )
    assert [(key, error_kind) for key, error_kind, _ in exported.rejected] == [
        ("/fastgw/x", "bad_key"),
        ("/fastgw/gateways/g", "unknown_kind"),
        ("/fastgw/models/m", "non_json"),
        ("/fastgw/provider_keys/p", "schema_failed"),
    ]
    assert not exported.complete
    assert not exported.gaps
    assert top(exported)["models"] == [
        {"display_name": "d", "routing": {"targets": [{"model": "d"}], "strategy": "failover"}}
    ]
    assert "canary" not in repr(exported)


def test_nothing() -> None:
    exported = run()
    assert (exported.text, exported.count, exported.complete) == ('_format_version: "1"\n', 0, True)


REFERENCES = {"provider_key_id", "anonymous_key_id", "api_key_id", "scope_ref"}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_documents_of_every_shape_survive(kind: str) -> None:
    """With the names that they refer to defined beside them."""
    found = find_kind(kind)
    assert found is not None
    for source in VALID[kind]:
        around = [
            stored("provider_keys", "k", {"display_name": "provider", "api_key": "x"}),
            stored("api_keys", "k", {"key_hash": "f" * 64, "allowed_models": []}),
            stored("oidc_providers", "o2", {"name": "p", "issuer": "https://p", "audiences": ["a"]}),
            stored("oidc_providers", "o3", {"name": "o", "issuer": "https://o", "audiences": ["a"]}),
            *(
                stored(
                    "models",
                    name,
                    {"display_name": name, "provider": "p", "model_name": "n", "provider_key_id": "k"},
                )
                for name in "abdejtm"
            ),
            *([stored("guardrail_attachments", "a", attachment("x"))] if kind == "guardrails" else []),
        ]
        item = stored(kind, "x", source)
        taken = source.get("display_name") or source.get("name")
        around = [other for other in around if other.kind != kind or orjson.loads(other.value).get("name") != taken]
        around = [other for other in around if other.kind != kind or other.id != taken]
        exported = run(*around, item)
        assert exported.complete, (exported.gaps, exported.rejected)
        before = run(*around).count
        assert exported.count == before + 1
        again = load(exported)
        rows = [row.value for row in getattr(again, kind)]
        assert any(plain(document(row)) == plain(document(decoded(kind, source))) for row in rows), source


def decoded(kind: str, source: Any) -> Any:
    from fastgw.resources.decode import decode

    return decode(kind, orjson.dumps(source), strict=False).row


def plain(item: Any) -> Any:
    """Without ids, which differ between store and file."""
    if isinstance(item, dict):
        return {key: plain(inner) for key, inner in item.items() if key not in {*REFERENCES, "display_name"}}
    return [plain(inner) for inner in item] if isinstance(item, list) else item


TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "yes",
        "1",
        "0o17",
        "0x1F",
        "1e5",
        ".5",
        "~",
        "null",
        "1_000",
        "2030-01-01",
        "<<",
        "=",
        "- a",
        "a: b",
        "#",
        "'",
        "",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_written_yaml_reads_back(value: dict[str, Any]) -> None:
    (read,) = load_documents(dump(value))
    assert read == value
    assert repr(read) == repr(value)  # 1 is not 1.0


def test_texts_of_several_lines_stay_readable() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
    written = dump({"ca_cert": pem, "odd": "a\n b \n", "bell": "a\n\x07"})
    assert "ca_cert: |\n  -----BEGIN" in written
    assert load_documents(written) == [{"ca_cert": pem, "odd": "a\n b \n", "bell": "a\n\x07"}]
