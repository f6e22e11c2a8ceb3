"""Tools, tool choice and forced formats of a chat request in the terms of the Messages API."""

import re
from typing import Any, Final

from fastgw.providers.anthropic.content import Block
from fastgw.providers.canonical import Chat

# Models from before `output_config.format`: a schema is enforced by a tool that they must call.
_WITHOUT_FORMATS = re.compile(
    r"claude-(?:instant|v?[0-3](?:[-.@]|$)|(?:opus|sonnet)-4(?:$|[-@]20\d{6}|-[01](?:$|[-@])|@))", re.I
)
JSON_HINT: Final = "Answer with one valid JSON object and nothing else."
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def tools_of(chat: Chat) -> list[Block]:
    """The functions of a request; tools of other types have no counterpart."""
    made: list[Block] = []
    tools = chat.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            continue
        block: Block = {"name": function["name"]}
        if function.get("description") is not None:
            block["description"] = function["description"]
        # A schema is mandatory there; OpenAI's omission means a function without parameters.
        schema = function.get("parameters")
        block["input_schema"] = _NO_PARAMETERS if schema is None else schema
        marker = tool.get("cache_control") or function.get("cache_control")
        if marker is not None:
            block["cache_control"] = marker
        made.append(block)
    return made


def choice_of(chat: Chat) -> Block | None:
    """`tool_choice`, for a request that has tools."""
    wanted = chat.get("tool_choice")
    choice: Block | None = None
    if isinstance(wanted, str):
        kind = {"auto": "auto", "none": "none", "required": "any"}.get(wanted)
        choice = {"type": kind} if kind is not None else None
    elif isinstance(wanted, dict) and wanted.get("type") == "function":
        function = wanted.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        choice = {"type": "tool", "name": name} if name else None
    if chat.get("parallel_tool_calls") is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return choice


def schema_of(chat: Chat) -> dict[str, Any] | None:
    """The JSON schema that the answer must follow."""
    wanted = chat.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    wrapper = wanted.get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    return schema if isinstance(schema, dict) else None


def has_formats(model: str) -> bool:
    """Whether a model enforces a schema by `output_config.format`; unknown ones are taken to be new."""
    return _WITHOUT_FORMATS.search(model) is None


def answer_tool(schema: dict[str, Any], tools: list[Block]) -> Block:
    """A tool whose input is the answer, under a name that no other tool has."""
    taken = {tool["name"] for tool in tools}
    name = "json_answer"
    while name in taken:
        name += "_"
    return {"name": name, "description": "Give the final answer with this tool.", "input_schema": schema}
