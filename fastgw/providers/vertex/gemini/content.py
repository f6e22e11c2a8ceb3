"""Content of chat messages as parts of Gemini's contents."""

import mimetypes
from typing import Any, Final

from fastgw.providers.media import data_url, refused

Part = dict[str, Any]

_FETCHED: Final = ("http://", "https://", "gs://")


def plain(content: object) -> str:
    """The text of a content: a string, or its text parts one after the other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(text for part in content if (text := _text(part)) is not None)


def parts(content: object, param: str) -> list[Part]:
    """The parts of a turn. `param` is the content's place in the request."""
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        return []
    made = (_part(part, f"{param}[{index}]") for index, part in enumerate(content))
    return [part for part in made if part is not None]


def _text(part: object) -> str | None:
    if not isinstance(part, dict):
        return part if isinstance(part, str) else None
    text = part.get("refusal") if part.get("type") == "refusal" else part.get("text")
    return text if part.get("type") in ("text", "refusal") and isinstance(text, str) else None


def _part(part: object, param: str) -> Part | None:
    text = _text(part)
    if text is not None:
        return {"text": text} if text else None
    if not isinstance(part, dict):
        return None
    kind = part.get("type")
    if kind == "image_url":
        image = part.get("image_url")
        return _media(image.get("url") if isinstance(image, dict) else image, "image/png", f"{param}.image_url")
    if kind == "input_audio":
        audio = part.get("input_audio")
        if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
            raise refused("input_audio has no data", f"{param}.input_audio")
        return {"inlineData": {"mimeType": f"audio/{audio.get('format') or 'wav'}", "data": audio["data"]}}
    if kind == "file":
        file = part.get("file")
        found = file if isinstance(file, dict) else {}
        data = found.get("file_data") or found.get("file_url")
        if isinstance(data, str) and not data.lower().startswith(("data:", *_FETCHED)):
            data = f"data:application/pdf;base64,{data}"
        return _media(data, "application/pdf", f"{param}.file")
    return None


def _media(url: object, default: str, param: str) -> Part:
    if not isinstance(url, str):
        raise refused("a file or an image must be given by a data URL or an address", param)
    media = data_url(url, default, param)
    if media is not None:
        return {"inlineData": {"mimeType": media.type, "data": media.data}}
    if url.lower().startswith(_FETCHED):
        # Of the last segment alone: newer versions of the library refuse addresses whose host is none.
        kind = mimetypes.guess_type(url.partition("?")[0].partition("#")[0].rpartition("/")[2])[0]
        return {"fileData": {"mimeType": kind or default, "fileUri": url}}
    raise refused("only data URLs and http(s) or gs URLs are supported", param)
