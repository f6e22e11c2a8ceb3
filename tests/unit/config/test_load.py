"""load_config: formats, coercion, defaults, unknown keys, environment, relative paths."""

import json
import os
import string
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgw.config import Config, ConfigError, load_config
from fastgw.config.schema import Etcd, Redis

MINIMAL: dict[str, Any] = {"resources_file": "r.yaml", "proxy": {"addr": "127.0.0.1:0"}, "admin": {"enabled": False}}


def load(directory: Path, document: object = MINIMAL, environ: dict[str, str] | None = None) -> Config:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_config(path, environ or {})


def failure(directory: Path, document: object = MINIMAL, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as info:
        load(directory, document, environ)
    return str(info.value)


def with_key(path: str, value: object) -> dict[str, Any]:
    """MINIMAL with one more key."""
    document: dict[str, Any] = json.loads(json.dumps(MINIMAL))
    *sections, key = path.split(".")
    section = document
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = value
    return document


def read(config: Config, path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


DEFAULTS = [
    ("namespace", "fastgw"),
    ("bedrock_endpoint_url", None),
    ("etcd", None),
    ("proxy.request_body_limit_bytes", 0),
    ("proxy.tls", None),
    ("proxy.real_ip.trusted_proxies", ()),
    ("proxy.real_ip.recursive", False),
    ("proxy.real_ip.header", "x-forwarded-for"),
    ("proxy.request_id.accept_headers", ("x-fastgw-request-id",)),
    ("proxy.url_rewrites", ()),
    ("proxy.provider_passthrough", True),
    ("proxy.list_virtual_models", False),
    ("proxy.thread_per_core", None),
    ("proxy.workers", None),
    ("admin.addr", "127.0.0.1:0"),
    ("admin.admin_keys", ()),
    ("observability.service_name", "fastgw"),
    ("observability.log_level", "info"),
    ("observability.access_log", True),
    ("observability.metrics.prometheus.enabled", True),
    ("observability.metrics.prometheus.path", "/metrics"),
    ("observability.metrics.prometheus.addr", "0.0.0.0:9090"),
    ("observability.metrics.otlp.enabled", False),
    ("observability.metrics.client_type_rules", ()),
    (
        "observability.metrics.buckets.guardrail_latency",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
    ("observability.metrics.buckets.a2a_ttfb", (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)),
    ("observability.metrics.buckets.request_ttft", (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)),
    ("observability.tracing.otlp.sample_ratio", 1.0),
    ("cache.backend", "memory"),
    ("cache.redis", None),
    ("ratelimit.backend", "memory"),
    ("ratelimit.concurrency_ttl_secs", 300),
    ("upstream.timeout_ms", 6_000_000),
    ("upstream.stream_timeout_ms", 0),
    ("upstream.connect_timeout_ms", 5000),
    ("upstream.tcp_keepalive_secs", 60),
    ("upstream.tcp_keepalive_interval_secs", 30),
    ("upstream.tcp_keepalive_retries", 5),
    ("upstream.pool_idle_timeout_secs", 30),
    ("upstream.pool_max_idle_per_host", None),
    ("upstream.retries", 2),
    ("upstream.tls.verify", True),
    ("downstream.idle_timeout_secs", 0),
    ("downstream.sse_keepalive_interval_secs", 15),
    ("shutdown.min_drain_secs", 30),
    ("managed.enabled", False),
    ("managed.mtls_dir", "/var/lib/fastgw/mtls"),
    ("managed.dp_id_file", "/var/lib/fastgw/dp_id"),
    ("managed.snapshot_cache_path", None),
    ("managed.heartbeat_interval_secs", 15),
]


@pytest.mark.parametrize(("path", "value"), DEFAULTS)
def test_default(tmp_path: Path, path: str, value: object) -> None:
    assert read(load(tmp_path), path) == value


def test_end_to_end_latency_buckets(tmp_path: Path) -> None:
    edges = load(tmp_path).observability.metrics.buckets.request_e2e_latency
    assert edges == (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 420, 600)


def test_admin_is_enabled_by_default(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL | {"admin": {"admin_keys": ["k"]}})
    assert config.admin.enabled
    assert config.admin.admin_keys == ("k",)


def test_defaults_follow_the_namespace(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL | {"namespace": "aisix"})
    assert config.namespace == config.observability.service_name == "aisix"
    assert config.proxy.request_id.accept_headers == ("x-aisix-request-id",)
    assert config.managed.mtls_dir == "/var/lib/aisix/mtls"
    assert config.managed.dp_id_file == "/var/lib/aisix/dp_id"


def test_given_values_beat_namespace_defaults(tmp_path: Path) -> None:
    document = with_key("proxy.request_id.accept_headers", []) | {"observability": {"service_name": "edge"}}
    config = load(tmp_path, document, {"FASTGW_NAMESPACE": "acme"})
    assert config.proxy.request_id.accept_headers == ()
    assert config.observability.service_name == "edge"


@pytest.mark.parametrize("name", ["", "Aisix", "1a", "a-b", "a" * 33, "a\n", None, ["a"]])
def test_namespace_pattern(tmp_path: Path, name: object) -> None:
    if name is None:
        assert load(tmp_path, MINIMAL | {"namespace": None}).namespace == "fastgw"
    else:
        assert "namespace must match" in failure(tmp_path, MINIMAL | {"namespace": name})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "proxy: {addr: '127.0.0.1:1'}\nresources_file: r\nadmin: {enabled: false}"),
        ("c.YML", "proxy: {addr: '127.0.0.1:1'}\nresources_file: r\nadmin: {enabled: 'false'}"),
        ("c.json", '{"proxy": {"addr": "127.0.0.1:1"}, "resources_file": "r", "admin": {"enabled": false}}'),
        ("c.toml", 'resources_file = "r"\n[proxy]\naddr = "127.0.0.1:1"\n[admin]\nenabled = false'),
    ],
)
def test_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert load_config(tmp_path / name, {}).proxy.addr == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "text", "fragment"),
    [
        ("c.ini", b"", "unknown file extension"),
        ("c", b"", "unknown file extension"),
        ("c.yaml", b"a: [canary", "invalid YAML"),
        ("c.yaml", b"a: 1\na: 2", "duplicate mapping key"),
        ("c.yaml", b"\xff\xfe", "not valid UTF-8"),
        ("c.yaml", b"a: 1\n---\nb: 1", "expected a single YAML document, found 2"),
        ("c.yaml", b"- a", "top level must be a mapping"),
        ("c.yaml", b"", "missing field `proxy`"),
        ("c.json", b"{canary}", "invalid JSON"),
        ("c.json", b'{"a": 1, "a": "canary"}', "duplicate member"),
        ("c.json", b"[" * 100_000, "invalid JSON"),
        ("c.json", b'{"a": ' + b"9" * 5000 + b"}", "invalid JSON"),
        ("c.json", b"[]", "top level must be a mapping"),
        ("c.toml", b"a = canary", "invalid TOML"),
        ("c.toml", b"a = 1\na = 2", "invalid TOML"),
    ],
)
def test_unreadable(tmp_path: Path, name: str, text: bytes, fragment: str) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ConfigError) as info:
        load_config(tmp_path / name, {})
    assert fragment in str(info.value)
    assert "canary" not in str(info.value).removeprefix(str(tmp_path))


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read file: No such file or directory"):
        load_config(tmp_path / "none.yaml", {})
    (tmp_path / "d.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot read file: Is a directory"):
        load_config(tmp_path / "d.yaml", {})


