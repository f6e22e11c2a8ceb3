"""A Responses request as a chat request, for upstreams of other protocols.

Members that have no counterpart are left out, also where the upstream's protocol has a member of that name.
"""

from typing import Any, Final

from fastgw.core.json import write
from fastgw.endpoints.checks import CHOICE, COUNT, FLAG, NUMBER, OBJECT, OBJECTS, TEXT, Check, mistyped
from fastgw.endpoints.places import Content, Placed
from fastgw.endpoints.responses.content import content_of, refused
from fastgw.endpoints.responses.tools import add_tools, custom_arguments, function_name
from fastgw.providers.canonical import Chat

STATE: Final = ("previous_response_id", "conversation", "prompt")
"""Members that refer to what the Responses API keeps for its callers: only the provider who has it can follow them."""
_ROLES: Final = {"assistant": "assistant", "system": "system", "developer": "system"}
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
_MEMBERS: Final[dict[str, Check]] = {
    "instructions": TEXT,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_output_tokens": COUNT,
    "max_tokens": COUNT,
    "user": TEXT,
    "safety_identifier": TEXT,
    "reasoning": OBJECT,
    "text": OBJECT,
    "tools": OBJECTS,
    "tool_choice": CHOICE,
    "parallel_tool_calls": FLAG,
    "metadata": OBJECT,
}


def chat_of(body: dict[str, Any]) -> tuple[Chat, list[Placed]]:
    """The canonical request, without its model, and where its messages come from. Raises 400 for a body that is no
    Responses request."""
    conversation = _conversation(body)
    for name, wrong in mistyped(body, _MEMBERS):
        raise refused(wrong, name)
    chat: Chat = {"messages": [message for message, _, _ in conversation]}
    for name in ("temperature", "top_p"):
        if body.get(name) is not None:
            chat[name] = body[name]
    for name in ("max_output_tokens", "max_tokens"):
        if body.get(name) is not None:
            chat["max_tokens"] = body[name]
            break
    for name in ("user", "safety_identifier"):
        if body.get(name) is not None:
            chat["user"] = body[name]
            break
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and isinstance(reasoning.get("effort"), str):
        chat["reasoning_effort"] = reasoning["effort"]
    if (wanted := _format(body.get("text"))) is not None:
        chat["response_format"] = wanted
    add_tools(chat, body)
    return chat, conversation


def unfollowed(body: dict[str, Any]) -> list[str]:
    """The members of a request that refer to stored state, which a translated call cannot follow."""
    return [name for name in STATE if body.get(name) is not None]


def _conversation(body: dict[str, Any]) -> list[Placed]:
    messages: list[Placed] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.append(Placed({"role": "system", "content": instructions}, "instructions", []))
    given = body.get("input")
    if given is None and not any(body.get(name) is not None for name in STATE):
        raise refused("`input` field missing", "input", "missing_parameter")
    if isinstance(given, str):
        return [*messages, Placed({"role": "user", "content": given}, "input", [])] if given else messages
    if given is not None and not isinstance(given, list):
        raise refused("`input` must be a string or an array of items", "input")
    for index, item in enumerate(given or []):
        _add(messages, item, f"input[{index}]")
    return _paired(messages)


def _paired(messages: list[Placed]) -> list[Placed]:
    """The same with outputs right behind the turns that call: other APIs take them nowhere else."""
    outputs: dict[str, list[int]] = {}
    for index, (message, _, _) in enumerate(messages):
        if message["role"] == "tool":
            outputs.setdefault(message["tool_call_id"], []).append(index)
    made: list[Placed] = []
    moved: set[int] = set()
    for index, placed in enumerate(messages):
        if index in moved:
            continue
        made.append(placed)
        ids = {call["id"] for call in placed.message.get("tool_calls", ())}
        # The first call with an id takes all outputs behind it: nothing is left for another one.
        for at in sorted(at for id in ids for at in outputs.pop(id, ()) if at > index):
            moved.add(at)
            made.append(messages[at])
    return made


def _add(messages: list[Placed], item: object, param: str) -> None:
    if isinstance(item, str):
        if item:
            messages.append(Placed({"role": "user", "content": item}, param, []))
        return
    if not isinstance(item, dict):
        raise refused(f"`{param}` must be an object", param)
    kind = item.get("type")
    if kind == "reasoning":
        return  # what vouches for it is of another vendor
    if isinstance(kind, str) and kind in _CALLS:
        call = _call(item, kind, param)
        if messages and "tool_calls" in messages[-1].message:
            messages[-1].message["tool_calls"].append(call)
        else:
            messages.append(Placed({"role": "assistant", "content": None, "tool_calls": [call]}, param, []))
    elif kind in _OUTPUTS:
        identity, place = _identity(item, ("call_id",), param), f"{param}.output"
        content, parts = _output(item.get("output"), place)
        messages.append(Placed({"role": "tool", "tool_call_id": identity, "content": content}, place, parts))
    elif kind == "item_reference" or (kind is None and item.keys().isdisjoint(("role", "content")) and "id" in item):
        _refer(item.get("id"), param)
    elif kind in (None, "message") or "role" in item or "content" in item:
        place = f"{param}.content"
        content, parts = content_of(item.get("content"), place)
        if content:
            role = _ROLES.get(str(item.get("role")), "user")
            messages.append(Placed({"role": role, "content": content}, place, parts))


def _refer(identity: object, param: str) -> None:
    """Raises 400: what is referred to would be missing in the conversation. Reasoning is left out anyhow."""
    if not (isinstance(identity, str) and identity.startswith("rs_")):
        raise refused(
            f"`{param}` refers to an item of an earlier response, which the model's provider does not keep: send the "
            "item itself, as clients do that are told `store: false`",
            param,
            "unsupported_parameter",
        )


def _call(item: dict[str, Any], kind: str, param: str) -> dict[str, Any]:
    name, given = item.get("name"), item.get(_CALLS[kind])
    if not isinstance(name, str) or not name:
        raise refused(f"`{param}.name` missing", f"{param}.name", "missing_parameter")
    if kind == "custom_tool_call":
        arguments = custom_arguments(given)
    elif isinstance(given, str):
        arguments = given or "{}"
    else:
        arguments = write({} if given is None else given).decode()
    function = {"name": function_name(item.get("namespace"), name), "arguments": arguments}
    return {"id": _identity(item, ("call_id", "id"), param), "type": "function", "function": function}


def _identity(item: dict[str, Any], names: tuple[str, ...], param: str) -> str:
    for name in names:
        found = item.get(name)
        if isinstance(found, str) and found:
            return found
    raise refused(f"`{param}.call_id` missing", f"{param}.call_id", "missing_parameter")


def _output(output: object, param: str) -> Content:
    if output is None or isinstance(output, str | list):
        return content_of(output, param)
    return Content(write(output).decode(), [])


def _format(text: object) -> dict[str, Any] | None:
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return {"type": "json_object"}
    if wanted.get("type") != "json_schema":
        return None
    schema = {
        name: wanted[name] for name in ("name", "description", "schema", "strict") if wanted.get(name) is not None
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", **schema}}
