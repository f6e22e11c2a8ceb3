"""What the types cannot say about ``config.yaml``: checks in a fixed order, of which the first failure is reported."""

import math
import re
from typing import Final

from fastgw.config.errors import ConfigError
from fastgw.config.rewrites import compile_rewrite
from fastgw.config.schema import Buckets, ClientTypeRule, Config, Observability, OutboundTls, Redis
from fastgw.core.addresses import parse_network, parse_socket_address
from fastgw.core.headers import RESERVED, TRACE_CONTEXT
from fastgw.core.regex import RegexError, compile_regex

MAX_WORKERS: Final = 1024
"""More processes than any machine has use for: a slip of the finger must not fill it with them."""
MAX_BUCKETS: Final = 64
MAX_CLIENT_TYPE_RULES: Final = 64

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_CLIENT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LEVEL: Final = re.compile(r"(?:[^=,\s]+=)?(?:error|warn|info|debug|trace|off)", re.IGNORECASE)

# Values of these headers are credentials or routing data: taking one as the request id would publish it.
_RESERVED_ID_HEADERS: Final = RESERVED | TRACE_CONTEXT


def check(config: Config) -> None:
    """Raises :class:`ConfigError` with the first failure."""
    for index, rule in enumerate(config.proxy.url_rewrites):
        compile_rewrite(rule, index)
    _check_source(config)
    _check_listeners(config)
    _check_redis_backends(config)
    _check_metrics(config.observability)
    _check_observability(config.observability)
    _refuse_unavailable(config)


def _check_source(config: Config) -> None:
    endpoints = config.etcd is not None and bool(config.etcd.endpoints)
    if config.resources_file is not None:
        if not config.resources_file.strip():
            raise ConfigError("resources_file must not be empty when set")
        if endpoints:
            raise ConfigError("config sets both etcd.endpoints and resources_file; the two are mutually exclusive")
        if config.managed.enabled:
            raise ConfigError("resources_file cannot be combined with managed.enabled = true")
    elif not endpoints and not config.managed.enabled:
        raise ConfigError("etcd.endpoints must contain at least one endpoint, or resources_file must be set")


def _check_listeners(config: Config) -> None:
    admin, proxy = config.admin, config.proxy
    if admin.enabled and not config.managed.enabled:
        if not admin.admin_keys or not all(key.strip() for key in admin.admin_keys):
            raise ConfigError("admin.admin_keys must contain at least one key, and no blank one")
        _check_address("admin.addr", admin.addr)
    _check_address("proxy.addr", proxy.addr)
    for entry in proxy.real_ip.trusted_proxies:
        try:
            parse_network(entry)
        except ValueError:
            raise ConfigError(f"proxy.real_ip.trusted_proxies invalid CIDR/IP: {entry}") from None
    for header in proxy.request_id.accept_headers:
        if not _TOKEN.fullmatch(header) or header.lower() in _RESERVED_ID_HEADERS:
            raise ConfigError(
                f'proxy.request_id.accept_headers rejects "{header}": it is not a header name, or a reserved one'
            )
    if proxy.workers == 0:
        raise ConfigError("proxy.workers must be at least 1")
    if proxy.workers is not None and proxy.workers > MAX_WORKERS:
        raise ConfigError(f"proxy.workers must be at most {MAX_WORKERS}")
    _check_address("observability.metrics.prometheus.addr", config.observability.metrics.prometheus.addr)


def _check_address(key: str, addr: str) -> None:
    try:
        parse_socket_address(addr)
    except ValueError:
        raise ConfigError(f"{key} invalid socket address: {addr}") from None


def _check_redis_backends(config: Config) -> None:
    limits = config.ratelimit
    if limits.backend == "redis":
        if limits.redis is None:
            raise ConfigError("ratelimit.backend = redis requires a ratelimit.redis block")
        if limits.concurrency_ttl_secs == 0:
            raise ConfigError("ratelimit.concurrency_ttl_secs must be > 0")
    blocks = [
        (context, block)
        for context, block in (("ratelimit.redis", limits.redis), ("cache.redis", config.cache.redis))
        if block is not None
    ]
    for context, block in blocks:
        _check_redis(context, block)
    _check_tls("upstream.tls", config.upstream.tls)
    for context, block in blocks:
        _check_tls(f"{context}.tls", block.tls)
    if config.cache.backend == "redis" and config.cache.redis is None:
        raise ConfigError("cache.backend = redis but cache.redis missing")


