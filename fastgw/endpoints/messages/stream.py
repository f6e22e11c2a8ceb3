"""Translated streams as events of the Messages API.

One block is open at a time. `message_delta` and `message_stop` wait for the counters, which OpenAI's protocol sends
last, or for the end.
"""

from secrets import token_hex
from typing import Any

import orjson

from fastgw._speedups.events import Frame
from fastgw.endpoints.messages.render import stop_reason, usage_object
from fastgw.endpoints.renderer import CountedRenderer
from fastgw.providers.canonical import Usage


class MessagesRenderer(CountedRenderer):
    """Writes events. `alias` is JSON text; `names`: tool names that were cut, and what they were."""

    __slots__ = (
        "_alias",
        "_block",
        "_blocks",
        "_kind",
        "_names",
        "_signature",
        "_started",
        "_stop_sequence",
        "_tools",
    )

    def __init__(self, alias: bytes, names: dict[str, str]) -> None:
        super().__init__()
        self._alias = alias
        self._names = names
        self._started = False
        self._blocks = 0  # begun so far
        self._block = 0  # the open one
        self._kind = ""  # of the open one; empty: none is open
        self._tools: dict[int, int] = {}
        self._signature: list[str] = []
        self._stop_sequence: str | None = None

    # -- pieces

    def begin(self, id: str, model: str) -> None:
        """Nothing: the message starts with the first thing that is said."""

    def text(self, text: str) -> None:
        """A text delta."""
        if self.over:
            return
        if self._kind != "text":
            self._open("text", b'{"type":"text","text":""}')
            before = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"text_delta","text":' % self._block
            )
            self.frame = Frame(before, b"}}\n\n")
        self._delta(b'{"type":"text_delta","text":%b}' % orjson.dumps(text))

    def refusal(self, text: str) -> None:
        """A refusal is what the model says."""
        self.text(text)

    def reasoning(self, text: str) -> None:
        """A thinking delta."""
        if self.over:
            return
        if self._kind != "thinking":
            self._open("thinking", b'{"type":"thinking","thinking":"","signature":""}')
        self._delta(b'{"type":"thinking_delta","thinking":%b}' % orjson.dumps(text))

    def signature(self, text: str) -> None:
        """Comes with the end of the thinking block."""
        self._signature.append(text)

    def tool(self, index: int, id: str, name: str) -> None:
        """A tool block begins."""
        if self.over:
            return
        block = {"type": "tool_use", "id": id, "name": self._names.get(name, name), "input": {}}
        self._open("tool_use", orjson.dumps(block))
        self._tools[index] = self._block
        before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"input_json_delta","partial_json":' % self._block
        )
        self.tool_frame = (index, Frame(before, b"}}\n\n"))

    def arguments(self, index: int, fragment: str) -> None:
        """A piece of its input. The block is named by its own number, also when another one has been opened since."""
        block = self._tools.get(index)
        if block is None or self.over:
            return
        delta = b'{"type":"input_json_delta","partial_json":%b}' % orjson.dumps(fragment)
        self._event(b"content_block_delta", b'"index":%d,"delta":%b' % (block, delta))

    # -- ends

    def finish(self, reason: str, stop_sequence: str | None = None, usage: Usage | None = None) -> None:
        """The blocks are over; the message is when its counters are known."""
        self._stop_sequence = stop_sequence
        self._close()
        self._finished(reason, usage)

    # -- writing

    def _event(self, kind: bytes, members: bytes) -> None:
        comma = b"," if members else b""
        self._out.append(b'event: %b\ndata: {"type":"%b"%b%b}\n\n' % (kind, kind, comma, members))

    def _delta(self, delta: bytes) -> None:
        self._event(b"content_block_delta", b'"index":%d,"delta":%b' % (self._block, delta))

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        self._event(
            b"message_start",
            b'"message":{"id":"msg_%b","type":"message","role":"assistant","content":[],"model":%b,"stop_reason":null,'
            b'"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}'
            % (token_hex(16).encode(), self._alias),
        )

    def _open(self, kind: str, block: bytes) -> None:
        self._start()
        self._close()
        self._kind, self._block = kind, self._blocks
        self._blocks += 1
        self._event(b"content_block_start", b'"index":%d,"content_block":%b' % (self._block, block))

    def _close(self) -> None:
        if not self._kind:
            return
        if self._kind == "thinking":
            self._delta(b'{"type":"signature_delta","signature":%b}' % orjson.dumps("".join(self._signature)))
            self._signature.clear()
        self._kind = ""
        self.frame = None
        self._event(b"content_block_stop", b'"index":%d' % self._block)

    def _stop(self) -> None:
        if self.over:
            return
        self._start()
        self._close()
        self.over = True
        self.tool_frame = None
        counters: dict[str, Any] = usage_object(self._usage or Usage())
        if not counters["input_tokens"]:
            del counters["input_tokens"]
        reason = stop_reason(self._finish or "stop", self._stop_sequence)
        delta = {"stop_reason": reason, "stop_sequence": self._stop_sequence}
        self._event(b"message_delta", b'"delta":%b,"usage":%b' % (orjson.dumps(delta), orjson.dumps(counters)))
        self._event(b"message_stop", b"")
