"""How many tokens a request and an answer have, for counters that the upstream left at zero.

Every text is counted exactly up to 1 MiB, beyond that as a token per four bytes. Cost: parsing the body, then about
10 ns per byte of text and 0.1 us at worst. Text above 64 KiB is counted in slices without the GIL, so a caller on an
event loop hands a body or an answer above INLINE to a thread and calls directly below.
"""

import json
from typing import Any, Final

import orjson

from fastgw._speedups.splice import ARRAY, ScanError, top_level
from fastgw._speedups.texts import token_array
from fastgw._speedups.tokens import Counter, Table
from fastgw.policy.tool_text import tool_text

INLINE: Final = 65_536
EXACT: Final = 1_048_576
SLICE: Final = 65_536

PER_ITEM: Final = 3
PER_REQUEST: Final = 3
PER_NAME: Final = 1
PER_TOOLS: Final = 9
TOOLS_WITH_SYSTEM: Final = -4
CHOICE_NONE: Final = 1
CHOICE_OBJECT: Final = 7
IMAGE_LOW: Final = 85
IMAGE: Final = 250

_O200K: Final = ("gpt-4o", "chatgpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-oss", "o1", "o3", "o4")
_P50K: Final = ("text-davinci-002", "text-davinci-003", "text-davinci-edit-", "code-davinci-", "code-cushman-")
_P50K_NAMES: Final = {"davinci-codex", "cushman-codex"}
_R50K: Final = (
    "text-davinci-001",
    "text-curie-",
    "text-babbage-",
    "text-ada-",
    "text-similarity-",
    "text-search-",
    "code-search-",
)
_R50K_NAMES: Final = {"davinci", "curie", "babbage", "ada", "gpt2", "gpt-2"}

_TEXT_FIELD: Final = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
_TOOL_SKIP: Final = {"type", "id", "tool_use_id", "cache_control", "is_error"}
_ITEM_SKIP: Final = {"type", "id", "status"}


def encoding_for(model: str) -> str:
    """Name the vocabulary of an upstream model, fine-tuned ones included; `cl100k_base` for every unknown name."""
    base = model.removeprefix("ft:").partition(":")[0]
    if base.startswith(_O200K):
        return "o200k_base"
    if base in _P50K_NAMES or base.startswith(_P50K):
        return "p50k_base"
    if base in _R50K_NAMES or base.startswith(_R50K):
        return "r50k_base"
    return "cl100k_base"


def count_text(table: Table, text: str | bytes) -> int:
    """Count one text, bytes as UTF-8. What cannot be encoded or decoded counts as U+FFFD."""
    if len(text) <= SLICE // 4:
        return table.count(text)
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        assert isinstance(text, str)
        data = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    exact = min(len(data), EXACT)
    while exact < len(data) and data[exact] & 0xC0 == 0x80:
        exact -= 1
    counter = Counter(table)
    for start in range(0, exact, SLICE):
        counter.feed(data[start : min(start + SLICE, exact)])
        while counter.step():
            pass
    counter.end()
    while counter.step():
        pass
    return counter.count + (len(data) - exact) // 4


def estimate_output(table: Table, text: str | bytes, beyond: int = 0) -> int:
    """Count content, reasoning, tool names and tool arguments as one text; `beyond`: its bytes that nobody kept."""
    return count_text(table, text) + beyond // 4


def estimate_chat_prompt(table: Table, body: bytes) -> int:
    """Count the prompt of a chat request. Raises ValueError when the body is no JSON object, like all of these."""
    request = _parse(body)
    messages = [message for message in _list(request, "messages") if isinstance(message, dict)]
    total = PER_REQUEST + sum(_chat_message(table, message) for message in messages)
    return total + _tools(table, request, any(message.get("role") == "system" for message in messages))


def estimate_messages_prompt(table: Table, body: bytes) -> int:
    """Count the prompt of an Anthropic Messages request."""
    request = _parse(body)
    total = PER_REQUEST
    system = request.get("system")
    if system is not None:
        total += PER_ITEM + table.count("system") + _content(table, system)
    for message in _list(request, "messages"):
        if isinstance(message, dict):
            total += PER_ITEM + _string(table, message.get("role")) + _content(table, message.get("content"))
    return total + _tools(table, request, system is not None)