@pytest.mark.parametrize(
    ("path", "written", "value"),
    [
        ("shutdown.min_drain_secs", "7", 7),
        ("shutdown.min_drain_secs", 7.0, 7),
        ("proxy.workers", " 3 ", 3),
        ("proxy.workers", None, None),
        ("upstream.pool_max_idle_per_host", "0", 0),
        ("observability.service_name", 42, "42"),
        ("observability.service_name", True, "true"),
        ("observability.tracing.otlp.sample_ratio", "0.25", 0.25),
        ("observability.tracing.otlp.sample_ratio", 0, 0.0),
        ("proxy.real_ip.recursive", "TRUE", True),
        ("proxy.real_ip.recursive", 1, True),
        ("proxy.real_ip.recursive", "off", False),
        ("observability.access_log", None, True),
        ("observability.metrics", None, None),
        ("proxy.url_rewrites", "", ()),
        ("bedrock_endpoint_url", "", None),
        ("observability.metrics.prometheus.path", " scrape ", "/scrape"),
        ("observability.metrics.prometheus.path", "  ", "/metrics"),
        ("observability.metrics.prometheus.path", "/a/b", "/a/b"),
        ("observability.metrics.buckets.request_ttft", [1, "2.5"], (1.0, 2.5)),
    ],
)
def test_coercion(tmp_path: Path, path: str, written: object, value: object) -> None:
    config = load(tmp_path, with_key(path, written))
    if path != "observability.metrics":
        assert read(config, path) == value
    else:
        assert config.observability.metrics.prometheus.enabled


