"""Results of tools are found in every API's shape, and only together with their calls."""

from typing import Any

import orjson
import pytest

from fastgw.mock.plan import compile_plan
from fastgw.mock.recount import recount
from fastgw.mock.shapes import Refusal

ULM, TIME = {"city": "Ulm"}, {}
TEXT = 'weather({"city":"Ulm"}) = rain; time({}) = noon'


def function(name: str, arguments: str) -> dict[str, Any]:
    return {"id": name[0], "type": "function", "function": {"name": name, "arguments": arguments}}


def use(name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": name[0], "name": name, "input": given}


def bedrock_result(identity: str, *content: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": identity, "content": list(content)}}


CHAT: list[Any] = [
    {"role": "user", "content": "?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [function("weather", '{ "city": "Ulm" }'), function("time", "{}")],
    },
    {"role": "tool", "tool_call_id": "w", "content": "rain"},
    {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "on"}]},
]
MESSAGES: list[Any] = [
    {"role": "user", "content": "?"},
    {"role": "assistant", "content": [{"type": "text", "text": "Hm."}, use("weather", ULM), use("time", TIME)]},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "w", "content": [{"type": "text", "text": "rain"}]},
            {"type": "tool_result", "tool_use_id": "t", "content": "noon"},
        ],
    },
]
ITEMS: list[Any] = [
    {"role": "user", "content": "?"},
    {"type": "function_call", "call_id": "w", "name": "weather", "arguments": '{"city":"Ulm"}'},
    {"type": "function_call", "call_id": "t", "name": "time", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "w", "output": "rain"},
    {"type": "function_call_output", "call_id": "t", "output": [{"type": "input_text", "text": "noon"}]},
]
CONTENTS: list[Any] = [
    {"role": "user", "parts": [{"text": "?"}]},
    {
        "role": "model",
        "parts": [{"functionCall": {"name": "weather", "args": ULM}}, {"functionCall": {"name": "time"}}],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "weather", "response": {"result": "rain"}}},
            {"functionResponse": {"name": "time", "response": {"result": "noon"}}},
        ],
    },
]
CONVERSE: list[Any] = [
    {"role": "user", "content": [{"text": "?"}]},
    {
        "role": "assistant",
        "content": [
            {"toolUse": {"toolUseId": "w", "name": "weather", "input": ULM}},
            {"toolUse": {"toolUseId": "t", "name": "time", "input": TIME}},
        ],
    },
    {"role": "user", "content": [bedrock_result("w", {"text": "rain"}), bedrock_result("t", {"text": "noon"})]},
]
SHAPES = {
    "chat": {"messages": CHAT},
    "messages": {"messages": MESSAGES},
    "responses": {"input": ITEMS},
    "gemini": {"contents": CONTENTS},
    "converse": {"messages": CONVERSE},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape: str) -> None:
    [(name, turns)] = SHAPES[shape].items()
    assert recount({name: turns}) == TEXT
    # Without the turn that called, the results belong to nothing.
    without = [turn for turn in turns if turn.get("role") not in ("assistant", "model") and "arguments" not in turn]
    with pytest.raises(Refusal):
        recount({name: without})


def test_only_what_is_newest() -> None:
    assert recount({"messages": CHAT[:1]}) == ""
    assert recount({"input": "?"}) == ""
    assert recount({"messages": [*CHAT, {"role": "assistant", "content": "Rain."}, CHAT[0]]}) == ""
    again = [*CHAT, CHAT[1], CHAT[3]]
    assert recount({"messages": again}) == "time({}) = noon"


def test_results_that_are_no_text() -> None:
    odd = [
        CONVERSE[1],
        {"content": [bedrock_result("w", {"image": {}}, {"text": "!"}), bedrock_result("t", {"json": {"a": 1}})]},
    ]
    assert recount({"messages": odd}) == 'weather({"city":"Ulm"}) = <image>!; time({}) = <json>'
    image = {"type": "tool_result", "tool_use_id": "w", "content": [{"type": "image", "source": {}}]}
    assert recount({"messages": [MESSAGES[1], {"content": [image]}]}) == 'weather({"city":"Ulm"}) = <image>'
    given = {"functionResponse": {"name": "weather", "response": {"rain": True}}}
    assert recount({"contents": [CONTENTS[1], {"parts": [given]}]}) == 'weather({"city":"Ulm"}) = {"rain":true}'
    call = {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "ls -l"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "a b"}
    assert recount({"input": [call, output]}) == "run(ls -l) = a b"


def test_a_scripted_conversation() -> None:
    directives = {"tool_calls": [{"name": "weather", "arguments": ULM}, {"name": "time"}], "recount": True}
    for path, body in (("/v1/chat/completions", {"messages": CHAT}), ("/v1/responses", {"input": ITEMS})):
        [(name, turns)] = body.items()
        for sent, expected in ((turns[:1], '"weather"'), (turns, "rain; time")):
            request = orjson.dumps({"model": "m", name: sent, "mock": directives})
            answer = compile_plan({}, "POST", path, request, False).parts[0]
            assert expected in b"".join(part or b"" for part in answer).decode(), sent
    wrong = orjson.dumps({"model": "m", "messages": CHAT[2:], "mock": directives})
    assert compile_plan({}, "POST", "/v1/chat/completions", wrong, False).parts[0][0].startswith(b'{"error"')
