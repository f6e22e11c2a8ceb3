"""Metrics of one process: series in cells that it alone writes.

A series is one metric with one set of label values. `Registry` gives out a series once and remembers it; from then on
counting is one call into compiled code (`inc`, `set`, `observe`), without a lookup, and visible to the supervisor
as soon as it returns, because the cells are shared memory. What a cell means is announced once, through a callback,
to the process that renders the exposition (telemetry.exposition).

When the region is full, what is new is counted in one series per metric whose label values are all "other"; room for
these is set aside. If even that does not fit, it is counted nowhere. Either way `metrics_series_dropped_total` rises
and nothing is raised.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from fastgw._speedups.cells import SUMMARY_CELLS, Buckets, Cell, Cells, Summary
from fastgw.state.board import Region
from fastgw.telemetry.catalog import DROPPED, MAX_BUCKETS, METRICS, Kind, Metric

Counter = Cell
Gauge = Cell
Histogram = Buckets

Key = tuple[str, tuple[str, ...]]
T = TypeVar("T")

OTHER = "other"


class Definition(NamedTuple):
    """What the cells from `first` on mean. `name` is without the namespace, `labels` in the order of the catalog."""

    first: int
    kind: Kind
    name: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


def width(kind: Kind, buckets: Sequence[float]) -> int:
    """Cells of one series: a histogram has one per edge, one above all edges, and the sum in microseconds."""
    if kind == "histogram":
        return len(buckets) + 2
    return SUMMARY_CELLS if kind == "summary" else 1


# Room for one overflow series of every metric, with the longest edge lists. Views have no cells.
RESERVE = sum(width(metric.kind, range(MAX_BUCKETS)) for metric in METRICS.values() if metric.view is None)


class Registry:
    """Gives out the series of one region. Not for several threads.

    Names are those of the catalog, without the namespace; label values come in the order of the catalog. An unknown
    name raises KeyError, a wrong kind or number of labels ValueError: both are errors in the program. The same
    name and labels give the same object for the life of the process, also after a reload of the configuration.

    A gauge is exposed from the moment it is first asked for, so ask when there is something to tell. Counters,
    histograms and summaries are exposed once they are not 0, unless the catalog says that 0 is worth telling. A
    family that is a view of another has no series.
    """

    def __init__(self, region: Region, announce: Callable[[Definition], None]) -> None:
        self._region = region
        self._announce = announce
        self._next = region.first
        self._cells: dict[Key, Cell] = {}
        self._histograms: dict[Key, Buckets] = {}
        self._summaries: dict[Key, Summary] = {}
        self._nowhere = Cells(-1, max(MAX_BUCKETS + 2, SUMMARY_CELLS))
        self._dropped = Cell(self._nowhere, 0)
        self._dropped = self.counter(DROPPED, ())

    def counter(self, name: str, labels: Sequence[str]) -> Counter:
        key = (name, tuple(labels))
        return self._cells.get(key) or self._cell("counter", key)

    def gauge(self, name: str, labels: Sequence[str]) -> Gauge:
        key = (name, tuple(labels))
        return self._cells.get(key) or self._cell("gauge", key)

    def relabel(self, name: str, old: Sequence[str], new: Sequence[str]) -> bool:
        """Give the cell of a counter or gauge to another series; False when the old one has none of its own."""
        cell = self._cells.pop((name, tuple(old)), None)
        if cell is not None:
            self._cells[name, tuple(new)] = cell
        return cell is not None

    def histogram(self, name: str, labels: Sequence[str], buckets: Sequence[float] | None = None) -> Histogram:
        """`buckets` are upper limits in seconds, at most 64, by default those of the catalog.

        They belong to the metric, not to the series: use the same ones for a name throughout a gateway.
        """
        key = (name, tuple(labels))
        found = self._histograms.get(key)
        if found is None:
            metric = _described("histogram", key)
            edges = metric.buckets if buckets is None else tuple(buckets)
            if len(edges) > MAX_BUCKETS:
                raise ValueError(f"{name}: at most {MAX_BUCKETS} buckets, got {len(edges)}")
            found = self._place(self._histograms, metric, key, edges, lambda cells, i: Buckets(cells, i, edges))
        return found

    def summary(self, name: str, labels: Sequence[str]) -> Summary:
        key = (name, tuple(labels))
        found = self._summaries.get(key)
        return found or self._place(self._summaries, _described("summary", key), key, (), Summary)

    def _cell(self, kind: Kind, key: Key) -> Cell:
        return self._place(self._cells, _described(kind, key), key, (), Cell)

    def _place(
        self, store: dict[Key, T], metric: Metric, key: Key, edges: tuple[float, ...], bind: Callable[[Cells, int], T]
    ) -> T:
        """The series `key`, or what stands for it when there is no room."""
        index, size = self._next, width(metric.kind, edges)
        room = self._region.end - RESERVE if metric.labels else self._region.end
        if index + size > room:
            self._dropped.inc()
            # Not remembered under its own key: what does not fit must not use memory without limit either.
            key = (metric.name, (OTHER,) * len(metric.labels))
            if key in store:
                return store[key]
            if index + size > self._region.end:
                return bind(self._nowhere, 0)
        found = store[key] = bind(self._region.cells, index)
        self._next += size
        self._region.used.set(self._next)
        self._region.announced.inc()
        self._announce(Definition(index, metric.kind, metric.name, key[1], edges))
        return found


def _described(kind: Kind, key: Key) -> Metric:
    name, labels = key
    metric = METRICS[name]
    if metric.kind != kind:
        raise ValueError(f"{name} is a {metric.kind}, not a {kind}")
    if metric.view is not None:
        raise ValueError(f"{name} is a view of {metric.view.source}")
    if len(labels) != len(metric.labels):
        raise ValueError(f"{name} has {len(metric.labels)} labels, got {len(labels)}")
    return metric
