"""Functions, calls and results in Gemini's terms.

Gemini's calls have no ids, and some carry a signature that must come back with the call. Both live in the id that
callers get and send back: `call_<hex>` alone, or followed by `~` and the signature.
(https://ai.google.dev/gemini-api/docs/thought-signatures)
"""

import secrets
from typing import Any, Final

import orjson

from fastgw.core.json import load_object
from fastgw.providers.canonical import ToolCall
from fastgw.providers.vertex.gemini.content import plain
from fastgw.providers.vertex.gemini.schema import cleaned

SIGNED: Final = "~"
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def declarations(tools: object) -> list[dict[str, Any]]:
    """The functions of `tools`; other kinds of tools are left out."""
    made: list[dict[str, Any]] = []
    for tool in tools if isinstance(tools, list) else ():
        function = (
            tool.get("function") if isinstance(tool, dict) and tool.get("type", "function") == "function" else None
        )
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            continue
        declared = {"name": function["name"]}
        if isinstance(function.get("description"), str):
            declared["description"] = function["description"]
        if isinstance(function.get("parameters"), dict):
            parameters = cleaned(function["parameters"])
            if parameters.get("properties") or parameters.get("type") != "object":
                declared["parameters"] = parameters
        made.append(declared)
    return made


def choice_of(choice: object) -> dict[str, Any] | None:
    """`tool_choice` as a calling configuration."""
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"mode": "ANY", "allowedFunctionNames": [function["name"]]}
    return None


def call_part(call: object, names: dict[str, str]) -> dict[str, Any] | None:
    """The part of an assistant's call; its name is kept for the result that refers to its id."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    id = call.get("id")
    arguments = function.get("arguments")
    given = arguments if isinstance(arguments, dict) else load_object(arguments)
    part: dict[str, Any] = {"functionCall": {"name": function["name"], "args": given}}
    if isinstance(id, str):
        names[id] = function["name"]
        _, signed, signature = id.partition(SIGNED)
        if signed:
            part["thoughtSignature"] = signature
    return part


def result_part(message: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The part of a tool's result."""
    id, name = message.get("tool_call_id"), message.get("name")
    found = names.get(id) if isinstance(id, str) else None
    if found is None:
        found = name if isinstance(name, str) and name else "unknown"
    return {"functionResponse": {"name": found, "response": {"result": plain(message.get("content"))}}}


def tool_call(part: dict[str, Any]) -> ToolCall | None:
    """The call in a part of an answer."""
    call = part.get("functionCall")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    id = f"call_{secrets.token_hex(12)}"
    signature = part.get("thoughtSignature")
    if isinstance(signature, str) and signature:
        id += SIGNED + signature
    arguments = call.get("args")
    return ToolCall(id, call["name"], orjson.dumps(arguments if isinstance(arguments, dict) else {}).decode())
