"""What the APIs demand of conversations with tools: every result belongs to a call and stands where the API wants it,
and no call stays without one.

Raises Refusal with about the words of the real one. Costs are linear in the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .shapes import Refusal

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONG_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_GOOGLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MOST_ID = {"chat": 40, "converse": 64, "responses": 64}
_SCHEMA = frozenset(
    {
        *("type", "format", "title", "description", "nullable", "default", "items", "minItems", "maxItems", "enum"),
        *("properties", "propertyOrdering", "required", "minProperties", "maxProperties", "minimum", "maximum"),
        *("minLength", "maxLength", "pattern", "example", "anyOf"),
    }
)
_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def chat(request: Mapping[str, Any]) -> None:
    """OpenAI: tool messages directly behind the message that calls, one per call."""
    missing: set[str] = set()
    messages = request["messages"]
    for index, message in enumerate(messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in missing:
                text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                raise Refusal(400, f"Invalid parameter: {text}", f"messages.[{index}].role")
            missing.discard(message["tool_call_id"])
            continue
        _answered(missing, index)
        calls = message.get("tool_calls") or ()
        missing = {call["id"] for call in calls}
        for place, call in enumerate(calls):
            where = f"messages[{index}].tool_calls[{place}]"
            _short(call["id"], _MOST_ID["chat"], f"{where}.id")
            if call.get("type", "function") == "function":
                _named(call["function"]["name"], _NAME, f"{where}.function.name")
    _answered(missing, len(messages))


def _answered(missing: set[str], index: int) -> None:
    if missing:
        text = "must be followed by tool messages responding to each 'tool_call_id'."
        text = f"An assistant message with 'tool_calls' {text}"
        raise Refusal(400, f"{text} Not answered: {', '.join(sorted(missing))}", f"messages.[{index}].role")


def responses(request: Mapping[str, Any]) -> None:
    """OpenAI's Responses: outputs behind their calls, one per call. Calls may be in a stored response."""
    missing: set[str] = set()
    continued = bool(request.get("previous_response_id") or request.get("conversation"))
    items = request["input"]
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if item.get("type") in _CALLS:
            _short(item["call_id"], _MOST_ID["responses"], f"input[{index}].call_id")
            missing.add(item["call_id"])
        elif item.get("type") in _OUTPUTS:
            if item["call_id"] not in missing and not continued:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Refusal(400, message, f"input[{index}].call_id")
            missing.discard(item["call_id"])
    for identity in sorted(missing):
        raise Refusal(400, f"No tool output found for function call {identity}.", "input")


