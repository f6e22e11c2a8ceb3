import msgspec
import pytest

from fastgw.state.board import FIXED, Region
from fastgw.telemetry.catalog import DROPPED, METRICS
from fastgw.telemetry.metrics import RESERVE, Definition, Registry, width

TOKENS = "tokens_consumed_total"
TTFT = "request_ttft_seconds"


class Worker:
    def __init__(self, cells: int) -> None:
        self.announced: list[Definition] = []
        self.region = Region.private(cells)
        self.registry = Registry(self.region, self.announced.append)

    def value(self, name: str, labels: tuple[str, ...] = ()) -> int:
        """Of a counter, found the way a reader in another process does: by its announcement."""
        (definition,) = [d for d in self.announced if (d.name, d.labels) == (name, labels)]
        return self.region.cells.get(definition.first)


@pytest.fixture
def worker() -> Worker:
    return Worker(FIXED + RESERVE + 100)


@pytest.fixture
def cramped() -> Worker:
    """Room for the counter of dropped series and one more, apart from the reserve."""
    size = -(-(FIXED + RESERVE + 2) // 8) * 8
    worker = Worker(size)
    for n in range(size - FIXED - RESERVE - 2):
        worker.registry.counter(TOKENS, ("filler", str(n)))
    return worker


def test_a_series_is_announced_once_and_found_again(worker: Worker) -> None:
    first = worker.registry.counter(TOKENS, ("openai", "gpt"))
    first.inc()
    again = worker.registry.counter(TOKENS, ["openai", "gpt"])
    again.inc(4)
    assert again is first
    assert worker.value(TOKENS, ("openai", "gpt")) == 5
    assert [definition.name for definition in worker.announced] == [DROPPED, TOKENS]
    assert worker.region.announced.get() == 2


def test_announcements_describe_disjoint_cells(worker: Worker) -> None:
    worker.registry.histogram(TTFT, ("e", "/", "m", "p", "2xx", "true"))
    worker.registry.gauge("proxy_in_flight_requests", ("/", "openai"))
    worker.registry.histogram(TTFT, ("e", "/", "m", "p", "5xx", "true"))
    kinds = [(definition.first - worker.region.first, definition.kind) for definition in worker.announced]
    assert kinds == [(0, "counter"), (1, "histogram"), (15, "gauge"), (16, "histogram")]
    assert worker.announced[1].buckets == METRICS[TTFT].buckets


def test_gauges_rise_fall_and_are_set(worker: Worker) -> None:
    gauge = worker.registry.gauge("proxy_in_flight_requests", ("/", "openai"))
    gauge.inc(3)
    gauge.inc(-1)
    assert worker.value("proxy_in_flight_requests", ("/", "openai")) == 2
    gauge.set(9)
    assert gauge.get() == 9


def test_histograms_use_given_edges(worker: Worker) -> None:
    labels = ("e", "/", "m", "p", "2xx", "true")
    histogram = worker.registry.histogram(TTFT, labels, (0.5, 1))
    assert worker.registry.histogram(TTFT, labels, (0.5, 1)) is histogram
    for seconds in (0.1, 0.7, 3.0):
        histogram.observe(seconds)
    first = worker.announced[-1].first
    assert [worker.region.cells.get(first + k) for k in range(4)] == [1, 1, 1, 3_800_000]


def test_mistakes_of_the_program_are_refused(worker: Worker) -> None:
    with pytest.raises(KeyError):
        worker.registry.counter("no_such_metric", ())
    with pytest.raises(ValueError, match="2 labels, got 1"):
        worker.registry.counter(TOKENS, ("openai",))
    with pytest.raises(ValueError, match="is a counter, not a gauge"):
        worker.registry.gauge(TOKENS, ("openai", "gpt"))
    with pytest.raises(ValueError, match="is a view of proxy_requests_total"):
        worker.registry.counter("llm_requests_total", ("x",) * 15)
    with pytest.raises(ValueError, match="at most 64"):
        worker.registry.histogram(TTFT, ("e", "/", "m", "p", "2xx", "true"), range(65))
    assert len(worker.announced) == 1


def test_a_full_region_counts_what_is_new_under_other(cramped: Worker) -> None:
    fits = cramped.registry.counter(TOKENS, ("openai", "fits"))
    fits.inc()
    for n in range(3):
        cramped.registry.counter(TOKENS, ("openai", f"new-{n}")).inc(10)
    assert cramped.value(TOKENS, ("other", "other")) == 30
    assert cramped.value(DROPPED) == 3
    assert cramped.registry.counter(TOKENS, ("openai", "fits")) is fits
    assert cramped.value(DROPPED) == 3


def test_every_metric_overflows_inside_the_region(cramped: Worker) -> None:
    cramped.registry.counter(TOKENS, ("openai", "fits"))
    edges = tuple(float(edge) for edge in range(64))
    own = [metric for metric in METRICS.values() if metric.view is None]
    others = [metric for metric in own if metric.name != DROPPED]
    for metric in others:
        if metric.kind == "histogram":
            cramped.registry.histogram(metric.name, ("x",) * len(metric.labels), edges).observe(1.0)
        elif metric.kind == "summary":
            cramped.registry.summary(metric.name, ("x",) * len(metric.labels)).observe(1.0, 1.0)
        elif metric.kind == "counter":
            cramped.registry.counter(metric.name, ("x",) * len(metric.labels)).inc()
        else:
            cramped.registry.gauge(metric.name, ("x",) * len(metric.labels)).inc()
    announced = {(definition.name, definition.labels) for definition in cramped.announced}
    for metric in own:
        assert (metric.name, ("other",) * len(metric.labels)) in announced
    ends = [d.first + width(d.kind, d.buckets) for d in cramped.announced]
    assert max(ends) <= cramped.region.end
    assert cramped.value(DROPPED) == sum(1 for metric in others if metric.labels)


def test_a_region_without_any_room_counts_nowhere_and_never_raises() -> None:
    worker = Worker(FIXED + 1)
    for n in range(20):
        worker.registry.counter(TOKENS, ("openai", str(n))).inc()
        worker.registry.histogram(TTFT, ("e", "/", "m", "p", "2xx", str(n))).observe(0.1)
    names = {definition.name for definition in worker.announced}
    # One cache line has room for the counter of dropped series and a few labelled by "other".
    assert names == {DROPPED, TOKENS}
    assert worker.value(DROPPED) == 40
    assert worker.value(TOKENS, ("other", "other")) == 20


def test_what_does_not_fit_uses_no_memory_per_series(cramped: Worker) -> None:
    cramped.registry.counter(TOKENS, ("openai", "fits"))
    cramped.registry.counter(TOKENS, ("openai", "first"))
    announced, remembered = len(cramped.announced), len(cramped.registry._cells)
    for n in range(1000):
        cramped.registry.counter(TOKENS, ("openai", f"new-{n}"))
    assert (len(cramped.announced), len(cramped.registry._cells)) == (announced, remembered)


def test_definitions_survive_the_wire() -> None:
    definition = Definition(17, "histogram", TTFT, ("a", "ü"), (0.5, 1.0))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(definition), type=Definition) == definition