def _check_redis(context: str, redis: Redis) -> None:
    if redis.mode == "single" and not redis.url:
        raise ConfigError(f"{context}.url is required when mode = single")
    if redis.mode == "cluster" and not redis.nodes:
        raise ConfigError(f"{context}.nodes must list at least one node when mode = cluster")
    if redis.mode == "sentinel":
        if not redis.sentinels:
            raise ConfigError(f"{context}.sentinels must list at least one sentinel when mode = sentinel")
        if not redis.master_name:
            raise ConfigError(f"{context}.master_name is required when mode = sentinel")


def _check_tls(block: str, tls: OutboundTls) -> None:
    if tls.client_cert_file and not tls.client_key_file:
        raise ConfigError(f"{block}.client_cert_file requires {block}.client_key_file")
    if tls.client_key_file and not tls.client_cert_file:
        raise ConfigError(f"{block}.client_key_file requires {block}.client_cert_file")


def _check_metrics(observability: Observability) -> None:
    buckets = observability.metrics.buckets
    for name in Buckets.__struct_fields__:
        _check_buckets(f"observability.metrics.buckets.{name}", getattr(buckets, name))
    for index, rule in enumerate(observability.metrics.client_type_rules):
        _check_client_type(f"observability.metrics.client_type_rules[{index}]", index, rule)


def _check_buckets(key: str, edges: tuple[float, ...]) -> None:
    if not edges:
        raise ConfigError(f"{key} must list at least one edge")
    previous = 0.0
    for index, edge in enumerate(edges):
        if index >= MAX_BUCKETS:
            raise ConfigError(f"{key}[{index}]: at most {MAX_BUCKETS} edges are allowed")
        if not math.isfinite(edge) or edge <= 0:
            raise ConfigError(f"{key}[{index}] must be finite and greater than 0")
        if edge <= previous:
            raise ConfigError(f"{key}[{index}] must be greater than the edge before it")
        previous = edge


def _check_client_type(key: str, index: int, rule: ClientTypeRule) -> None:
    if index >= MAX_CLIENT_TYPE_RULES:
        raise ConfigError(f"{key}: at most {MAX_CLIENT_TYPE_RULES} rules are allowed")
    if not 1 <= len(rule.pattern.encode()) <= 512:
        raise ConfigError(f"{key}.pattern must have 1 to 512 bytes")
    try:
        compile_regex(rule.pattern, ignore_case=True)
    except RegexError as exc:
        raise ConfigError(f"{key}.pattern is not a valid regex: {exc}") from None
    if not _CLIENT.fullmatch(rule.client):
        raise ConfigError(f"{key}.client must match [a-z0-9][a-z0-9._-]* and have at most 64 characters")


def _check_observability(observability: Observability) -> None:
    if not all(_LEVEL.fullmatch(directive.strip()) for directive in observability.log_level.split(",")):
        raise ConfigError("observability.log_level must be a comma-separated list of `level` or `target=level`")
    otlp = observability.tracing.otlp
    if otlp.enabled and not (otlp.endpoint or "").strip():
        raise ConfigError("observability.tracing.otlp.endpoint is required when tracing is enabled")
    if not 0 <= otlp.sample_ratio <= 1:
        raise ConfigError("observability.tracing.otlp.sample_ratio must be between 0 and 1")


def _refuse_unavailable(config: Config) -> None:
    """What this version cannot do must not look as if it worked."""
    if config.managed.enabled:
        raise ConfigError("managed.enabled: connecting to a control plane is not supported; use resources_file")
    if config.cache.redis is not None:
        raise ConfigError("cache.redis: the Redis cache is not available in this version")
    if config.ratelimit.backend == "redis":
        raise ConfigError("ratelimit.backend: the Redis backend is not available in this version; use memory")
