"""Tools and tool choice of a chat request in the terms of Converse."""

from typing import Any, Final

from fastgw.providers.anthropic.content import Block
from fastgw.providers.bedrock.converse.content import cache_points
from fastgw.providers.canonical import Chat

_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def specifications(chat: Chat) -> list[Block]:
    """The functions of a request, with the cache points behind them; tools of other types have no counterpart."""
    made: list[Block] = []
    tools = chat.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict) or tool.get("type", "function") not in ("function", None):
            continue
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            continue
        schema = function.get("parameters")
        schema = _NO_PARAMETERS if schema is None else schema
        if not isinstance(schema, dict):
            continue
        made.append(specification(function["name"], function.get("description"), schema))
        made += cache_points(tool) or cache_points(function)
    return made


def remembered(messages: list[Block]) -> list[Block]:
    """The tools that the turns speak of, as far as that tells."""
    uses = (block["toolUse"] for turn in messages for block in turn["content"] if "toolUse" in block)
    return [specification(name, None, _NO_PARAMETERS) for name in dict.fromkeys(use["name"] for use in uses)]


def specification(name: str, description: object, schema: dict[str, Any]) -> Block:
    """One tool."""
    spec: Block = {"name": name}
    if isinstance(description, str) and description:
        spec["description"] = description
    return {"toolSpec": {**spec, "inputSchema": {"json": schema}}}


def choice_of(chat: Chat) -> Block | None:
    """`tool_choice`; None where the model may choose."""
    wanted = chat.get("tool_choice")
    if wanted == "required":
        return {"any": {}}
    function = wanted.get("function") if isinstance(wanted, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return {"tool": {"name": name}} if isinstance(name, str) and name else None
