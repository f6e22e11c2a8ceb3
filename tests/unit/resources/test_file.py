"""The resources file: what loads, what the report on one that does not is made of, and that no value of the file
reaches it."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgw.resources import Resources, ResourcesError, load_resources
from fastgw.resources.change import decode_value, encode_value, whole
from fastgw.resources.kinds import KINDS
from tests.support.resource_files import (
    ENVIRON,
    caller,
    conditions,
    document,
    failure,
    idp,
    key,
    leaf,
    load,
    mapping,
    model,
    problems,
    route,
)

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


def travels(resources: Resources) -> None:
    """Every row arrives in the workers as it is."""
    for kind, row in whole(resources).puts:
        assert decode_value(kind, encode_value(row.value)) == row.value


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