@pytest.mark.parametrize(
    ("path", "written", "fragment"),
    [
        ("shutdown.min_drain_secs", "canary", "shutdown.min_drain_secs: expected an integer"),
        ("shutdown.min_drain_secs", 1.5, "shutdown.min_drain_secs: expected an integer"),
        ("shutdown.min_drain_secs", True, "shutdown.min_drain_secs: expected an integer"),
        ("shutdown.min_drain_secs", "1_0", "shutdown.min_drain_secs: expected an integer"),
        ("shutdown.min_drain_secs", -1, "shutdown.min_drain_secs: must not be less than 0"),
        ("shutdown.min_drain_secs", 2**63, "shutdown.min_drain_secs: must not be greater than"),
        ("admin.enabled", "canary", "admin.enabled: expected a boolean"),
        ("admin.enabled", 2, "admin.enabled: expected a boolean"),
        ("admin.enabled", [], "admin.enabled: expected a boolean"),
        ("admin.admin_keys", "canary", "admin.admin_keys: expected a list"),
        ("admin.admin_keys", [["canary"]], "admin.admin_keys[0]: expected a string"),
        ("admin.admin_keys", [None], "admin.admin_keys[0]: expected a string"),
        ("proxy.addr", {"canary": 1}, "proxy.addr: expected a string"),
        ("resources_file", "canary\0", "resources_file: text has a NUL character"),
        ("proxy.tls", {"cert_file": "canary\0", "key_file": "x"}, "proxy.tls.cert_file: text has a NUL character"),
        ("proxy", "canary", "proxy: expected a section"),
        ("observability.tracing.otlp.sample_ratio", "canary", "sample_ratio: expected a number"),
        ("observability.tracing.otlp.sample_ratio", "1_0", "sample_ratio: expected a number"),
        ("observability.tracing.otlp.sample_ratio", False, "sample_ratio: expected a number"),
        ("cache.backend", "canary", "cache.backend: expected one of memory, redis"),
        ("ratelimit.redis", {"mode": "canary"}, "ratelimit.redis.mode: expected one of cluster, sentinel, single"),
        ("proxy.url_rewrites", "[canary", "proxy.url_rewrites: invalid JSON"),
        ("proxy.url_rewrites", '{"a": 1}', "proxy.url_rewrites: expected a list"),
        ("proxy.url_rewrites", ["canary"], "proxy.url_rewrites[0]: expected a section"),
        ("proxy.url_rewrites", [{"match": "a"}], "missing field `rewrite` in `proxy.url_rewrites[0]`"),
        ("proxy.tls", {"cert_file": "canary"}, "missing field `key_file` in `proxy.tls`"),
        ("proxy.addr", None, "missing field `addr` in `proxy`"),
        ("etcd", {"prefix": "/x"}, "missing field `endpoints` in `etcd`"),
        ("etcd", {"endpoints": ["x"], "tls": {"ca_cert_file": "canary"}}, "missing field `client_cert_file` in"),
    ],
)
def test_wrong_types(tmp_path: Path, path: str, written: object, fragment: str) -> None:
    message = failure(tmp_path, with_key(path, written))
    assert fragment in message
    assert "canary" not in message


