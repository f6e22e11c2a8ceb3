"""Translated streams and answers of the Messages API, as Anthropic's SDK reads them."""

from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from fastgw.endpoints.messages.stream import MessagesRenderer
from fastgw.providers.canonical import Usage
from tests.golden.harness import Case, events, fixtures, load

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TRANSLATED = [
    name for name in fixtures() if ".messages." in name and not name.endswith((".anthropic", ".anthropic+native"))
]
STREAMED = [name for name in TRANSLATED if "events" in load(name)]
WHOLE = [name for name in TRANSLATED if "answer" in load(name)]
INTERLEAVED = "interleaved-tools.messages.openai"
"""Its pieces come after the end of their block: only OpenAI's protocol has several blocks open at a time."""


def checked(documents: list[Any], *, tidy: bool = True) -> Any:
    """The final message as the SDK's own accumulator makes it of the events, each of which is of its type and where it
    may be: one block is open at a time, and they are numbered from 0."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    begun, current = 0, -1
    for document in documents:
        event = EVENT.validate_python(document)
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
        if event.type == "content_block_start":
            assert (event.index, current) == (begun, -1)
            current = begun
            begun += 1
        elif event.type in ("content_block_delta", "content_block_stop"):
            assert event.index == current or not tidy
            current = -1 if event.type == "content_block_stop" else current
        else:
            assert current == -1
    return message


@pytest.mark.parametrize("name", STREAMED)
def test_every_event_is_of_the_sdks_types(name: str) -> None:
    case = Case(name, load(name))
    documents = events(case.raw_bytes_out([case.wire()]))
    kinds = [document["type"] for document in documents]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_start") == kinds.count("message_delta") == kinds.count("message_stop") == 1
    final = checked(documents, tidy=name != INTERLEAVED)
    Message.model_validate(final.to_dict())
    assert final.stop_reason
    assert final.model == "alias"
    if name.startswith("matrix/"):
        # Streamed or not, it is the same message.
        whole = case.reply()
        assert (final.stop_reason, final.stop_sequence) == (whole["stop_reason"], whole["stop_sequence"])
        said = [block for block in final.to_dict()["content"] if block.get("text") != ""]
        assert [(b["type"], b.get("input")) for b in said] == [
            (b["type"], b.get("input")) for b in whole["content"] if b.get("text") != ""
        ]
        assert (final.usage.input_tokens, final.usage.output_tokens) == (
            whole["usage"]["input_tokens"],
            whole["usage"]["output_tokens"],
        )


@pytest.mark.parametrize("name", WHOLE)
def test_every_answer_is_of_the_sdks_type(name: str) -> None:
    message = Message.model_validate(Case(name, load(name)).reply())
    assert message.id
    assert message.content


def test_the_sdk_is_strict() -> None:
    with pytest.raises(ValueError, match="output_tokens"):
        EVENT.validate_python(
            {"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None}, "usage": {}}
        )


def test_the_last_counters_count() -> None:
    """Some providers count with every chunk, and once more behind the last one."""
    made = MessagesRenderer(b'"alias"', {})
    made.text("a")
    made.usage(Usage(3, 1, 4))
    made.finish("stop")
    made.usage(Usage(3, 2, 5))
    made.end()
    final = checked(events(made.take()))
    assert (final.usage.input_tokens, final.usage.output_tokens) == (3, 2)
    made = MessagesRenderer(b'"alias"', {})
    made.usage(Usage(3, 1, 4))
    made.finish("stop")
    assert not made.take()
    made.end()
    final = checked(events(made.take()))
    assert (final.usage.input_tokens, final.usage.output_tokens) == (3, 1)
