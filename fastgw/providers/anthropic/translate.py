"""One attempt at an upstream that speaks the Messages API, for a caller that does not."""

from typing import Any

from fastgw.core.json import write
from fastgw.providers.anthropic.answer import completion_of
from fastgw.providers.anthropic.request import Request
from fastgw.providers.anthropic.stream import MessagesDecoder
from fastgw.providers.canonical import Chat, Completion
from fastgw.providers.heard import Heard
from fastgw.resources.models import AutoPromptCaching


class AnthropicTranslator:
    """Canonical chat form to the Messages API and back."""

    __slots__ = ("_request",)

    def __init__(self, chat: Chat, target: Any, stream: bool, *, caching: AutoPromptCaching | None = None) -> None:
        self._request = Request(chat, target.model_name, stream, caching)

    def request(self) -> bytes:
        """The request body."""
        return write(self._request.body)

    def answer(self, body: bytes, /) -> Completion:
        """The whole answer."""
        return completion_of(body, self._request.answer_tool)

    def decoder(self, renderer: Heard, /) -> MessagesDecoder:
        """The reader of the stream."""
        return MessagesDecoder(renderer, self._request.answer_tool)
