import io
import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_fd_to_metric_families

from fastgw.state.board import FIXED, Board
from fastgw.telemetry.catalog import METRICS
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.metrics import RESERVE, Definition, Registry

TOKENS = "tokens_consumed_total"
TTFT = "request_ttft_seconds"
TTFT_LABELS = ("e", "/", "m", "p", "2xx", "true")
IN_FLIGHT = "proxy_in_flight_requests"
CELLS = FIXED + RESERVE + 200

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Gateway:
    """A board with an exposition and the registries of its workers, all in one process."""

    def __init__(self, workers: int = 2) -> None:
        self.board = Board.create(workers, CELLS)
        self.exposition = Exposition("ns", self.board)
        self.workers = [self.start(worker) for worker in range(workers)]

    def start(self, worker: int) -> Registry:
        return Registry(self.board.region(worker), lambda definition: self.exposition.define(worker, definition))

    def samples(self) -> Samples:
        return parse(self.exposition.render())


def parse(text: bytes) -> Samples:
    samples: Samples = {}
    for family in text_fd_to_metric_families(io.StringIO(text.decode(), newline="\n")):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.board.close()


def test_nothing_counted_is_nothing_exposed(gateway: Gateway) -> None:
    gateway.workers[0].counter(TOKENS, ("openai", "gpt"))
    gateway.workers[0].histogram(TTFT, TTFT_LABELS)
    assert gateway.exposition.render() == b""


def test_exact_text(gateway: Gateway) -> None:
    first, second = gateway.workers
    first.counter(TOKENS, ("openai", "b")).inc(2)
    second.counter(TOKENS, ("openai", "b")).inc(3)
    second.counter(TOKENS, ("openai", "a")).inc(10**15)
    histogram = first.histogram(TTFT, TTFT_LABELS, (0.005, 1, 10))
    for seconds in (0.001, 0.5, 2, 60):
        histogram.observe(seconds)
    gateway.exposition.local.gauge("config_last_reload_successful", ()).set(0)
    labels = 'env_id="e",endpoint="/",model="m",provider="p",status_class="2xx",streaming="true"'
    assert gateway.exposition.render().decode() == (
        "# HELP ns_config_last_reload_successful Whether the last load of the configuration succeeded.\n"
        "# TYPE ns_config_last_reload_successful gauge\n"
        "ns_config_last_reload_successful 0\n"
        "# HELP ns_request_ttft_seconds Time from the dispatch of a streaming attempt to its first chunk.\n"
        "# TYPE ns_request_ttft_seconds histogram\n"
        f'ns_request_ttft_seconds_bucket{{{labels},le="0.005"}} 1\n'
        f'ns_request_ttft_seconds_bucket{{{labels},le="1"}} 2\n'
        f'ns_request_ttft_seconds_bucket{{{labels},le="10"}} 3\n'
        f'ns_request_ttft_seconds_bucket{{{labels},le="+Inf"}} 4\n'
        f"ns_request_ttft_seconds_sum{{{labels}}} 62.501\n"
        f"ns_request_ttft_seconds_count{{{labels}}} 4\n"
        "# HELP ns_tokens_consumed_total Tokens by provider and model.\n"
        "# TYPE ns_tokens_consumed_total counter\n"
        'ns_tokens_consumed_total{provider="openai",model="a"} 1000000000000000\n'
        'ns_tokens_consumed_total{provider="openai",model="b"} 5\n'
    )


label_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text('\\"\n\r,{}=ü', max_size=8)
counts = st.lists(st.tuples(st.integers(0, 1), label_text, label_text, st.integers(1, 2**40)), max_size=12)


@given(counts)
def test_an_independent_reader_sees_the_sums(counted: list[tuple[int, str, str, int]]) -> None:
    gateway = Gateway()
    expected: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for worker, provider, model, n in counted:
        gateway.workers[worker].counter(TOKENS, (provider, model)).inc(n)
        key = sample("ns_" + TOKENS, provider=provider, model=model)
        expected[key] = expected.get(key, 0) + n
    assert gateway.samples() == expected
    gateway.board.close()


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30))
def test_an_independent_reader_sees_the_histogram(observed: list[float]) -> None:
    gateway = Gateway()
    edges = (0.1, 1.0, 2.5)
    for n, seconds in enumerate(observed):
        gateway.workers[n % 2].histogram(TTFT, TTFT_LABELS, edges).observe(seconds)
    samples = {(name, dict(labels).get("le")): value for (name, labels), value in gateway.samples().items()}
    for edge in edges:
        le = str(int(edge)) if edge == int(edge) else str(edge)
        assert samples[f"ns_{TTFT}_bucket", le] == sum(seconds <= edge for seconds in observed)
    assert samples[f"ns_{TTFT}_bucket", "+Inf"] == samples[f"ns_{TTFT}_count", None] == len(observed)
    assert samples[f"ns_{TTFT}_sum", None] == pytest.approx(sum(observed), abs=1e-6 * len(observed))
    gateway.board.close()


