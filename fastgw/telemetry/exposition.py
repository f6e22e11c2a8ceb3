"""The metrics of a whole gateway as Prometheus text (exposition format 0.0.4), rendered by the supervisor.

The exposition knows what each worker announced and reads the values straight from the board. The values of a series
are summed over the workers; gauges too. Counters never go back while the supervisor lives: when a worker is gone, what
it had counted is kept here and its cells start again at 0.

Order of things around the end of a worker, however it ended: wait for the process; read its socket to the end, because
announcements may still be in there; `retire`; start the successor. Counts in cells that a worker never got to
announce are lost with it.
"""

from dataclasses import dataclass, field
from functools import partial

from fastgw.state.board import Board, Region
from fastgw.telemetry.catalog import METRICS, Metric
from fastgw.telemetry.metrics import Definition, Key, Registry, width

LOCAL_CELLS = 4096


@dataclass(slots=True)
class _Series:
    metric: Metric
    buckets: tuple[float, ...]
    labels: str
    retired: list[int]
    # Worker -> index of the first cell.
    live: dict[int, int] = field(default_factory=dict)


class Exposition:
    """`local` is for metrics of the supervisor itself; they appear among those of the workers.

    Not for several threads.
    """

    local: Registry

    def __init__(self, namespace: str, board: Board) -> None:
        local = Region.private(LOCAL_CELLS)
        self._prefix = namespace + "_"
        self._regions = [*(board.region(worker) for worker in range(board.workers)), local]
        self._received = [0] * len(self._regions)
        self._series: dict[Key, _Series] = {}
        self._order: list[Key] = []
        self.local = Registry(local, partial(self.define, board.workers))

    def define(self, worker: int, definition: Definition) -> None:
        """Take in an announcement. Raises KeyError for an unknown metric, ValueError for one that does not fit."""
        first, kind, name, labels, buckets = definition
        metric, region = METRICS[name], self._regions[worker]
        size = width(kind, buckets)
        if kind != metric.kind or len(labels) != len(metric.labels):
            raise ValueError(f"not a series of {name}: {definition}")
        if not region.first <= first <= region.end - size:
            raise ValueError(f"outside of the cells of worker {worker}: {definition}")
        key = (name, tuple(labels))
        series = self._series.get(key)
        if series is None:
            series = _Series(metric, tuple(buckets), _label_text(metric, key[1]), [0] * size)
            self._series[key] = series
            self._order.append(key)
        elif series.buckets != tuple(buckets):
            raise ValueError(f"{name} has the buckets {series.buckets}: {definition}")
        series.live[worker] = first
        self._received[worker] += 1

    def behind(self) -> bool:
        """Whether a worker has announced more than has arrived here, so that a scrape would miss a series."""
        pairs = zip(self._regions, self._received, strict=True)
        return any(region.announced.get() > received for region, received in pairs)

    def retire(self, worker: int) -> None:
        """Keep the counts of a worker that does not run any more and zero its region; its gauges fall to 0.

        O(size of a region). See the order of things at the top.
        """
        region = self._regions[worker]
        for series in self._series.values():
            first = series.live.pop(worker, None)
            if first is not None and series.metric.kind != "gauge":
                for k in range(len(series.retired)):
                    series.retired[k] += region.cells.get(first + k)
        region.reset()
        self._received[worker] = 0

    def render(self) -> bytes:
        """All families, sorted by name, with their series sorted by label values. O(series * workers)."""
        # Nearly sorted from the last time, which makes this linear.
        self._order.sort()
        lines: list[str] = []
        family = ""
        for key in self._order:
            series = self._series[key]
            values = self._values(series)
            # A counter or histogram exists once something was counted, a gauge once it was set, to 0 as well.
            if series.metric.kind != "gauge" and not any(values):
                continue
            name = self._prefix + series.metric.name
            if name != family:
                family = name
                lines.append(f"# HELP {name} {_escape(series.metric.help)}\n# TYPE {name} {series.metric.kind}\n")
            if series.metric.kind == "histogram":
                _histogram_lines(lines, name, series, values)
            else:
                lines.append(f"{name}{_braces(series.labels)} {values[0]}\n")
        # A lone surrogate in a label value must not cost the whole scrape.
        return "".join(lines).encode("utf-8", "replace")

    def _values(self, series: _Series) -> list[int]:
        values = series.retired.copy()
        for worker, first in series.live.items():
            cells = self._regions[worker].cells
            for k in range(len(values)):
                values[k] += cells.get(first + k)
        return values


def _histogram_lines(lines: list[str], name: str, series: _Series, values: list[int]) -> None:
    separator = "," if series.labels else ""
    count = 0
    for edge, value in zip((*map(_number, series.buckets), "+Inf"), values, strict=False):
        count += value
        lines.append(f'{name}_bucket{{{series.labels}{separator}le="{edge}"}} {count}\n')
    labels = _braces(series.labels)
    # The count is what the buckets add up to, so that a scrape during an observation is consistent in itself.
    lines.append(f"{name}_sum{labels} {_number(values[-1] / 1e6)}\n{name}_count{labels} {count}\n")


def _number(value: float) -> str:
    """Shortest spelling, without a decimal point when integral."""
    return str(int(value)) if value == int(value) else repr(value)


def _label_text(metric: Metric, values: tuple[str, ...]) -> str:
    quoted = (_escape(value).replace('"', '\\"') for value in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(metric.labels, quoted, strict=True))


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