def estimate_responses_prompt(table: Table, body: bytes) -> int:
    """Count the prompt of a Responses request."""
    request = _parse(body)
    total = PER_REQUEST
    instructions = request.get("instructions")
    if instructions is not None:
        total += PER_ITEM + table.count("system") + _content(table, instructions)
    items = request.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    system = instructions is not None
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict):
            continue
        role = item.get("role")
        if isinstance(role, str):
            total += PER_ITEM + count_text(table, role) + _content(table, item.get("content"))
            system = system or role in ("system", "developer")
        else:
            total += PER_ITEM + _fields(table, item, _ITEM_SKIP)
    return total + _tools(table, request, system)


def estimate_completions_prompt(table: Table, body: bytes) -> int:
    """Count the `prompt` of a completions request."""
    return _plain_member(table, body, "prompt")


def estimate_embeddings_input(table: Table, body: bytes) -> int:
    """Count the `input` of an embeddings request."""
    return _plain_member(table, body, "input")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = json.loads(body, parse_int=_integer)  # half a surrogate pair, which orjson refuses and clients send
    if not isinstance(document, dict):
        raise ValueError("the body is not a JSON object")
    return document


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits.
    return int(digits) if len(digits) < 20 else float(digits)


def _compact(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _string(table: Table, value: Any) -> int:
    return count_text(table, value) if isinstance(value, str) else 0


def _plain_member(table: Table, body: bytes, name: str) -> int:
    """Strings or tokens in a member of the body. Token arrays, of which a body may hold very many, are not built."""
    try:
        (span,) = top_level(body, (name.encode(),))
    except ScanError:
        span = None  # twice, for instance
    if span is not None and span[0] == ARRAY:
        tokens = token_array(body, span[1], span[2])
        if tokens:
            return tokens
    return _plain(table, _parse(body).get(name))


def _plain(table: Table, value: Any) -> int:
    """A string, an array of strings, an array of tokens, or an array of those."""
    if isinstance(value, str):
        return count_text(table, value)
    if not isinstance(value, list):
        return 0
    return sum(1 if isinstance(item, int) else _plain(table, item) for item in value)


def _fields(table: Table, holder: dict[str, Any], skip: set[str]) -> int:
    """Every string, array and object in `holder` but those that `skip` names."""
    total = 0
    for key, value in holder.items():
        if key in skip:
            continue
        if isinstance(value, str):
            total += count_text(table, value)
        elif isinstance(value, dict | list):
            total += count_text(table, _compact(value))
    return total


def _chat_message(table: Table, message: dict[str, Any]) -> int:
    total = PER_ITEM
    for key, value in message.items():
        if key == "content":
            total += _content(table, value)
        elif key == "tool_calls":
            calls = [call for call in value if isinstance(call, dict)] if isinstance(value, list) else []
            total += sum(_arguments(table, call.get("function")) for call in calls)
        elif key == "function_call":
            total += _arguments(table, value)
        elif isinstance(value, str):  # the role, the name, tool_call_id and whatever else is text
            total += count_text(table, value) + (PER_NAME if key == "name" else 0)
    return total


def _arguments(table: Table, call: Any) -> int:
    return _string(table, call.get("arguments")) if isinstance(call, dict) else 0


def _content(table: Table, content: Any) -> int:
    if isinstance(content, list):
        return sum(_block(table, block) for block in content)
    return _string(table, content)


def _block(table: Table, block: Any) -> int:
    if not isinstance(block, dict):
        return _string(table, block)
    kind = block.get("type")
    if kind in ("tool_use", "tool_result"):
        return _fields(table, block, _TOOL_SKIP)
    if kind in ("image", "input_image"):
        return IMAGE
    if kind == "image_url":
        image = block.get("image_url")
        detail = image.get("detail") if isinstance(image, dict) else None
        return IMAGE_LOW if detail in (None, "low", "auto") else IMAGE
    return _string(table, block.get(_TEXT_FIELD.get(kind, ""))) if isinstance(kind, str) else 0


def _tools(table: Table, request: dict[str, Any], system: bool) -> int:
    total = 0
    tools, choice = _list(request, "tools"), request.get("tool_choice")
    if tools:
        total += count_text(table, tool_text(tools)) + PER_TOOLS + (TOOLS_WITH_SYSTEM if system else 0)
    if choice == "none":
        total += CHOICE_NONE
    elif isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else choice.get("name")
        total += CHOICE_OBJECT + _string(table, name)
    return total