SECTIONS = [
    "",
    "proxy",
    "proxy.real_ip",
    "proxy.request_id",
    "proxy.tls",
    "admin",
    "admin.tls",
    "observability",
    "observability.metrics",
    "observability.metrics.prometheus",
    "observability.metrics.otlp",
    "observability.metrics.buckets",
    "observability.tracing.otlp",
    "cache",
    "cache.redis",
    "cache.redis.tls",
    "ratelimit",
    "ratelimit.redis",
    "upstream",
    "upstream.tls",
    "downstream",
    "shutdown",
    "managed",
    "etcd",
    "etcd.tls",
]


@pytest.mark.parametrize("section", SECTIONS)
def test_unknown_keys_at_every_level(tmp_path: Path, section: str) -> None:
    message = failure(tmp_path, with_key(f"{section}.surplus".lstrip("."), "canary"))
    assert message == "unknown field `surplus`" + (f" in `{section}`" if section else "")


@pytest.mark.parametrize("section", SECTIONS)
def test_unknown_variables_at_every_level(tmp_path: Path, section: str) -> None:
    path = f"{section}.surplus".lstrip(".")
    variable = "FASTGW_" + path.upper().replace(".", "__")
    assert (
        failure(tmp_path, MINIMAL, {variable: "canary"}) == f"unknown field `{path}` (environment variable {variable})"
    )


