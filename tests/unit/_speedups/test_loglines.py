"""Log lines: the reference's bytes whatever the values are, and none lost, torn or out of order on their way."""

import re
from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._speedups.loglines import Backlog, inside, moment, plain
from tests.support import log_reference as reference
from tests.support.leaks import growth

STAMP = 27

odd = st.sampled_from(['"', "\\", "\n", "\r", "\t", "\b", "\f", "\0", "\x1f", " ", "~", "\x7f", "\x80", "\x9f", "\xa0"])
odder = st.sampled_from(["\u2028", "\u2029", "\ud800", "\udfff", "\uffff", "\U0001f600", "\xff", "é", "中", "a"])
texts = st.text(max_size=40) | st.text(odd | odder | st.just("x"), max_size=40)
raws = st.binary(max_size=40) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
foreign = texts | raws
words = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40).map(str.encode)
numbers = st.integers(0, 12) | st.integers(0, 2**53)
nullable = st.none() | texts | words
requests = st.tuples(
    *(ids, st.sampled_from([0, 0, 200, 499]), st.booleans(), raws, foreign, st.sampled_from([200, 413, 502])),
    *(st.floats(0, 1e6), nullable, nullable, nullable, numbers, numbers, numbers, st.none() | foreign),
    *(st.none() | foreign, st.sampled_from([None, "chat", "messages"]), st.sampled_from([None, "retry"])),
    *(st.integers(0, 3), nullable, nullable),
)


def ignore() -> None:
    """A `wake` that does nothing."""


def made(*values: Any) -> bytes:
    backlog = Backlog(10, ignore)
    backlog.request(*values)
    return backlog.take(1 << 20)


@given(foreign)
def test_text_between_quotes(value: str | bytes) -> None:
    assert inside(value) == reference.inside(value)


@pytest.mark.parametrize("size", range(40))
def test_every_byte_at_every_place(size: int) -> None:
    for place in range(size):
        for byte in range(256):
            value = b"." * place + bytes([byte]) + b"." * (size - place - 1)
            assert inside(value) == reference.inside(value)


@given(foreign | st.none(), st.integers(0, 50))
def test_foreign_text_without_controls(value: str | bytes | None, limit: int) -> None:
    assert plain(value, limit) == reference.plain(value, limit)
    assert plain(value) == reference.plain(value)


def test_a_huge_text_is_read_as_far_as_it_counts() -> None:
    assert plain("\n" + "é" * 1_000_000) == "é" * 256


@given(st.lists(requests, max_size=4))
def test_lines_about_requests(several: list[tuple[Any, ...]]) -> None:
    backlog = Backlog(100, ignore)
    expected = []
    for values in several:
        backlog.request(*values)
        expected += reference.lines(*values)
    assert len(backlog) == len(expected)
    written = backlog.take(1 << 20).splitlines(keepends=True)
    assert [line[STAMP:] for line in written] == expected
    for line in written:
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line[:STAMP])


@pytest.mark.parametrize("number", [0, 9, 10, 99, 10**18 - 1, 10**18, 2**63 - 1])
def test_numbers(number: int) -> None:
    line = made(b"i", 0, False, b"GET", b"/", number, 0.0, *(None,) * 3, *(0,) * 3, *(None,) * 4, number, None, None)
    assert b" status=%d latency_ms=0 request_id=" % number in line
    assert (b" routing_attempt_count=%d\n" % number in line) == (number > 0)


def test_the_lines_of_a_request_are_of_one_moment() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    first, second = made(
        *(b"i", 200, False, b"POST", b"/", 200, 0.1, "openai", "m", "k", 1, 2, 3, "answer", "", "chat", None, 1),
        *(None, None),
    ).splitlines()
    after = datetime.now(UTC).replace(tzinfo=None)
    assert first[:STAMP] == second[:STAMP]
    for stamp in (first[:STAMP], moment()):
        assert before <= datetime.strptime(stamp.decode(), "%Y-%m-%dT%H:%M:%S.%fZ")
    assert datetime.strptime(first[:STAMP].decode(), "%Y-%m-%dT%H:%M:%S.%fZ") <= after


