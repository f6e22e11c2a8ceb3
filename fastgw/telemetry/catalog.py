"""Every metric of the gateway: name without the namespace, kind, help, label names in the order of exposition."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from fastgw.config.schema import E2E_BUCKETS, TTFT_BUCKETS
from fastgw.telemetry.labels import INFERENCE

Kind = Literal["counter", "gauge", "histogram", "summary"]
Labels = dict[str, str]


class View(NamedTuple):
    """A family that shows series of another one, which has the same labels: those for which `holds` is true."""

    source: str
    holds: Callable[[Labels], bool]


class Metric(NamedTuple):
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    # Upper limits in seconds; what is above all of them is counted without being listed.
    buckets: tuple[float, ...] = ()
    view: View | None = None
    # A counter that is exposed from the moment it is asked for.
    zero: bool = False


def _failed(labels: Labels) -> bool:
    return labels["outcome"] != "success"


def _inference(labels: Labels) -> bool:
    return labels["endpoint"] in INFERENCE


USAGE: Final = (
    "endpoint",
    "inbound_protocol",
    "provider",
    "model",
    "upstream_model",
    "provider_key_id",
    "provider_key_name",
    "api_key_id",
    "team_id",
    "user_id",
    "user_name",
)
REQUEST: Final = (*USAGE, "stream", "is_fallback", "status", "outcome")
DURATION: Final = tuple(label for label in REQUEST if label != "is_fallback")
KEY: Final = ("model", "provider_key_id", "provider_key_name")
ATTEMPT: Final = ("provider", "model", "upstream_model", "provider_key_id")
LATENCY: Final = ("env_id", "endpoint", "model", "provider", "status_class", "streaming")

# An edge list of the configuration has at most this many entries.
MAX_BUCKETS: Final = 64

DROPPED: Final = "metrics_series_dropped_total"

_ALL = (
    # Requests.
    Metric("requests_total", "counter", "Proxied requests.", ("provider", "model", "status", "outcome")),
    Metric("proxy_requests_total", "counter", "Proxied requests, by endpoint, target and caller.", REQUEST),
    Metric(
        "proxy_failed_requests_total",
        "counter",
        "Proxied requests whose outcome was not success.",
        REQUEST,
        view=View("proxy_requests_total", _failed),
    ),
    Metric(
        "llm_requests_total",
        "counter",
        "Requests to the inference endpoints.",
        REQUEST,
        view=View("proxy_requests_total", _inference),
    ),
    Metric(
        "request_duration_seconds",
        "summary",
        "Time from the request head to the end of the answer, of a stream to its start.",
        ("provider", "model", "status"),
    ),
    Metric(
        "proxy_request_duration_seconds",
        "summary",
        "The same, by endpoint, target and caller.",
        DURATION,
    ),
    Metric(
        "llm_request_duration_seconds",
        "summary",
        "The same, of requests to the inference endpoints.",
        DURATION,
        view=View("proxy_request_duration_seconds", _inference),
    ),
    Metric(
        "proxy_in_flight_requests",
        "gauge",
        "Requests that have arrived and whose response head is not yet written.",
        ("endpoint", "inbound_protocol"),
    ),
    Metric(
        "proxy_client_cancelled_requests_total",
        "counter",
        "Requests whose client left before the response head.",
        ("endpoint", "model", "provider_key_id", "provider_key_name"),
    ),
    Metric(
        "proxy_request_body_limit_rejections_total",
        "counter",
        "Requests refused for their declared body size, by how reading the rest of the body ended.",
        ("endpoint", "inbound_protocol", "outcome"),
    ),
    Metric(
        "request_e2e_latency_seconds",
        "histogram",
        "Time from the request head to the end of the answer.",
        LATENCY,
        E2E_BUCKETS,
    ),
    Metric(
        "request_ttft_seconds",
        "histogram",
        "Time from the dispatch of a streaming attempt to its first chunk.",
        LATENCY,
        TTFT_BUCKETS,
    ),
    # Usage.
    Metric("llm_input_tokens_total", "counter", "Prompt tokens.", USAGE),
    Metric("llm_output_tokens_total", "counter", "Completion tokens.", USAGE),
    Metric("llm_total_tokens_total", "counter", "Prompt, completion and cache tokens.", USAGE),
    Metric(
        "llm_tokens_by_client_total", "counter", "Tokens by client software.", ("client_type", "model", "token_type")
    ),
    Metric("tokens_consumed_total", "counter", "Tokens by provider and model.", ("provider", "model")),
    Metric(
        "llm_time_to_first_token_seconds",
        "summary",
        "Time from the dispatch of a streaming attempt to its first chunk.",
        USAGE,
    ),
    Metric(
        "usage_events_emitted_total",
        "counter",
        "Usage events.",
        ("handler", "status_code", "inbound_protocol", *KEY),
    ),
    # Attempts.
    Metric("deployment_requests_total", "counter", "Attempts that reached for an upstream.", ATTEMPT),
    Metric("deployment_success_responses_total", "counter", "Attempts that succeeded.", ATTEMPT),
    Metric("deployment_failure_responses_total", "counter", "Attempts that failed.", ATTEMPT),
    # Admission.
    Metric("auth_decisions_total", "counter", "Decisions about callers.", ("method", "result", "reason")),
    # Configuration, set by the supervisor.
    Metric("config_last_reload_successful", "gauge", "Whether the last load of the configuration succeeded."),
    Metric(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful load of the configuration.",
    ),
    Metric("config_reloads_total", "counter", "Loads of the configuration.", zero=True),
    Metric("config_reload_failures_total", "counter", "Failed loads of the configuration.", ("reason",), zero=True),
    Metric("config_rejected_resources", "gauge", "Resources that are rejected.", ("kind",)),
    Metric(
        "config_partially_compatible_resources",
        "gauge",
        "Resources with fields that this version does not know.",
        ("kind",),
    ),
    Metric("config_stale_served_resources", "gauge", "Resources served from an earlier valid version.", ("kind",)),
    Metric("config_observed_revision", "gauge", "Highest revision of etcd that was seen."),
    Metric("config_applied_revision", "gauge", "Highest revision of etcd that is served."),
    Metric("config_source_connected", "gauge", "Whether the configuration of etcd can be read."),
    Metric("config_hash_info", "gauge", "1 for the hash of the configuration that is served.", ("hash",)),
    # Telemetry about telemetry.
    Metric(
        "usage_event_drops_total",
        "counter",
        "Usage events that no control plane took, by the reason.",
        ("reason", *KEY),
    ),
    Metric(DROPPED, "counter", "Requests for a new series that found no room and were counted under 'other'."),
)

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}
