"""Embeddings of Vertex: `predict` with one instance per text."""

from typing import Any, NoReturn

import msgspec
import orjson

from fastgw.core.errors import decode_error
from fastgw.providers.adapter import Reported, Texts
from fastgw.providers.canonical import counter
from fastgw.providers.embedded import decoded, rendered


class _Statistics(msgspec.Struct, frozen=True):
    token_count: msgspec.Raw = msgspec.Raw(b"0")


class _Embedding(msgspec.Struct, frozen=True):
    values: msgspec.Raw
    statistics: _Statistics = _Statistics()


class _Prediction(msgspec.Struct, frozen=True):
    embeddings: _Embedding


class _Predictions(msgspec.Struct, frozen=True):
    predictions: list[_Prediction]


_DECODER = msgspec.json.Decoder(_Predictions)


def embedded(call: Texts, target: Any) -> "Predicted":
    """The speaker of one attempt."""
    return Predicted(call, target.model_name)


class Predicted:
    """One attempt at embedding texts."""

    __slots__ = ("_call", "_model")

    def __init__(self, call: Texts, model: str) -> None:
        self._call = call
        self._model = model

    def upstream_body(self, _target: object, /) -> bytes:
        """One instance per text. Raises the 400 for token arrays."""
        body: dict[str, Any] = {"instances": [{"content": text} for text in self._call.texts()]}
        if self._call.dimensions is not None:
            body["parameters"] = {"outputDimensionality": self._call.dimensions}
        return orjson.dumps(body)

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """Vectors in the order of the instances. Raises a decode error."""
        found = decoded(_DECODER, body).predictions
        try:
            # The API writes counts as numbers of its own kind, with a point at times.
            tokens = sum(counter(int(orjson.loads(bytes(one.embeddings.statistics.token_count)))) for one in found)
        except (TypeError, ValueError) as error:
            raise decode_error(str(error)) from None
        return rendered(self._model, (bytes(one.embeddings.values) for one in found), tokens)

    def relay(self, _target: object, /, *, chunked: bool) -> NoReturn:
        """Embeddings have no streams."""
        raise NotImplementedError
