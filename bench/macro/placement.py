"""Which CPUs the target, the mock upstream and the load run on."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """CPU sets; an empty set means unpinned."""

    target: frozenset[int]
    load: frozenset[int]
    text: str


def pinned(workers: int) -> Placement:
    """Target on the first `workers` CPUs, mock and load on the rest; unpinned where there are too few CPUs for that."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) <= workers:
        return floating()
    target, load = frozenset(cpus[:workers]), frozenset(cpus[workers:])
    return Placement(target, load, f"target on CPU {listed(target)}; mock upstream and load on CPU {listed(load)}")


def floating() -> Placement:
    return Placement(frozenset(), frozenset(), "target, mock upstream and load share all CPUs, unpinned")


def listed(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))
