"""Interleaved closed-loop comparison: every round drives every target once, figures are medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.macro.load import Sample, closed_loop
from bench.macro.procs import Failed
from bench.macro.targets import MOCK, Target
from bench.macro.wire import Request

YARDSTICK = "nginx"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. `use_wrk` is false where wrk is missing."""

    rounds: int
    seconds: float
    use_wrk: bool
    quick: bool = False


@dataclass(slots=True)
class Series:
    """The rounds of one target."""

    target: Target
    use_wrk: bool
    samples: list[Sample]
    cpu_us: list[float]


def compare(
    targets: Sequence[Target],
    make: Callable[[Target], Request],
    connections: int,
    effort: Effort,
    cpus: frozenset[int],
    units: int = 1,
    yardstick: str = YARDSTICK,
) -> list[dict[str, Any]]:
    """One row per target. `units` divides CPU: the events of a stream, or 1. `yardstick`: the target that others are
    compared with.

    Ratios are formed within a round, then the median is taken, so that drift of the machine cancels out.
    """
    series = [warm(target, make(target), connections, effort, cpus) for target in targets]
    for _ in range(effort.rounds):
        for one in series:
            before = one.target.cpu_seconds()
            sample = closed_loop(make(one.target), connections, effort.seconds, cpus, one.use_wrk)
            spent = one.target.cpu_seconds() - before
            one.samples.append(sample)
            one.cpu_us.append(spent * 1e6 / sample.requests / units)
    baseline = next((one for one in series if one.target.name == MOCK), None)
    others = {one.target.workers: one for one in series if one.target.name == yardstick}
    return [row(one, baseline, others.get(one.target.workers), connections) for one in series]


def warm(target: Target, request: Request, connections: int, effort: Effort, cpus: frozenset[int]) -> Series:
    """Fills pools and caches, and chooses the generator.

    wrk drops the requests in flight at its deadline, which for a slow target would be a good part of its CPU. There the
    own generator is used, which waits for every answer.
    """
    sample = closed_loop(request, connections, min(1.0, effort.seconds / 2), cpus, use_wrk=False)
    if not sample.requests:
        raise Failed(f"{target.name} answered nothing")
    expected = sample.requests / sample.seconds * effort.seconds
    return Series(target, effort.use_wrk and expected > 20 * connections, [], [])


def row(one: Series, baseline: Series | None, yardstick: Series | None, connections: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "target": one.target.name,
        "workers": one.target.workers,
        "connections": connections,
        "generator": "wrk" if one.use_wrk else "closedloop",
        "cpu_us": median(one.cpu_us),
        "spread": spread(one.cpu_us),
        "rps": median([sample.requests / sample.seconds for sample in one.samples]),
        "p50_us": median([sample.p50_us for sample in one.samples]),
        "p99_us": median([sample.p99_us for sample in one.samples]),
        "memory_kib": one.target.memory_kib(),
        "rounds": [
            {"cpu_us": round(cpu, 3), "requests": sample.requests, "seconds": round(sample.seconds, 3)}
            for cpu, sample in zip(one.cpu_us, one.samples, strict=True)
        ],
    }
    if yardstick is not None and one.target.name != MOCK:
        ratios = [mine / base for mine, base in zip(one.cpu_us, yardstick.cpu_us, strict=True)]
        result["ratio"] = median(ratios)
        result["ratio_spread"] = spread(ratios)
    if baseline is not None and baseline is not one:
        pairs = list(zip(one.samples, baseline.samples, strict=True))
        result["added_p50_us"] = median([mine.p50_us - base.p50_us for mine, base in pairs])
        result["added_p99_us"] = median([mine.p99_us - base.p99_us for mine, base in pairs])
    return result


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def spread(values: Sequence[float]) -> float:
    """(max - min) / median over the rounds: the noise of the figure."""
    middle = statistics.median(values)
    return round((max(values) - min(values)) / middle, 3) if middle else 0.0
