"""What `/status/config` and the metrics say of a gateway that reads a resources file."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastgw.runtime.reloads import UNREACHABLE, Reloads, stamp
from fastgw.telemetry.exposition import Exposition


class FileStatus:
    """What has been loaded, and how it went. `generation` counts different files."""

    def __init__(self, exposition: Exposition) -> None:
        self._reloads = Reloads(exposition)
        self.generation = 0
        self._hash = ""
        self._observed: tuple[str, int] | None = None
        self._out_of_sync = False
        self._rejected: list[tuple[dict[str, str], int, int]] = []
        self._served: dict[str, int] = {}
        self._applied_at = 0

    def applied(self, source_hash: str, counts: dict[str, int]) -> None:
        """A configuration serves on every worker. `counts`: rows per kind."""
        now = int(time.time())
        self._reloads.count(())
        self._reloads.ended(True, now)
        self._reloads.serve(source_hash)
        if source_hash != self._hash:
            self._hash = source_hash
            self.generation += 1
            self._applied_at = now
        self._served = counts
        self._observed = (source_hash, now)
        self._out_of_sync = False
        self._set_rejected([], now)

    def failed(self, report: str, problems: Sequence[tuple[str, str]], source_hash: str | None = None) -> None:
        """A load was refused, for (scope, message) each; what was applied before keeps serving.

        Without a `source_hash` the file could not be read, which says nothing about what is in it.
        """
        now = int(time.time())
        if source_hash is None:
            self._reloads.count(("fetch",))
            self._reloads.failed("fetch", UNREACHABLE, now)
        else:
            self._observed = (source_hash, now)
            self._out_of_sync = True
            self._set_rejected(problems, now)
            self._reloads.count(error_kind(message) for _, message in problems)
            self._reloads.failed(error_kind(problems[0][1]), report, now)
        self._reloads.ended(False, now)

    async def document(self) -> dict[str, Any]:
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
        if self._reloads.last is not None:
            document["last_reload"] = self._reloads.last
        document["last_failure"] = self._reloads.failure
        document["rejected"] = [
            row | {"first_seen_at": stamp(first), "last_seen_at": stamp(last)} for row, first, last in self._rejected
        ]
        document["partially_compatible"] = []
        return document

    async def refresh(self) -> None:
        """The metrics are up to date."""

    def _set_rejected(self, problems: Sequence[tuple[str, str]], now: int) -> None:
        since = {identity(row): first for row, first, _ in self._rejected}
        rows = sorted((rejection(*problem) for problem in problems), key=identity)
        self._rejected = [(row, since.get(identity(row), now), now) for row in rows]
        self._reloads.set_kinds("config_rejected_resources", Counter(row["resource_kind"] for row in rows))


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
