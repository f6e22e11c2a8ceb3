"""A Messages request as a chat request, for upstreams of other protocols.

Members that have no counterpart are left out, also where the upstream's protocol has a member of that name.
"""

from typing import Any, Final

from fastgw.core.json import write
from fastgw.endpoints.checks import COUNT, NUMBER, OBJECT, OBJECTS, TEXT, TEXTS, Check, mistyped
from fastgw.endpoints.messages.content import Block, blocks_of, invalid, parts, result_content, texts
from fastgw.endpoints.messages.names import shortened
from fastgw.endpoints.places import Placed
from fastgw.providers.canonical import Chat

_CHOICES: Final = {"auto": "auto", "none": "none", "any": "required"}
_SERVED: Final = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset")
"""How the types of tools begin that Anthropic runs itself."""
_SAME: Final = ("temperature", "top_p", "max_tokens")
_MEMBERS: Final[dict[str, Check]] = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_tokens": COUNT,
    "stop_sequences": TEXTS,
    "tools": OBJECTS,
    "tool_choice": OBJECT,
    "metadata": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
}


def chat_of(body: dict[str, Any], shorts: dict[str, str]) -> tuple[Chat, list[Placed]]:
    """The canonical request, without its model, and where its messages come from. `shorts` are the long names of tools
    and what is sent for them. Raises 400 for a body that is no Messages request."""
    placed = [Placed(message, "system", []) for message in _system(body.get("system"))]
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise invalid("missing or non-array `messages` field", "messages")
    for index, message in enumerate(messages):
        placed += _turns(message, index, shorts)
    for name, wrong in mistyped(body, _MEMBERS):
        raise invalid(wrong, name)
    chat: Chat = {"messages": [message for message, _, _ in placed]}
    chat |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    metadata = body.get("metadata")
    if metadata is not None and metadata.get("user_id") is not None:
        for _, wrong in mistyped(metadata, {"user_id": TEXT}):
            raise invalid(wrong, "metadata.user_id")
        chat["user"] = metadata["user_id"]
    if tools := _tools(body.get("tools"), shorts):
        chat["tools"] = tools
    if tools or not body.get("tools"):
        _add_choice(chat, body.get("tool_choice"), shorts)
    if (effort := _effort(body.get("thinking"))) is not None:
        chat["reasoning_effort"] = effort
    if (wanted := _format(body.get("output_config"))) is not None:
        chat["response_format"] = wanted
    return chat, placed


def _system(system: object) -> list[dict[str, Any]]:
    if system is None or system == "" or system == []:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    if not isinstance(system, list) or not all(isinstance(block, dict) for block in system):
        raise invalid("`system` field must be a string or an array of text blocks", "system")
    content = texts(system, "\n")
    return [{"role": "system", "content": content}] if content else []


def _turns(message: Any, index: int, shorts: dict[str, str]) -> list[Placed]:
    role = message.get("role") if isinstance(message, dict) else None
    where = f"messages[{index}]"
    if not isinstance(role, str):
        raise invalid(f"{where} missing `role`", f"{where}.role")
    if role not in ("user", "assistant", "system"):
        detail = f"{where} role {write(role).decode()} is not 'user', 'assistant' or 'system'"
        raise invalid(detail, f"{where}.role")
    content, place = message.get("content"), f"messages.{index}.content"
    if isinstance(content, str):
        return [Placed({"role": role, "content": content}, place, [])]
    if not isinstance(content, list):
        raise invalid(f"{where}.content must be a string or an array of content blocks", f"{where}.content")
    blocks = blocks_of(content, f"{where}.content")
    if role == "user":
        return _user(blocks, f"{where}.content", place)
    if role == "system":
        return [Placed({"role": role, "content": texts(blocks, "")}, place, [])]
    return [Placed(_assistant(blocks, f"{where}.content", shorts), place, [])]


def _user(blocks: list[Block], where: str, place: str) -> list[Placed]:
    """A tool message per result, then one message of everything else."""
    made: list[Placed] = []
    for index, block in enumerate(blocks):
        if block.get("type") == "tool_result":
            content, places = result_content(block, f"{where}[{index}]", f"{place}.{index}")
            answered = _identity(block, "tool_use_id", f"{where}[{index}]")
            tool = {"role": "tool", "tool_call_id": answered, "content": content}
            made.append(Placed(tool, f"{place}.{index}", places))
    content, places = parts(blocks, place)
    if content or not made:
        made.append(Placed({"role": "user", "content": content}, place, places))
    return made


def _assistant(blocks: list[Block], where: str, shorts: dict[str, str]) -> dict[str, Any]:
    calls = []
    for index, block in enumerate(blocks):
        if block.get("type") == "tool_use" and isinstance(block.get("name"), str):
            given = block.get("input")
            arguments = write({} if given is None else given).decode()
            function = {"name": shortened(block["name"], shorts), "arguments": arguments}
            identity = _identity(block, "id", f"{where}[{index}]")
            calls.append({"id": identity, "type": "function", "function": function})
    text: Any = texts(blocks, "")
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _identity(block: Block, name: str, where: str) -> str:
    """What ties a call and its result together."""
    found = block.get(name)
    if not isinstance(found, str) or not found:
        raise invalid(f"{where} missing `{name}`", f"{where}.{name}")
    return found


def _tools(tools: object, shorts: dict[str, str]) -> list[dict[str, Any]]:
    made = []
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
            continue
        if str(tool.get("type")).startswith(_SERVED):
            continue  # nobody would run it
        function: dict[str, Any] = {"name": shortened(tool["name"], shorts)}
        if tool.get("description") is not None:
            function["description"] = tool["description"]
        if tool.get("input_schema") is not None:
            function["parameters"] = tool["input_schema"]
        marker = {"cache_control": tool["cache_control"]} if tool.get("cache_control") is not None else {}
        made.append({"type": "function", "function": function, **marker})
    return made


def _add_choice(chat: Chat, choice: object, shorts: dict[str, str]) -> None:
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if isinstance(kind, str) and kind in _CHOICES:
        chat["tool_choice"] = _CHOICES[kind]
    elif kind == "tool" and isinstance(choice.get("name"), str):
        chat["tool_choice"] = {"type": "function", "function": {"name": shortened(choice["name"], shorts)}}
    if choice.get("disable_parallel_tool_use") is True and "tools" in chat:
        chat["parallel_tool_calls"] = False


def _effort(thinking: object) -> str | None:
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "adaptive":
        return "medium"
    if kind != "enabled" or not isinstance(thinking, dict):
        return None
    budget = thinking.get("budget_tokens")
    budget = budget if isinstance(budget, int) else 0
    return "high" if budget >= 4096 else "medium" if budget >= 2048 else "low" if budget >= 1024 else "minimal"


def _format(config: object) -> dict[str, Any] | None:
    wanted = config.get("format") if isinstance(config, dict) else None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted.get("schema")}}
