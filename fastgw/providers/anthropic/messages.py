"""The messages of a chat as `system` and `messages` of the Messages API."""

from typing import Any, Final

from fastgw.core.errors import GatewayError, invalid_request, invalid_upstream
from fastgw.core.json import load_object
from fastgw.providers.anthropic.content import Block, blocks, is_text, text_block
from fastgw.providers.calls import PLAIN, call_id
from fastgw.providers.canonical import Chat

_SYSTEM: Final = ("system", "developer")


def conversation(chat: Chat) -> tuple[str | list[Block] | None, list[Block]]:
    """System prompt and turns. System messages behind the first other one become user turns; adjacent turns of one
    role are merged, because roles must alternate. Raises 400."""
    messages = chat.get("messages")
    if not isinstance(messages, list):
        raise invalid_request("invalid JSON request body", param="messages", code="invalid_parameter")
    leading = 0
    while leading < len(messages) and _role(messages[leading], leading) in _SYSTEM:
        leading += 1
    turns: list[tuple[str, list[Block], list[Block]]] = []
    for index, message in enumerate(messages[leading:], leading):
        role, content = _turn(message, index)
        if not turns or turns[-1][0] != role:
            turns.append((role, [], []))
        # Results must come first, also behind a system message that became a user's.
        _, results, others = turns[-1]
        (results if message["role"] == "tool" else others).extend(content)
    made = [{"role": role, "content": results + others} for role, results, others in turns]
    return _system(messages[:leading]), made


def _role(message: object, index: int) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("system", "developer", "user", "assistant", "tool"):
        raise invalid_request("invalid JSON request body", param=f"messages[{index}].role", code="invalid_parameter")
    assert isinstance(role, str)
    return role


def _system(messages: list[Any]) -> str | list[Block] | None:
    if not messages:
        return None
    contents = [message.get("content") for message in messages]
    typed: list[Block] = []
    survived = False
    for index, content in enumerate(contents):
        if not isinstance(content, str):
            found = list(filter(is_text, blocks(content, f"messages[{index}].content")))
            survived = survived or bool(found)
            typed += found
        elif content.strip():  # blank texts are refused as blocks
            typed.append(text_block(content))
    if survived:
        return typed
    texts = (content if isinstance(content, str) else _text(content) for content in contents)
    return "\n\n".join(texts) or None


def _text(content: object) -> str:
    """The text of a content array."""
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _turn(message: dict[str, Any], index: int) -> tuple[str, list[Block]]:
    role = _role(message, index)
    content, param = message.get("content"), f"messages[{index}].content"
    if role == "tool":
        return "user", [_result(message, param)]
    if role == "assistant":
        made = [text_block(content)] if isinstance(content, str) and content else blocks(content, param)
        made += _uses(message.get("tool_calls"))
        return role, made or [text_block("")]
    made = [text_block(content)] if isinstance(content, str) else blocks(content, param)
    return "user", made or [text_block("")]


def _uses(calls: object) -> list[Block]:
    """Tool calls as blocks; one without id or name could not be answered and is left out."""
    made: list[Block] = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(function, dict) and call.get("id") and name:
            arguments = parsed(function.get("arguments"))
            made.append({"type": "tool_use", "id": call_id(str(call["id"]), PLAIN), "name": name, "input": arguments})
    return made


def parsed(arguments: object) -> dict[str, Any]:
    """The arguments of a call as an object; {} when they are none."""
    return arguments if isinstance(arguments, dict) else load_object(arguments)


def _result(message: dict[str, Any], param: str) -> Block:
    identity = message.get("tool_call_id")
    if not isinstance(identity, str) or not identity:
        error: GatewayError = invalid_upstream("tool message missing tool_call_id field")
        error.param, error.code = param.replace(".content", ".tool_call_id"), "missing_parameter"
        raise error
    content = message.get("content")
    made: str | list[Block] = content if isinstance(content, str) else blocks(content, param)
    markers: list[Any] = []
    if isinstance(made, list) and any("cache_control" in one for one in made):
        markers = [one["cache_control"] for one in made if "cache_control" in one]
        made = [{name: value for name, value in one.items() if name != "cache_control"} for one in made]
    result: Block = {"type": "tool_result", "tool_use_id": call_id(identity, PLAIN), "content": made or ""}
    if markers:
        # What is cached ends with a block of the turn, not inside of one.
        result["cache_control"] = markers[-1]
    return result
