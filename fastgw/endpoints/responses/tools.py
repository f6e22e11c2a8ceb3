"""Tools of a Responses request as functions of a chat request.

A custom tool takes free text; elsewhere it is a function with that text as its one argument. Tools that OpenAI itself
runs have no counterpart and are left out.
"""

from typing import Any, Final

import orjson

from fastgw.providers.canonical import Chat

ARGUMENT: Final = "input"
"""The argument of the function that a custom tool becomes."""
_PARAMETERS: Final = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string"}},
    "required": [ARGUMENT],
    "additionalProperties": False,
}


def add_tools(chat: Chat, body: dict[str, Any]) -> None:
    """`tools`, and what is allowed only together with them: `tool_choice` and `parallel_tool_calls`."""
    tools = body.get("tools")
    made = [tool for given in tools if (tool := _tool(given)) is not None] if isinstance(tools, list) else []
    if not made:
        return
    chat["tools"] = made
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        chat["tool_choice"] = choice
    elif isinstance(choice, dict) and choice.get("type") in ("function", "custom") and _named(choice):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    if isinstance(body.get("parallel_tool_calls"), bool):
        chat["parallel_tool_calls"] = body["parallel_tool_calls"]


def custom_tools(body: dict[str, Any]) -> frozenset[str]:
    """The names of the custom tools."""
    tools = body.get("tools")
    found = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return frozenset(tool["name"] for tool in found if tool.get("type") == "custom" and _named(tool))


def custom_input(arguments: str) -> str:
    """What a custom tool is given, of the arguments that the model wrote for its function."""
    try:
        found = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = found.get(ARGUMENT) if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def custom_arguments(text: object) -> str:
    """The arguments of a function that stands for a custom tool."""
    return orjson.dumps({ARGUMENT: text if isinstance(text, str) else ""}).decode()


def _named(holder: dict[str, Any]) -> bool:
    return isinstance(holder.get("name"), str) and bool(holder["name"])


def _tool(tool: object) -> dict[str, Any] | None:
    if not isinstance(tool, dict) or not _named(tool):
        return None
    function: dict[str, Any] = {"name": tool["name"]}
    if tool.get("type") == "custom":
        if description := _custom_description(tool):
            function["description"] = description
        function["parameters"] = _PARAMETERS
    elif tool.get("type") == "function":
        for name in ("description", "parameters"):
            if tool.get(name) is not None:
                function[name] = tool[name]
        if tool.get("strict") is True:
            function["strict"] = True
    else:
        return None
    return {"type": "function", "function": function}


def _custom_description(tool: dict[str, Any]) -> str:
    """The description, and the grammar that the text must follow: nothing enforces it elsewhere, but a model can."""
    description = tool.get("description")
    lines = [description] if isinstance(description, str) and description else []
    wanted = tool.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "grammar" and isinstance(wanted.get("definition"), str):
        syntax = wanted.get("syntax")
        name = f"{syntax} " if isinstance(syntax, str) else ""
        lines.append(f"`{ARGUMENT}` must follow this {name}grammar:\n{wanted['definition']}")
    return "\n\n".join(lines)
