"""Vocabularies: what is shipped is what was published, and one image serves every process that has its descriptor."""

import mmap
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from fastgw.core import tables
from scripts import tables as packer
from tests.support.token_oracle import expected

TEXT = "def f():\n        return 'naïve 中文'  # 12345"


@pytest.mark.parametrize("name", packer.SHA256)
def test_the_package_holds_the_published_tables(name: str) -> None:
    packed = (packer.DATA / f"{name}.bpe.z").read_bytes()
    source = packer.write(packer.unpack(packed))
    assert packer.pack(name, source) == packed  # refuses anything but the known SHA-256
    assert "Copyright (c) 2022 OpenAI, Shantanu Jain" in (packer.DATA / "LICENSE.tiktoken").read_text()


def test_only_the_published_tables_can_be_packed() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        packer.pack("p50k_base", b"IQ== 0\n")
    packed = bytearray((packer.DATA / "p50k_base.bpe.z").read_bytes())
    packed[packer.HEADER.size] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        packer.unpack(packed)
    with pytest.raises(ValueError, match="no encoding ever yields b'abc'"):
        packer.halves({b"a": 0, b"b": 1, b"c": 2, b"abc": 3}, b"abc")
    with pytest.raises(ValueError, match="first 256 ranks"):
        packer.encode("x", 1, {b"a": 0})


@pytest.mark.parametrize("name", tables.SOURCES)
def test_a_reserved_table_is_usable_once_it_is_filled(name: str) -> None:
    fd = tables.reserve(name)
    try:
        with pytest.raises(ValueError, match="not a complete image"):
            tables.attach(fd)
        start = time.perf_counter()
        tables.fill(fd, name)
        assert time.perf_counter() - start < 5
        table = tables.attach(fd)
    finally:
        os.close(fd)
    assert table.name == name
    assert table.count(TEXT) == expected(name, TEXT) == tables.load(name).count(TEXT)
    assert tables.load(name) is tables.load(name)


def test_other_processes_attach_to_the_same_memory() -> None:
    fd = tables.inflate("o200k_base")
    code = "import sys; from fastgw.core import tables; print(tables.attach(int(sys.argv[1])).count(sys.argv[2]))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(fd), TEXT], pass_fds=(fd,), stdout=subprocess.PIPE, check=True, timeout=60
        )
    finally:
        os.close(fd)
    assert int(done.stdout) == expected("o200k_base", TEXT)


def test_damaged_package_data_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (packer.DATA / "p50k_base.bpe.z").read_bytes()
    monkeypatch.setattr(tables, "DATA", tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for damaged in (b"", whole[:64], whole[:1000], bytes(64) + whole[64:], whole[:5000] + b"\0" * 100 + whole[5100:]):
        (tmp_path / "p50k_base.bpe.z").write_bytes(damaged)
        with pytest.raises((ValueError, zlib.error)):
            tables.inflate("p50k_base")
    (tmp_path / "p50k_base.bpe.z").unlink()
    with pytest.raises(FileNotFoundError):
        tables.inflate("p50k_base")
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(KeyError):
        tables.reserve("gpt-4")


def test_a_mapping_in_use_stays() -> None:
    fd = tables.inflate("p50k_base")
    mapping = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.close(fd)
    table = tables.Table(mapping)
    with pytest.raises(BufferError):
        mapping.close()
    assert table.count(TEXT) == expected("p50k_base", TEXT)
    del table
    mapping.close()


def test_shared_tables_are_attached_once_and_only_when_complete() -> None:
    fd = tables.reserve("r50k_base")
    kept = os.dup(fd)
    shared = tables.Shared({"r50k_base": fd})
    assert shared.get("r50k_base") is None
    tables.fill(kept, "r50k_base")
    os.close(kept)
    table = shared.get("r50k_base")
    assert table is not None and table.count(TEXT) == expected("r50k_base", TEXT)
    assert shared.get("r50k_base") is table
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(KeyError):
        shared.get("gpt-4")
