"""Pictures and files in the parts of chat messages."""

from typing import Final, NamedTuple

from fastgw.core.errors import GatewayError

_BASE64: Final = ";base64"


class Media(NamedTuple):
    """What a data URL holds: the media type in small letters, and the data in base64."""

    type: str
    data: str


def data_url(url: str, default: str, param: str) -> Media | None:
    """What is in a data URL (`data:[<media type>][;parameter]*;base64,<data>`, RFC 2397), None for another one.

    `default` is the type of one that does not say. Raises the 400 for data that is not base64.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or head[-len(_BASE64) :].lower() != _BASE64:
        raise refused("data URLs must be base64", param)
    return Media(head.partition(";")[0].lower() or default, data)


def refused(detail: str, param: str) -> GatewayError:
    """400 for a part that the upstream's protocol has no counterpart for."""
    return GatewayError(
        400,
        "invalid_request_error",
        f"invalid upstream configuration: {detail}",
        param=param,
        code="unsupported_parameter",
    )
