"""Translated streams as events of the Responses API.

The message and the calls stay open until the answer is over, reasoning until something else begins. The last event
waits for the counters, which OpenAI's chat protocol sends last, or for the end. The texts are kept: the events that
close an item repeat them.
"""

from time import time
from typing import Any

import orjson

from fastgw._speedups.events import Frame, Numbers
from fastgw.core.json import write
from fastgw.endpoints.renderer import CountedRenderer
from fastgw.endpoints.responses.render import (
    Item,
    Part,
    Shape,
    message_item,
    minted,
    reasoning_item,
    refusal_part,
    text_part,
)
from fastgw.endpoints.responses.tools import custom_input
from fastgw.providers.canonical import Usage


class _Open:
    """An item, or a part of the message, that is being written.

    `place` is its members in events about it, `written` the inside of a JSON string, `frame` what goes around deltas.
    """

    __slots__ = ("call_id", "custom", "frame", "id", "index", "name", "place", "written")

    def __init__(self, identity: str, index: int, more: bytes = b"") -> None:
        self.id = identity
        self.index = index
        self.written = bytearray()
        self.frame: Frame | None = None
        self.place = b'"item_id":"%b","output_index":%d%b' % (identity.encode(), index, more)
        self.call_id = self.name = ""
        self.custom = False

    @property
    def quoted(self) -> bytes:
        return b'"%b"' % bytes(self.written)

    @property
    def text(self) -> str:
        return str(orjson.loads(self.quoted))


