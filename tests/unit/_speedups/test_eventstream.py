"""Messages of the binary event stream, against a reference made of struct and zlib."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw._speedups.eventstream import BROKEN, ERROR, EVENT, EXCEPTION, LARGE, MessageReader
from tests.support.eventstream_reference import Message, event, header, message, read
from tests.support.leaks import growth


def fed(pieces: list[bytes], **options: Any) -> tuple[list[Message], int, int]:
    """Messages, the failure before the end, the failure after it."""
    reader = MessageReader(**options)
    found = [one for piece in pieces for one in reader.feed(piece)]
    failure = reader.failure
    return found, failure, reader.finish()


NAMES = st.sampled_from([b":message-type", b":event-type", b":exception-type", b":error-code", b"x", b""])
VALUES = st.sampled_from([b"event", b"exception", b"error", b"messageStop", b""])
HEADERS = st.one_of(
    st.builds(header, NAMES, VALUES),
    st.sampled_from(
        [header(b"f", b"", 0), header(b"i", b"\0" * 4, 4), header(b"u", b"\1" * 16, 9), header(b"b", b"", 6)]
    ),
    st.binary(max_size=6),
)
MESSAGES = st.builds(lambda headers, payload: message(b"".join(headers), payload), st.lists(HEADERS), st.binary())
DAMAGED = st.builds(
    lambda one, at, byte: one[: at % len(one)] + bytes([byte]) + one[at % len(one) + 1 :],
    MESSAGES,
    st.integers(0, 1000),
    st.integers(0, 255),
)


@given(st.lists(MESSAGES | DAMAGED | st.binary(max_size=20)).map(b"".join), st.lists(st.integers(0, 300), max_size=8))
@example(event("a", b"{}") + event("b", b"{}"), [1, 11, 12, 13])
def test_any_split_gives_the_reference(wire: bytes, cuts: list[int]) -> None:
    messages, failure, whole = read(wire)
    expected = (messages, failure, failure or (0 if whole else BROKEN))
    places = sorted({min(cut, len(wire)) for cut in cuts})
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    assert fed(pieces) == expected
    assert fed([bytes([byte]) for byte in wire]) == expected


def test_what_messages_are() -> None:
    wire = event("messageStop", b"{}") + event("throttlingException", b"1", "exception") + event("500", b"", "error")
    assert fed([wire])[0] == [
        (EVENT, b"messageStop", b"{}"), (EXCEPTION, b"throttlingException", b"1"), (ERROR, b"500", b"")
    ]  # fmt: skip


@pytest.mark.parametrize("size", range(12, 60))
def test_every_flipped_bit_is_found(size: int) -> None:
    wire = event("e", b"{}")
    for bit in range(len(wire) * 8):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        assert fed([bytes(damaged[:size]), bytes(damaged[size:])])[::2] == ([], BROKEN)


def test_the_end_inside_of_a_message() -> None:
    wire = event("e", b"{}") * 2
    for size in range(len(wire) + 1):
        whole = size % (len(wire) // 2) == 0
        assert fed([wire[:size]])[1:] == (0, 0 if whole else BROKEN)


def test_large_messages_end_the_reading() -> None:
    small, large = event("e", b"x" * 10), event("e", b"x" * 11)
    assert fed([small + large + small], max_message=len(small)) == ([(EVENT, b"e", b"x" * 10)], LARGE, LARGE)
    # The length is checked, so that a damaged one is not mistaken for a large message.
    assert fed([b"\xff" * 12])[1] == BROKEN


def test_large_messages_in_many_pieces_take_linear_time() -> None:
    payload = b"x" * 8_000_000
    wire = event("e", payload)
    found, failure, end = fed([wire[i : i + 1024] for i in range(0, len(wire), 1024)])
    assert (found, failure, end) == ([(EVENT, b"e", payload)], 0, 0)


def test_what_is_fed_must_be_bytes() -> None:
    with pytest.raises(TypeError):
        MessageReader().feed("text")  # type: ignore[arg-type]


LEAKS = """
from fastgw._speedups.eventstream import MessageReader
from tests.support.eventstream_reference import event
wire = event("contentBlockDelta", b'{"delta":{"text":"x"}}') * 3
def work(rounds):
    for _ in range(rounds):
        reader = MessageReader()
        assert len(reader.feed(wire + wire[:50])) == 3
        reader.feed(wire[50:90])
        assert len(reader.feed(wire[90:])) == 3 and reader.finish() == 0
        reader = MessageReader()
        reader.feed(wire[:70])
        assert reader.feed(b"x" * 5_000) == [] or reader.failure
        MessageReader().feed(wire[:90])
"""


def test_nothing_leaks() -> None:
    assert growth(LEAKS) < 512
