"""One attempt at a Gemini model."""

from typing import Any

from fastgw.core.json import write
from fastgw.providers.canonical import Chat, Completion
from fastgw.providers.heard import Heard
from fastgw.providers.vertex.gemini.answer import completion_of
from fastgw.providers.vertex.gemini.request import request_of
from fastgw.providers.vertex.gemini.stream import GeminiDecoder
from fastgw.resources.models import RequestOverrides


class GeminiTranslator:
    """Canonical chat form to Gemini's protocol and back."""

    __slots__ = ("_body", "_model")

    def __init__(self, chat: Chat, target: Any, stream: bool, *, request: RequestOverrides | None = None) -> None:
        self._model: str = target.model_name
        self._body = request_of(chat, self._model)
        limits = request.param_constraints if request is not None else None
        config = self._body.get("generationConfig", {})
        if limits is not None and type(config.get("temperature")) in (int, float):
            if limits.temperature_max is not None:
                config["temperature"] = min(config["temperature"], limits.temperature_max)
            if limits.temperature_min is not None:
                config["temperature"] = max(config["temperature"], limits.temperature_min)

    def request(self) -> bytes:
        """The request body."""
        return write(self._body)

    def answer(self, body: bytes, /) -> Completion:
        """The whole answer."""
        return completion_of(body, self._model)

    def decoder(self, renderer: Heard, /) -> GeminiDecoder:
        """The reader of the stream."""
        return GeminiDecoder(renderer, self._model)