@pytest.mark.parametrize("place", [3, 4, 7, 8, 9, 13, 14, 15, 18, 19])
def test_what_is_no_text_makes_no_line(place: int) -> None:
    values: list[Any] = [
        b"i",
        200,
        False,
        b"G",
        b"/",
        200,
        0.0,
        "p",
        "m",
        "k",
        0,
        0,
        0,
        "a",
        "v",
        "chat",
        None,
        1,
        "e",
        "m",
    ]
    backlog = Backlog(10, ignore)
    backlog.put(b"before\n")
    backlog.request(*values)
    size = len(backlog)
    with pytest.raises(TypeError):
        backlog.request(*values[:place], 1.5, *values[place + 1 :])
    backlog.put(b"after\n")
    assert len(backlog) == size + 1
    first, *_, last = backlog.take(1 << 20).splitlines()
    assert (first, last) == (b"before", b"after")


lines = st.integers(0, 300).map(lambda size: b"x" * size + b"\n") | st.integers(0, 9000).map(lambda n: b"y" * n + b"\n")


@given(st.lists(lines | st.integers(1, 5000), max_size=60), st.integers(1, 30))
def test_first_in_first_out(steps: list[bytes | int], limit: int) -> None:
    backlog, truth, dropped = Backlog(limit, ignore), deque[bytes](), 0
    for step in steps:
        if isinstance(step, bytes):
            backlog.put(step)
            if len(truth) < limit:
                truth.append(step)
            else:
                dropped += 1
        else:
            expected = b""
            while truth and (not expected or len(expected) + len(truth[0]) <= step):
                expected += truth.popleft()
            assert backlog.take(step) == expected
        assert (len(backlog), backlog.dropped) == (len(truth), dropped)
    assert backlog.take(1 << 30) == b"".join(truth)
    assert backlog.take(1) == b""


def test_lines_beyond_the_limit_are_counted_one_by_one() -> None:
    values = (b"i", 200, False, b"G", b"/", 200, 0.0, "p", "m", "k", 0, 0, 0, "a", "v", "chat", None, 1, None, None)
    backlog = Backlog(5, ignore)
    for _ in range(3):
        backlog.request(*values)
    assert (len(backlog), backlog.dropped) == (4, 2)
    backlog.put(b"one\n")
    backlog.put(b"two\n")
    assert (len(backlog), backlog.dropped) == (5, 3)


def test_the_first_line_wakes_whoever_is_idle() -> None:
    woken: list[int] = []
    backlog = Backlog(10, lambda: woken.append(len(backlog)))
    for _ in range(3):
        backlog.put(b"line\n")
    assert woken == [1] and not backlog.idle
    backlog.take(100)
    backlog.idle = True
    backlog.put(b"line\n")
    assert woken == [1, 1]


def test_a_line_may_be_taken_while_it_arrives() -> None:
    taken: list[bytes] = []

    def write() -> None:
        taken.append(backlog.take(1 << 20))
        backlog.idle = True

    backlog = Backlog(10, write)
    for number in range(3):
        backlog.put(b"%d\n" % number)
    assert taken == [b"0\n", b"1\n", b"2\n"]


LEAK = """
from fastgw._speedups.loglines import Backlog, inside, moment, plain
values = (b"i", 200, False, b"G", b"/" + bytes([255]), 200, 0.0, "p", "m" * 2000, "k", 1, 2, 3, "a" + chr(10), b"v",
          "chat", None, 1, "e", chr(0x2028))
long = b"x" * 5_000 + bytes([10])
backlog = Backlog(200, lambda: None)
def work(rounds):
    for _ in range(rounds):
        backlog.request(*values)
        backlog.put(long)
        for wrong in (lambda: backlog.request(*values[:-1], 1), lambda: inside(1), lambda: plain(1)):
            try:
                wrong()
            except TypeError:
                pass
            else:
                raise AssertionError
        inside(chr(10) * 20), inside("plain enough"), plain(chr(10) + "x" * 500), moment()
        Backlog(1, int).put(long[:3])
        backlog.take(4_096)
        if len(backlog) > 190:
            while backlog.take(65_536):
                pass
    # How much of a large buffer is resident is a matter of chance.
    while backlog.take(65_536):
        pass
"""


def test_nothing_leaks() -> None:
    assert growth(LEAK) < 512
