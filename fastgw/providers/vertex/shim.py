"""Chat requests for models of Vertex with OpenAI's protocol: spliced, up to what only OpenAI's own models take."""

from typing import Any

from fastgw._speedups.splice import ARRAY, ScanError, top_level
from fastgw.core.edits import edited
from fastgw.core.json import read, write
from fastgw.providers.adapter import RelayedStream, Reported, Speaker
from fastgw.providers.media import refused


def shimmed(call: Any, _target: object) -> Speaker:
    """The call itself, unless it may hold the role or the parts in question."""
    speaker: Speaker = Shim(call) if b"developer" in call.body or b"input_audio" in call.body else call
    return speaker


class Shim:
    """One attempt. The role `developer` becomes `system`, audio is refused; other messages keep their members."""

    __slots__ = ("_call",)

    def __init__(self, call: Speaker) -> None:
        self._call = call

    def upstream_body(self, target: object, /) -> bytes:
        """The spliced request with its messages changed. Raises the 400 for audio."""
        body = self._call.upstream_body(target)
        try:
            (span,) = top_level(body, (b"messages",))
        except ScanError:
            return body
        if span is None or span[0] != ARRAY:
            return body
        messages = read(body[span[1] : span[2]])
        changed = [_message(message, index) for index, message in enumerate(messages)]
        return body if changed == messages else edited(body, [(span[1], span[2], write(changed))])

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """As the call reads it."""
        return self._call.answer(body)

    def relay(self, target: object, /, *, chunked: bool) -> RelayedStream:
        """As the call reads it."""
        return self._call.relay(target, chunked=chunked)


def _message(message: Any, index: int) -> Any:
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    for place, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") == "input_audio":
            raise refused("audio input is not supported by this provider", f"messages[{index}].content[{place}]")
    return {**message, "role": "system"} if message.get("role") == "developer" else message