def test_a_gauge_once_seen_stays(gateway: Gateway) -> None:
    gauge = gateway.workers[0].gauge(IN_FLIGHT, ("/", "openai"))
    key = sample("ns_" + IN_FLIGHT, endpoint="/", inbound_protocol="openai")
    gauge.inc()
    assert gateway.samples() == {key: 1}
    gauge.inc(-1)
    assert gateway.samples() == {key: 0}


def test_a_dead_worker_leaves_its_counts_and_takes_its_gauges(gateway: Gateway) -> None:
    first, second = gateway.workers
    tokens = sample("ns_" + TOKENS, provider="openai", model="gpt")
    in_flight = sample("ns_" + IN_FLIGHT, endpoint="/", inbound_protocol="openai")
    count = sample(f"ns_{TTFT}_count", **dict(zip(_ttft_names(), TTFT_LABELS, strict=True)))
    for registry in (first, second):
        registry.counter(TOKENS, ("openai", "gpt")).inc(5)
        registry.gauge(IN_FLIGHT, ("/", "openai")).inc(2)
        registry.histogram(TTFT, TTFT_LABELS).observe(0.2)
    before = gateway.samples()
    assert (before[tokens], before[in_flight], before[count]) == (10, 4, 2)

    gateway.exposition.retire(0)
    after = gateway.samples()
    assert (after[tokens], after[in_flight], after[count]) == (10, 2, 2)
    gateway.exposition.retire(0)
    assert gateway.samples() == after

    # The successor may put other series into the same cells.
    successor = gateway.start(0)
    successor.gauge(IN_FLIGHT, ("/", "openai")).inc(7)
    successor.counter(TOKENS, ("openai", "gpt")).inc(1)
    last = gateway.samples()
    assert (last[tokens], last[in_flight], last[count]) == (11, 9, 2)
    assert {key: value for key, value in last.items() if key not in (tokens, in_flight)} == {
        key: value for key, value in before.items() if key not in (tokens, in_flight)
    }


def _ttft_names() -> tuple[str, ...]:
    return ("env_id", "endpoint", "model", "provider", "status_class", "streaming")


def test_cells_that_were_never_announced_do_not_reach_a_successor(gateway: Gateway) -> None:
    lost = Registry(gateway.board.region(0), lambda definition: None)
    lost.counter(TOKENS, ("openai", "gpt")).inc(5)
    gateway.exposition.retire(0)
    gateway.start(0).counter(TOKENS, ("openai", "gpt")).inc(1)
    assert gateway.samples() == {sample("ns_" + TOKENS, provider="openai", model="gpt"): 1}


def test_behind_until_every_announcement_has_arrived(gateway: Gateway) -> None:
    assert not gateway.exposition.behind()
    on_the_way: list[Definition] = []
    gateway.exposition.retire(1)
    registry = Registry(gateway.board.region(1), on_the_way.append)
    registry.counter(TOKENS, ("openai", "gpt")).inc()
    for definition in on_the_way:
        assert gateway.exposition.behind()
        gateway.exposition.define(1, definition)
    assert not gateway.exposition.behind()
    assert gateway.samples() == {sample("ns_" + TOKENS, provider="openai", model="gpt"): 1}


def test_announcements_that_make_no_sense_are_refused(gateway: Gateway) -> None:
    region = gateway.board.region(0)
    labels = ("openai", "gpt")
    for bad in (
        Definition(region.first - 1, "counter", TOKENS, labels),
        Definition(region.end, "counter", TOKENS, labels),
        Definition(region.end - 2, "histogram", TTFT, TTFT_LABELS, (1.0,)),
        Definition(region.first, "gauge", TOKENS, labels),
        Definition(region.first, "counter", TOKENS, ("openai",)),
    ):
        with pytest.raises(ValueError, match=bad.name):
            gateway.exposition.define(0, bad)
    with pytest.raises(KeyError):
        gateway.exposition.define(0, Definition(region.first, "counter", "unheard_of", ()))
    gateway.workers[0].histogram(TTFT, TTFT_LABELS, (1.0,))
    with pytest.raises(ValueError, match="buckets"):
        gateway.workers[1].histogram(TTFT, TTFT_LABELS, (2.0,))


