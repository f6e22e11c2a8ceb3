"""Translated streams, event by event, next to the relay within one dialect (test_sse.py, `test_stream_of_100[1]`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.samples import stream
from fastgw.endpoints.chat_render import ChatRenderer
from fastgw.endpoints.messages.native import MessagesStream
from fastgw.endpoints.messages.stream import MessagesRenderer
from fastgw.endpoints.responses.native import ResponsesStream
from fastgw.endpoints.responses.render import Shape
from fastgw.endpoints.responses.stream import ResponsesRenderer
from fastgw.providers.adapter import RelayedStream
from fastgw.providers.anthropic.stream import MessagesDecoder
from fastgw.providers.bridge import BridgedStream
from fastgw.providers.heard import Heard
from fastgw.providers.openai.stream import ChunkDecoder

TOKENS = 96


def messages(tokens: int, delta: dict[str, Any], block: dict[str, Any]) -> list[bytes]:
    """The events of a Messages stream, one bytes object each."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 24}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *[{"type": "content_block_delta", "index": 0, "delta": delta}] * tokens,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": tokens}},
        {"type": "message_stop"},
    ]
    lines = ((event["type"].encode(), json.dumps(event, separators=(",", ":")).encode()) for event in events)
    return [b"event: %b\ndata: %b\n\n" % line for line in lines]


CHAT = stream(TOKENS)
TEXT = messages(TOKENS, {"type": "text_delta", "text": " word"}, {"type": "text", "text": ""})
TOOL = messages(
    TOKENS,
    {"type": "input_json_delta", "partial_json": '"a"'},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
)


def responses(tokens: int) -> list[bytes]:
    """The events of a Responses stream."""
    heard = Heard(ResponsesRenderer(Shape("m", {"input": "x"})))
    made = BridgedStream(ChunkDecoder(heard), heard, chunked=False)
    wire = b"".join(map(made.feed, stream(tokens))) + made.finish()
    return [event + b"\n\n" for event in wire.split(b"\n\n")[:-1]]


RESPONSES = responses(TOKENS)


def to_responses() -> BridgedStream:
    heard = Heard(ResponsesRenderer(Shape("alias", {"input": "x"})))
    return BridgedStream(ChunkDecoder(heard), heard, chunked=True)


def native_responses() -> ResponsesStream:
    return ResponsesStream(chunked=True)


def to_messages() -> BridgedStream:
    heard = Heard(MessagesRenderer(b'"alias"', {}))
    return BridgedStream(ChunkDecoder(heard), heard, chunked=True)


def to_chat() -> BridgedStream:
    heard = Heard(ChatRenderer(b'"alias"', include_usage=False))
    return BridgedStream(MessagesDecoder(heard), heard, chunked=True)


def native() -> MessagesStream:
    return MessagesStream(chunked=True)


@pytest.mark.parametrize(
    ("make", "events"),
    [
        (to_messages, CHAT),
        (to_chat, TEXT),
        (to_chat, TOOL),
        (native, TEXT),
        (to_responses, CHAT),
        (native_responses, RESPONSES),
    ],
    ids=[
        "chat_to_messages",
        "messages_to_chat",
        "tool_input_to_chat",
        "messages_native",
        "chat_to_responses",
        "responses_native",
    ],
)
def test_stream_of_100(benchmark: BenchmarkFixture, make: Callable[[], RelayedStream], events: list[bytes]) -> None:
    def relay() -> RelayedStream:
        relayed = make()
        for event in events:
            relayed.feed(event)
        relayed.finish()
        return relayed

    assert benchmark(relay).completion_tokens == TOKENS
