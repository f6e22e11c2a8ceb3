"""docs/metrics.md, from the catalog of metrics. `scripts/reference.py` writes and checks it."""

from collections.abc import Iterator
from pathlib import Path

from fastgw.telemetry.catalog import ATTEMPT, DURATION, LATENCY, METRICS, REQUEST, USAGE, Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

HEAD = """\
# Metrics

Every metric of the gateway. The namespace (`fastgw` by default) and `_` come before each name. `scripts/reference.py`
makes this page from `fastgw/telemetry/catalog.py`.

* Series appear when something was counted; gauges once they were set, and stay. Values are sums over all workers, those
  that have ended included. Labels never carry text of a caller: a model that nothing serves is `unresolved`, and what
  is not known is `unknown`.
* Whoever has read the end of an answer finds it counted.
* Durations are in seconds. Summaries have the quantiles 0, 0.5, 0.9, 0.95, 0.99, 0.999 and 1 of the last 30 to 60
  seconds, each true to a tenth of its value; sum and count are those since the start.
* `requests` families count when the answer is over; of a stream, their durations end with its head.
* Callers that are refused for their credentials, health checks and the list of models are in none of the request
  families.

Sets of labels:

"""


def page() -> str:
    """The text of the page."""
    sets = {"request": REQUEST, "duration": DURATION, "usage": USAGE, "attempt": ATTEMPT, "latency": LATENCY}
    lines = [f"* *{name}*: {', '.join(f'`{label}`' for label in labels)}" for name, labels in sets.items()]
    lines += ["", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    lines += rows({labels: f"*{name}*" for name, labels in sets.items()})
    return HEAD + "\n".join(lines) + "\n"


def rows(sets: dict[tuple[str, ...], str]) -> Iterator[str]:
    """One line of the table per metric, in the order of the catalog."""
    for metric in METRICS.values():
        labels = sets.get(metric.labels) or ", ".join(f"`{label}`" for label in metric.labels) or "none"
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {meaning(metric)} |"


def meaning(metric: Metric) -> str:
    """Its help, and the default buckets of a histogram."""
    if not metric.buckets:
        return metric.help
    return f"{metric.help} Buckets: {', '.join(f'{edge:g}' for edge in metric.buckets)}."
