"""The metrics and status listener: Prometheus text, readiness and configuration state, without authentication."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from fastgw.http.pages import Page, get_only
from fastgw.runtime.overview import JSON, Overview, models_status
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition
from fastgw.telemetry.metrics import Registry

CATCH_UP_SECONDS = 0.2


class StatusState:
    """What has been loaded, and how it went."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.generation = 0
        self._hash = ""
        self._observed: tuple[str, int] | None = None
        self._out_of_sync = False
        self._rejected: list[tuple[dict[str, str], int, int]] = []
        self._kinds: set[str] = set()
        self._served: dict[str, int] = {}
        self._applied_at = 0
        self._reload: dict[str, Any] | None = None
        self._failure: dict[str, Any] | None = None
        registry.gauge("config_last_reload_successful", ()).set(0)

    def applied(self, source_hash: str, counts: dict[str, int]) -> None:
        """A configuration serves on every worker. `counts`: rows per kind."""
        now = int(time.time())
        gauge, counter = self._registry.gauge, self._registry.counter
        counter("config_reloads_total", ()).inc()
        gauge("config_last_reload_successful", ()).set(1)
        gauge("config_last_reload_success_timestamp_seconds", ()).set(now)
        if source_hash != self._hash:
            if self._hash:
                gauge("config_hash_info", (self._hash,)).set(0)
            gauge("config_hash_info", (source_hash,)).set(1)
            self._hash = source_hash
            self.generation += 1
            self._applied_at = now
        self._served = counts
        self._reload = {"successful": True, "at": stamp(now)}
        self._observed = (source_hash, now)
        self._out_of_sync = False
        self._set_rejected([], now)

    def failed(self, report: str, problems: Sequence[tuple[str, str]], source_hash: str | None = None) -> None:
        """A load was refused, for (scope, message) each; what was applied before keeps serving.

        Without a `source_hash` the file could not be read, which says nothing about what is in it.
        """
        now = int(time.time())
        counter = self._registry.counter
        counter("config_reloads_total", ()).inc()
        if source_hash is None:
            kind, text, reasons = "fetch", "configuration source unreachable", {"fetch"}
        else:
            self._observed = (source_hash, now)
            self._out_of_sync = True
            self._set_rejected(problems, now)
            kind, text = error_kind(problems[0][1]), report
            reasons = {"parse" if error_kind(message) == "non_json" else "validate" for _, message in problems}
        for reason in sorted(reasons):
            counter("config_reload_failures_total", (reason,)).inc()
        self._registry.gauge("config_last_reload_successful", ()).set(0)
        self._reload = {"successful": False, "at": stamp(now)}
        self._failure = {"at": stamp(now), "last_error_kind": kind, "last_error": text}

    def document(self) -> dict[str, Any]:
        """The body of `GET /status/config`."""
        state = "never_loaded" if not self._hash else "out_of_sync" if self._out_of_sync else "synced"
        if state == "synced" and not any(self._served.values()):
            state = "empty"
        source: dict[str, Any] = {"type": "file"}
        if self._observed is not None:
            source |= {"source_hash": self._observed[0], "observed_at": stamp(self._observed[1])}
        document: dict[str, Any] = {"state": state, "source": source}
        if self._hash:
            document["applied"] = {
                "config_hash": self._hash,
                "apply_seq": self.generation,
                "applied_at": stamp(self._applied_at),
                "resource_counts": {kind: count for kind, count in self._served.items() if count},
            }
        if self._reload is not None:
            document["last_reload"] = self._reload
        document["last_failure"] = self._failure
        document["rejected"] = [
            row | {"first_seen_at": stamp(first), "last_seen_at": stamp(last)} for row, first, last in self._rejected
        ]
        document["partially_compatible"] = []
        return document

    def _set_rejected(self, problems: Sequence[tuple[str, str]], now: int) -> None:
        since = {identity(row): first for row, first, _ in self._rejected}
        rows = sorted((rejection(*problem) for problem in problems), key=identity)
        self._rejected = [(row, since.get(identity(row), now), now) for row in rows]
        counts = dict.fromkeys(self._kinds, 0) | Counter(row["resource_kind"] for row in rows)
        for kind, count in counts.items():
            self._registry.gauge("config_rejected_resources", (kind,)).set(count)
        self._kinds = set(counts)


def rejection(scope: str, message: str) -> dict[str, str]:
    """A row of `rejected`. `scope` is `(file)`, `<kind>[<i>]` or `<kind>[<i>] ("<identity>")`."""
    place, _, rest = scope.partition("[")
    name = rest.partition('("')[2].removesuffix('")')
    return {
        "resource_kind": place,
        "resource_id": name,
        "last_error_kind": error_kind(message),
        "last_error": message,
    }


def identity(row: dict[str, str]) -> tuple[str, str]:
    """What `rejected` is sorted by."""
    return row["resource_kind"], row["resource_id"]


def error_kind(message: str) -> str:
    """The class of a load error."""
    if message.startswith("YAML parse error"):
        return "non_json"
    return "parse_failed" if message.startswith("cannot decode canonical document") else "schema_failed"


class StatusPages:
    """The pages by path, made in the supervisor's own loop."""

    def __init__(
        self, metrics_path: str, exposition: Exposition, state: StatusState, board: Board, overview: Overview
    ) -> None:
        self._exposition = exposition
        self._state = state
        self._board = board
        self._overview = overview
        self.answer = get_only(
            {
                b"/status/config": self._config,
                b"/status/ready": self._ready,
                b"/status/models": self._models,
                metrics_path.encode(): self._metrics,
            }
        )

    async def _metrics(self) -> Page:
        # A worker's counters are in shared memory at once; what new ones mean arrives over its link.
        for _ in range(int(CATCH_UP_SECONDS / 0.002)):
            if not self._exposition.behind():
                break
            await asyncio.sleep(0.002)
        return Page(200, "text/plain; version=0.0.4", self._exposition.render())

    async def _config(self) -> Page:
        return Page(200, JSON, orjson.dumps(self._state.document()))

    async def _models(self) -> Page:
        return models_status(self._overview)

    async def _ready(self) -> Page:
        if self._board.ready():
            return Page(200, "text/plain; charset=utf-8", b"ok")
        return Page(503, "text/plain; charset=utf-8", b"no configuration available")


def stamp(seconds: int) -> str:
    """RFC 3339 UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
