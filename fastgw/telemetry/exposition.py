"""The metrics of a whole gateway as Prometheus text (exposition format 0.0.4), rendered by the supervisor.

The exposition knows what each worker announced and reads the values straight from the board. The values of a series
are summed over the workers; gauges too. Counters never go back while the supervisor lives: when a worker is gone, what
it had counted is kept here and its cells start again at 0.

Order of things around the end of a worker, however it ended: wait for the process; read its socket to the end, because
announcements may still be in there; `retire`; start the successor. Counts in cells that a worker never got to
announce are lost with it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import add

from fastgw._speedups.cells import SUMMARY_CELLS, SUMMARY_STEPS
from fastgw.state.board import Board, Region
from fastgw.telemetry.catalog import METRICS, Metric
from fastgw.telemetry.metrics import Definition, Key, Registry, width
from fastgw.telemetry.quantiles import QUANTILES, quantiles, recent_steps

LOCAL_CELLS = 8192


@dataclass(slots=True)
class _Series:
    metric: Metric
    buckets: tuple[float, ...]
    values: tuple[str, ...]
    labels: str
    retired: list[int]
    # Worker -> index of the first cell.
    live: dict[int, int] = field(default_factory=dict)


Blocks = dict[str, list[tuple[_Series, list[str]]]]
"""Family to its series with their lines."""


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
            series = _Series(metric, tuple(buckets), key[1], _label_text(metric, key[1]), [0] * size)
            self._series[key] = series
            self._order.append(key)
        elif series.buckets != tuple(buckets):
            raise ValueError(f"{name} has the buckets {series.buckets}: {definition}")
        series.live[worker] = first
        self._received[worker] += 1

    def relabel(self, name: str, old: Sequence[str], new: Sequence[str]) -> None:
        """Let the cell of a local counter or gauge stand for another series: the old one is exposed no more.

        For label values without end, of which only some are of interest. The new series must not exist."""
        if self.local.relabel(name, old, new):
            before, after = (name, tuple(old)), (name, tuple(new))
            series = self._series[after] = self._series.pop(before)
            series.labels = _label_text(series.metric, after[1])
            self._order[self._order.index(before)] = after

    def behind(self) -> bool:
        """Whether a worker has announced more than has arrived here, so that a scrape would miss a series."""
        pairs = zip(self._regions, self._received, strict=True)
        return any(region.announced.get() > received for region, received in pairs)

    def retire(self, worker: int) -> None:
        """Keep the counts of a worker that does not run any more and zero its region; its gauges fall to 0, and what
        it added to the recent quantiles of summaries is gone.

        O(used part of the region). See the order of things at the top.
        """
        region = self._regions[worker]
        for series in self._series.values():
            first = series.live.pop(worker, None)
            if first is not None and series.metric.kind != "gauge":
                values = region.cells.read(first, len(series.retired))
                series.retired = list(map(add, series.retired, values))
        region.reset()
        self._received[worker] = 0

    def render(self, now: float | None = None) -> bytes:
        """All families, sorted by name, with their series sorted by label values. O(series * workers).

        `now` is the time of the workers' loops, which all systems with shared memory have in common."""
        if now is None:
            now = time.monotonic()
        # Nearly sorted from the last time, which makes this linear.
        self._order.sort()
        blocks: Blocks = {}
        for key in self._order:
            series = self._series[key]
            samples = self._samples(series, now)
            if samples:
                blocks.setdefault(series.metric.name, []).append((series, samples))
        views = [metric for metric in METRICS.values() if metric.view is not None]
        for metric in views:
            self._view(metric, blocks)
        lines: list[str] = []
        for name in sorted(blocks):
            metric, full = METRICS[name], self._prefix + name
            lines.append(f"# HELP {full} {_escape(metric.help)}\n# TYPE {full} {metric.kind}\n")
            lines.extend(full + sample for _, samples in blocks[name] for sample in samples)
        # A lone surrogate in a label value must not cost the whole scrape.
        return "".join(lines).encode("utf-8", "replace")

    def _view(self, metric: Metric, blocks: Blocks) -> None:
        assert metric.view is not None
        source, holds = metric.view
        shown = [
            pair for pair in blocks.get(source, ()) if holds(dict(zip(metric.labels, pair[0].values, strict=True)))
        ]
        if shown:
            blocks[metric.name] = shown

    def _samples(self, series: _Series, now: float) -> list[str]:
        """The lines of a series without the name of the family, because a view shows them under another one. Empty for
        a counter, histogram or summary that has not counted anything; a gauge exists once it was set, to 0 as well,
        and so does a counter of which 0 is worth telling."""
        kind = series.metric.kind
        if kind == "summary":
            return self._summary(series, now)
        values = series.retired.copy()
        for worker, first in series.live.items():
            values = list(map(add, values, self._regions[worker].cells.read(first, len(values))))
        if kind == "histogram":
            return _histogram_lines(series, values) if any(values) else []
        shown = kind == "gauge" or series.metric.zero or values[0]
        return [f"{_braces(series.labels)} {values[0]}\n"] if shown else []

    def _summary(self, series: _Series, now: float) -> list[str]:
        total, number, recent = series.retired[0], series.retired[1], [0] * SUMMARY_STEPS
        for worker, first in series.live.items():
            cells = self._regions[worker].cells.read(first, SUMMARY_CELLS)
            total += cells[0]
            number += cells[1]
            recent = list(map(add, recent, recent_steps(cells, now)))
        if not number:
            return []
        separator = "," if series.labels else ""
        lines = [
            f'{{{series.labels}{separator}quantile="{_number(q)}"}} {_number(value)}\n'
            for q, value in zip(QUANTILES, quantiles(recent), strict=True)
        ]
        labels = _braces(series.labels)
        return [*lines, f"_sum{labels} {_number(total / 1e6)}\n", f"_count{labels} {number}\n"]


def _histogram_lines(series: _Series, values: list[int]) -> list[str]:
    separator = "," if series.labels else ""
    count = 0
    lines: list[str] = []
    for edge, value in zip((*map(_number, series.buckets), "+Inf"), values, strict=False):
        count += value
        lines.append(f'_bucket{{{series.labels}{separator}le="{edge}"}} {count}\n')
    labels = _braces(series.labels)
    # The count is what the buckets add up to, so that a scrape during an observation is consistent in itself.
    return [*lines, f"_sum{labels} {_number(values[-1] / 1e6)}\n", f"_count{labels} {count}\n"]


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
