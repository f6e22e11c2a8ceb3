"""Log lines: one event, one line, whatever the values are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.telemetry import log
from fastgw.telemetry.log import BATCH, LEVELS, Log, parse_level, unblocked


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


@pytest.mark.parametrize("text", ['x" error="forged', "x\nERROR fastgw: forged", "\x1b[31mred", "a\x00b"])
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


def test_lines_above_the_level_are_not_written(sink: Sink) -> None:
    lines = Log(LEVELS["warn"], fd=sink.fd)
    assert not lines.access
    lines.info("fastgw", "no")
    lines.debug("fastgw", "no")
    lines.warn("fastgw", "yes")
    assert sink.take().count("\n") == 1


def test_a_reader_that_does_not_read_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_PENDING", 3)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        os.write(writer, b"x" * 1_000_000)
        lines = Log(LEVELS["info"], fd=writer)
        lines._scheduled = True  # as if a loop had the next flush in its hands
        lines._loop = object()  # type: ignore[assignment]
        for number in range(5):
            lines.info("fastgw", "event", number=number)
        assert lines.dropped == 2
        monkeypatch.setattr(lines, "_schedule", lambda: None)
        for number in range(5, 20):
            lines.flush()
            lines.info("fastgw", "event", number=number)
        assert lines.dropped > 2, "a flush in vain makes room for one batch, not for ever more"
        assert len(lines._lines) <= 3
        os.read(reader, 1_000_000)
        lines.flush()
        assert [line.rpartition(b" ")[2] for line in os.read(reader, 1_000_000).splitlines()[:3]] == [
            b"number=%d" % n for n in range(3)
        ]
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("text", "level"),
    [("info", 3), ("", 3), ("debug,hyper=error", 4), ("hyper=error", 3), ("fastgw=trace", 5), ("warn,info", 3)],
)
def test_levels(text: str, level: int) -> None:
    assert parse_level(text) == level


def test_a_word_that_is_no_level() -> None:
    with pytest.raises(ValueError, match="unknown log level"):
        parse_level("loud")


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
    lines._lines = [b"%d\n" % number for number in range(3 * BATCH + 1)]
    lines.flush()
    assert sink.take().split() == [str(number) for number in range(3 * BATCH + 1)]


def test_what_is_no_pipe_is_used_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        assert unblocked(file.fileno()) == file.fileno()
