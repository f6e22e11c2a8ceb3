"""`POST /v1/chat/completions`: the OpenAI chat dialect.

On the way to an OpenAI-shaped upstream and back bytes are spliced, not rebuilt: see `_speedups/splice` and
`_speedups/sse` for what exactly is changed.
"""

from collections.abc import Coroutine
from typing import Any

import orjson

from fastgw._speedups.splice import ChatAnswer, ChatRequest, ScanError
from fastgw._speedups.sse import ChatStream
from fastgw._speedups.texts import answer_text
from fastgw._speedups.tokens import Table
from fastgw.core.errors import GatewayError, decode_error, invalid_request
from fastgw.endpoints.chat_render import ChatRenderer, chat_completion
from fastgw.gateway import pipeline
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import not_json, parsed
from fastgw.gateway.snapshot import Target
from fastgw.policy.estimate import estimate_chat_prompt
from fastgw.providers.adapter import Reported
from fastgw.providers.canonical import Chat, Completion

CODES = {"missing": "missing_parameter", "type": "invalid_parameter", "duplicate": "invalid_parameter"}


def chat_completions(ex: Exchange) -> Coroutine[None, Any, None]:
    """Serve one chat completion, streamed or not."""
    return pipeline.run(ex, decode)


class ChatCall:
    """One decoded chat request."""

    __slots__ = ("_alias", "_request", "body", "model", "stream")

    operation = "chat/completions"
    generates = True
    metered = True

    def __init__(self, request: ChatRequest, body: bytes, alias: bytes) -> None:
        self._request = request
        self.body = body
        self._alias = alias
        self.model = request.model
        self.stream = request.stream

    def upstream_body(self, target: Target) -> bytes:
        """The caller's bytes with the target's model name, `stream` present, usage asked for on streams."""
        return self._request.upstream_body(target.model_json, self.stream)

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's bytes with the alias as model and usage counters present."""
        try:
            answer = ChatAnswer(body)
        except ScanError as error:
            raise decode_error(f"{error.reason} at {error.field or 'the document'}") from None
        return answer.render(self._alias), answer

    def relay(self, target: Target, *, chunked: bool) -> ChatStream:
        """The stream translator: usage frames go to a caller that asked for them."""
        request = self._request
        return ChatStream(
            self._alias,
            forward_usage=request.include_usage,
            strip_null_usage=not request.has_stream_options,
            chunked=chunked,
            reasoning_path=target.overrides.reasoning_path if target.overrides is not None else (),
        )

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """The text of all choices."""
        return answer_text(answer)

    def count_prompt(self, table: Table) -> int:
        """Messages, tools and what goes with them."""
        return estimate_chat_prompt(table, self.body)

    # -- for upstreams of other protocols

    def canonical(self) -> Chat:
        """The request itself: the canonical form is OpenAI's. Raises 400 for what only the scanner lets pass, and for
        functions, which came before tools and whose answers other protocols cannot give."""
        chat: Chat = parsed(self.body)
        if chat.get("functions"):
            detail = "`functions` is not supported for this model: use `tools`"
            raise invalid_request(detail, param="functions", code="unsupported_parameter")
        return chat

    def place(self, error: GatewayError, /) -> None:
        """The same place: the canonical form has the caller's names."""

    def render(self, completion: Completion, /) -> bytes:
        """A whole answer."""
        return chat_completion(completion, self.model)

    def renderer(self) -> ChatRenderer:
        """The writer of a stream."""
        return ChatRenderer(self._alias, include_usage=self._request.include_usage)


def decode(ex: Exchange, body: bytes) -> ChatCall:
    """Validate the body. Raises 400 naming the parameter."""
    try:
        request = ChatRequest(body)
    except ScanError as error:
        raise not_json(error.field or None, CODES.get(error.reason) if error.field else None) from None
    if not request.messages:
        ex.alias = request.model
        raise invalid_request("messages array must not be empty", param="messages", code="invalid_parameter")
    return ChatCall(request, body, orjson.dumps(request.model))
