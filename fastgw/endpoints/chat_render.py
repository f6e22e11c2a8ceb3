"""Translated answers and streams as OpenAI's chat completions."""

import time
from secrets import token_hex
from typing import Any

import orjson

from fastgw._speedups.events import Frame
from fastgw.endpoints.renderer import EventRenderer
from fastgw.providers.canonical import Completion, Usage


def usage_object(usage: Usage) -> dict[str, Any]:
    """The `usage` member. What was read from a cache is told as cached tokens, whichever way the upstream counts it."""
    made: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    cached = max(usage.cached_tokens, usage.cache_read_tokens)
    if cached:
        made["prompt_tokens_details"] = {"cached_tokens": cached}
    if usage.reasoning_tokens:
        made["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return made


def chat_completion(completion: Completion, alias: str) -> bytes:
    """A whole answer."""
    return orjson.dumps(
        {
            "id": completion.id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": alias,
            "choices": [_choice(index, one) for index, one in enumerate((completion, *completion.others))],
            "usage": usage_object(completion.usage),
        }
    )


def _choice(index: int, completion: Completion) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    if completion.refusal is not None:
        message["refusal"] = completion.refusal
    if completion.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in completion.tool_calls
        ]
    return {"index": index, "message": message, "finish_reason": completion.finish}


class ChatRenderer(EventRenderer):
    """Writes chat completion chunks. `include_usage`: the caller asked for the usage chunk."""

    __slots__ = ("_alias", "_before", "_choice", "_include_usage", "_roles")

    def __init__(self, alias: bytes, *, include_usage: bool) -> None:
        super().__init__()
        self._alias = alias
        self._include_usage = include_usage
        self._before = b""
        self._choice = b'{"index":0,"delta":'
        self._roles = {0}  # choices that have had their role chunk

    def begin(self, id: str, model: str) -> None:
        """The role chunk. The id stays for the whole stream; one is made up where the upstream has none."""
        self._open(id)
        self._delta(b'{"role":"assistant"}')

    def choice(self, index: int) -> None:
        """The chunks that follow are of this choice; its role chunk comes first."""
        self._choice = b'{"index":%d,"delta":' % index
        self.frame = Frame(self._before + self._choice + b'{"content":', b"}}]}\n\n")
        self.tool_frame = None
        if index not in self._roles:
            self._roles.add(index)
            self._delta(b'{"role":"assistant"}')

    def _open(self, id: str) -> None:
        # OpenAI's Node SDK reads nothing but choices, so no counters, of chunks without an id.
        id = id or f"chatcmpl-{token_hex(16)}"
        self._before = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            orjson.dumps(id),
            time.time(),
            self._alias,
        )
        self.frame = Frame(self._before + self._choice + b'{"content":', b"}}]}\n\n")

    def _delta(self, delta: bytes) -> None:
        if not self._before:
            self._open("")
        self._out += (self._before, self._choice, delta, b"}]}\n\n")

    def text(self, text: str) -> None:
        """A content chunk."""
        self._delta(b'{"content":%b}' % orjson.dumps(text))

    def reasoning(self, text: str) -> None:
        """A reasoning chunk."""
        self._delta(b'{"reasoning_content":%b}' % orjson.dumps(text))

    def signature(self, text: str) -> None:
        """Chat completions have no place for it."""

    def refusal(self, text: str) -> None:
        """A refusal chunk."""
        self._delta(b'{"refusal":%b}' % orjson.dumps(text))

    def tool(self, index: int, id: str, name: str) -> None:
        """The chunk that opens a call."""
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": id, "type": "function", "function": function}
        self._delta(b'{"tool_calls":[%b]}' % orjson.dumps(call))
        before = b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index
        self.tool_frame = (index, Frame(self._before + self._choice + before, b"}}]}}]}\n\n"))

    def arguments(self, index: int, fragment: str) -> None:
        """A chunk of arguments."""
        self._delta(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (index, orjson.dumps(fragment)))

    def finish(self, reason: str, stop_sequence: str | None = None, usage: Usage | None = None) -> None:
        """The chunk with the finish reason, and with the usage when it came with it."""
        if not self._before:
            self._open("")
        tail = b',"usage":%b' % orjson.dumps(usage_object(usage)) if usage is not None else b""
        choice = b'{},"finish_reason":%b}]' % orjson.dumps(reason)
        self._out += (self._before, self._choice, choice, tail, b"}\n\n")

    def usage(self, usage: Usage) -> None:
        """The usage chunk, for a caller that asked for it."""
        if self._include_usage:
            if not self._before:
                self._open("")
            counters = orjson.dumps(usage_object(usage))
            self._out += (self._before, b'{"index":0,"delta":{}}],"usage":', counters, b"}\n\n")

    def end(self) -> None:
        """The end marker."""
        self._out.append(b"data: [DONE]\n\n")
