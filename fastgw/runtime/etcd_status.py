"""What `/status/config` and the metrics say of a gateway that follows etcd.

Hashes are made when somebody asks for them: with 100,000 keys that takes tens of milliseconds, in another thread, and
between two questions there may be thousands of changes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from fastgw.resources.etcd.hashes import Hashes, hashes
from fastgw.resources.etcd.ledger import Ledger, Plan, Step
from fastgw.runtime.reloads import UNREACHABLE, Reloads, stamp
from fastgw.telemetry.exposition import Exposition

INLINE: Final = 200
"""With so few keys another thread costs more than the hash."""


class EtcdStatus:
    """Reads the ledger, which is committed before it is called."""

    def __init__(self, ledger: Ledger, exposition: Exposition) -> None:
        self._ledger = ledger
        self._reloads = Reloads(exposition)
        self._gauge = exposition.local.gauge
        self.connected = False
        self._hashes: tuple[int, asyncio.Task[Hashes]] | None = None
        self._shown = -1
        for name in ("config_source_connected", "config_observed_revision", "config_applied_revision"):
            self._gauge(name, ()).set(0)

    def loaded(self, plan: Plan, now: int, *, live: bool) -> None:
        """A full load is served; `live`: from etcd, not from the copy on disk."""
        if live:
            self._set_connected(True)
        refusals = [refusal for key in plan.refused if (refusal := plan.records[key].refusal) is not None]
        self._reloads.count({refusal.error_kind for refusal in refusals})
        if refusals:
            self._reloads.failed(*refusals[-1], now)
        self._settle(now)

    def changed(self, steps: Sequence[Step], now: int) -> None:
        """Single changes are served, or rejected."""
        for step in steps:
            if step.record is not None and step.record.refusal is not None:
                self._reloads.failed(*step.record.refusal, now)
        self._settle(now)

    def failed(self, now: int) -> None:
        """etcd could not be read or followed."""
        self._set_connected(False)
        self._reloads.count(("fetch",))
        self._reloads.failed("fetch", UNREACHABLE, now)
        self._reloads.ended(False, now)

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self._gauge("config_source_connected", ()).set(int(connected))

    def _settle(self, now: int) -> None:
        ledger, tally = self._ledger, self._ledger.tally
        self._reloads.ended(not tally.rejected.total(), now)
        self._reloads.set_kinds("config_rejected_resources", tally.rejected)
        self._reloads.set_kinds("config_stale_served_resources", tally.stale)
        self._reloads.set_kinds("config_partially_compatible_resources", tally.partial)
        self._gauge("config_observed_revision", ()).set(ledger.revision or 0)
        self._gauge("config_applied_revision", ()).set(ledger.revision or 0)

    # -- what is read

    async def refresh(self) -> None:
        """Bring the hash in the metrics up to date."""
        if self._ledger.revision is not None:
            await self._digest()

    async def document(self) -> dict[str, Any]:
        """The body of `GET /status/config`, of one moment."""
        ledger, now = self._ledger, int(time.time())
        loaded = ledger.revision is not None
        source: dict[str, Any] = {"type": "etcd", "connected": self.connected}
        document: dict[str, Any] = {"state": self._state(), "source": source}
        applied: dict[str, Any] = {}
        if loaded:
            document["applied"] = applied
            applied |= {
                "applied_revision": ledger.revision,
                "config_hash": "",
                "apply_seq": ledger.sequence,
                "applied_at": stamp(ledger.applied_at),
                "resource_counts": {kind: count for kind, count in sorted(ledger.tally.served.items()) if count},
            }
        if self._reloads.last is not None:
            document["last_reload"] = self._reloads.last
        document["last_failure"] = self._reloads.failure
        document["rejected"] = self._rejected(now)
        document["partially_compatible"] = self._partial()
        if loaded:
            source |= {
                "observed_revision": ledger.revision,
                "source_hash": "",
                "observed_at": stamp(ledger.observed_at),
            }
            digest = await self._digest()
            source["source_hash"], applied["config_hash"] = digest
        return document

    def _state(self) -> str:
        ledger = self._ledger
        if ledger.revision is None:
            return "never_loaded"
        serves = ledger.tally.served.total() > 0
        if ledger.tally.rejected.total():
            return "degraded" if serves else "out_of_sync"
        return "synced" if serves else "empty"

    def _rejected(self, now: int) -> list[dict[str, Any]]:
        rows = []
        for key, seen in self._ledger.rejections.items():
            place, record = self._ledger.place(key), self._ledger.records[key]
            assert record.refusal is not None
            row: dict[str, Any] = {
                "resource_kind": place.kind,
                "resource_id": place.id,
                "last_error_kind": record.refusal.error_kind,
                "last_error": record.refusal.message,
                "first_seen_at": stamp(seen.first),
                "last_seen_at": stamp(seen.last),
            }
            if record.pin is not None:
                since = record.pin.since
                row |= {"serving_stale_since": stamp(since), "serving_stale_age_seconds": max(0, now - since)}
            rows.append(row)
        return sorted(rows, key=lambda row: (row["resource_kind"], row["resource_id"]))

    def _partial(self) -> list[dict[str, Any]]:
        fields = Counter(
            (self._ledger.place(key).kind, field)
            for key in self._ledger.partial
            for field in self._ledger.records[key].ignored
        )
        return [
            {"resource_kind": kind, "field": field, "count": count} for (kind, field), count in sorted(fields.items())
        ]

    async def _digest(self) -> Hashes:
        """The hashes of the committed state at the time of the call. Questions about the same state share the work."""
        version = self._ledger.version
        if self._hashes is None or self._hashes[0] != version:
            records = self._ledger.records.copy()
            work = _inline(records) if len(records) <= INLINE else asyncio.to_thread(hashes, records)
            self._hashes = (version, asyncio.get_running_loop().create_task(work))
        # A reader that leaves must not take the answer away from the others.
        digest = await asyncio.shield(self._hashes[1])
        if version > self._shown:
            self._shown = version
            self._reloads.serve(digest.config)
        return digest


async def _inline(records: Any) -> Hashes:
    return hashes(records)
