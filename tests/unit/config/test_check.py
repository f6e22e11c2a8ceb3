"""Every condition that stops a boot, with the words that must appear, and the order in which they are looked at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastgw.config import Config, ConfigError, load_config

BASE: dict[str, Any] = {"resources_file": "r.yaml", "proxy": {"addr": "127.0.0.1:0"}, "admin": {"enabled": False}}
REDIS = {"url": "redis://h"}


def load(directory: Path, changes: Mapping[str, object]) -> Config:
    """BASE with dotted keys replaced; a value of None removes the key."""
    document = json.loads(json.dumps(BASE))
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    (directory / "c.json").write_text(json.dumps(document))
    return load_config(directory / "c.json", {})


def failure(directory: Path, changes: Mapping[str, object]) -> str:
    with pytest.raises(ConfigError) as info:
        load(directory, changes)
    return str(info.value)


def rule(match: str, rewrite: str, **more: str) -> dict[str, object]:
    return {"proxy.url_rewrites": [{"match": match, "rewrite": rewrite, **more}]}


RULES = "observability.metrics.client_type_rules"
BUCKETS = "observability.metrics.buckets"

# In the order of evaluation.
FAILURES: list[tuple[dict[str, object], str]] = [
    (rule("(", "/", name="mine"), "mine: invalid match regex: "),
    (rule("(", "/"), "proxy.url_rewrites[0]: invalid match regex: "),
    (rule("a*", "/"), "match must not match the empty string"),
    (rule("a", "/ "), "rewrite must not contain"),
    (rule("a", "/$1"), "rewrite references unknown capture group"),
    (rule("a", "/${"), "rewrite has an unterminated"),
    ({"resources_file": " "}, "resources_file must not be empty when set"),
    ({"resources_file": ""}, "resources_file must not be empty when set"),
    ({"etcd.endpoints": ["http://h"]}, "config sets both etcd.endpoints and resources_file"),
    ({"managed.enabled": True}, "resources_file cannot be combined with managed.enabled = true"),
    ({"resources_file": None}, "etcd.endpoints must contain at least one endpoint"),
    ({"resources_file": None, "etcd.endpoints": []}, "etcd.endpoints must contain at least one endpoint"),
    ({"admin.enabled": True}, "admin.admin_keys must contain at least one key"),
    ({"admin": {"admin_keys": ["a", " "]}}, "admin.admin_keys must contain at least one key"),
    ({"admin": {"admin_keys": ["k"], "addr": "localhost:1"}}, "admin.addr invalid socket address: localhost:1"),
    ({"proxy.addr": "localhost:1"}, "proxy.addr invalid socket address: localhost:1"),
    ({"proxy.real_ip.trusted_proxies": ["::1", "h/8"]}, "proxy.real_ip.trusted_proxies invalid CIDR/IP: h/8"),
    ({"proxy.request_id.accept_headers": ["a b"]}, 'proxy.request_id.accept_headers rejects "a b"'),
    ({"proxy.request_id.accept_headers": [""]}, 'proxy.request_id.accept_headers rejects ""'),
    ({"proxy.request_id.accept_headers": ["x", "Cookie"]}, 'proxy.request_id.accept_headers rejects "Cookie"'),
    ({"proxy.workers": 0}, "proxy.workers must be at least 1"),
    ({"proxy.workers": 1025}, "proxy.workers must be at most 1024"),
    (
        {"observability.metrics.prometheus": {"addr": "x:1", "enabled": False}},
        "observability.metrics.prometheus.addr invalid socket address: x:1",
    ),
    ({"ratelimit.backend": "redis"}, "ratelimit.backend = redis requires a ratelimit.redis block"),
    (
        {"ratelimit": {"backend": "redis", "redis": REDIS, "concurrency_ttl_secs": 0}},
        "ratelimit.concurrency_ttl_secs must be > 0",
    ),
    ({"ratelimit": {"backend": "redis", "redis": {}}}, "ratelimit.redis.url is required when mode = single"),
    ({"cache.redis": {"url": ""}}, "cache.redis.url is required when mode = single"),
    (
        {"cache.redis": {"mode": "cluster"}},
        "cache.redis.nodes must list at least one node when mode = cluster",
    ),
    (
        {"cache.redis": {"mode": "sentinel", "master_name": "m"}},
        "cache.redis.sentinels must list at least one sentinel when mode = sentinel",
    ),
    (
        {"cache.redis": {"mode": "sentinel", "sentinels": ["h"]}},
        "cache.redis.master_name is required when mode = sentinel",
    ),
    (
        {"upstream.tls": {"client_cert_file": "c"}},
        "upstream.tls.client_cert_file requires upstream.tls.client_key_file",
    ),
    (
        {"upstream.tls": {"client_key_file": "c"}},
        "upstream.tls.client_key_file requires upstream.tls.client_cert_file",
    ),
    (
        {"cache.redis": {"url": "rediss://h", "tls": {"client_cert_file": "c"}}},
        "cache.redis.tls.client_cert_file requires cache.redis.tls.client_key_file",
    ),
    ({"cache.backend": "redis"}, "cache.backend = redis but cache.redis missing"),
    ({f"{BUCKETS}.request_e2e_latency": []}, f"{BUCKETS}.request_e2e_latency must list"),
    ({f"{BUCKETS}.request_ttft": list(range(1, 66))}, f"{BUCKETS}.request_ttft[64]"),
    ({f"{BUCKETS}.request_ttft": [1, float("inf")]}, f"{BUCKETS}.request_ttft[1]"),
    ({f"{BUCKETS}.guardrail_latency": [float("nan")]}, f"{BUCKETS}.guardrail_latency[0]"),
    ({f"{BUCKETS}.guardrail_latency": [0]}, f"{BUCKETS}.guardrail_latency[0]"),
    ({f"{BUCKETS}.a2a_ttfb": [1, 2, 2]}, f"{BUCKETS}.a2a_ttfb[2]"),
    ({f"{BUCKETS}.a2a_ttfb": [2, 1]}, f"{BUCKETS}.a2a_ttfb[1]"),
    ({RULES: [{"pattern": "a", "client": "a"}, {"pattern": "(", "client": "a"}]}, f"{RULES}[1]"),
    ({RULES: [{"pattern": "", "client": "a"}]}, f"{RULES}[0]"),
    ({RULES: [{"pattern": "é" * 257, "client": "a"}]}, f"{RULES}[0]"),
    ({RULES: [{"pattern": "a", "client": "A"}]}, f"{RULES}[0]"),
    ({RULES: [{"pattern": "a", "client": "a" * 65}]}, f"{RULES}[0]"),
    ({RULES: [{"pattern": "a", "client": "a\n"}]}, f"{RULES}[0]"),
    ({RULES: [{"pattern": "a", "client": "a"}] * 65}, f"{RULES}[64]"),
    ({"observability.log_level": "loud"}, "observability.log_level must be"),
    ({"observability.log_level": ""}, "observability.log_level must be"),
    ({"observability.log_level": "info,x=loud"}, "observability.log_level must be"),
    ({"observability.tracing.otlp.enabled": True}, "observability.tracing.otlp.endpoint is required"),
    (
        {"observability.tracing.otlp": {"enabled": True, "endpoint": " "}},
        "observability.tracing.otlp.endpoint is required",
    ),
    ({"observability.tracing.otlp.sample_ratio": 1.5}, "observability.tracing.otlp.sample_ratio must be"),
    ({"resources_file": None, "managed.enabled": True}, "connecting to a control plane is not supported"),
    ({"cache.redis": REDIS}, "cache.redis: the Redis cache is not available in this version"),
    ({"cache": {"redis": REDIS, "backend": "redis"}}, "cache.redis: the Redis cache is not available in this version"),
    ({"ratelimit": {"backend": "redis", "redis": REDIS}}, "ratelimit.backend: the Redis backend is not available"),
]


@pytest.mark.parametrize(("changes", "fragment"), FAILURES)
def test_failure(tmp_path: Path, changes: dict[str, object], fragment: str) -> None:
    assert fragment in failure(tmp_path, changes)


def test_both_sources_are_said_to_exclude_each_other(tmp_path: Path) -> None:
    assert "mutually exclusive" in failure(tmp_path, {"etcd.endpoints": ["http://h"]})


def test_first_failure_wins(tmp_path: Path) -> None:
    """A later condition that holds as well does not change the message: every pair of rows that can be combined."""
    checked = 0
    for first, (changes, fragment) in enumerate(FAILURES):
        for later, _ in FAILURES[first + 1 :]:
            sections = {path.split(".")[0] for path in changes}
            if "resources_file" not in later and sections.isdisjoint(path.split(".")[0] for path in later):
                checked += 1
                assert fragment in failure(tmp_path, {**later, **changes})
    assert checked > 500


@pytest.mark.parametrize(
    "header",
    [
        *("authorization", "x-api-key", "x-goog-api-key", "api-key", "x-amz-security-token", "x-amz-date"),
        *("x-amz-content-sha256", "proxy-authorization", "cookie", "host", "traceparent", "tracestate"),
    ],
)
def test_reserved_id_headers(tmp_path: Path, header: str) -> None:
    for spelling in (header, header.upper()):
        message = failure(tmp_path, {"proxy.request_id.accept_headers": [spelling]})
        assert f'proxy.request_id.accept_headers rejects "{spelling}"' in message


@pytest.mark.parametrize(
    "changes",
    [
        {"admin": {"enabled": False, "addr": "nonsense"}},
        {"etcd.endpoints": []},
        {"proxy.addr": "[::1]:8080"},
        {"proxy.real_ip.trusted_proxies": ["10.1.2.3/8", "::1"]},
        {"proxy.request_id.accept_headers": []},
        {"proxy.workers": 1},
        {"ratelimit.redis": REDIS},
        {"ratelimit.concurrency_ttl_secs": 0},
        {"upstream.tls": {"client_cert_file": "c", "client_key_file": "k"}},
        {f"{BUCKETS}.a2a_ttfb": list(range(1, 65))},
        {RULES: [{"pattern": "a" * 512, "client": "a" * 64}] * 64},
        {"observability.log_level": "INFO, fastgw=debug,other=off"},
        {"observability.tracing.otlp": {"enabled": True, "endpoint": "http://h", "sample_ratio": 0}},
        {"managed.cp_base_url": "https://cp"},
        {"resources_file": None, "etcd.endpoints": ["http://h:1"]},
        rule("^/a/(?P<x>.*)", "/v1/$x"),
    ],
)
def test_accepted(tmp_path: Path, changes: dict[str, object]) -> None:
    load(tmp_path, changes)


def test_messages_do_not_hold_credentials(tmp_path: Path) -> None:
    secret = "canary5f1d"
    redis = {"url": f"redis://:{secret}@h", "password": secret, "nodes": [secret], "sentinels": [secret]}
    for block in ("cache.redis", "ratelimit.redis"):
        for mode in ("single", "cluster", "sentinel"):
            changes = {
                block: {**redis, "mode": mode, "tls": {"client_key_file": secret}},
                "admin": {"admin_keys": [secret]},
                "managed.cp_key_pem": secret,
            }
            assert secret not in failure(tmp_path, changes)
    for changes in (
        {"etcd": {"endpoints": [f"http://u:{secret}@h"]}},
        {"admin": {"admin_keys": [secret], "addr": "bad"}},
        {"admin": {"admin_keys": {secret: 1}}},
        {"managed": {"enabled": True, "cp_key_pem": secret}},
        {"cache.redis": f"redis://:{secret}@h"},
        {"cache.redis": {"password": [secret]}},
    ):
        assert secret not in failure(tmp_path, changes)
