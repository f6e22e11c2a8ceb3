"""Content of Responses items as content of chat messages: texts alone become one string, anything else parts."""

from typing import Any

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.endpoints.places import Content


def refused(detail: str, param: str, code: str = "invalid_parameter") -> GatewayError:
    """400 for one member of the request."""
    return invalid_request(detail, param=param, code=code)


def content_of(content: object, param: str) -> Content:
    """The content of a message or the output of a tool; "" for none. Raises 400 for what is no content."""
    if content is None or isinstance(content, str):
        return Content(content or "", [])
    if not isinstance(content, list):
        raise refused(f"`{param}` must be a string or an array of content parts", param)
    made: list[dict[str, Any]] = []
    places: list[str] = []
    for index, given in enumerate(content):
        place = f"{param}[{index}]"
        part = _part(given, place)
        if part is not None:
            made.append(part)
            places.append(f"{place}.image_url" if part["type"] == "image_url" else place)
    if all(part["type"] == "text" for part in made):
        return Content("".join(part["text"] for part in made), [])
    return Content(made, places)


def _part(part: object, param: str) -> dict[str, Any] | None:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise refused(f"`{param}` must be an object", param)
    kind = part.get("type")
    if kind == "input_image":
        return _image(part, param)
    if kind == "input_file":
        names = ("filename", "file_data", "file_url", "file_id")
        return {"type": "file", "file": {name: part[name] for name in names if part.get(name) is not None}}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    text = part.get("text")
    return {"type": "text", "text": text} if isinstance(text, str) and text else None


def _image(part: dict[str, Any], param: str) -> dict[str, Any]:
    url = part.get("image_url")
    if not isinstance(url, str):
        # Files of the Responses API are kept by the provider that has it.
        named = "file_id" if part.get("file_id") is not None else "image_url"
        raise refused(
            "an image must be given by its image_url: the model's provider knows no file ids",
            f"{param}.{named}",
            "unsupported_parameter" if named == "file_id" else "missing_parameter",
        )
    image = {"url": url}
    if isinstance(part.get("detail"), str):
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}
