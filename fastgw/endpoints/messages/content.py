"""Content blocks of the Messages API as parts of chat messages.

Blocks that are marked for a cache stay parts with their marker, for upstreams that have one; texts without markers
become one string.
"""

from typing import Any

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.endpoints.places import Content, Parts

Block = dict[str, Any]


def invalid(detail: str, param: str) -> GatewayError:
    """400 for a body that is no Messages request."""
    return invalid_request(f"invalid Anthropic body: {detail}", param=param, code="invalid_parameter")


def blocks_of(content: list[Any], place: str) -> list[Block]:
    """The same, checked. Raises 400."""
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise invalid(f"{place}[{index}] must be a content block", f"{place}[{index}]")
    return content


def texts(blocks: list[Block], between: str) -> Parts:
    """The texts of the blocks; with a marker among them as parts that read the same one after the other."""
    found = [block for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    if not any(block.get("cache_control") for block in found):
        return between.join(block["text"] for block in found)
    return [_text(block["text"] if i == 0 else between + block["text"], block) for i, block in enumerate(found)]


def parts(blocks: list[Block], place: str) -> Content:
    """Texts, images and documents in their order; texts without markers as one. `place` is that of the blocks."""
    made: list[dict[str, Any]] = []
    places: list[str] = []
    for index, block in enumerate(blocks):
        part = _part(block)
        if part is not None:
            made.append(part)
            places.append(f"{place}.{index}" if part["type"] == "text" else f"{place}.{index}.source")
    if any(part["type"] != "text" or "cache_control" in part for part in made):
        return Content(made, places)
    return Content("".join(part["text"] for part in made), [])


def result_content(block: Block, index: str, place: str) -> Content:
    """What a tool gave back. A failure is told by the text: other dialects have no flag for it. The place of the block
    is given as errors of this module and as those of translators have it."""
    content: Any = block.get("content")
    places: list[str] = []
    if isinstance(content, list):
        content, places = parts(blocks_of(content, f"{index}.content"), f"{place}.content")
    if not isinstance(content, str | list):
        content = ""
    if block.get("is_error") is True:
        failed = isinstance(content, str)
        content = f"Error: {content}" if failed else [{"type": "text", "text": "Error: "}, *content]
        places = [] if failed else [place, *places]
    if block.get("cache_control") is None or not content:
        return Content(content, places)
    if isinstance(content, str):
        content, places = [{"type": "text", "text": content}], [place]
    return Content([*content[:-1], _marked({**content[-1]}, block)], places)


def _part(block: Block) -> dict[str, Any] | None:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return _text(block["text"], block)
    source = block.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        return None
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        if kind == "image":
            return _marked({"type": "image_url", "image_url": {"url": source["url"]}}, block)
        return _marked({"type": "file", "file": {**_titled(block), "file_url": source["url"]}}, block)
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return _text(source["data"], block)
    if source.get("type") != "base64" or not isinstance(source.get("data"), str):
        return None
    url = f"data:{source.get('media_type') or 'application/octet-stream'};base64,{source['data']}"
    if kind == "image":
        return _marked({"type": "image_url", "image_url": {"url": url}}, block)
    return _marked({"type": "file", "file": {"filename": "document.pdf", **_titled(block), "file_data": url}}, block)


def _titled(document: Block) -> dict[str, str]:
    title = document.get("title")
    return {"filename": title} if isinstance(title, str) and title else {}


def _text(text: str, block: Block) -> dict[str, Any]:
    return _marked({"type": "text", "text": text}, block)


def _marked(part: dict[str, Any], block: Block) -> dict[str, Any]:
    if block.get("cache_control") is not None:
        part["cache_control"] = block["cache_control"]
    return part