def messages(request: Mapping[str, Any]) -> None:
    """Anthropic: the turn behind one that calls begins with the results, and that of a thinking model with thoughts."""
    pending: list[str] = []
    known: set[str] = set()
    opening = ""
    turns = request["messages"]
    for index, turn in enumerate(turns):
        # A system prompt between turns belongs to neither.
        if turn["role"] == "system":
            continue
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        first = [block["type"] for block in blocks[: len(results)]]
        for identity in pending:
            if identity not in results or first != ["tool_result"] * len(results):
                text = "`tool_use` ids were found without `tool_result` blocks immediately after"
                raise Refusal(400, f"messages.{index - 1}: {text}: {identity}")
        for identity in results:
            if identity not in pending:
                raise Refusal(400, f"messages.{index}: unexpected `tool_use_id` in `tool_result`: {identity}")
        if len(set(results)) < len(results):
            raise Refusal(400, f"messages.{index}: each tool_use must have a single result")
        uses = [block for block in blocks if block["type"] == "tool_use"]
        pending = [use["id"] for use in uses]
        opening = blocks[0]["type"] if uses else opening
        for use in uses:
            if _ID.fullmatch(use["id"]) is None:
                raise Refusal(400, f"messages.{index}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if use["id"] in known:
                raise Refusal(400, f"messages.{index}: `tool_use` ids must be unique")
            known.add(use["id"])
            _named(use["name"], _LONG_NAME, f"messages.{index}.tool_use.name")
    if pending:
        text = "`tool_use` ids were found without `tool_result` blocks immediately after"
        raise Refusal(400, f"messages.{len(turns) - 1}: {text}: {pending[0]}")
    thinks = (request.get("thinking") or {}).get("type") == "enabled"
    if thinks and results and opening not in ("thinking", "redacted_thinking"):
        raise Refusal(400, f"Expected `thinking` or `redacted_thinking`, but found `{opening}`")
    names = [tool["name"] for tool in request.get("tools") or () if "name" in tool]
    if len(set(names)) < len(names):
        raise Refusal(400, "tools: Tool names must be unique.")


def converse(request: Mapping[str, Any]) -> None:
    """Bedrock: as Anthropic, and tools must be described whenever the conversation holds calls or results."""
    pending: set[str] = set()
    talks = False
    for index, turn in enumerate(request["messages"]):
        results = [block["toolResult"]["toolUseId"] for block in turn["content"] if "toolResult" in block]
        if set(results) != pending or len(set(results)) < len(results):
            text = f"Expected toolResult blocks for the following Ids: {', '.join(sorted(pending))}"
            raise Refusal(400, f"{text} at messages.{index}.content, but found: {', '.join(results)}")
        uses = [block["toolUse"] for block in turn["content"] if "toolUse" in block]
        pending = {use["toolUseId"] for use in uses}
        talks = talks or bool(uses or results)
        for use in uses:
            _short(use["toolUseId"], _MOST_ID["converse"], f"messages.{index}.toolUse.toolUseId")
            if _ID.fullmatch(use["toolUseId"]) is None or len(pending) < len(uses):
                raise Refusal(400, f"messages.{index}.toolUse.toolUseId: {use['toolUseId']} is not valid")
            _named(use["name"], _NAME, f"messages.{index}.toolUse.name")
    if pending:
        raise Refusal(400, f"Expected toolResult blocks for the following Ids: {', '.join(sorted(pending))}")
    specs = [tool["toolSpec"] for tool in (request.get("toolConfig") or {}).get("tools", ()) if "toolSpec" in tool]
    if talks and not specs:
        raise Refusal(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    for spec in specs:
        _named(spec["name"], _NAME, "toolConfig.tools")
    if len({spec["name"] for spec in specs}) < len(specs):
        raise Refusal(400, "toolConfig.tools: names must be unique")


def gemini(request: Mapping[str, Any]) -> None:
    """Google: as many responses as calls in the turn behind them, in their order; newer models want the first call of a
    turn signed. Schemas hold nothing that is not in its own."""
    called: list[str] = []
    turns = request["contents"]
    # What was called before the user's last question is not looked at.
    asked = [i for i, turn in enumerate(turns) if turn["role"] == "user" and "functionResponse" not in turn["parts"][0]]
    signed = request["model"].startswith("gemini-3")
    for index, turn in enumerate(request["contents"]):
        parts = turn["parts"]
        answered = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if answered != called:
            text = (
                "Please ensure that the number of function response parts is equal to the number of function call parts"
            )
            raise Refusal(400, f"{text} of the function call turn: {called}, contents[{index}]: {answered}")
        calls = [part for part in parts if "functionCall" in part]
        called = [part["functionCall"]["name"] for part in calls]
        if calls and (index == 0 or request["contents"][index - 1]["role"] == "model"):
            raise Refusal(400, "Please ensure that function call turn comes immediately after a user turn.")
        if calls and signed and index > asked[-1] and "thoughtSignature" not in calls[0]:
            raise Refusal(400, "Function call is missing a thought_signature in functionCall parts.")
    if called:
        raise Refusal(400, f"Function calls without a response: {called}")
    for tool in request.get("tools") or ():
        for function in tool.get("functionDeclarations") or ():
            _named(function["name"], _GOOGLE_NAME, "functionDeclarations.name")
            _known(function.get("parameters") or {}, f"{function['name']}.parameters")
    _known((request.get("generationConfig") or {}).get("responseSchema") or {}, "generationConfig.responseSchema")


def _known(schema: Mapping[str, Any], where: str) -> None:
    for name, value in schema.items():
        if name not in _SCHEMA:
            raise Refusal(
                400, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            )
        if name == "enum" and not all(isinstance(one, str) for one in value):
            raise Refusal(400, f"Invalid value at '{where}.enum' (TYPE_STRING)")
    if "anyOf" in schema and len(schema) > 1:
        raise Refusal(400, f"`{where}` schema specified other fields alongside any_of.")
    if schema.get("type") == "array" and "items" not in schema:
        raise Refusal(400, f"{where}.items: missing field.")
    properties = schema.get("properties") or {}
    unknown = [name for name in schema.get("required") or () if name not in properties]
    if unknown:
        raise Refusal(400, f"{where}.required[0]: property is not defined: {unknown[0]}")
    for inner, place in _within(schema, properties, where):
        _known(inner, place)


def _within(
    schema: Mapping[str, Any], properties: Mapping[str, Any], where: str
) -> Iterator[tuple[Mapping[str, Any], str]]:
    yield from ((inner, f"{where}.properties[{name}]") for name, inner in properties.items())
    yield from ((inner, f"{where}.any_of") for inner in schema.get("anyOf") or ())
    if "items" in schema:
        yield schema["items"], f"{where}.items"


def _short(text: str, most: int, where: str) -> None:
    if len(text) > most:
        message = f"Invalid '{where}': string too long. Expected a string with maximum length {most}"
        raise Refusal(
            400, f"{message}, but got a string with length {len(text)} instead.", where, "string_above_max_length"
        )


def _named(name: str, pattern: re.Pattern[str], where: str) -> None:
    if pattern.fullmatch(name) is None:
        raise Refusal(
            400, f"Invalid '{where}': string does not match pattern {pattern.pattern}.", where, "invalid_value"
        )
