import re

import pytest

from fastgw.telemetry.catalog import MAX_BUCKETS, METRICS, Metric

LEGAL_NAME = re.compile(r"[a-z][a-z0-9_]*")


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_descriptions_are_well_formed(metric: Metric) -> None:
    assert LEGAL_NAME.fullmatch(metric.name)
    assert all(LEGAL_NAME.fullmatch(label) for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    assert "le" not in metric.labels
    assert metric.help.endswith(".")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len(metric.buckets) <= MAX_BUCKETS


def test_names_are_given_once() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())


def test_labels_of_the_request_counter() -> None:
    assert METRICS["proxy_requests_total"].labels == (
        *("endpoint", "inbound_protocol", "provider", "model", "upstream_model", "provider_key_id"),
        *("provider_key_name", "api_key_id", "team_id", "user_id", "user_name"),
        *("stream", "is_fallback", "status", "outcome"),
    )


def test_default_buckets_of_the_latency_histograms() -> None:
    assert METRICS["request_e2e_latency_seconds"].buckets == (
        *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 420, 600),
    )
    assert METRICS["request_ttft_seconds"].buckets == (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
