"""Parts of chat messages as content blocks of the Messages API."""

import base64
import binascii
from typing import Any, Final

from fastgw.providers.media import data_url, refused

Block = dict[str, Any]

_TEXT_MEMBERS: Final = ("type", "text", "cache_control", "citations")


def blocks(content: object, param: str) -> list[Block]:
    """The blocks that a message's content becomes; blank texts and parts of unknown types are left out.

    `param` is the content's place in the request, for the 400 about a part that is known and cannot be expressed.
    """
    if not isinstance(content, list):
        return []
    made = (block(part, f"{param}[{index}]") for index, part in enumerate(content) if isinstance(part, dict))
    return [one for one in made if one is not None]


def text_block(text: str) -> Block:
    """A plain text block."""
    return {"type": "text", "text": text}


def is_text(block: Block) -> bool:
    """Whether a block is text."""
    return block.get("type") == "text"


def block(part: dict[str, Any], param: str) -> Block | None:
    """The block of one part, None for a blank text and for an unknown type."""
    kind = part.get("type")
    if kind == "text":
        text = part.get("text")
        if not isinstance(text, str) or not text.strip():
            return None
        return {name: part[name] for name in _TEXT_MEMBERS if name in part}
    if kind == "refusal" and isinstance(part.get("refusal"), str) and part["refusal"].strip():
        return text_block(part["refusal"])
    if kind == "image_url":
        return _marked(_image(part.get("image_url"), f"{param}.image_url"), part)
    if kind == "file":
        return _marked(_document(part.get("file"), f"{param}.file"), part)
    if kind == "input_audio":
        raise refused("audio input is not supported by this provider", param)
    if kind in ("image", "document") and isinstance(part.get("source"), dict):
        return part  # the caller knows who answers
    return None


def _marked(block: Block, part: dict[str, Any]) -> Block:
    """The block with the cache marker of the part that it was made of."""
    if part.get("cache_control") is not None:
        block["cache_control"] = part["cache_control"]
    return block


def _image(image: object, param: str) -> Block:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise refused("image_url has no url", param)
    source = _source(url, "image/png", f"{param}.url")
    return {"type": "document" if source.get("media_type") == "application/pdf" else "image", "source": source}


def _document(file: object, param: str) -> Block:
    found = file if isinstance(file, dict) else {}
    data, url, name = found.get("file_data"), found.get("file_url"), found.get("filename")
    if isinstance(data, str):
        media = "text/plain" if isinstance(name, str) and name.lower().endswith((".txt", ".md")) else "application/pdf"
        # The OpenAI API takes bare base64 as well as data URLs.
        url = data if data.startswith(("data:", "http:", "https:")) else f"data:{media};base64,{data}"
    if not isinstance(url, str):
        raise refused("a file must be given by file_data or file_url, its file_id means nothing here", param)
    source = _source(url, "application/pdf", param)
    kind = source.get("media_type", "")
    if kind.startswith("image/"):
        return {"type": "image", "source": source}
    if kind.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(source["data"], param)}
    block: Block = {"type": "document", "source": source}
    if isinstance(name, str) and name:
        block["title"] = name
    return block


def _source(url: str, default: str, param: str) -> dict[str, str]:
    """The source of an image or a document behind a URL. Nothing is fetched."""
    media = data_url(url, default, param)
    if media is not None:
        return {"type": "base64", "media_type": media.type, "data": media.data}
    if url[:8].lower().startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    raise refused("only data URLs and http(s) URLs are supported", param)


def _decoded(data: str, param: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise refused("a text file must be base64 of UTF-8", param) from None
