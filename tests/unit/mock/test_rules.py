"""Conversations with tools that the real APIs refuse, and the nearest ones that they take."""

from copy import deepcopy
from typing import Any

import orjson
import pytest

from fastgw.mock import rules
from fastgw.mock.conversation import turns_spoken
from fastgw.mock.plan import compile_plan
from fastgw.mock.shapes import Refusal

USER: dict[str, Any] = {"role": "user", "content": "go"}


def calling(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def told(identity: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "x"}


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [USER, *messages]}


def items(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": [USER, *found], **more}


def use(identity: str, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": name, "input": {}}


def result(identity: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": "x"}


def turn(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": [*blocks]}


def claude(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "claude", "messages": [USER, *turns], **more}


TEXT = {"type": "text", "text": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
USE = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}


def nova(*turns: dict[str, Any], tools: int = 1) -> dict[str, Any]:
    config = {"toolConfig": {"tools": [SPEC] * tools}} if tools else {}
    return {"model": "m", "messages": [turn("user", {"text": "go"}), *turns], **config}


def google(*contents: tuple[str, list[dict[str, Any]]], model: str = "gemini-2.5-pro", **more: Any) -> dict[str, Any]:
    turns = [{"role": role, "parts": parts} for role, parts in (("user", [{"text": "go"}]), *contents)]
    return {"model": model, "contents": turns, **more}


def asked(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}}, **more}


def answered(name: str = "f") -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {}}}


def declared(schema: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": schema}}
    return google(tools=[{"functionDeclarations": [{"name": "f", "parameters": parameters}]}])


TAKEN: list[tuple[Any, dict[str, Any]]] = [
    (rules.chat, chat(calling("a", "b"), told("b"), told("a"), USER)),
    (rules.responses, items(CALL, OUTPUT)),
    (rules.responses, items(OUTPUT, previous_response_id="resp_1")),
    (rules.messages, claude(turn("assistant", TEXT, use("a"), use("b")), turn("user", result("b"), result("a"), TEXT))),
    (rules.messages, claude(turn("assistant", use("a")), turn("system", TEXT), turn("user", result("a")))),
    (rules.converse, nova(turn("assistant", USE), turn("user", RESULT))),
    (rules.converse, nova(tools=0)),
    (rules.gemini, google(("model", [asked(), asked("g")]), ("user", [answered(), answered("g"), {"text": "x"}]))),
    (rules.gemini, google(("model", [asked(thoughtSignature="s"), asked("g")]),
                          ("user", [answered(), answered("g")]), model="gemini-3-pro")),
    (rules.gemini, declared({"anyOf": [{"type": "array", "items": {"type": "string", "enum": ["x"]}}]})),
]  # fmt: skip
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (rules.chat, chat(told("a")), "preceding message"),
    (rules.chat, chat(calling("a")), "Not answered: a"),
    (rules.chat, chat(calling("a", "b"), told("a"), USER), "Not answered: b"),
    (rules.chat, chat(calling("a"), USER, told("a")), "Not answered: a"),
    (rules.chat, chat(calling("a" * 41), told("a" * 41)), "maximum length 40"),
    (rules.responses, items(OUTPUT, CALL), "No tool call found"),
    (rules.responses, items(CALL), "No tool output found"),
    (rules.messages, claude(turn("assistant", use("a"))), "without `tool_result`"),
    (rules.messages, claude(turn("assistant", use("a")), turn("user", TEXT, result("a"))), "without `tool_result`"),
    (rules.messages, claude(turn("assistant", TEXT), turn("user", result("a"))), "unexpected"),
    (rules.messages, claude(turn("assistant", use("a")), turn("user", result("a"), result("a"))), "single result"),
    (rules.messages, claude(turn("assistant", use("a~b=")), turn("user", result("a~b="))), "match pattern"),
    (rules.messages, claude(turn("assistant", use("a", "f.g")), turn("user", result("a"))), "match pattern"),
    (rules.messages, claude(*[turn("assistant", use("a")), turn("user", result("a"))] * 2), "unique"),
    (rules.messages, claude(turn("assistant", use("a")), turn("user", result("a")), thinking={"type": "enabled"}),
     "Expected `thinking`"),
    (rules.messages, claude(tools=[{"name": "f"}, {"name": "f"}]), "unique"),
    (rules.converse, nova(turn("assistant", USE)), "toolResult blocks"),
    (rules.converse, nova(turn("user", RESULT)), "toolResult blocks"),
    (rules.converse, nova(turn("assistant", USE), turn("user", RESULT), tools=0), "toolConfig"),
    (rules.converse, nova(tools=2), "unique"),
    (rules.gemini, google(("model", [asked(), asked()]), ("user", [answered()])), "number of function response parts"),
    (rules.gemini, google(("model", [asked(), asked("g")]), ("user", [answered("g"), answered()])), "number of"),
    (rules.gemini, google(("model", [{"text": "x"}]), ("model", [asked()])), "immediately after"),
    (rules.gemini, google(("model", [asked()])), "without a response"),
    (rules.gemini, google(("model", [asked()]), ("user", [answered()]), model="gemini-3-pro"), "thought_signature"),
    (rules.gemini, declared({"type": "object", "propertyNames": {}}), "propertyNames"),
    (rules.gemini, declared({"type": "integer", "enum": [1]}), "TYPE_STRING"),
    (rules.gemini, declared({"type": "array"}), "items"),
    (rules.gemini, declared({"type": "string", "anyOf": [{"type": "string"}]}), "any_of"),
    (rules.gemini, declared({"type": "object", "properties": {}, "required": ["x"]}), "required"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "request_"), TAKEN)
def test_taken(check: Any, request_: dict[str, Any]) -> None:
    before = deepcopy(request_)
    check(request_)
    assert request_ == before


@pytest.mark.parametrize(("check", "request_", "words"), REFUSED)
def test_refused(check: Any, request_: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check(request_)
    assert refusal.value.status == 400
    assert words in refusal.value.document["error"]["message"]


@pytest.mark.parametrize(
    ("request_", "turns"),
    [
        ({}, 0),
        (chat(), 0),
        (chat({"role": "assistant", "content": "x"}, calling("a"), told("a")), 1),
        (claude(turn("assistant", TEXT), USER, turn("assistant", TEXT)), 2),
        (google(("model", []), ("user", [])), 1),
        (items({"type": "reasoning"}, CALL, OUTPUT, {"role": "assistant", "content": "x"}), 2),
    ],
)
def test_turns_spoken(request_: dict[str, Any], turns: int) -> None:
    assert turns_spoken(request_) == turns


def test_each_turn_has_a_script_and_the_last_one_stays() -> None:
    script = {"tokens": 2, "turns": [{"tool_calls": [{"name": "f"}]}, {"content": "Done."}]}
    conversation: list[dict[str, Any]] = [USER]
    said: list[Any] = []
    for _ in range(3):
        body = orjson.dumps({"model": "m", "messages": conversation, "mock": script})
        [(_, answer)] = compile_plan({}, "POST", "/v1/chat/completions", body, False).parts
        assert answer is not None
        message = orjson.loads(b"{" + answer[1:])["choices"][0]["message"]
        said.append(message["content"])
        conversation += [message, *(told(call["id"]) for call in message.get("tool_calls", ())), USER]
    assert said == [None, "Done.", "Done."]
