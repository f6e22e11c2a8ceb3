"""How loads of the configuration went: the part of `/status/config` and of the metrics that all sources share."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastgw.telemetry.exposition import Exposition

REASONS: Final = ("fetch", "parse", "validate")
UNREACHABLE: Final = "configuration source unreachable"
HASHES: Final = 16
"""Earlier hashes that stay in the metrics with the value 0. Edits have no end, and every one has its hash."""


class Reloads:
    """`last` and `failure` are members of `/status/config`; None while there is nothing to tell."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self._registry = exposition.local
        self._kinds: dict[str, set[str]] = {}
        self._hashes: deque[str] = deque()
        self.last: dict[str, Any] | None = None
        self.failure: dict[str, Any] | None = None
        self._registry.gauge("config_last_reload_successful", ()).set(0)
        self._registry.counter("config_reloads_total", ())
        for reason in REASONS:
            self._registry.counter("config_reload_failures_total", (reason,))

    def count(self, error_kinds: Iterable[str]) -> None:
        """A load has ended, with errors of these kinds."""
        self._registry.counter("config_reloads_total", ()).inc()
        for reason in sorted({counted_as(kind) for kind in error_kinds}):
            self._registry.counter("config_reload_failures_total", (reason,)).inc()

    def ended(self, successful: bool, now: int) -> None:
        """How things stand after a load or a single change."""
        gauge = self._registry.gauge
        gauge("config_last_reload_successful", ()).set(int(successful))
        if successful:
            gauge("config_last_reload_success_timestamp_seconds", ()).set(now)
        self.last = {"successful": successful, "at": stamp(now)}

    def failed(self, error_kind: str, text: str, now: int) -> None:
        """Something went wrong; it is remembered until something else does."""
        self.failure = {"at": stamp(now), "last_error_kind": error_kind, "last_error": text}

    def set_kinds(self, name: str, counts: Mapping[str, int]) -> None:
        """The gauge `name` by kind of resource. A kind that was ever there stays, with 0."""
        known = self._kinds.setdefault(name, set())
        known.update(kind for kind, count in counts.items() if count)
        for kind in known:
            self._registry.gauge(name, (kind,)).set(counts.get(kind, 0))

    def serve(self, config_hash: str) -> None:
        """The hash of what is served from now on."""
        hashes = self._hashes
        if hashes and hashes[-1] == config_hash:
            return
        if hashes:
            self._registry.gauge("config_hash_info", (hashes[-1],)).set(0)
        if config_hash in hashes:
            hashes.remove(config_hash)
        elif len(hashes) > HASHES:
            self._exposition.relabel("config_hash_info", (hashes.popleft(),), (config_hash,))
        hashes.append(config_hash)
        self._registry.gauge("config_hash_info", (config_hash,)).set(1)


def counted_as(error_kind: str) -> str:
    """What an error counts as in the metrics."""
    return {"fetch": "fetch", "non_json": "parse"}.get(error_kind, "validate")


def stamp(seconds: int) -> str:
    """RFC 3339 UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
