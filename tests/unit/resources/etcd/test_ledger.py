"""The last valid document of every key keeps serving: tables, and random histories against a plain model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.resources.change import Store
from fastgw.resources.decode import Decoded
from fastgw.resources.etcd import ledger as module
from fastgw.resources.etcd.hashes import hashes
from fastgw.resources.etcd.layout import Layout, Place
from fastgw.resources.etcd.ledger import Ledger, Pin, Refusal, Step, canonical, change, verdict
from fastgw.resources.etcd.wire import KeyValue
from fastgw.resources.models import OidcProvider

BAD_KEY = Refusal("bad_key", "bad key")
BAD = Refusal("schema_failed", "bad document")


def row(value: bytes) -> OidcProvider:
    return OidcProvider(name=value.decode(), issuer="i", audiences=("a",))


def judge(place: Place | None, document: bytes) -> Decoded | Refusal:
    """A document is what it says it is: `bad...`, `part...`, or good."""
    if place is None:
        return BAD_KEY
    if document.startswith(b"bad"):
        return BAD
    return Decoded(row(document), ("x",) if document.startswith(b"part") else ())


class Life:
    """A ledger with the store that its changes make."""

    def __init__(self) -> None:
        self.ledger = Ledger(Layout("/p"), judge)
        self.store = Store()
        self.revision = 0

    def put(self, key: bytes, value: bytes | None, now: int = 0) -> Step:
        self.revision += 1
        step = self.ledger.plan(key, value, self.revision, now)
        self.store.apply(change([step]))
        self.ledger.commit([step], self.revision, now)
        return step

    def load(self, documents: dict[bytes, bytes], now: int = 0, pins: dict[bytes, Pin] | None = None) -> Any:
        self.revision += 1
        records = self.ledger.records
        entries = [
            KeyValue(
                key, value, records[key].revision if key in records and records[key].value == value else self.revision
            )
            for key, value in sorted(documents.items())
        ]
        plan = self.ledger.plan_load(self.revision, entries, now, pins)
        self.store.apply(plan.change)
        self.ledger.commit_load(plan, now)
        return plan

    def serving(self) -> dict[str, str]:
        return {f"{put.kind}/{put.row.id}": put.row.value.name for put in self.store}


A = b"/p/models/a"


@pytest.mark.parametrize(
    ("history", "serves", "pin", "refusal", "ignored"),
    [
        ([b"v1"], "v1", None, None, ()),
        ([b"v1", b"v2"], "v2", None, None, ()),
        ([b"bad"], None, None, BAD, ()),
        ([b"v1", b"bad"], "v1", 2, BAD, ()),
        ([b"v1", b"bad", b"bad2"], "v1", 2, BAD, ()),
        ([b"v1", b"bad", b"v2"], "v2", None, None, ()),
        ([b"v1", b"bad", b"v2", b"bad"], "v2", 4, BAD, ()),
        ([b"part", b"bad"], "part", 2, BAD, ("x",)),
        ([b"part", b"bad", b"v2"], "v2", None, None, ()),
        ([b"v1", b"bad", None], None, None, None, ()),
        ([b"v1", b"bad", None, b"bad"], None, None, BAD, ()),
    ],
)
@pytest.mark.parametrize("loads", [False, True])
def test_the_table(
    history: list[bytes | None],
    serves: str | None,
    pin: int | None,
    refusal: Any,
    ignored: tuple[str, ...],
    loads: bool,
) -> None:
    """Single events and full loads come to the same."""
    life = Life()
    life.load({})
    for now, value in enumerate(history, 1):
        if loads:
            life.load({} if value is None else {A: value}, now)
        else:
            life.put(A, value, now)
    assert life.serving() == ({} if serves is None else {"models/a": serves})
    record = life.ledger.records.get(A)
    assert (record is None) == (history[-1] is None)
    if record is not None:
        assert record.value == history[-1]
        assert (record.pin and record.pin.since, record.refusal, record.ignored) == (pin, refusal, ignored)
    assert life.ledger.tally.served["models"] == (serves is not None)
    assert life.ledger.tally.stale["models"] == (pin is not None)
    assert life.ledger.tally.rejected["models"] == (refusal is not None)
    assert life.ledger.tally.partial["models"] == bool(ignored)
    assert list(life.ledger.rejections) == ([A] if refusal else [])
    assert list(life.ledger.partial) == ([A] if ignored else [])


def test_when_a_rejection_was_seen() -> None:
    life = Life()
    life.load({A: b"bad"}, 1)
    life.put(A, b"bad2", 5)
    life.load({A: b"bad2"}, 9)
    assert life.ledger.rejections[A] == (1, 9)
    life.put(A, b"v", 10)
    life.put(A, b"bad", 11)
    assert life.ledger.rejections[A] == (11, 11)


def test_pins_of_an_earlier_process() -> None:
    def pin(value: bytes) -> Pin:
        return Pin(value, value, 3, 77)

    life = Life()
    documents = {b"/p/models/" + name: value for name, value in [(b"a", b"bad"), (b"b", b"v2"), (b"c", b"bad")]}
    pins = {
        b"/p/models/a": pin(b"part"),
        b"/p/models/b": pin(b"v1"),
        b"/p/models/c": pin(b"bad"),
        b"/p/models/gone": pin(b"v1"),
    }
    plan = life.load(documents, 100, pins)
    assert plan.dropped == (b"/p/models/c",)
    assert life.serving() == {"models/a": "part", "models/b": "v2"}
    assert life.ledger.records[A].pin == pin(b"part")
    assert life.store.rows("models")["a"].revision == 3
    assert life.ledger.records[A].ignored == ("x",)
    # The first load from etcd itself keeps it, with its date.
    life.load(documents, 200)
    assert life.ledger.records[A].pin == pin(b"part")
    assert life.serving() == {"models/a": "part", "models/b": "v2"}


def test_a_load_touches_only_what_is_different() -> None:
    life = Life()
    life.load({b"/p/models/a": b"v1", b"/p/models/b": b"v1", b"/p/models/c": b"bad", b"/p/models/d": b"v1"})
    plan = life.load({b"/p/models/a": b"v1", b"/p/models/b": b"v2", b"/p/models/c": b"bad", b"/p/models/e": b"v1"})
    assert [put.row.id for put in plan.change.puts] == ["b", "e"]
    assert plan.change.deletes == (("models", "d"),)
    assert not plan.change.resync


def test_the_sequence_counts_changes_of_what_serves() -> None:
    life = Life()
    life.load({}, 1)
    assert (life.ledger.sequence, life.ledger.applied_at) == (1, 1)
    for now, (value, advances) in enumerate(
        [(b'{"a":1,"b":2}', True), (b'{"b":2, "a":1}', False), (b"bad", False), (b'{"a":1,"b":2}', False), (b"v", True),
         (None, True), (b"bad", False), (None, False)], 2
    ):  # fmt: skip
        before = life.ledger.sequence
        life.put(A, value, now)
        assert life.ledger.sequence == before + advances, value
        assert (life.ledger.applied_at == now) == advances
    before = life.ledger.sequence
    life.load({})
    assert life.ledger.sequence == before
    life.load({A: b"v"})
    life.load({A: b"v"})
    life.load({})
    assert life.ledger.sequence == before + 2


def test_only_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REJECTIONS", 3)
    monkeypatch.setattr(module, "MAX_PARTIAL", 2)
    life = Life()
    keys = [b"/p/models/%d" % number for number in range(5)]
    life.load(dict.fromkeys(keys, b"bad"))
    assert list(life.ledger.rejections) == keys[2:]
    assert life.ledger.tally.rejected["models"] == 5
    life.put(keys[2], b"bad again")
    life.put(keys[0], b"bad again")
    assert list(life.ledger.rejections) == [keys[4], keys[2], keys[0]]
    life.load(dict.fromkeys(keys, b"part"))
    assert list(life.ledger.partial) == keys[3:]
    assert life.ledger.tally.partial["models"] == 5
    assert life.ledger.rejections == {}


def test_the_limits() -> None:
    assert (module.MAX_REJECTIONS, module.MAX_PARTIAL) == (256, 1024)


def test_a_plan_alters_nothing() -> None:
    life = Life()
    life.load({A: b"v1"})
    before = (dict(life.ledger.records), life.ledger.sequence, life.ledger.revision)
    life.ledger.plan(A, b"v2", 9, 9)
    life.ledger.plan(A, None, 9, 9)
    life.ledger.plan_load(9, [], 9)
    assert (life.ledger.records, life.ledger.sequence, life.ledger.revision) == before


def test_a_step_that_cannot_be_applied_is_a_rejection() -> None:
    life = Life()
    life.load({A: b"v1"})
    step = life.ledger.plan(A, b"v2", 9, 5, Refusal("parse_failed", "no worker takes it"))
    assert step.put is None
    assert step.record is not None
    assert step.record.pin == Pin(b"v1", b"v1", 1, 5)


@pytest.mark.parametrize(
    ("key", "document", "kind"),
    [
        (b"/p/models", b"{}", "bad_key"),
        (b"/p/models/a", b"{", "non_json"),
        (b"/p/models/a", b"", "non_json"),
        (b"/p/models/a", b"{}", "schema_failed"),
        (b"/p/odd/a", b"{}", "unknown_kind"),
    ],
)
def test_verdicts(key: bytes, document: bytes, kind: str) -> None:
    refusal = verdict(Layout("/p").place(key), document)
    assert isinstance(refusal, Refusal)
    assert refusal.error_kind == kind
    if kind == "unknown_kind":
        assert refusal.message == 'unknown kind "odd"'


def test_a_verdict_on_a_good_document(monkeypatch: pytest.MonkeyPatch) -> None:
    document = b'{"name":"n","issuer":"i","audiences":["a"],"odd":1}'
    decoded = verdict(Place("oidc_providers", "a"), document)
    assert isinstance(decoded, Decoded)
    assert decoded.ignored == ("odd",)

    def crash(kind: str, document: bytes, *, strict: bool) -> Decoded:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(module, "decode", crash)
    refusal = verdict(Place("oidc_providers", "a"), document)
    assert isinstance(refusal, Refusal)
    assert refusal == ("parse_failed", "document cannot be decoded (ZeroDivisionError)")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b' {"b": [1, {"d": 2, "c": "\\u00e9"}], "a": 1.5}', '{"a":1.5,"b":[1,{"c":"\u00e9","d":2}]}'.encode()),
        (b"not json", b"not json"),
        (b"", b""),
        (b"[" * 5000, b"[" * 5000),
        (b"1", b"1"),
    ],
)
def test_canonical(value: bytes, expected: bytes) -> None:
    assert canonical(value) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_canonical_against_the_standard_library(value: Any) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical(json.dumps(value).encode()) == expected


# -- random histories against a plain model


@dataclass
class Model:
    """The rules, one dict per notion. Revisions are left out."""

    observed: dict[bytes, bytes] = field(default_factory=dict)
    served: dict[bytes, bytes] = field(default_factory=dict)
    pins: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    rejected: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    partial: set[bytes] = field(default_factory=set)

    def put(self, key: bytes, value: bytes, now: int) -> None:
        good = key.startswith(b"/p/models/") and not value.startswith(b"bad")
        if good:
            self.served[key] = value
            self.rejected.pop(key, None)
            self.pins.pop(key, None)
            self.partial.discard(key)
            if value.startswith(b"part"):
                self.partial.add(key)
        else:
            if key in self.served:
                self.pins.setdefault(key, (self.served[key], now))
            first = self.rejected[key][0] if key in self.rejected else now
            self.rejected[key] = (first, now)
        self.observed[key] = value

    def delete(self, key: bytes) -> None:
        for notion in (self.observed, self.served, self.pins, self.rejected):
            notion.pop(key, None)  # type: ignore[attr-defined]
        self.partial.discard(key)

    def load(self, documents: dict[bytes, bytes], now: int) -> None:
        for key in set(self.observed) - set(documents):
            self.delete(key)
        for key, value in documents.items():
            self.put(key, value, now)

    def hashes(self) -> tuple[str, str]:
        def over(rows: dict[bytes, bytes]) -> str:
            return hashlib.sha256(b"".join(key + b"\0" + rows[key] + b"\n" for key in sorted(rows))).hexdigest()

        return over(self.observed), over(self.served)


keys = st.sampled_from([b"/p/models/a", b"/p/models/b", b"/p/models/c", b"/p/odd", b"/pp"])
values = st.sampled_from([b"v1", b"v2", b"part1", b"part2", b"bad1", b"bad2"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, values),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("load"), st.dictionaries(keys, values)),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(operations)
def test_any_history_against_the_model(history: list[Any]) -> None:
    life, model = Life(), Model()
    life.load({})
    for now, operation in enumerate(history, 1):
        before = model.hashes()[1]
        sequence = life.ledger.sequence
        if operation[0] == "put":
            life.put(operation[1], operation[2], now)
            model.put(operation[1], operation[2], now)
        elif operation[0] == "delete":
            life.put(operation[1], None, now)
            model.delete(operation[1])
        else:
            life.load(operation[1], now)
            model.load(operation[1], now)
        ledger = life.ledger
        assert (ledger.sequence > sequence) == (model.hashes()[1] != before)
        assert hashes(ledger.records) == model.hashes()
        assert life.serving() == {key[3:].decode(): value.decode() for key, value in model.served.items()}
        assert {key: record.value for key, record in ledger.records.items()} == model.observed
        pins = {key: (record.pin.value, record.pin.since) for key, record in ledger.records.items() if record.pin}
        assert pins == model.pins
        assert ledger.rejections == model.rejected
        assert set(ledger.partial) == model.partial
        assert ledger.tally.served.total() == len(model.served)
        assert ledger.tally.rejected.total() == len(model.rejected)
        assert ledger.tally.stale.total() == len(model.pins)
        assert ledger.tally.partial.total() == len(model.partial)
