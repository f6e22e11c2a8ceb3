"""`POST /v1/embeddings`.

The request's `model` is replaced, everything else goes along: unknown fields, token arrays, `encoding_format` as the
caller wrote it or not at all. The answer comes back byte for byte, with missing usage counters added as 0.
"""

from collections.abc import Coroutine
from typing import Any, NoReturn

import orjson

from fastgw._speedups.splice import ARRAY, INT, NULL, OBJECT, STRING
from fastgw._speedups.sse import ChatStream
from fastgw._speedups.texts import token_array
from fastgw._speedups.tokens import Table
from fastgw.core.edits import Edit, appended, edited
from fastgw.core.errors import GatewayError, invalid_request
from fastgw.endpoints.members import members_of_answer, members_of_request, text_of
from fastgw.gateway import pipeline
from fastgw.gateway.call import tokens_of
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import not_json
from fastgw.gateway.snapshot import Target
from fastgw.policy.estimate import estimate_embeddings_input
from fastgw.providers.adapter import Reported
from fastgw.providers.answers import lacks

FIELDS = (b"model", b"input", b"encoding_format", b"dimensions")
REQUIRED = ((b"object", STRING), (b"model", STRING), (b"data", ARRAY))
COUNTERS = (b"prompt_tokens", b"total_tokens")


def embeddings(ex: Exchange) -> Coroutine[None, Any, None]:
    """Serve one embeddings request."""
    return pipeline.run(ex, decode)


class EmbeddingCall:
    """One decoded request."""

    __slots__ = ("_model", "body", "model")

    operation = "embeddings"
    generates = False
    metered = True
    stream = False

    def __init__(self, body: bytes, model: str, span: tuple[int, int]) -> None:
        self.body = body
        self._model = span
        self.model = model

    def upstream_body(self, target: Target) -> bytes:
        """The caller's bytes with the target's model name."""
        return edited(self.body, [(*self._model, target.model_json)])

    @property
    def dimensions(self) -> int | None:
        """The wanted length of vectors."""
        found: int | None = orjson.loads(self.body).get("dimensions")
        return found

    def texts(self) -> list[str]:
        """The inputs as texts, for upstreams that know no tokens. Raises the 400 for token arrays."""
        given = orjson.loads(self.body)["input"]
        texts = [given] if isinstance(given, str) else given
        if not all(isinstance(text, str) for text in texts):
            raise invalid_request(
                "token arrays are not supported by this provider", param="input", code="unsupported_parameter"
            )
        return texts

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's answer with usage counters present. Raises a decode error when it is not understood."""
        *required, usage = members_of_answer(body, (*(name for name, _ in REQUIRED), b"usage"))
        for (name, kind), found in zip(REQUIRED, required, strict=True):
            if found is None or found[0] != kind:
                raise lacks(name.decode())
        body = with_usage(body, usage)
        (usage,) = members_of_answer(body, (b"usage",))
        tokens = tokens_of(body, usage)
        return body, tokens._replace(prompt_tokens=tokens.prompt_tokens or tokens.total_tokens)

    def relay(self, target: Target, *, chunked: bool) -> ChatStream:
        """Embeddings have no streams: `stream` is an unknown field here and goes along unheeded."""
        raise NotImplementedError

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """Nothing."""
        return b"", 0

    def count_prompt(self, table: Table) -> int:
        """The inputs, strings or tokens."""
        return estimate_embeddings_input(table, self.body)


def with_usage(body: bytes, usage: tuple[int, int, int] | None) -> bytes:
    """The answer with both usage counters, those that the upstream left out as 0."""
    missing = b'"prompt_tokens":0,"total_tokens":0'
    if usage is None:
        return edited(body, [appended(body, body.index(b"{"), body.rindex(b"}") + 1, b'"usage":{%b}' % missing)])
    kind, start, end = usage
    if kind != OBJECT:
        return edited(body, [(start, end, b"{%b}" % missing)])
    found = members_of_answer(body[start:end], COUNTERS)
    edits: list[Edit] = [
        (start + span[1], start + span[2], b"0") for span in found if span is not None and span[0] == NULL
    ]
    absent = [b'"%b":0' % name for name, span in zip(COUNTERS, found, strict=True) if span is None]
    if absent:
        edits.append(appended(body, start, end, b",".join(absent)))
    return edited(body, edits)


def decode(ex: Exchange, body: bytes) -> EmbeddingCall:
    """Validate the body. Raises 400 naming the parameter."""
    model, given, encoding, dimensions = members_of_request(body, FIELDS)
    if model is None or model[0] != STRING:
        refuse("model", model is None)
    if given is None or given[0] not in (STRING, ARRAY):
        refuse("input", given is None)
    if given[0] == ARRAY and token_array(body, given[1], given[2]) is None:
        refuse("input", False)
    if encoding is not None and encoding[0] not in (STRING, NULL):
        refuse("encoding_format", False)
    if dimensions is not None and dimensions[0] not in (INT, NULL):
        refuse("dimensions", False)
    return EmbeddingCall(body, text_of(body, model), (model[1], model[2]))


def refuse(param: str, missing: bool) -> NoReturn:
    """400 for one field."""
    error: GatewayError = not_json(param, "missing_parameter" if missing else "invalid_parameter")
    raise error
