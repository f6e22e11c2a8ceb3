"""What counting costs in memory: nothing that stays, and little beside the shared tables."""

import os
import subprocess
import sys

import pytest

from fastgw.core import tables

MEASURE = """
import gc, sys
from fastgw._speedups.tokens import Counter, Table, build, image_size
from fastgw.core import tables
def resident(kind):
    gc.collect()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(kind))
"""

LEAKS = """
text = "Hello, world! 中文 токены " * 20
def work(rounds):
    table = tables.load("cl100k_base")
    for _ in range(rounds):
        table.count(text), table.count(b"\\xff" + text.encode() * 3), table.count("\\ud800a")
        counter = Counter(table)
        counter.feed(text)
        counter.step()
        counter.feed("a" * 5000)
        counter.end()
        counter.step()
        for wrong in (lambda: Table(b""), lambda: Counter(table).feed(3), lambda: image_size(b"x" * 64)):
            try:
                wrong()
            except (TypeError, ValueError):
                pass
            else:
                raise AssertionError
        abandoned = Counter(table)
        abandoned.feed("a" * 9000)
        abandoned.end()
work(300)
before = resident("VmRSS")
work(1200)
print(resident("VmRSS") - before)
"""

WORKER = """
text = "Hello, world! 中文 токены, some more words and a number 12345.\\n" * 15_000
raw = text.encode()
large = "x" * 1_000_000
sys.stdin.readline()
before = resident("RssAnon")
held = [tables.attach(int(fd)) for fd in sys.argv[1:]]
for table in held:
    table.count(raw), table.count(large)
    counter = Counter(table)
    for start in range(0, len(raw), 65536):
        counter.feed(raw[start:start + 65536])
        while counter.step():
            pass
print(resident("RssAnon") - before)
"""


def run(code: str, *arguments: str, fds: tuple[int, ...] = ()) -> int:
    # AddressSanitizer keeps freed memory for a while.
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE + code, *arguments],
        env={**os.environ, "ASAN_OPTIONS": options},
        input="\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
        pass_fds=fds,
    )
    return int(done.stdout)


def test_nothing_leaks() -> None:
    assert run(LEAKS) < 512


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer's own memory counts too")
def test_a_worker_needs_little_beside_the_shared_tables() -> None:
    fds = tuple(tables.inflate(name) for name in tables.SOURCES)
    try:
        assert run(WORKER, *map(str, fds), fds=fds) < 3 * 1024
    finally:
        for fd in fds:
            os.close(fd)
