"""Blocks that name no place, are named twice or get no end."""

import orjson
import pytest

from fastgw.endpoints.chat_render import ChatRenderer
from fastgw.providers.anthropic.stream import MessagesDecoder
from fastgw.providers.heard import Heard
from fastgw.providers.tool_blocks import ToolBlocks

Calls = list[tuple[int, str, str]]
"""Number, name and arguments."""


def told(renderer: ChatRenderer) -> tuple[Calls, str]:
    """The calls and the text of the chunks that were written."""
    calls: dict[int, tuple[str, str]] = {}
    text = ""
    for line in renderer.take().splitlines():
        for choice in orjson.loads(line[6:])["choices"] if line else ():
            text += choice["delta"].get("content", "")
            for call in choice["delta"].get("tool_calls", ()):
                name, arguments = calls.get(call["index"], ("", ""))
                function = call["function"]
                calls[call["index"]] = (name or function.get("name", ""), arguments + function["arguments"])
    return [(number, *call) for number, call in calls.items()], text


@pytest.fixture
def renderer() -> ChatRenderer:
    return ChatRenderer(b'"m"', include_usage=False)


def test_input_belongs_to_its_block(renderer: ChatRenderer) -> None:
    tools = ToolBlocks(Heard(renderer), None)
    tools.start(3, "a", "one")
    tools.start(5, "b", "two")
    tools.input(5, '{"x":')
    tools.input(3, "[]")
    tools.input(4, "not of a tool")
    tools.input(5, "1}")
    assert tools.finish("tool_calls") == "tool_calls"
    assert told(renderer) == ([(0, "one", "[]"), (1, "two", '{"x":1}')], "")


def test_numbers_are_dense_when_a_block_is_begun_twice(renderer: ChatRenderer) -> None:
    tools = ToolBlocks(Heard(renderer), None)
    for index, name in ((0, "one"), (0, "two"), (1, "three")):
        tools.start(index, "id", name)
        tools.input(index, "{}")
    assert told(renderer) == ([(0, "one", "{}"), (1, "two", "{}"), (2, "three", "{}")], "")


def test_arguments_parse_when_there_was_no_input(renderer: ChatRenderer) -> None:
    tools = ToolBlocks(Heard(renderer), None)
    for index in range(3):
        tools.start(index, "id", "f")
    tools.input(1, "{}")
    for index in (0, 1, 7):
        tools.stop(index)
    tools.finish("tool_calls")
    assert told(renderer) == ([(0, "f", "{}"), (1, "f", "{}"), (2, "f", "{}")], "")


@pytest.mark.parametrize(("others", "reason"), [((), "stop"), (("f",), "tool_calls")])
def test_the_answer_tool_is_told_as_text(renderer: ChatRenderer, others: tuple[str, ...], reason: str) -> None:
    tools = ToolBlocks(Heard(renderer), "answer")
    for index, name in enumerate(("answer", *others)):
        tools.start(index, "id", name)
        tools.input(index, "{}")
    assert tools.finish("tool_calls") == reason
    assert tools.finish("length") == "length"
    assert told(renderer) == ([(number, name, "{}") for number, name in enumerate(others)], "{}")


@pytest.mark.parametrize("index", [[], {}, [0], None, "0", -1, 1.5, True])
def test_an_index_may_be_anything(renderer: ChatRenderer, index: object) -> None:
    decoder = MessagesDecoder(Heard(renderer))
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    out = b""
    for event in (
        {"type": "content_block_stop"},
        {"type": "content_block_start", "content_block": block},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "[1,"}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "2]"}},
        {"type": "content_block_stop"},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
    ):
        out += decoder.feed(b"data: %b\n\n" % orjson.dumps(event | {"index": index}))
    assert not out
    assert not decoder.failure
    assert told(renderer) == ([(0, "f", "[1,2]")], "")
