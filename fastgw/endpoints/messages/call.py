"""`POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's dialect.

An upstream that has the Messages API gets the caller's bytes with `model` replaced, and its answer goes back byte for
byte but for `model`. Other upstreams get the request in the canonical form.
"""

from collections.abc import Coroutine
from typing import Any

import orjson

from fastgw._speedups.splice import NULL
from fastgw._speedups.tokens import Table
from fastgw.core.edits import Edit, edited
from fastgw.core.errors import GatewayError
from fastgw.endpoints.checks import asked
from fastgw.endpoints.members import native_answer
from fastgw.endpoints.messages.canonical import chat_of
from fastgw.endpoints.messages.names import short_names
from fastgw.endpoints.messages.native import MessagesStream
from fastgw.endpoints.messages.render import message
from fastgw.endpoints.messages.said import answer_text
from fastgw.endpoints.messages.stream import MessagesRenderer
from fastgw.endpoints.messages.threads import check_native, check_translated
from fastgw.endpoints.places import Placed, located
from fastgw.gateway import pipeline
from fastgw.gateway.call import Tokens
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import parsed
from fastgw.gateway.snapshot import Target
from fastgw.policy.estimate import estimate_messages_prompt
from fastgw.providers.adapter import RelayedStream, Reported
from fastgw.providers.anthropic.answer import finish_of
from fastgw.providers.anthropic.usage import usage_of
from fastgw.providers.canonical import Chat, Completion


def messages(ex: Exchange) -> Coroutine[None, Any, None]:
    """Serve one message, streamed or not."""
    return pipeline.run(ex, decode)


def count_tokens(ex: Exchange) -> Coroutine[None, Any, None]:
    """Have the tokens of a request counted by the upstream."""
    return pipeline.run(ex, decode_count)


class MessagesCall:
    """One decoded Messages request. `span` is where the model's name is in the body; `threaded`: it has a `thread`."""

    __slots__ = ("_names", "_placed", "_span", "_threaded", "_upstream", "body", "model", "stream")

    operation = "messages"
    generates = True
    metered = True

    def __init__(
        self, body: bytes, model: str, span: tuple[int, int], stream: bool = False, threaded: bool = False
    ) -> None:
        self._span = span
        self._threaded = threaded
        self._upstream = ""
        self._names: dict[str, str] = {}
        self._placed: list[Placed] = []
        self.body = body
        self.model = model
        self.stream = stream

    # -- for upstreams with the Messages API

    def upstream_body(self, target: Target) -> bytes:
        """The caller's bytes with the target's model name. Raises 400."""
        if self._threaded:
            check_native(target)
        self._upstream = target.model_name
        return edited(self.body, [(*self._span, target.model_json)])

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's bytes, whatever they say; its own name for the model becomes the alias. Raises a decode error
        when they are no JSON."""
        found, model, _ = native_answer(body, usage_of, stopped)
        edits: list[Edit] = []
        if model is not None and found.model == self._upstream:
            edits.append((model[1], model[2], orjson.dumps(self.model)))
        return edited(body, edits), found

    def relay(self, _target: Target, *, chunked: bool) -> RelayedStream:
        """The upstream's stream as it is."""
        return MessagesStream(chunked=chunked)

    # -- for upstreams of other protocols

    def canonical(self) -> Chat:
        """The request as a chat request. Raises 400."""
        body = parsed(self.body)
        if self._threaded:
            check_translated(body)
        shorts = short_names(body)
        self._names = {short: name for name, short in shorts.items()}
        chat, self._placed = chat_of(body, shorts)
        return {"model": self.model, **chat, "stream": self.stream}

    def place(self, error: GatewayError, /) -> None:
        """Where the caller's request holds what is refused. The envelope has no member for it."""
        error.param = located(error.param or "", self._placed)
        if error.code == "unsupported_parameter":
            error.message += f" ({error.param})"

    def render(self, completion: Completion, /) -> bytes:
        """A whole answer."""
        return message(completion, self.model, self._names)

    def renderer(self) -> MessagesRenderer:
        """The writer of a stream."""
        return MessagesRenderer(orjson.dumps(self.model), self._names)

    # -- for counting

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """Texts, reasoning, names and input of tools."""
        return answer_text(answer)

    def count_prompt(self, table: Table) -> int:
        """System prompt, messages and tools."""
        return estimate_messages_prompt(table, self.body)


class CountCall(MessagesCall):
    """A request whose tokens are to be counted. Only upstreams with the Messages API can."""

    __slots__ = ()

    operation = "messages/count_tokens"
    generates = False
    metered = False

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's answer as it is; nothing was used."""
        return body, Tokens()


def stopped(message: object) -> str:
    """Why a message ended, in the words of chat completions."""
    reason = message.get("stop_reason") if isinstance(message, dict) else None
    return finish_of(reason) if isinstance(reason, str) else ""


def decode(ex: Exchange, body: bytes) -> MessagesCall:
    """What is needed of a Messages request. Raises 400."""
    model, span, stream, thread = asked(ex, body, b"thread")
    return MessagesCall(body, model, span, stream, thread != NULL)


def decode_count(ex: Exchange, body: bytes) -> CountCall:
    """The same of a count_tokens request, which has no stream."""
    model, span, _, thread = asked(ex, body, b"thread", streams=False)
    return CountCall(body, model, span, False, thread != NULL)
