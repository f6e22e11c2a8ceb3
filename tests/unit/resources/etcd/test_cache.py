"""The copy on disk: its form, how it is replaced, how often it is written."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.resources.etcd import cache as module
from fastgw.resources.etcd.cache import Cached, CacheError, SnapshotCache, read_cache, write_cache
from fastgw.resources.etcd.ledger import Pin, Record, Refusal
from fastgw.resources.etcd.wire import KeyValue

BAD = Refusal("schema_failed", "bad")


def record(value: bytes, revision: int = 1, **more: Any) -> Record:
    return Record(value, value, revision, **more)


def test_the_form_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "too" / "cache.json"
    pin = Pin(b"{}", b"{}", 17, 1790000000)
    records = {b"/p/models/b": record(b"odd", 41, refusal=BAD, pin=pin), b'/p/models/"a': record(b"{}", 40)}
    write_cache(path, 42, records)
    assert json.loads(path.read_bytes()) == {
        "version": 1,
        "revision": 42,
        "entries": [
            {"key": "/p/models/b", "value_b64": base64.b64encode(b"odd").decode(), "revision": 41},
            {"key": '/p/models/"a', "value_b64": "e30=", "revision": 40},
        ],
        "stale": [{"key": "/p/models/b", "value_b64": "e30=", "revision": 17, "since_unix_secs": 1790000000}],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["cache.json"]
    assert read_cache(path) == Cached(
        42, [KeyValue(b'/p/models/"a', b"{}", 40), KeyValue(b"/p/models/b", b"odd", 41)], {b"/p/models/b": pin}
    )


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])).map(str.encode),
        st.builds(record, st.binary(), st.integers(0, 2**62)),
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, records: dict[bytes, Record]) -> None:
    path = tmp_path_factory.mktemp("cache") / "c"
    write_cache(path, 7, records)
    cached = read_cache(path)
    assert cached is not None
    assert {row.key: (row.value, row.revision) for row in cached.entries} == {
        key: (row.value, row.revision) for key, row in records.items()
    }


def test_many_rows_and_keys_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 3)
    for count in range(8):
        records = {b"/p/%d" % number: record(b"") for number in range(count)}
        write_cache(tmp_path / "c", 1, {b"\xff": record(b""), **records, b"\xfe": record(b"")})
        cached = read_cache(tmp_path / "c")
        assert cached is not None
        assert [row.key for row in cached.entries] == list(records)


def test_an_old_file_without_stale(tmp_path: Path) -> None:
    (tmp_path / "c").write_text('{"version":1,"revision":3,"entries":[]}')
    assert read_cache(tmp_path / "c") == Cached(3, [], {})
    assert read_cache(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a configuration cache"),
        (b"canary", "not a configuration cache"),
        (b'{"version":1}', "not a configuration cache"),
        (
            b'{"version":1,"revision":1,"entries":[{"key":"k","value_b64":"%","revision":1}]}',
            "not a configuration cache",
        ),
        (b'{"version":2,"revision":1,"entries":[]}', "version 2 is not known"),
        (b'{"version":1,"revision":9223372036854775808,"entries":[]}', "not a configuration cache"),
        (b'{"version":1,"revision":-1,"entries":[]}', "not a configuration cache"),
        (
            b'{"version":1,"revision":1,"entries":[{"key":"k","value_b64":"","revision":18446744073709551616}]}',
            "not a configuration cache",
        ),
        (
            b'{"version":1,"revision":1,"entries":[],'
            b'"stale":[{"key":"k","value_b64":"","revision":1,"since_unix_secs":253402300800}]}',
            "not a configuration cache",
        ),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(CacheError, match=reason):
        read_cache(tmp_path / "c")
    with pytest.raises(CacheError, match="directory"):
        read_cache(tmp_path)


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    write_cache(path, 1, {})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_cache(path, 2, {})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "c.tmp").symlink_to(elsewhere)
    write_cache(tmp_path / "c", 1, {})
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / "c").is_symlink()


class Disk:
    """Takes the place of the file: counts writes, each of which waits for `gate`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.revision = 0
        self.written: list[int] = []
        self.fails = False
        self.failures: list[str] = []
        self.gate: Callable[[], None] = lambda: None
        monkeypatch.setattr(module, "write_cache", self.write)
        self.cache = SnapshotCache(
            Path("x"), lambda: (self.revision, {}), lambda error: self.failures.append(str(error))
        )

    def write(self, path: Path, revision: int, records: Mapping[bytes, Record]) -> None:
        self.gate()
        if self.fails:
            raise OSError("full")
        self.written.append(revision)

    def change(self) -> None:
        self.revision += 1
        self.cache.changed()


def test_changes_share_a_write_and_the_last_one_is_on_disk_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 3600.0)

    async def main() -> None:
        disk = Disk(monkeypatch)
        runner = asyncio.create_task(disk.cache.run())
        disk.change()
        while not disk.written:
            await asyncio.sleep(0.001)
        for _ in range(200):
            disk.change()
        disk.cache.close()
        await runner
        assert disk.written == [1, 201]

    asyncio.run(main())


def test_a_change_during_the_write_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        disk = Disk(monkeypatch)
        loop = asyncio.get_running_loop()

        def gate() -> None:
            if not disk.written:
                asyncio.run_coroutine_threadsafe(change(), loop).result()

        async def change() -> None:
            disk.change()
            disk.cache.close()

        disk.gate = gate
        disk.change()
        await disk.cache.run()
        assert disk.written == [1, 2]

    asyncio.run(main())


def test_nothing_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        disk = Disk(monkeypatch)
        disk.cache.close()
        await disk.cache.run()
        assert disk.written == []

    asyncio.run(main())


def test_a_write_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAILED_SECONDS", 0.01)

    async def main() -> None:
        disk = Disk(monkeypatch)
        disk.fails = True
        runner = asyncio.create_task(disk.cache.run())
        disk.change()
        while len(disk.failures) < 3:
            await asyncio.sleep(0.001)
        disk.fails = False
        while not disk.written:
            await asyncio.sleep(0.001)
        disk.fails = True
        disk.change()
        disk.cache.close()
        # One attempt, not for ever.
        await runner
        assert disk.written == [1]

    asyncio.run(main())