class ResponsesRenderer(CountedRenderer):
    """Writes events. Every one has a number of its own, and deltas add to a text that is repeated later."""

    __slots__ = (
        "_closed",
        "_created",
        "_done",
        "_id",
        "_items",
        "_message",
        "_numbers",
        "_parts",
        "_reasoning",
        "_shape",
        "_started",
        "_tools",
    )

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape
        self._id, self._created = minted("resp"), int(time())
        self._numbers = Numbers()
        self._items = 0  # begun so far
        self._started = self._closed = False
        self._message: _Open | None = None
        self._parts: dict[str, _Open] = {}  # of the message, by type; `index` is the one within it
        self._reasoning: _Open | None = None
        self._tools: dict[int, _Open] = {}
        self._done: dict[int, Item] = {}

    # -- pieces

    def begin(self, id: str, model: str) -> None:
        """Nothing: the response starts with the first thing that is said."""

    def text(self, text: str) -> None:
        """A text delta."""
        if not self._closed:
            part = self._part("output_text", text_part(""))
            self.frame = self._delta(b"response.output_text.delta", part, text, b',"logprobs":[]')

    def refusal(self, text: str) -> None:
        """A refusal delta."""
        if not self._closed:
            part = self._part("refusal", refusal_part(""))
            self._delta(b"response.refusal.delta", part, text)

    def reasoning(self, text: str) -> None:
        """A delta of the reasoning summary."""
        if self._closed:
            return
        item = self._reasoning
        self.frame = None
        if item is None:
            item = self._reasoning = self._added(
                {"type": "reasoning", "id": minted("rs"), "summary": []}, b',"summary_index":0'
            )
            self._event(
                b"response.reasoning_summary_part.added", item.place + b',"part":{"type":"summary_text","text":""}'
            )
        self._delta(b"response.reasoning_summary_text.delta", item, text)

    def signature(self, text: str) -> None:
        """Worth something to its own vendor only, who will not see it again."""

    def tool(self, index: int, id: str, name: str) -> None:
        """A call begins."""
        if self._closed:
            return
        self._close_reasoning()
        made = self._shape.call("", id, name, "")
        item = self._tools[index] = self._added({**made, "status": "in_progress"})
        item.call_id, item.name, item.custom = id, name, made["type"] == "custom_tool_call"

    def arguments(self, index: int, fragment: str) -> None:
        """A piece of its arguments. The text for a custom tool is inside of them and comes when they are complete."""
        item = self._tools.get(index)
        if item is None or self._closed:
            return
        if item.custom:
            item.written += orjson.dumps(fragment)[1:-1]
        else:
            self.tool_frame = index, self._delta(b"response.function_call_arguments.delta", item, fragment)

    # -- ends

    def finish(self, reason: str, stop_sequence: str | None = None, usage: Usage | None = None) -> None:
        """The items are over; the response is when its counters are known."""
        if self._closed:
            return
        self._start()
        self._close()
        self._finished(reason, usage)

    # -- writing

    def _event(self, kind: bytes, members: bytes) -> None:
        self._out.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, self._numbers.next, members)
        )
        self._numbers.next += 1

    def _delta(self, kind: bytes, item: _Open, text: str, more: bytes = b"") -> Frame:
        """Writes a piece of an item or part. The frame of the pieces that follow."""
        quoted = orjson.dumps(text)
        item.written += quoted[1:-1]
        self._event(kind, b'%b,"delta":%b%b' % (item.place, quoted, more))
        if item.frame is None:
            head = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind, kind)
            item.frame = Frame(head, more + b"}\n\n", b',%b,"delta":' % item.place, self._numbers, item.written)
        return item.frame

    def _start(self) -> None:
        if not self._started:
            self._started = True
            response = write(self._shape.response(self._id, self._created, "in_progress", []))
            self._event(b"response.created", b'"response":' + response)
            self._event(b"response.in_progress", b'"response":' + response)

    def _added(self, item: Item, more: bytes = b"") -> _Open:
        self._start()
        made = _Open(item["id"], self._items, more)
        self._items += 1
        self._event(b"response.output_item.added", b'"output_index":%d,"item":%b' % (made.index, orjson.dumps(item)))
        return made

    def _part(self, kind: str, empty: Part) -> _Open:
        """The message's part of a type."""
        part = self._parts.get(kind)
        if part is not None and self._reasoning is None:
            return part
        self._close_reasoning()
        if self._message is None:
            self._message = self._added({**message_item(minted("msg"), []), "status": "in_progress"})
        if part is None:
            index = len(self._parts)
            part = self._parts[kind] = _Open(self._message.id, self._message.index, b',"content_index":%d' % index)
            self._event(b"response.content_part.added", b'%b,"part":%b' % (part.place, orjson.dumps(empty)))
        return part

    def _item_done(self, index: int, item: Item) -> None:
        self._done[index] = item
        self._event(b"response.output_item.done", b'"output_index":%d,"item":%b' % (index, orjson.dumps(item)))

    def _close_reasoning(self) -> None:
        item, self._reasoning = self._reasoning, None
        if item is None:
            return
        made = reasoning_item(item.id, item.text)
        summary = made["summary"][0]
        text = orjson.dumps(summary["text"])
        self._event(b"response.reasoning_summary_text.done", b'%b,"text":%b' % (item.place, text))
        self._event(b"response.reasoning_summary_part.done", b'%b,"part":%b' % (item.place, orjson.dumps(summary)))
        self._item_done(item.index, made)

    def _close(self) -> None:
        self._closed = True
        self.frame = self.tool_frame = None
        self._close_reasoning()
        message, self._message = self._message, None
        if message is not None:
            self._item_done(
                message.index, message_item(message.id, [self._part_done(*part) for part in self._parts.items()])
            )
        for tool in self._tools.values():
            self._tool_done(tool)
        self._tools.clear()

    def _part_done(self, kind: str, part: _Open) -> Part:
        text = part.text
        if kind == "refusal":
            made = refusal_part(text)
            self._event(b"response.refusal.done", b'%b,"refusal":%b' % (part.place, orjson.dumps(text)))
        else:
            made = text_part(text)
            self._event(b"response.output_text.done", b'%b,"text":%b,"logprobs":[]' % (part.place, orjson.dumps(text)))
        self._event(b"response.content_part.done", b'%b,"part":%b' % (part.place, orjson.dumps(made)))
        return made

    def _tool_done(self, tool: _Open) -> None:
        arguments = tool.text
        if tool.custom:
            text = custom_input(arguments)
            quoted = orjson.dumps(text)
            if text:
                self._event(b"response.custom_tool_call_input.delta", b'%b,"delta":%b' % (tool.place, quoted))
            self._event(b"response.custom_tool_call_input.done", b'%b,"input":%b' % (tool.place, quoted))
            self._item_done(tool.index, self._shape.call(tool.id, tool.call_id, tool.name, arguments))
            return
        if not arguments:
            # They must be a JSON text for whoever adds the pieces up.
            arguments = "{}"
            self._event(b"response.function_call_arguments.delta", tool.place + b',"delta":"{}"')
        done = self._shape.call(tool.id, tool.call_id, tool.name, arguments)
        self._event(
            b"response.function_call_arguments.done",
            b'%b,"name":%b,"arguments":%b' % (tool.place, orjson.dumps(done["name"]), orjson.dumps(arguments)),
        )
        self._item_done(tool.index, done)

    def _stop(self) -> None:
        if self.over:
            return
        self._start()
        self._close()
        self.over = True
        output: list[Any] = [self._done[index] for index in sorted(self._done)]
        made = self._shape.ended(self._id, self._created, self._finish or "stop", output, self._usage or Usage())
        self._event(b"response." + made["status"].encode(), b'"response":' + write(made))
