"""Names of tools on the way to APIs that take short ones, and back."""

from typing import Any

import orjson
import pytest

from fastgw.endpoints.messages.call import decode
from fastgw.endpoints.messages.names import MAX_NAME, short_names
from fastgw.providers.canonical import Completion, ToolCall

LONG = "mcp__server__" + "x" * 60


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["f", "g"], []),
        ([LONG], [LONG[:64]]),
        ([LONG, LONG], [LONG[:64]]),
        ([LONG + "one", LONG + "two", LONG[:64] + "three"], [LONG[:64], None, None]),
        ([LONG + "one", LONG[:64]], [None]),
    ],
)
def test_every_tool_has_a_name_of_its_own(names: list[str], kept: list[Any]) -> None:
    found = short_names({"tools": [{"name": name} for name in names]})
    assert list(found) == [name for name in dict.fromkeys(names) if len(name) > MAX_NAME]
    sent = {found.get(name, name) for name in names}
    assert len(sent) == len(set(names))
    assert all(len(name) <= MAX_NAME for name in sent)
    for short, wanted in zip(found.values(), kept, strict=True):
        assert wanted is None or short == wanted


@pytest.mark.parametrize("tools", [None, 5, [], [5, {}, {"name": 5}]])
def test_odd_tools(tools: Any) -> None:
    assert short_names({"tools": tools}) == {}


def test_they_come_back_as_they_were() -> None:
    one, two = LONG + "one", LONG + "two"
    nothing: Any = None
    body = {
        "model": "m",
        "tools": [{"name": one, "cache_control": {"type": "ephemeral"}}, {"name": two}],
        "tool_choice": {"type": "tool", "name": two},
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": two, "input": {}}]},
        ],
    }
    call = decode(nothing, orjson.dumps(body))
    chat = call.canonical()
    sent = [tool["function"]["name"] for tool in chat["tools"]]
    assert len(set(sent)) == 2
    assert chat["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert chat["tool_choice"]["function"]["name"] == sent[1]
    assert chat["messages"][1]["tool_calls"][0]["function"]["name"] == sent[1]
    calls = [ToolCall(str(number), name, "{}") for number, name in enumerate(sent)]
    whole = orjson.loads(call.render(Completion("i", "m", tool_calls=calls)))
    assert [block["name"] for block in whole["content"]] == [one, two]
    renderer = call.renderer()
    renderer.tool(0, "a", sent[1])
    assert two.encode() in renderer.take()
