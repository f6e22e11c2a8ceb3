"""A canonical chat request for an upstream that speaks OpenAI's chat completions.

Only what the vendor may not take is changed: see `settled`. Calls whose caller speaks this dialect itself never come
here, their bytes are spliced.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from fastgw.providers.calls import SHORT, call_id
from fastgw.providers.canonical import Chat

CACHES: Final = ("openrouter",)
"""Vendors that take `cache_control` in content parts."""
FILES: Final = ("openai",)
"""Vendors that take `file` parts; others get a data URL as an image."""


MAX_USER: Final = 64
"""Characters of `user`. Agents send whole documents there; a digest still tells one user from another."""


def chat_body(chat: Chat, model: str, stream: bool, vendor: str, *, strict: bool = False) -> dict[str, Any]:
    """The upstream's body. A stream asks for usage unless the caller said otherwise. `strict`: it is OpenAI's own API,
    which takes pictures from users only."""
    body = {**chat, "model": model, "stream": stream}
    if stream and chat.get("stream_options") is None:
        body["stream_options"] = {"include_usage": True}
    messages = [_message(message, vendor) for message in chat["messages"]]
    body["messages"] = list(_shown(messages)) if strict else messages
    if "tools" in chat:
        body["tools"] = [
            {name: value for name, value in tool.items() if name != "cache_control"} for tool in chat["tools"]
        ]
    user = chat.get("user")
    if isinstance(user, str) and len(user) > MAX_USER:
        body["user"] = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
    return body


def _message(message: dict[str, Any], vendor: str) -> dict[str, Any]:
    made = {**message, "content": settled(message.get("content"), vendor)}
    identity, calls = message.get("tool_call_id"), message.get("tool_calls")
    if isinstance(identity, str):
        made["tool_call_id"] = call_id(identity, SHORT)
    if calls:
        made["tool_calls"] = [{**call, "id": call_id(str(call["id"]), SHORT)} for call in calls]
    return made


def _shown(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages with what tools have given back, but texts, moved into a message of the user behind all results of
    the same turn."""
    moved: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") != "tool":
            if moved:
                yield {"role": "user", "content": moved}
                moved = []
            yield message
            continue
        content = message["content"]
        media = [part for part in content if part.get("type") != "text"] if isinstance(content, list) else []
        if media:
            text = "".join(part["text"] for part in content if part.get("type") == "text")
            moved += [{"type": "text", "text": f"Returned by {message['tool_call_id']}:"}, *media]
            message["content"] = text or "The result is in the next message of the user."
        yield message
    if moved:
        yield {"role": "user", "content": moved}


def settled(content: Any, vendor: str) -> Any:
    """A message's content as the vendor takes it: texts alone are one string, unless one of them is marked for a cache
    that the vendor has."""
    if not isinstance(content, list):
        return content
    caches = vendor in CACHES
    parts = [_part(part, vendor in FILES) for part in content]
    if not caches:
        parts = [{name: value for name, value in part.items() if name != "cache_control"} for part in parts]
    if all(set(part) == {"type", "text"} and part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: dict[str, Any], files: bool) -> dict[str, Any]:
    if part.get("type") != "file":
        return part
    file = part["file"]
    url = file.get("file_url") or (None if files else file.get("file_data"))
    if url is None:
        return part
    marker = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    return {"type": "image_url", "image_url": {"url": url}, **marker}
