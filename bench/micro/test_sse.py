"""Streams: events in, the caller's events out, with usage captured."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.samples import stream
from fastgw._speedups.sse import ChatStream

EVENTS = stream(96)


def relay(pieces: list[bytes]) -> ChatStream:
    chat = ChatStream(b'"alias"', forward_usage=True, strip_null_usage=False)
    for piece in pieces:
        chat.feed(piece)
    chat.finish()
    return chat


@pytest.mark.parametrize("together", [1, 10, 100])
def test_stream_of_100(benchmark: BenchmarkFixture, together: int) -> None:
    """100 events, arriving `together` at a time."""
    pieces = [b"".join(EVENTS[i : i + together]) for i in range(0, len(EVENTS), together)]
    chat = benchmark(relay, pieces)
    assert (chat.done, chat.completion_tokens) == (True, 96)


def test_stream_in_small_pieces(benchmark: BenchmarkFixture) -> None:
    """The same bytes in pieces of 100: nearly every event arrives in several."""
    wire = b"".join(EVENTS)
    chat = benchmark(relay, [wire[i : i + 100] for i in range(0, len(wire), 100)])
    assert (chat.done, chat.completion_tokens) == (True, 96)
