"""Members of bodies that one scan finds, without a look at the rest. A `Span` says kind, start and end of a value."""

from collections.abc import Callable
from typing import Any

from fastgw._speedups.splice import STRING, ScanError, top_level
from fastgw.core.errors import UpstreamFailure, decode_error
from fastgw.core.json import load, read
from fastgw.gateway.receive import not_json
from fastgw.providers.canonical import Completion, Usage

Span = tuple[int, int, int]


def members_of_request(body: bytes, names: tuple[bytes, ...]) -> tuple[Span | None, ...]:
    """Where the named members of a caller's body are, None for those that are not there. Raises the 400 for a body that
    is no object or has one of them twice."""
    try:
        return top_level(body, names)
    except ScanError as error:
        raise not_json(error.field or None, "invalid_parameter" if error.field else None) from None


def members_of_answer(body: bytes, names: tuple[bytes, ...]) -> tuple[Span | None, ...]:
    """The same in an upstream's answer. Raises a decode error."""
    try:
        return top_level(body, names)
    except ScanError as error:
        raise decode_error(f"{error.reason} at {error.field or 'the document'}") from None


def text_of(body: bytes, span: Span | None) -> str:
    """A value as text, "" when it is no string; half a surrogate pair becomes U+FFFD."""
    if span is None or span[0] != STRING:
        return ""
    text: str = read(body[span[1] : span[2]])
    return text


def value_of(body: bytes, span: Span | None) -> Any:
    """A value, None when it is not there or holds what no JSON library reads."""
    return None if span is None else load(body[span[1] : span[2]])


class NativeAnswer(Completion):
    """What an answer that is relayed reports. Why it ended is read only when somebody asks, by `finish_of`."""

    __slots__ = ("_body", "_finish_of")

    def __init__(self, body: bytes, id: str, model: str, usage: Usage, finish_of: Callable[[Any], str]) -> None:
        super().__init__(id, model, usage=usage)
        self._body = body
        self._finish_of = finish_of

    @property
    def finish_reason(self) -> str:
        """In the words of chat completions."""
        return self._finish_of(load(self._body))


def native_answer(
    body: bytes, usage_of: Callable[[Any], Usage], finish_of: Callable[[Any], str]
) -> tuple[Completion, Span | None, Span | None]:
    """What an answer that is relayed reports, and where its `model` and its `status` are. Any JSON text will do. Raises
    a decode error for what is none. `usage_of` reads the protocol's `usage`, `finish_of` why the answer ended."""
    try:
        identity, model, usage, status = members_of_answer(body, (b"id", b"model", b"usage", b"status"))
    except UpstreamFailure:
        if load(body) is None:
            raise
        return Completion("", "", finish=""), None, None
    names = text_of(body, identity), text_of(body, model)
    return NativeAnswer(body, *names, usage_of(value_of(body, usage)), finish_of), model, status
