"""What the mock says: generated text, JSON that fits a schema, tool calls, embedding vectors, token estimates.

Everything is a function of the request, so that equal requests get equal answers.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import struct
from array import array
from collections.abc import Mapping
from typing import Any

import orjson

from .script import Script

_WORDS = ("The", " mock", " upstream", " answers", " with", " a", " few", " plain", " words", " in", " order", ".")
DEFAULT_TOKENS = 12
_DEEPEST = 16


def token_estimate(value: object) -> int:
    """Tokens of a text (four bytes each), a token array, a content part or a list of such; an image counts 85."""
    if isinstance(value, str):
        return (len(value) + 3) // 4
    if isinstance(value, list):
        return sum(token_estimate(item) for item in value)
    if isinstance(value, dict):
        if "text" in value:
            return token_estimate(value["text"])
        return 85 if value.get("type") in ("image_url", "input_audio", "file") else 0
    return 1 if isinstance(value, int) else 0


def message_tokens(messages: list[Any]) -> int:
    """Prompt tokens of a chat: its texts and parts, and a constant per message and per prompt."""
    return 3 + sum(3 + token_estimate(m.get("content")) for m in messages if isinstance(m, dict))


def cut(text: str, pieces: int) -> list[str]:
    """`text` in `pieces` consecutive parts of nearly equal length; fewer when the text is shorter than that."""
    count = max(1, min(pieces, len(text)))
    size, longer = divmod(len(text), count)
    bounds = [i * size + min(i, longer) for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


def pieces(request: Mapping[str, Any], script: Script, choice: int) -> list[str]:
    """The content of one choice in the pieces that a stream delivers."""
    text = script.content
    if text is None and script.answer_bytes is None:
        text = _schema_answer(request.get("response_format"))
    if text is not None:
        return cut(text, script.tokens or token_estimate(text))
    if script.answer_bytes is not None:
        text = "".join(_WORDS) + " "
        text = (text * (script.answer_bytes // len(text) + 1))[: script.answer_bytes]
        return cut(text, script.tokens or token_estimate(text))
    count = DEFAULT_TOKENS if script.tokens is None else script.tokens
    return [_WORDS[(i + choice) % len(_WORDS)] for i in range(count)]


def _schema_answer(response_format: object) -> str | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return '{"answer":"mock"}'
    if response_format.get("type") != "json_schema":
        return None
    wrapper = response_format.get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    return orjson.dumps(instance(schema, schema)).decode()


def instance(schema: object, root: object, depth: int = 0) -> Any:
    """A small value that `schema` accepts: required properties only, shortest arrays, first alternative.

    Local ``$ref`` pointers are resolved in `root`. A schema whose required properties recurse for ever has no
    finite instance; it is cut off with null.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return instance(_resolve(reference, root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for combined in ("anyOf", "oneOf", "allOf"):
        if schema.get(combined):
            return instance(schema[combined][0], root, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind is None and "properties" in schema:
        kind = "object"
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: instance(properties.get(name), root, depth + 1) for name in schema.get("required") or ()}
    if kind == "array":
        return [instance(schema.get("items"), root, depth + 1) for _ in range(schema.get("minItems") or 0)]
    if kind == "string":
        return "mock".ljust(schema.get("minLength") or 0, ".")[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return False if kind == "boolean" else None


def _resolve(reference: str, root: object) -> object:
    found = root
    for name in reference.removeprefix("#").split("/")[1:]:
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def tool_calls(request: Mapping[str, Any], script: Script) -> list[dict[str, Any]]:
    """The scripted calls as a message carries them; a count takes the request's functions in turn.

    A choice that demands a call gets one.
    """
    calls = script.tool_calls
    if isinstance(calls, int):
        tools = [tool["function"] for tool in request.get("tools") or () if _is_function(tool)]
        choice = request.get("tool_choice")
        if isinstance(choice, dict) and _is_function(choice):
            tools = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
        if choice == "required" or isinstance(choice, dict):
            calls = calls or 1
        tools = tools or [{"name": "mock_tool"}]
        calls = [_call_of(tools[i % len(tools)]) for i in range(calls)]
    answer = []
    for index, call in enumerate(calls):
        arguments = call.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        seed = orjson.dumps([index, call["name"], arguments, request.get("messages")])
        name = {"name": call["name"], "arguments": arguments}
        identity = call.get("id") or "call_" + hashlib.sha256(seed).hexdigest()[:24]
        answer.append({"id": identity, "type": "function", "function": name})
    return answer


def _is_function(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _call_of(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters")
    filled = instance(parameters, parameters)
    return {"name": function["name"], "arguments": filled if isinstance(filled, dict) else {}}


def vector(text: object, dimensions: int, encoding: str) -> list[float] | str:
    """A unit vector that depends on the input alone; base64 gives it as little-endian float32."""
    digest = hashlib.shake_256(orjson.dumps(text)).digest(2 * dimensions)
    raw = struct.unpack(f"<{dimensions}h", digest)
    norm = math.sqrt(sum(x * x for x in raw)) or 1.0
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{dimensions}f", *(x / norm for x in raw))).decode()
    return [round(x, 9) for x in array("f", (x / norm for x in raw))]