def test_unknown_keys_in_list_items(tmp_path: Path) -> None:
    document = with_key("proxy.url_rewrites", [{"match": "a", "rewrite": "/", "flags": "i"}])
    assert failure(tmp_path, document) == "unknown field `flags` in `proxy.url_rewrites[0]`"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variable", "text", "path", "value"),
        [
            ("FASTGW_PROXY__REAL_IP__RECURSIVE", "true", "proxy.real_ip.recursive", True),
            ("FASTGW_PROXY__WORKERS", "4", "proxy.workers", 4),
            ("FASTGW_OBSERVABILITY__SERVICE_NAME", "007", "observability.service_name", "007"),
            ("FASTGW_OBSERVABILITY__SERVICE_NAME", "a, b", "observability.service_name", "a, b"),
            (
                "FASTGW_OBSERVABILITY__TRACING__OTLP__SAMPLE_RATIO",
                "0.5",
                "observability.tracing.otlp.sample_ratio",
                0.5,
            ),
            ("FASTGW_ADMIN__ADMIN_KEYS", " a , b ", "admin.admin_keys", ("a", "b")),
            ("FASTGW_ADMIN__ADMIN_KEYS", "", "admin.admin_keys", ()),
            (
                "FASTGW_PROXY__REAL_IP__TRUSTED_PROXIES",
                "10.0.0.0/8, ::1",
                "proxy.real_ip.trusted_proxies",
                ("10.0.0.0/8", "::1"),
            ),
            ("FASTGW_PROXY__REQUEST_ID__ACCEPT_HEADERS", "x-a,x-b", "proxy.request_id.accept_headers", ("x-a", "x-b")),
            (
                "FASTGW_OBSERVABILITY__METRICS__BUCKETS__REQUEST_TTFT",
                "0.25,1.5",
                "observability.metrics.buckets.request_ttft",
                (0.25, 1.5),
            ),
            ("AISIX_SHUTDOWN__MIN_DRAIN_SECS", "1", "shutdown.min_drain_secs", 1),
            ("FASTGW_BEDROCK_ENDPOINT_URL", "http://x", "bedrock_endpoint_url", "http://x"),
        ],
    )
    def test_override(self, tmp_path: Path, variable: str, text: str, path: str, value: object) -> None:
        assert read(load(tmp_path, MINIMAL | {"namespace": "aisix"}, {variable: text}), path) == value

    def test_lists_of_objects_are_json(self, tmp_path: Path) -> None:
        rules = [{"match": "^/a", "rewrite": "/b"}]
        config = load(tmp_path, MINIMAL, {"FASTGW_PROXY__URL_REWRITES": json.dumps(rules)})
        assert config.proxy.url_rewrites[0].match == "^/a"
        variable = "FASTGW_OBSERVABILITY__METRICS__CLIENT_TYPE_RULES"
        assert load(tmp_path, MINIMAL, {variable: " "}).observability.metrics.client_type_rules == ()
        message = failure(tmp_path, MINIMAL, {variable: "[canary"})
        assert "observability.metrics.client_type_rules: invalid JSON" in message
        assert "canary" not in message

    def test_product_prefix_wins(self, tmp_path: Path) -> None:
        environ = {"FASTGW_PROXY__WORKERS": "1", "AISIX_PROXY__WORKERS": "2", "ZZ_PROXY__WORKERS": "3"}
        assert load(tmp_path, MINIMAL | {"namespace": "aisix"}, environ).proxy.workers == 1
        assert load(tmp_path, MINIMAL | {"namespace": "zz"}, environ).proxy.workers == 1
        assert load(tmp_path, MINIMAL, {"AISIX_PROXY__WORKERS": "2"}).proxy.workers is None

    def test_a_namespace_that_begins_with_the_product(self, tmp_path: Path) -> None:
        config = load(tmp_path, MINIMAL | {"namespace": "fastgw_edge"}, {"FASTGW_EDGE_PROXY__WORKERS": "2"})
        assert config.proxy.workers == 2

    def test_namespace_comes_from_the_product_prefix_only(self, tmp_path: Path) -> None:
        environ = {"FASTGW_NAMESPACE": "edge", "EDGE_NAMESPACE": "other", "EDGE_PROXY__WORKERS": "5"}
        config = load(tmp_path, MINIMAL | {"namespace": "file"}, environ)
        assert config.namespace == "edge"
        assert config.proxy.workers == 5
        assert "namespace must match" in failure(tmp_path, MINIMAL, {"FASTGW_NAMESPACE": ""})

    def test_exempt_and_foreign_names(self, tmp_path: Path) -> None:
        names = (
            "FASTGW_CONFIG",
            "FASTGW_CONFIG_PATH",
            "AISIX_CONFIG",
            "AISIX_CONFIG_PATH",
            "AISIXSECRET_X",
            "FASTGWX_Y",
        )
        load(tmp_path, MINIMAL | {"namespace": "aisix"}, dict.fromkeys(names, "x"))

    @pytest.mark.parametrize(
        "variable",
        ["FASTGW_", "FASTGW_PROXY__", "FASTGW___PROXY", "FASTGW_PROXY__ADDR__X", "FASTGW_PROXY_ADDR", "AISIX_NOPE"],
    )
    def test_misspelt(self, tmp_path: Path, variable: str) -> None:
        assert "unknown field `" in failure(tmp_path, MINIMAL | {"namespace": "aisix"}, {variable: "x"})

    def test_sections(self, tmp_path: Path) -> None:
        assert "shutdown: expected a section" in failure(tmp_path, MINIMAL, {"FASTGW_SHUTDOWN": "x"})
        document = MINIMAL | {"shutdown": "x"}
        assert "shutdown: expected a section" in failure(tmp_path, document, {"FASTGW_SHUTDOWN__MIN_DRAIN_SECS": "1"})
        config = load(tmp_path, MINIMAL | {"shutdown": None}, {"FASTGW_SHUTDOWN__MIN_DRAIN_SECS": "1"})
        assert config.shutdown.min_drain_secs == 1

    def test_an_alias_in_the_file_is_not_overridden_twice(self, tmp_path: Path) -> None:
        path = tmp_path / "c.yaml"
        path.write_text(
            "resources_file: r\n"
            "proxy:\n  addr: 127.0.0.1:1\n  tls: &tls {cert_file: a, key_file: b}\n"
            "admin:\n  enabled: false\n  tls: *tls\n"
        )
        config = load_config(path, {"FASTGW_ADMIN__TLS__CERT_FILE": "c"})
        assert config.proxy.tls is not None
        assert config.admin.tls is not None
        assert (config.proxy.tls.cert_file, config.admin.tls.cert_file) == ("a", "c")

    def test_undecodable_bytes(self, tmp_path: Path) -> None:
        assert "not valid Unicode" in failure(tmp_path, MINIMAL, {"FASTGW_OBSERVABILITY__SERVICE_NAME": "a\udcff"})


