"""`POST /v1/responses`: OpenAI's Responses API.

An upstream that has it gets the caller's bytes with `model` replaced, and its answer goes back byte for byte. Other
upstreams get the request in the canonical form.
"""

from collections.abc import Coroutine
from typing import Any

from fastgw._speedups.tokens import Table
from fastgw.core.edits import edited
from fastgw.core.errors import GatewayError
from fastgw.endpoints.checks import asked
from fastgw.endpoints.members import native_answer, text_of
from fastgw.endpoints.places import Placed, located
from fastgw.endpoints.responses.canonical import chat_of, unfollowed
from fastgw.endpoints.responses.native import ResponsesStream, finish_of, usage_of
from fastgw.endpoints.responses.render import Shape, response
from fastgw.endpoints.responses.said import answer_text
from fastgw.endpoints.responses.stream import ResponsesRenderer
from fastgw.gateway import pipeline
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import parsed
from fastgw.gateway.snapshot import Target
from fastgw.policy.estimate import estimate_responses_prompt
from fastgw.providers.adapter import RelayedStream, Reported
from fastgw.providers.canonical import Chat, Completion
from fastgw.providers.failures import in_band_failure


def responses(ex: Exchange) -> Coroutine[None, Any, None]:
    """Serve one response, streamed or not."""
    return pipeline.run(ex, decode)


class ResponsesCall:
    """One decoded Responses request. `span` is where the model's name is in the body."""

    __slots__ = ("_ex", "_placed", "_shape", "_span", "body", "model", "stream")

    operation = "responses"
    generates = True
    metered = True

    def __init__(self, ex: Exchange, body: bytes, model: str, span: tuple[int, int], stream: bool) -> None:
        self._ex = ex
        self._span = span
        self._shape: Shape | None = None
        self._placed: list[Placed] = []
        self.body = body
        self.model = model
        self.stream = stream

    # -- for upstreams with the Responses API

    def upstream_body(self, target: Target) -> bytes:
        """The caller's bytes with the target's model name."""
        return edited(self.body, [(*self._span, target.model_json)])

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's bytes, whatever they say. A response that failed is relayed and counted as a failure, as it is
        in a stream. Raises a decode error when they are no JSON."""
        found, _, status = native_answer(body, usage_of, finish_of)
        if status is not None and text_of(body, status) == "failed":
            event = b'{"type":"response.failed","response":%b}' % body
            self._ex.error = in_band_failure(event, before_first=False, stream=False)
        return body, found

    def relay(self, _target: Target, *, chunked: bool) -> RelayedStream:
        """The upstream's stream as it is."""
        return ResponsesStream(chunked=chunked)

    # -- for upstreams of other protocols

    def canonical(self) -> Chat:
        """The request as a chat request. Raises 400."""
        body = parsed(self.body)
        if self._shape is None:
            self._shape = Shape(self.model, body)
            if members := unfollowed(body):
                self._ex.gateway.log.warn(
                    "fastgw::proxy",
                    "stored responses cannot be followed by this target",
                    members=",".join(members),
                    request_id=self._ex.request_id.decode(),
                )
        chat, self._placed = chat_of(body)
        return {"model": self.model, **chat, "stream": self.stream}

    def place(self, error: GatewayError, /) -> None:
        """Where the caller's request holds what is refused."""
        error.param = located(error.param or "", self._placed)

    def render(self, completion: Completion, /) -> bytes:
        """A whole answer."""
        assert self._shape is not None
        return response(completion, self._shape)

    def renderer(self) -> ResponsesRenderer:
        """The writer of a stream."""
        assert self._shape is not None
        return ResponsesRenderer(self._shape)

    # -- for counting

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """Texts, reasoning, names and arguments of tools."""
        return answer_text(answer)

    def count_prompt(self, table: Table) -> int:
        """Instructions, items and tools."""
        return estimate_responses_prompt(table, self.body)


def decode(ex: Exchange, body: bytes) -> ResponsesCall:
    """What is needed of a Responses request. Raises 400."""
    model, span, stream, _ = asked(ex, body)
    return ResponsesCall(ex, body, model, span, stream)
