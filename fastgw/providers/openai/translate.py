"""One attempt at an upstream that speaks chat completions, for a caller that does not."""

from typing import Any

from fastgw.core.json import write
from fastgw.providers.canonical import Chat, Completion
from fastgw.providers.heard import Heard
from fastgw.providers.openai.answer import completion_of
from fastgw.providers.openai.request import chat_body
from fastgw.providers.openai.stream import ChunkDecoder


class ChatTranslator:
    """The canonical chat form as it is, up to what a vendor does not take."""

    __slots__ = ("_body", "_path")

    def __init__(self, chat: Chat, target: Any, stream: bool, *, vendor: str, strict: bool = False) -> None:
        self._body = chat_body(chat, target.model_name, stream, vendor, strict=strict)
        self._path: tuple[bytes, ...] = target.overrides.reasoning_path if target.overrides is not None else ()

    def request(self) -> bytes:
        """The request body."""
        return write(self._body)

    def answer(self, body: bytes, /) -> Completion:
        """The whole answer."""
        return completion_of(body)

    def decoder(self, renderer: Heard, /) -> ChunkDecoder:
        """The reader of the stream."""
        return ChunkDecoder(renderer, self._path)
