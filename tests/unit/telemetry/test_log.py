"""Log lines: one event, one line, whatever the values are."""

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.telemetry import log
from fastgw.telemetry.levels import LEVELS, parse_levels
from fastgw.telemetry.log import BATCH, PIPE_BATCH, Log, unblocked


def on_a_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Runs a coroutine test."""

    @functools.wraps(test)
    def run(*arguments: object, **fixtures: object) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


class Sink:
    """A file that takes the lines of a log without a loop, which are written at once."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def take(self) -> str:
        """What was written since the last call."""
        size = os.lseek(self.fd, 0, os.SEEK_END)
        text = os.pread(self.fd, size, 0).decode()
        os.ftruncate(self.fd, 0)
        return text


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    made = Sink(tmp_path_factory.mktemp("log") / "lines")
    yield made
    os.close(made.fd)


@given(st.text(), st.text(), st.one_of(st.text(), st.integers(), st.booleans()))
def test_no_value_makes_a_second_line(sink: Sink, quoted: str, bare: str, other: object) -> None:
    lines = Log(LEVELS["trace"], fd=sink.fd)
    lines.info("fastgw", "event", text=quoted, other=other)
    lines.denied(LEVELS["warn"], "rejected", reason="key_disabled", path=bare, source_ip=quoted)
    written = sink.take()
    assert written.endswith("\n")
    assert written.count("\n") == 2
    assert not any(character < " " for character in written.replace("\n", ""))


@pytest.mark.parametrize(
    "text",
    ['x" error="forged', "x\nERROR fastgw: forged", "\x1b[31mred", "a\x00b", "a\x85b", "a\u2028b", "\x7f\x9b31m"],
)
def test_values_cannot_forge_fields_or_control_a_terminal(sink: Sink, text: str) -> None:
    Log(LEVELS["info"], fd=sink.fd).info("fastgw", "event", model=text, after=1)
    (line,) = sink.take().splitlines()
    field = line.split("model=", 1)[1].removesuffix(" after=1")
    assert field.startswith('"') and field.endswith('"')
    assert '"' not in field[1:-1].replace('\\"', "")
    assert line.isprintable()


def test_a_bare_value_has_no_blank(sink: Sink) -> None:
    Log(LEVELS["info"], fd=sink.fd).denied(LEVELS["warn"], "rejected", reason="key_expired", path="/a path=/b")
    (line,) = sink.take().splitlines()
    assert line.endswith("path=/a\\u0020path=/b")


def test_a_defect_tells_its_place_and_no_value(sink: Sink) -> None:
    try:
        raise ValueError("sk-secret")
    except ValueError as error:
        Log(LEVELS["info"], fd=sink.fd).defect("request failed", error, b"id-1")
    (line,) = sink.take().splitlines()
    assert 'defect="ValueError"' in line
    assert f'place="{Path(__file__).name}:' in line
    assert "sk-secret" not in line


def test_targets_have_their_own_level(sink: Sink) -> None:
    lines = Log(parse_levels("warn,fastgw::proxy=info,fastgw::auth=debug"), fd=sink.fd)
    assert lines.access
    assert lines.enabled("debug", "fastgw::auth") and not lines.enabled("debug", "fastgw::proxy")
    lines.info("fastgw::config", "no")
    lines.info("fastgw::proxy", "yes")
    lines.denied(LEVELS["debug"], "yes")
    lines.warn("fastgw::config", "yes")
    assert sink.take().count("yes\n") == 3


def test_lines_above_the_level_are_not_written(sink: Sink) -> None:
    lines = Log(LEVELS["warn"], fd=sink.fd)
    assert not lines.access
    lines.info("fastgw", "no")
    lines.debug("fastgw", "no")
    lines.warn("fastgw", "yes")
    assert sink.take().count("\n") == 1