def test_a_lone_surrogate_in_a_label_does_not_cost_the_scrape(gateway: Gateway) -> None:
    gateway.workers[0].counter(TOKENS, ("openai", "\ud800")).inc()
    assert gateway.samples() == {sample("ns_" + TOKENS, provider="openai", model="?"): 1}


KILLED_WORKER = """
import sys
import msgspec
from fastgw.state.board import Board
from fastgw.telemetry.metrics import Registry

board = Board.attach(int(sys.argv[1]), 2, int(sys.argv[2]))

def announce(definition):
    sys.stdout.buffer.write(msgspec.json.encode(definition) + b"\\n")
    sys.stdout.buffer.flush()

registry = Registry(board.region(0), announce)
registry.gauge("proxy_in_flight_requests", ("/", "openai")).inc()
tokens = registry.counter("tokens_consumed_total", ("openai", "gpt"))
proof = board.region(1).connections
while True:
    tokens.inc()
    proof.inc()
"""


def test_kill_9_neither_loses_nor_repeats_a_count(gateway: Gateway) -> None:
    board, exposition = gateway.board, gateway.exposition
    proof = board.region(1).connections
    tokens = sample("ns_" + TOKENS, provider="openai", model="gpt")
    in_flight = sample("ns_" + IN_FLIGHT, endpoint="/", inbound_protocol="openai")
    exposition.retire(0)
    for _ in range(3):
        command = [sys.executable, "-c", KILLED_WORKER, str(board.fd), str(CELLS)]
        before = proof.get()
        with subprocess.Popen(command, pass_fds=[board.fd], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(3):
                exposition.define(0, msgspec.json.decode(process.stdout.readline(), type=Definition))
            while proof.get() < before + 1000:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        # The signal may fall between the two additions of a round.
        counted = gateway.samples()
        assert counted[in_flight] == 1
        assert 0 <= counted[tokens] - proof.get() <= 1
        exposition.retire(0)
        assert gateway.samples() == {**counted, in_flight: 0}
        proof.set(int(counted[tokens]))


DURATION = "request_duration_seconds"


def test_a_summary_is_one_for_all_workers(gateway: Gateway) -> None:
    for registry, seconds in zip(gateway.workers, (1.0, 3.0), strict=True):
        registry.summary(DURATION, ("openai", "gpt", "200")).observe(seconds, 100.0)
    labels = 'provider="openai",model="gpt",status="200"'
    assert gateway.exposition.render(100.0).decode() == (
        "# HELP ns_request_duration_seconds Time from the request head to the end of the answer, of a stream to its "
        "start.\n"
        "# TYPE ns_request_duration_seconds summary\n"
        + "".join(
            f'ns_request_duration_seconds{{{labels},quantile="{q}"}} {value}\n'
            for q, value in zip(
                ("0", "0.5", "0.9", "0.95", "0.99", "0.999", "1"), ("0.966", "0.966", *("2.88",) * 5), strict=True
            )
        )
        + f"ns_request_duration_seconds_sum{{{labels}}} 4\n"
        f"ns_request_duration_seconds_count{{{labels}}} 2\n"
    )
    gateway.exposition.retire(0)
    later = gateway.exposition.render(100.0).decode()
    assert f"ns_request_duration_seconds_sum{{{labels}}} 4\n" in later, "what a dead worker counted is kept"
    assert f'{{{labels},quantile="0"}} 2.88\n' in later, "its part of the recent quantiles is not"
    assert f'{{{labels},quantile="1"}} 0\n' in gateway.exposition.render(1000.0).decode()


def test_views_show_the_series_that_belong_to_them(gateway: Gateway) -> None:
    names = METRICS["proxy_requests_total"].labels
    shown: dict[str, set[str]] = {}
    for endpoint, status in (("/v1/chat/completions", "200"), ("/v1/messages", "404"), ("other", "413")):
        values = dict.fromkeys(names, "x") | {
            "endpoint": endpoint,
            "outcome": "success" if status == "200" else "client_error",
        }
        gateway.workers[0].counter("proxy_requests_total", tuple(values.values())).inc()
    for (name, labels), value in gateway.samples().items():
        assert value == 1
        shown.setdefault(name, set()).add(dict(labels)["endpoint"])
    assert shown == {
        "ns_proxy_requests_total": {"/v1/chat/completions", "/v1/messages", "other"},
        "ns_proxy_failed_requests_total": {"/v1/messages", "other"},
        "ns_llm_requests_total": {"/v1/chat/completions", "/v1/messages"},
    }
