"""`POST /v1/completions`: text completions, streamed or not.

The upstream's answer goes back as it is, `model` included; only the request's `model` is replaced.
"""

from collections.abc import Coroutine
from typing import Any

from fastgw._speedups.splice import ABSENT, NULL, OBJECT, STRING, TRUE, ScanError, top_level
from fastgw._speedups.sse import ChatStream
from fastgw._speedups.texts import answer_text
from fastgw._speedups.tokens import Table
from fastgw.core.edits import Edit, appended, edited
from fastgw.core.errors import invalid_request
from fastgw.endpoints.members import NativeAnswer, members_of_answer, members_of_request, text_of
from fastgw.gateway import pipeline
from fastgw.gateway.call import tokens_of
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import not_json
from fastgw.gateway.snapshot import Target
from fastgw.policy.estimate import estimate_completions_prompt
from fastgw.providers.adapter import Reported
from fastgw.providers.canonical import Usage, string

FIELDS = (b"model", b"stream", b"stream_options")
INCLUDE_USAGE = b'{"include_usage":true}'


def text_completions(ex: Exchange) -> Coroutine[None, Any, None]:
    """Serve one text completion."""
    return pipeline.run(ex, decode)


def ended(answer: object) -> str:
    """Why the first choice of a whole answer ended."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return string(first.get("finish_reason")) if isinstance(first, dict) else ""


class CompletionCall:
    """One decoded request. `include_usage`: the caller asked for the usage frame itself."""

    __slots__ = ("_include_usage", "_model", "_options", "body", "model", "stream")

    operation = "completions"
    generates = True
    metered = True

    def __init__(self, body: bytes, model: str, span: tuple[int, int], stream: bool, options: tuple[int, int, int]):
        self.body = body
        self._model = span
        self._options = options
        self.model = model
        self.stream = stream
        self._include_usage = asks_for_usage(body, options)

    def upstream_body(self, target: Target) -> bytes:
        """The caller's bytes with the target's model name; a stream asks for usage unless the caller said otherwise."""
        body = self.body
        edits: list[Edit] = [(*self._model, target.model_json)]
        kind, start, end = self._options
        if self.stream and kind == NULL:
            edits.append((start, end, INCLUDE_USAGE))
        elif self.stream and kind == ABSENT:
            edits.append(appended(body, body.index(b"{"), body.rindex(b"}") + 1, b'"stream_options":' + INCLUDE_USAGE))
        return edited(body, edits)

    def answer(self, body: bytes) -> tuple[bytes, Reported]:
        """The upstream's answer unchanged. Raises a decode error when it is no JSON object."""
        (usage,) = members_of_answer(body, (b"usage",))
        counted = Usage(*tokens_of(body, usage)[:3])
        return body, NativeAnswer(body, "", "", counted, ended)

    def relay(self, target: Target, *, chunked: bool) -> ChatStream:
        """Chunks stay as the upstream sent them; usage frames go to a caller that asked for them."""
        return ChatStream(
            b"",
            forward_usage=self._include_usage,
            strip_null_usage=self._options[0] in (ABSENT, NULL),
            chunked=chunked,
        )

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """The text of all choices."""
        return answer_text(answer)

    def count_prompt(self, table: Table) -> int:
        """The prompts, strings or tokens."""
        return estimate_completions_prompt(table, self.body)


def decode(ex: Exchange, body: bytes) -> CompletionCall:
    """Validate the body as far as it is ours. Raises 400 naming the parameter."""
    model, stream, options = members_of_request(body, FIELDS)
    if model is None or model[0] != STRING:
        ex.alias = ""
        code = "missing_parameter" if model is None else "invalid_parameter"
        raise invalid_request("missing `model` field", param="model", code=code)
    return CompletionCall(
        body,
        text_of(body, model),
        (model[1], model[2]),
        stream is not None and stream[0] == TRUE,
        options or (ABSENT, 0, 0),
    )


def asks_for_usage(body: bytes, options: tuple[int, int, int]) -> bool:
    """Whether these stream options hold `"include_usage": true`. Raises 400 when they say it twice."""
    if options[0] != OBJECT:
        return False
    try:
        (value,) = top_level(body[options[1] : options[2]], (b"include_usage",))
    except ScanError:
        raise not_json("stream_options.include_usage", "invalid_parameter") from None
    return value is not None and value[0] == TRUE
