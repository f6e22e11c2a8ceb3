"""Content blocks of the Messages API as parts of chat messages.

Blocks that are marked for a cache stay parts with their marker, for upstreams that have one; texts without markers
become one string.
"""

from typing import Any

Parts = str | list[dict[str, Any]]


def texts(blocks: list[Any], between: str) -> Parts:
    """The texts of the blocks; with a marker among them as parts that read the same one after the other."""
    found = [block for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
    found = [block for block in found if isinstance(block.get("text"), str)]
    if not any(block.get("cache_control") for block in found):
        return between.join(block["text"] for block in found)
    return [_text(block["text"] if i == 0 else between + block["text"], block) for i, block in enumerate(found)]


def parts(blocks: list[dict[str, Any]]) -> Parts:
    """Texts, images and documents in their order; texts alone as `texts`."""
    made = [part for block in blocks if (part := _part(block)) is not None]
    return texts(blocks, "") if all(part["type"] == "text" and len(part) == 2 for part in made) else made


def result_content(block: dict[str, Any]) -> Parts:
    """What a tool gave back. A failure is told by the text: other dialects have no flag for it."""
    content = block.get("content")
    if isinstance(content, list):
        blocks = [found for found in content if isinstance(found, dict)]
        made = parts(blocks)
        content = made if isinstance(made, list) and any(part["type"] != "text" for part in made) else texts(blocks, "")
    if not isinstance(content, str | list):
        content = ""
    if block.get("is_error") is not True:
        return content
    if isinstance(content, str):
        return f"Error: {content}"
    return [{"type": "text", "text": "Error: "}, *content]


def _part(block: dict[str, Any]) -> dict[str, Any] | None:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return _text(block["text"], block)
    source = block.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        return None
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return _marked({"type": "image_url", "image_url": {"url": source["url"]}}, block)
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return _text(source["data"], block)
    if source.get("type") != "base64" or not isinstance(source.get("data"), str):
        return None
    url = f"data:{source.get('media_type') or 'application/octet-stream'};base64,{source['data']}"
    if kind == "image":
        return _marked({"type": "image_url", "image_url": {"url": url}}, block)
    title = block.get("title")
    name = title if isinstance(title, str) and title else "document.pdf"
    return _marked({"type": "file", "file": {"filename": name, "file_data": url}}, block)


def _text(text: str, block: dict[str, Any]) -> dict[str, Any]:
    return _marked({"type": "text", "text": text}, block)


def _marked(part: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    if block.get("cache_control") is not None:
        part["cache_control"] = block["cache_control"]
    return part