class TestResourcesFile:
    def test_as_given_when_it_exists_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "conf").mkdir()
        for directory in (tmp_path, tmp_path / "conf"):
            (directory / "r.yaml").touch()
        monkeypatch.chdir(tmp_path)
        assert load(tmp_path / "conf").resources_file == "r.yaml"

    def test_next_to_the_config_file_otherwise(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "r.yaml").touch()
        monkeypatch.chdir(tmp_path)
        found = load(tmp_path / "conf").resources_file
        assert found == str(tmp_path / "conf" / "r.yaml")

    def test_as_given_when_it_is_nowhere(self, tmp_path: Path) -> None:
        assert load(tmp_path).resources_file == "r.yaml"


def test_secrets_are_not_printed() -> None:
    redis = Redis(url="redis://:canary@h", password="canary")
    etcd = Etcd(endpoints=("http://canary@h",))
    assert "canary" not in f"{redis!r}{etcd}"


def test_a_config_travels_as_msgpack(tmp_path: Path) -> None:
    config = load(tmp_path, with_key("proxy.url_rewrites", [{"match": "a", "rewrite": "/$0"}]))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from([*Config.__struct_fields__, "addr", "tls", "redis", "endpoints", "admin_keys", "buckets", "x"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, st.dictionaries(st.text(string.ascii_uppercase + "_", max_size=12), st.text(max_size=5), max_size=2))
def test_any_document_gives_a_config_or_the_declared_error(
    tmp_path: Path, document: object, environ: dict[str, str]
) -> None:
    path = tmp_path / "any.json"
    for value in (document, MINIMAL | document if isinstance(document, dict) else document):
        path.write_text(json.dumps(value))
        try:
            assert isinstance(load_config(path, {f"FASTGW_{name}": text for name, text in environ.items()}), Config)
        except ConfigError as exc:
            assert str(exc)


@pytest.mark.parametrize("name", ["fastgw.example.yaml", "minimal/config.yaml", "quickstart/config.yaml"])
def test_example_files_load(name: str) -> None:
    load_config(Path(__file__).parents[3] / "config" / name, {})


def test_the_annotated_example_lists_every_key_with_its_default(tmp_path: Path) -> None:
    path = Path(__file__).parents[3] / "config" / "fastgw.example.yaml"
    example = load_config(path, {})
    defaults = load(
        tmp_path, {"resources_file": "r", "proxy": {"addr": "0.0.0.0:3000"}, "admin": {"admin_keys": ["change-me"]}}
    )
    assert msgspec.structs.replace(example, resources_file="r") == defaults
    words = set(path.read_text().replace(":", " ").replace("{", " ").replace(",", " ").split())

    def keys(struct: type[msgspec.Struct]) -> set[str]:
        found = set(struct.__struct_fields__)
        for field in msgspec.structs.fields(struct):
            for part in getattr(field.type, "__args__", (field.type,)):
                if isinstance(part, type) and issubclass(part, msgspec.Struct):
                    found |= keys(part)
        return found

    assert keys(Config) - words == set()


def test_quickstart_listens_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    config = load_config(Path("config/quickstart/config.yaml"), {})
    assert config.proxy.addr == "127.0.0.1:3000"
    assert config.observability.metrics.prometheus.addr == "127.0.0.1:9090"
    assert not config.admin.enabled
    assert config.resources_file == os.path.join("config", "quickstart", "resources.yaml")
