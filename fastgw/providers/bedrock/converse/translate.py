"""One attempt by way of Converse or ConverseStream."""

from typing import Any

from fastgw.core.json import write
from fastgw.providers.bedrock.converse.answer import completion_of
from fastgw.providers.bedrock.converse.request import Options, Request
from fastgw.providers.bedrock.converse.stream import ConverseDecoder
from fastgw.providers.canonical import Chat, Completion
from fastgw.providers.heard import Heard

__all__ = ["ConverseTranslator", "Options"]


class ConverseTranslator:
    """Canonical chat form to Converse and back."""

    __slots__ = ("_model", "_request")

    def __init__(self, chat: Chat, target: Any, stream: bool, *, options: Options) -> None:
        self._model: str = target.model_name
        self._request = Request(chat, self._model, options)

    def request(self) -> bytes:
        """The request body."""
        return write(self._request.body)

    def answer(self, body: bytes, /) -> Completion:
        """The whole answer."""
        return completion_of(body, self._model, self._request.answer_tool)

    def decoder(self, renderer: Heard, /) -> ConverseDecoder:
        """The reader of the stream."""
        return ConverseDecoder(renderer, self._model, self._request.answer_tool)
