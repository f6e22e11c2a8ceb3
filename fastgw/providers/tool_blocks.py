"""Tool calls as content blocks: what the Messages API and Converse have in common.

An answer in a required form is asked for as the input of a tool, `answer_tool`, which is told as the answer's text.
"""

from typing import Any

from fastgw._speedups.events import Frame
from fastgw.core.json import write
from fastgw.providers.answers import Pieces
from fastgw.providers.canonical import Completion, ToolCall, string
from fastgw.providers.events import NO_TOOL
from fastgw.providers.heard import Heard


class ToolBlocks:
    """The tool blocks of a stream, told to a renderer. An `index` is the upstream's of a content block; input for one
    that is no tool's is left out."""

    __slots__ = ("_answer_tool", "_blocks", "_calls", "_renderer", "_unfilled")

    def __init__(self, renderer: Heard, answer_tool: str | None) -> None:
        self._renderer = renderer
        self._answer_tool = answer_tool
        # By index: the number of the call, or None for the answer; and whether input was seen.
        self._blocks: dict[Any, tuple[int | None, bool]] = {}
        self._unfilled: dict[Any, None] = {}  # indexes of those without input, in order
        self._calls = 0

    def start(self, index: object, id: object, name: object) -> None:
        """A block begins."""
        number: int | None = None
        if self._answer_tool is None or name != self._answer_tool:
            number = self._calls
            self._calls += 1
            self._renderer.tool(number, string(id), string(name))
        self._blocks[index] = (number, False)
        self._unfilled[index] = None

    def input(self, index: object, fragment: str) -> None:
        """A piece of its input."""
        number, _ = self._blocks.get(index, (-1, False))
        if number == -1:
            return
        self._blocks[index] = (number, True)
        self._unfilled.pop(index, None)
        if number is None:
            self._renderer.text(fragment)
        else:
            self._renderer.arguments(number, fragment)

    def stop(self, index: object) -> None:
        """A block is over; one without input gets an empty object, for arguments must parse."""
        if index in self._unfilled:
            self.input(index, "{}")

    def finish(self, reason: str) -> str:
        """All of them are over. The finish reason: calls are none when there was only the answer."""
        for index in list(self._unfilled):
            self.stop(index)
        answered = reason == "tool_calls" and self._blocks and not self._calls
        return "stop" if answered else reason

    def frame(self) -> tuple[int, Frame | None]:
        """`EventDecoder.tool_frame` for the last block, once it has had input: what comes then changes nothing here."""
        frame = self._renderer.tool_frame
        index, (number, filled) = next(reversed(self._blocks.items()), (None, (None, False)))
        if frame is None or not filled or number != frame[0] or type(index) is not int:
            return NO_TOOL
        return index, frame[1]


def add_tool(
    answer: Completion, pieces: Pieces, id: object, name: object, given: object, answer_tool: str | None
) -> None:
    """A tool block of a whole answer; `given` is its input."""
    arguments = write({} if given is None else given).decode()
    if answer_tool is not None and name == answer_tool:
        pieces.text.append(arguments)
    else:
        answer.tool_calls.append(ToolCall(string(id), string(name), arguments))


def tools_added(answer: Completion, answer_tool: str | None) -> None:
    """All blocks of a whole answer have been read: calls are none when there was only the answer."""
    if answer_tool is not None and answer.finish == "tool_calls" and not answer.tool_calls:
        answer.finish = "stop"
