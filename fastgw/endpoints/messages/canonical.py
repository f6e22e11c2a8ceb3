"""A Messages request as a chat request, for upstreams of other protocols.

Members that have no counterpart are left out, also where the upstream's protocol has a member of that name.
"""

from typing import Any, Final

import orjson

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.endpoints.messages.content import parts, result_content, texts
from fastgw.providers.canonical import Chat

MAX_NAME: Final = 64
"""Characters of a function's name in OpenAI's API."""
_CHOICES: Final = {"auto": "auto", "none": "none", "any": "required"}
_SAME: Final = ("temperature", "top_p", "max_tokens")


def chat_of(body: dict[str, Any]) -> Chat:
    """The canonical request, without its model. Raises 400 for a body that is no Messages request."""
    chat: Chat = {"messages": _system(body.get("system"))}
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise _invalid("missing or non-array `messages` field", "messages")
    for index, message in enumerate(messages):
        chat["messages"] += _turns(message, index)
    chat |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and metadata.get("user_id") is not None:
        chat["user"] = metadata["user_id"]
    if tools := _tools(body.get("tools")):
        chat["tools"] = tools
    _add_choice(chat, body.get("tool_choice"))
    if (effort := _effort(body.get("thinking"))) is not None:
        chat["reasoning_effort"] = effort
    if (wanted := _format(body.get("output_config"))) is not None:
        chat["response_format"] = wanted
    return chat


def long_names(body: dict[str, Any]) -> dict[str, str]:
    """Cut tool names and what they were."""
    tools = body.get("tools")
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return {name[:MAX_NAME]: name for name in names if isinstance(name, str) and len(name) > MAX_NAME}


def _invalid(detail: str, param: str) -> GatewayError:
    return invalid_request(f"invalid Anthropic body: {detail}", param=param, code="invalid_parameter")


def _system(system: object) -> list[dict[str, Any]]:
    if system is None or system == "" or system == []:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    if not isinstance(system, list):
        raise _invalid("`system` field must be a string or an array of text blocks", "system")
    content = texts(system, "\n")
    return [{"role": "system", "content": content}] if content else []


def _turns(message: Any, index: int) -> list[dict[str, Any]]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise _invalid(f"messages[{index}] missing `role`", f"messages[{index}].role")
    if role not in ("user", "assistant", "system"):
        detail = f"messages[{index}] role {orjson.dumps(role).decode()} is not 'user', 'assistant' or 'system'"
        raise _invalid(detail, f"messages[{index}].role")
    content = message.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not isinstance(content, list):
        detail = f"messages[{index}].content must be a string or an array of content blocks"
        raise _invalid(detail, f"messages[{index}].content")
    blocks = [block for block in content if isinstance(block, dict)]
    if role == "system":
        return [{"role": role, "content": texts(blocks, "")}]
    return _assistant(blocks) if role == "assistant" else _user(blocks)


def _user(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A tool message per result, then one message of everything else."""
    made: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": block.get("tool_use_id") or "", "content": result_content(block)}
        for block in blocks
        if block.get("type") == "tool_result"
    ]
    content = parts(blocks)
    if content or not made:
        made.append({"role": "user", "content": content})
    return made


def _assistant(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = []
    for block in blocks:
        if block.get("type") == "tool_use" and isinstance(block.get("name"), str):
            given = block.get("input")
            arguments = orjson.dumps({} if given is None else given).decode()
            function = {"name": block["name"][:MAX_NAME], "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
    text: Any = texts(blocks, "")
    if not calls:
        return [{"role": "assistant", "content": text}]
    return [{"role": "assistant", "content": text or None, "tool_calls": calls}]


def _tools(tools: object) -> list[dict[str, Any]]:
    made = []
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
            continue
        function: dict[str, Any] = {"name": tool["name"][:MAX_NAME]}
        if tool.get("description") is not None:
            function["description"] = tool["description"]
        if tool.get("input_schema") is not None:
            function["parameters"] = tool["input_schema"]
        made.append({"type": "function", "function": function})
    return made


def _add_choice(chat: Chat, choice: object) -> None:
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if kind in _CHOICES:
        chat["tool_choice"] = _CHOICES[kind]
    elif kind == "tool" and isinstance(choice.get("name"), str):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"][:MAX_NAME]}}
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
