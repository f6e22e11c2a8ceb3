"""Embeddings of Bedrock by way of `invoke`: Titan takes one text per request, Cohere all of them at once."""

from typing import Any, NoReturn

import msgspec
import orjson

from fastgw.core.errors import invalid_request
from fastgw.providers.adapter import Reported, Texts
from fastgw.providers.canonical import counter
from fastgw.providers.embedded import decoded, rendered


class _TitanAnswer(msgspec.Struct, frozen=True):
    embedding: msgspec.Raw
    input_tokens: int = msgspec.field(name="inputTextTokenCount", default=0)


class _CohereAnswer(msgspec.Struct, frozen=True):
    embeddings: list[msgspec.Raw]


_TITAN = msgspec.json.Decoder(_TitanAnswer)
_COHERE = msgspec.json.Decoder(_CohereAnswer)


class Titan:
    """One attempt: a series of requests, in the order of the texts. `used`: tokens that the answers report. Raises the
    400 for token arrays and for no text."""

    __slots__ = ("_model", "_texts", "_vectors", "_wanted", "used")

    def __init__(self, call: Texts, target: Any) -> None:
        self._model: str = target.model_name
        self._texts = call.texts()
        if not self._texts:
            raise invalid_request("input must not be empty", param="input", code="invalid_parameter")
        # Older models refuse the member.
        self._wanted = {"dimensions": call.dimensions} if call.dimensions is not None and "v2" in self._model else {}
        self._vectors: list[bytes] = []
        self.used = 0

    def upstream_body(self, _target: object, /) -> bytes:
        """The first request."""
        return self._request()

    def following(self, body: bytes, /) -> bytes | None:
        """The request for the next text. Raises a decode error for an answer that is none."""
        if len(self._vectors) + 1 == len(self._texts):
            return None
        self._read(body)
        return self._request()

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """The vectors of all answers. Raises a decode error."""
        self._read(body)
        return rendered(self._model, self._vectors, self.used)

    def relay(self, _target: object, /, *, chunked: bool) -> NoReturn:
        """Embeddings have no streams."""
        raise NotImplementedError

    def _request(self) -> bytes:
        return orjson.dumps({"inputText": self._texts[len(self._vectors)], **self._wanted})

    def _read(self, body: bytes) -> None:
        found = decoded(_TITAN, body)
        self._vectors.append(bytes(found.embedding))
        self.used += counter(found.input_tokens)


class Cohere:
    """One attempt: one request."""

    __slots__ = ("_model", "_texts")

    def __init__(self, call: Texts, target: Any) -> None:
        self._model: str = target.model_name
        self._texts = call.texts()

    def upstream_body(self, _target: object, /) -> bytes:
        """All texts, as what is going to be searched."""
        return orjson.dumps({"texts": self._texts, "input_type": "search_document"})

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """The vectors; tokens are not reported. Raises a decode error."""
        return rendered(self._model, map(bytes, decoded(_COHERE, body).embeddings), 0)

    def relay(self, _target: object, /, *, chunked: bool) -> NoReturn:
        """Embeddings have no streams."""
        raise NotImplementedError
