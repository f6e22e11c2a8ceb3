"""Tools of a Responses request as functions of a chat request.

A custom tool takes free text; elsewhere it is a function with that text as its one argument. A tool in a namespace is a
function whose name holds both. Tools that OpenAI itself runs have no counterpart and are left out.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from fastgw.providers.canonical import Chat

MAX_NAME: Final = 64
"""Characters of a function's name elsewhere."""
MAX_READ: Final = 1024
"""Characters of the name of a namespace or a tool that tell it apart."""
ARGUMENT: Final = "input"
"""The argument of the function that a custom tool becomes."""
_PARAMETERS: Final = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string"}},
    "required": [ARGUMENT],
    "additionalProperties": False,
}


class Known(NamedTuple):
    """A tool of the caller, the namespace that it is in, and the name of the function that stands for it."""

    function: str
    namespace: str | None
    tool: dict[str, Any]

    def item(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item of a call as the caller knows the tool."""
        space = {} if self.namespace is None else {"namespace": self.namespace}
        return {**item, "name": self.tool["name"], **space}


def add_tools(chat: Chat, body: dict[str, Any]) -> None:
    """`tools`, and what is allowed only together with them: `tool_choice` and `parallel_tool_calls`."""
    made = [tool for known in _known(body) if (tool := _tool(known)) is not None]
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


def special_tools(body: dict[str, Any]) -> dict[str, Known]:
    """The tools whose calls are told in another way than plain functions', by the names of their functions."""
    return {
        known.function: known
        for known in _known(body)
        if known.namespace is not None or known.tool.get("type") == "custom"
    }


def function_name(namespace: object, name: str) -> str:
    """What the function is called that stands for a tool of a namespace."""
    if not isinstance(namespace, str) or not namespace:
        return name
    # Every tool of a namespace repeats its name.
    whole = f"{namespace[:MAX_READ]}__{name[:MAX_READ]}"
    if len(whole) <= MAX_NAME:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{whole[: MAX_NAME - 13]}_{digest}"


def _known(body: dict[str, Any]) -> Iterator[Known]:
    """The tools that the caller itself runs, those of namespaces too."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or not _named(tool):
            continue
        inner = tool.get("tools")
        if tool.get("type") != "namespace":
            yield Known(tool["name"], None, tool)
        elif isinstance(inner, list):
            space = tool["name"]
            found = (one for one in inner if isinstance(one, dict) and _named(one))
            yield from (Known(function_name(space, one["name"]), space, one) for one in found)


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


def _tool(known: Known) -> dict[str, Any] | None:
    tool = known.tool
    function: dict[str, Any] = {"name": known.function}
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
