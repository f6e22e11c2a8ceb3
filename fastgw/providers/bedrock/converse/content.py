"""Parts of chat messages as content blocks of Converse.

They are made of the blocks that the Messages API would get: both know the same kinds.
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html)
"""

import base64
import re
from typing import Final

from fastgw.providers.anthropic.content import Block, block
from fastgw.providers.canonical import Chat
from fastgw.providers.media import refused

_IMAGES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_REMOTE: Final = "remote URLs are not supported by this provider, send the data itself"
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")
# What a document may be called; more than one blank in a row is not allowed either.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9()\[\]-]+")


def plain(content: object) -> str:
    """The text of a content: a string, or its text parts one after the other."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def blocks(content: object, param: str) -> list[Block]:
    """The blocks of a turn: texts that follow each other are one. `param` is the content's place in the request.

    Raises the 400 for a part that Converse has no block for.
    """
    if not isinstance(content, list):
        return [{"text": plain(content)}]
    made: list[Block] = []  # with texts in pieces
    for index, part in enumerate(content):
        if not isinstance(part, dict):
            continue
        found = part if part.get("type") == "text" else block(part, f"{param}[{index}]")
        if found is None:
            continue
        if found["type"] != "text":
            made.append(_media(found, f"{param}[{index}]"))
        elif isinstance(text := found.get("text"), str):
            if made and "text" in made[-1]:
                made[-1]["text"].append(text)
            else:
                made.append({"text": [text]})
        made += cache_points(found)
    joined = [{"text": "".join(one["text"])} if "text" in one else one for one in made]
    kept = [one for one in joined if "text" not in one or one["text"].strip()]
    return kept or [{"text": plain(content)}]


def cache_points(marked: Block) -> list[Block]:
    """The cache point for a `cache_control` marker, if there is one."""
    marker = marked.get("cache_control")
    if not isinstance(marker, dict):
        return []
    point = {"type": "default", "ttl": "1h"} if marker.get("ttl") == "1h" else {"type": "default"}
    return [{"cachePoint": point}]


def name_apart(turns: list[Block]) -> None:
    """Give documents that are called the same names of their own: the API takes each name once per request."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last one given
    for turn in turns:
        for one in turn["content"]:
            for inner in one["toolResult"]["content"] if "toolResult" in one else (one,):
                if "document" in inner:
                    name = apart = inner["document"]["name"]
                    while apart in taken:
                        numbers[name] = numbers.get(name, 1) + 1
                        apart = f"{name} {numbers[name]}"
                    taken.add(apart)
                    inner["document"]["name"] = apart


def refuse_remote(chat: Chat) -> None:
    """Raises the 400 for the first image or document that is elsewhere: no model of Bedrock fetches any."""
    for place, message in enumerate(chat["messages"]):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get("type") in ("image_url", "image", "document", "file"):
                found = block(part, where := f"messages[{place}].content[{index}]")
                if found is not None and found["source"].get("type") == "url":
                    raise refused(_REMOTE, where)


def _media(found: Block, param: str) -> Block:
    """A picture or a document. Nothing is fetched, and Converse does not fetch either."""
    source = found["source"]
    kind = source.get("type")
    if kind == "url":
        raise refused(_REMOTE, param)
    media, data = source.get("media_type"), source.get("data")
    if kind not in ("base64", "text") or not isinstance(data, str) or not isinstance(media, str):
        raise refused("only base64 data is supported by this provider", param)
    if found["type"] == "image":
        if media not in _IMAGES:
            raise refused("images must be png, jpeg, gif or webp", param)
        return {"image": {"format": _IMAGES[media], "source": {"bytes": data}}}
    if media not in _DOCUMENTS:
        raise refused("documents of this type are not supported by this provider", param)
    if kind == "text":
        data = base64.b64encode(data.encode()).decode()
    title = found.get("title")
    name = _EXTENSION.sub("", title) if isinstance(title, str) else ""
    # Names are mandatory.
    name = _NOT_IN_NAMES.sub(" ", name).strip()[:200] or "document"
    return {"document": {"format": _DOCUMENTS[media], "name": name, "source": {"bytes": data}}}
