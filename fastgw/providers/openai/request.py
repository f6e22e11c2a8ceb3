"""A canonical chat request for an upstream that speaks OpenAI's chat completions.

Only what the vendor may not take is changed: see `settled`. Calls whose caller speaks this dialect itself never come
here, their bytes are spliced.
"""

from typing import Any, Final

from fastgw.providers.canonical import Chat

CACHES: Final = ("openrouter",)
"""Vendors that take `cache_control` in content parts."""
FILES: Final = ("openai",)
"""Vendors that take `file` parts; others get a data URL as an image."""


def chat_body(chat: Chat, model: str, stream: bool, vendor: str) -> dict[str, Any]:
    """The upstream's body. A stream asks for usage unless the caller said otherwise."""
    body = {**chat, "model": model, "stream": stream}
    if stream and chat.get("stream_options") is None:
        body["stream_options"] = {"include_usage": True}
    body["messages"] = [{**message, "content": settled(message.get("content"), vendor)} for message in chat["messages"]]
    return body


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
