"""Whole answers of upstreams: what every family asks of the document."""

from typing import Any

from fastgw.core.errors import UpstreamFailure, decode_error
from fastgw.core.json import read
from fastgw.providers.canonical import Completion


class Pieces:
    """What an answer says while it is read, in pieces, of which there may be very many: they are joined once."""

    __slots__ = ("reasoning", "signature", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.signature: list[str] = []

    def join(self, answer: Completion) -> None:
        """All has been read. What has no piece stays as it is."""
        if self.text:
            answer.text = "".join(self.text)
        if self.reasoning:
            answer.reasoning = "".join(self.reasoning)
        if self.signature:
            answer.signature = "".join(self.signature)


def document_of(body: bytes, *texts: str) -> dict[str, Any]:
    """The object that an answer is, in which `texts` are strings. Raises a decode error."""
    try:
        document = read(body)
    except ValueError as error:
        raise decode_error(str(error)) from None
    if not isinstance(document, dict):
        raise decode_error("the document is no object")
    for name in texts:
        if not isinstance(document.get(name), str):
            raise lacks(name)
    return document


def lacks(name: str) -> UpstreamFailure:
    """The decode error for a member that is not there or of another type."""
    return decode_error(f"missing or mistyped field {name}")
