"""The bootstrap file ``config.yaml`` as types: every key, its type and its default.

Defaults that contain the namespace are written for the default one; :mod:`fastgw.config.load` replaces them when
another namespace is configured. Sections that can hold credentials print as their name only.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

# Bounded so that every number survives the msgpack encoding that carries the configuration to worker processes.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

E2E_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 420.0, 600.0)
TTFT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
GUARDRAIL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Section(Struct, frozen=True, kw_only=True):
    """Base of all sections."""


class SecretSection(Section, frozen=True, kw_only=True):
    """A section with credentials in it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ServerTls(Section, frozen=True, kw_only=True):
    cert_file: str
    key_file: str


class OutboundTls(Section, frozen=True, kw_only=True):
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    verify: bool = True


class EtcdTls(Section, frozen=True, kw_only=True):
    ca_cert_file: str
    client_cert_file: str
    client_key_file: str
    domain_name: str | None = None


class Etcd(SecretSection, frozen=True, kw_only=True):
    endpoints: tuple[str, ...]
    prefix: str = "/fastgw"
    env_id: str = ""
    user: str | None = None
    password_env: str | None = None
    dial_timeout_ms: Count = 5000
    request_timeout_ms: Count = 5000
    tls: EtcdTls | None = None


class RealIp(Section, frozen=True, kw_only=True):
    trusted_proxies: tuple[str, ...] = ()
    recursive: bool = False
    header: str = "x-forwarded-for"


class RequestId(Section, frozen=True, kw_only=True):
    accept_headers: tuple[str, ...] = ("x-fastgw-request-id",)


class UrlRewrite(Section, frozen=True, kw_only=True):
    match: str
    rewrite: str
    name: str | None = None


class Proxy(Section, frozen=True, kw_only=True):
    """``workers`` None means one per CPU available to the process."""

    addr: str
    request_body_limit_bytes: Count = 0
    tls: ServerTls | None = None
    real_ip: RealIp = RealIp()
    request_id: RequestId = RequestId()
    url_rewrites: tuple[UrlRewrite, ...] = ()
    provider_passthrough: bool = True
    list_virtual_models: bool = False
    thread_per_core: bool | None = None
    workers: Count | None = None


class Admin(SecretSection, frozen=True, kw_only=True):
    enabled: bool = True
    addr: str = "127.0.0.1:0"
    admin_keys: tuple[str, ...] = ()
    tls: ServerTls | None = None


class Prometheus(Section, frozen=True, kw_only=True):
    enabled: bool = True
    path: str = "/metrics"
    addr: str = "0.0.0.0:9090"


class MetricsOtlp(Section, frozen=True, kw_only=True):
    enabled: bool = False
    endpoint: str | None = None


class ClientTypeRule(Section, frozen=True, kw_only=True):
    pattern: str
    client: str


class Buckets(Section, frozen=True, kw_only=True):
    """Histogram edges in seconds; ``+Inf`` is implied."""

    request_e2e_latency: tuple[float, ...] = E2E_BUCKETS
    request_ttft: tuple[float, ...] = TTFT_BUCKETS
    guardrail_latency: tuple[float, ...] = GUARDRAIL_BUCKETS
    a2a_ttfb: tuple[float, ...] = TTFT_BUCKETS


class Metrics(Section, frozen=True, kw_only=True):
    prometheus: Prometheus = Prometheus()
    otlp: MetricsOtlp = MetricsOtlp()
    client_type_rules: tuple[ClientTypeRule, ...] = ()
    buckets: Buckets = Buckets()


class TracingOtlp(Section, frozen=True, kw_only=True):
    enabled: bool = False
    endpoint: str | None = None
    sample_ratio: float = 1.0


class Tracing(Section, frozen=True, kw_only=True):
    otlp: TracingOtlp = TracingOtlp()


class Observability(Section, frozen=True, kw_only=True):
    service_name: str = "fastgw"
    log_level: str = "info"
    access_log: bool = True
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()


class Redis(SecretSection, frozen=True, kw_only=True):
    mode: Literal["single", "cluster", "sentinel"] = "single"
    url: str | None = None
    nodes: tuple[str, ...] = ()
    sentinels: tuple[str, ...] = ()
    master_name: str | None = None
    username: str | None = None
    password: str | None = None
    database: Count | None = None
    tls: OutboundTls = OutboundTls()


class Cache(Section, frozen=True, kw_only=True):
    backend: Literal["memory", "redis"] = "memory"
    redis: Redis | None = None


class RateLimits(Section, frozen=True, kw_only=True):
    backend: Literal["memory", "redis"] = "memory"
    redis: Redis | None = None
    concurrency_ttl_secs: Count = 300


class Upstream(Section, frozen=True, kw_only=True):
    """Durations: 0 switches one off."""

    timeout_ms: Count = 6_000_000
    stream_timeout_ms: Count = 0
    connect_timeout_ms: Count = 5000
    tcp_keepalive_secs: Count = 60
    tcp_keepalive_interval_secs: Count = 30
    tcp_keepalive_retries: Count = 5
    pool_idle_timeout_secs: Count = 30
    pool_max_idle_per_host: Count | None = None
    retries: Count = 2
    tls: OutboundTls = OutboundTls()


class Downstream(Section, frozen=True, kw_only=True):
    idle_timeout_secs: Count = 0
    sse_keepalive_interval_secs: Count = 15


class Shutdown(Section, frozen=True, kw_only=True):
    min_drain_secs: Count = 30


class Managed(SecretSection, frozen=True, kw_only=True):
    """Accepted so that existing files load; connecting to a control plane is not supported."""

    enabled: bool = False
    cp_base_url: str | None = None
    cp_etcd_endpoint: str | None = None
    cp_ca_cert_file: str | None = None
    cp_cert_pem: str | None = None
    cp_key_pem: str | None = None
    cp_ca_pem: str | None = None
    cp_cert_file: str | None = None
    cp_key_file: str | None = None
    cp_ca_file: str | None = None
    mtls_dir: str = "/var/lib/fastgw/mtls"
    dp_id_file: str = "/var/lib/fastgw/dp_id"
    snapshot_cache_path: str | None = None
    heartbeat_interval_secs: Count = 15


class Config(Section, frozen=True, kw_only=True):
    """The whole file. ``resources_file`` is a path that can be opened from the working directory."""

    namespace: str = "fastgw"
    resources_file: str | None = None
    bedrock_endpoint_url: str | None = None
    etcd: Etcd | None = None
    proxy: Proxy
    admin: Admin = Admin()
    observability: Observability = Observability()
    cache: Cache = Cache()
    ratelimit: RateLimits = RateLimits()
    upstream: Upstream = Upstream()
    downstream: Downstream = Downstream()
    shutdown: Shutdown = Shutdown()
    managed: Managed = Managed()
