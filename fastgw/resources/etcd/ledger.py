"""What etcd holds, and what the gateway serves of it: the last valid document of every key.

A state machine without I/O. A change is planned first (`plan`, `plan_load`), which alters nothing; once the rows that
the plan puts and deletes are served everywhere, it is committed, so that what can be read here has always been applied.

Per key there are the *observed* bytes, the latest of etcd. If they cannot be used, what was served before keeps
serving: it is *pinned*, until the key gets a usable document or is deleted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from msgspec import Struct

from fastgw.core.collector import collector_paused
from fastgw.resources.change import Change, Put
from fastgw.resources.decode import Decoded, Rejected, decode
from fastgw.resources.etcd.layout import Layout, Place
from fastgw.resources.etcd.wire import KeyValue
from fastgw.resources.models import Row

MAX_REJECTIONS: Final = 256
MAX_PARTIAL: Final = 1024
NOWHERE: Final = Place("", "")
"""Where a key belongs that names nothing."""


class Refusal(NamedTuple):
    """Why a document is not served. `error_kind` is `bad_key` or one of `fastgw.resources.decode.ErrorKind`."""

    error_kind: str
    message: str


class Pin(Struct, frozen=True, gc=False):
    """An earlier document that serves in place of the observed one; `since` in Unix seconds."""

    value: bytes
    canonical: bytes
    revision: int
    since: int


class Record(Struct, frozen=True, gc=False):
    """A key. Without a `refusal` the observed `value` serves, else the `pin`, if there is one. `ignored`: the members
    that nothing reads, of what serves. `revision`: of the last change."""

    value: bytes
    canonical: bytes
    revision: int
    ignored: tuple[str, ...] = ()
    refusal: Refusal | None = None
    pin: Pin | None = None

    def served(self) -> bytes | None:
        """The canonical form of what serves."""
        if self.refusal is None:
            return self.canonical
        return self.pin.canonical if self.pin is not None else None


class Step(NamedTuple):
    """What an event does to one key. `record` None: it is gone. `put`, `delete`: what happens to the served row."""

    key: bytes
    place: Place
    record: Record | None
    put: Row[Any] | None = None
    delete: bool = False


class Plan(NamedTuple):
    """What a full load does. `refused`: the keys whose documents are not served (new ones and old ones), `dropped`:
    those whose pinned document could not be restored, `noted`: those that need attention. `differs`: other bytes are
    served than before."""

    revision: int
    records: dict[bytes, Record]
    change: Change
    refused: tuple[bytes, ...]
    dropped: tuple[bytes, ...]
    noted: tuple[bytes, ...]
    tally: "Tally"
    differs: bool


class Seen(NamedTuple):
    """When a rejection was seen for the first and the last time, in Unix seconds."""

    first: int
    last: int


class Tally:
    """Keys per kind."""

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.stale: Counter[str] = Counter()
        self.partial: Counter[str] = Counter()

    def add(self, kind: str, record: Record, sign: int = 1) -> None:
        if record.refusal is None or record.pin is not None:
            self.served[kind] += sign
            if record.ignored:
                self.partial[kind] += sign
        if record.refusal is not None:
            self.rejected[kind] += sign
            if record.pin is not None:
                self.stale[kind] += sign


Judge = Callable[[Place | None, bytes], Decoded | Refusal]


class Ledger:
    """The committed state. `version` counts commits, `sequence` changes of what is served; `rejections` and `partial`
    are the newest keys of their sort, oldest first. `revision` None: nothing has been loaded."""

    def __init__(self, layout: Layout, judge: Judge | None = None) -> None:
        self._layout = layout
        self._judge = judge or verdict
        self.records: dict[bytes, Record] = {}
        self.revision: int | None = None
        self.observed_at = 0
        self.version = 0
        self.sequence = 0
        self.applied_at = 0
        self.tally = Tally()
        self.rejections: dict[bytes, Seen] = {}
        self.partial: dict[bytes, None] = {}

    def place(self, key: bytes) -> Place:
        """What a key names."""
        return self._layout.place(key) or NOWHERE

    # -- single events

    def plan(self, key: bytes, value: bytes | None, revision: int, now: int, refusal: Refusal | None = None) -> Step:
        """A document was stored, or (`value` None) deleted. With a `refusal` it is not served, whatever is in it."""
        place, before = self._layout.place(key), self.records.get(key)
        serves = before is not None and before.served() is not None
        if value is None:
            return Step(key, place or NOWHERE, None, delete=serves)
        judged = refusal or self._judge(place, value)
        if not isinstance(judged, Refusal) and place is not None:
            record = Record(value, canonical(value), revision, judged.ignored)
            return Step(key, place, record, Row(place.id, judged.row, revision))
        assert isinstance(judged, Refusal)
        return Step(key, place or NOWHERE, _refused(before, value, revision, judged, now))

    def commit(self, steps: Iterable[Step], revision: int, now: int) -> None:
        """The changes of the steps are served. O(steps)."""
        for step in steps:
            before = self.records.pop(step.key, None)
            kind = step.place.kind
            if before is not None:
                self.tally.add(kind, before, -1)
            if step.record is not None:
                self.records[step.key] = step.record
                self.tally.add(kind, step.record)
            self._remember(step.key, step.record, self.rejections.pop(step.key, None), now)
            if (before.served() if before else None) != (step.record.served() if step.record else None):
                self._advance(now)
        self.revision = max(revision, self.revision or 0)
        self.observed_at = now
        self.version += 1

    # -- everything

    def plan_load(
        self, revision: int, entries: Iterable[KeyValue], now: int, pins: Mapping[bytes, Pin] | None = None
    ) -> Plan:
        """Everything that there is, ascending by key. `pins` are those of an earlier process. Alters nothing, so it may
        run in another thread. O(entries); a document that has not changed is not looked at again."""
        with collector_paused():
            return self._plan_load(revision, entries, now, pins or {})

    def _plan_load(self, revision: int, entries: Iterable[KeyValue], now: int, pins: Mapping[bytes, Pin]) -> Plan:
        records: dict[bytes, Record] = {}
        puts: list[Put] = []
        dropped: list[bytes] = []
        for entry in entries:
            key, before = entry.key, self.records.get(entry.key)
            if before is not None and before.value == entry.value and before.revision == entry.revision:
                records[key] = before
                continue
            step = self.plan(key, entry.value, entry.revision, now)
            assert step.record is not None
            record, put = step.record, step.put
            pin = pins.get(key)
            if pin is not None and record.refusal is not None:
                restored = self._judge(self._layout.place(key), pin.value)
                if isinstance(restored, Refusal):
                    dropped.append(key)
                else:
                    put = Row(step.place.id, restored.row, pin.revision)
                    record = Record(
                        record.value, record.canonical, record.revision, restored.ignored, record.refusal, pin
                    )
            records[key] = record
            if put is not None:
                puts.append(Put(step.place.kind, put))
        deletes = (
            self.place(key)
            for key, record in self.records.items()
            if key not in records and record.served() is not None
        )
        refused = tuple(key for key, record in records.items() if record.refusal is not None)
        noted = tuple(key for key, record in records.items() if record.refusal is not None or record.ignored)
        tally = Tally()
        for key, record in records.items():
            tally.add(self.place(key).kind, record)
        change = Change(tuple(puts), tuple(deletes))
        return Plan(revision, records, change, refused, tuple(dropped), noted, tally, _differs(self.records, records))

    def commit_load(self, plan: Plan, now: int) -> None:
        """The plan, which was made of the state as it is, is served. O(keys that need attention)."""
        seen = self.rejections
        self.records, self.rejections, self.partial = plan.records, {}, {}
        self.tally = plan.tally
        for key in plan.noted:
            self._remember(key, plan.records[key], seen.get(key), now)
        if self.revision is None or plan.differs:
            self._advance(now)
        self.revision = plan.revision
        self.observed_at = now
        self.version += 1

    def _advance(self, now: int) -> None:
        self.sequence += 1
        self.applied_at = now

    def _remember(self, key: bytes, record: Record | None, seen: Seen | None, now: int) -> None:
        """Keep the newest keys that need attention."""
        self.partial.pop(key, None)
        if record is None:
            return
        if record.refusal is not None:
            self.rejections[key] = Seen(seen.first if seen else now, now)
            if len(self.rejections) > MAX_REJECTIONS:
                del self.rejections[next(iter(self.rejections))]
        if record.ignored:
            self.partial[key] = None
            if len(self.partial) > MAX_PARTIAL:
                del self.partial[next(iter(self.partial))]


def change(steps: Iterable[Step]) -> Change:
    """What the steps do to the served rows; no key may occur twice."""
    steps = tuple(steps)
    puts = tuple(Put(step.place.kind, step.put) for step in steps if step.put is not None)
    return Change(puts, tuple(step.place for step in steps if step.delete))


def verdict(place: Place | None, document: bytes) -> Decoded | Refusal:
    """Whether a document can be served: the rules of single documents, leniently."""
    if place is None:
        return Refusal("bad_key", "key does not have the form <prefix>/<kind>/<id>")
    try:
        return decode(place.kind, document, strict=False)
    except Rejected as error:
        return Refusal(error.error_kind, error.message)
    except Exception as defect:
        # Whatever is wrong with one document, the others must not suffer from it.
        return Refusal("parse_failed", f"document cannot be decoded ({type(defect).__name__})")


def canonical(value: bytes) -> bytes:
    """JSON with sorted members and without white space; other bytes as they are."""
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, RecursionError):
        return value
    # The serializer hands out the buffer that it wrote into, which has room for kilobytes more: keep a copy instead.
    return value if text == value else bytes(memoryview(text))


def _refused(before: Record | None, value: bytes, revision: int, refusal: Refusal, now: int) -> Record:
    pin: Pin | None = None
    ignored: tuple[str, ...] = ()
    if before is not None and before.served() is not None:
        ignored = before.ignored
        pin = before.pin if before.refusal is not None else None
        pin = pin or Pin(before.value, before.canonical, before.revision, now)
    return Record(value, canonical(value), revision, ignored, refusal, pin)


def _differs(before: Mapping[bytes, Record], after: Mapping[bytes, Record]) -> bool:
    """Whether other bytes are served."""
    return any(
        before[key].served() != record.served() if key in before else record.served() is not None
        for key, record in after.items()
        if record is not before.get(key)
    ) or any(key not in after and record.served() is not None for key, record in before.items())