@on_a_loop
async def test_a_reader_that_does_not_read_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_PENDING", 3)
    monkeypatch.setattr(log, "FLUSH_SECONDS", 0)
    reader, writer = os.pipe()
    try:
        lines = Log(LEVELS["info"], asyncio.get_running_loop(), writer)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(lines._fd, b"x" * 4096)
        for number in range(20):
            lines.info("fastgw", "event", number=number)
            await asyncio.sleep(0)
        assert lines.backlog.dropped > 10, "what is on its way counts as well"
        assert len(lines.backlog) <= 3
        received = b""
        while b"stderr did not take them" not in received:
            received += await asyncio.to_thread(os.read, reader, 65536)
        written = received.lstrip(b"x").decode().splitlines()
        assert [line.rpartition(" ")[2] for line in written] == [
            *(f"number={n}" for n in range(len(written) - 1)),
            f"dropped={lines.backlog.dropped}",
        ]
        assert len(written) - 1 + lines.backlog.dropped == 20
    finally:
        os.close(reader)
        os.close(writer)


@on_a_loop
async def test_lines_in_a_pipe_are_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    lines = Log(LEVELS["info"], asyncio.get_running_loop(), writer)
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or len(data))
    for number in range(200):
        lines.info("fastgw", "event " + "x" * (number % 90), number=number)
    lines.put(b"y" * 10_000 + b"\n")
    lines.info("fastgw", "last")
    lines.flush()
    assert all(data.endswith(b"\n") and (len(data) <= PIPE_BATCH or data.startswith(b"y")) for data in written)
    assert b"".join(written).count(b"\n") == 202
    assert len(written) < 12
    for descriptor in (reader, writer):
        os.close(descriptor)


@on_a_loop
async def test_the_last_lines_wait_for_a_reader_that_is_behind() -> None:
    reader, writer = os.pipe()
    lines = Log(LEVELS["info"], asyncio.get_running_loop(), writer)
    for number in range(2000):
        lines.info("fastgw", "event", text="x" * 100, number=number)
    taken: list[bytes] = []

    def read() -> None:
        while not taken or not taken[-1].endswith(b"number=1999\n"):
            taken.append(os.read(reader, 65536))

    reading = asyncio.get_running_loop().run_in_executor(None, read)
    lines.close()
    await reading
    assert b"".join(taken).count(b"\n") == 2000
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_reader_that_never_reads_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CLOSE_SECONDS", 0.05)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    lines = Log(LEVELS["info"], fd=writer)
    lines.put(b"line\n")
    lines.close()
    assert len(lines.backlog) + len(lines._unwritten) > 0
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_pipe_that_nobody_reads_does_not_stop_the_writer() -> None:
    reader, writer = os.pipe()
    fd = unblocked(writer)
    try:
        assert os.get_blocking(writer), "whoever shares the pipe finds it as it was"
        with pytest.raises(BlockingIOError):
            for _ in range(1000):
                os.write(fd, b"x" * 4096)
        assert os.read(reader, 4096) == b"x" * 4096
    finally:
        for descriptor in (reader, writer, fd):
            os.close(descriptor)


def test_more_lines_than_a_write_takes(sink: Sink) -> None:
    lines = Log(LEVELS["info"], fd=sink.fd)
    lines.backlog.idle = False
    for number in range(BATCH):
        lines.put(b"%d\n" % number)
    lines.flush()
    assert sink.take().split() == [str(number) for number in range(BATCH)]


def test_what_is_no_pipe_is_used_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        assert unblocked(file.fileno()) == file.fileno()


@on_a_loop
async def test_lines_of_other_threads_are_left_to_the_loop(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    sink = Sink(tmp_path / "log")
    lines = Log(LEVELS["info"], loop, sink.fd)
    await loop.run_in_executor(None, lines.put, b"there\n")
    lines.put(b"here\n")
    await asyncio.sleep(0)
    lines.close()
    assert sorted(sink.take().splitlines()) == ["here", "there"]


@on_a_loop
async def test_no_timer_is_set_by_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, own = asyncio.get_running_loop(), threading.get_ident()
    lines = Log(LEVELS["info"], loop, Sink(tmp_path / "log").fd)
    setters: list[int] = []
    monkeypatch.setattr(loop, "call_later", lambda *_: setters.append(threading.get_ident()))
    await loop.run_in_executor(None, lines.put, b"there\n")
    await asyncio.sleep(0)
    assert setters == [own]
