"""The form through which every translated call passes: OpenAI's chat completions, as plain Python data.

A request is the JSON object of a chat request (`Chat`), whatever dialect the caller speaks. A whole answer is a
`Completion`. A stream is a sequence of method calls on a `Renderer`, which writes it in the caller's dialect. So N
dialects of callers and M protocols of upstreams need N + M translators.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from fastgw._speedups.events import Frame

Chat = dict[str, Any]
"""`model`, `messages` and whatever else the OpenAI API knows; a translator must not change the one it is given."""


class Usage:
    """Token counters; 0 where the upstream reported none.

    `cached_tokens` is part of the prompt, `reasoning_tokens` of the completion; the two cache counters come on top of
    the prompt. `total_tokens` holds everything.
    """

    __slots__ = (
        "cache_creation_tokens",
        "cache_read_tokens",
        "cached_tokens",
        "completion_tokens",
        "prompt_tokens",
        "reasoning_tokens",
        "total_tokens",
    )

    def __init__(
        self,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        total_tokens: int = 0,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
        cache_creation_tokens: int = 0,
        cache_read_tokens: int = 0,
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.total_tokens = total_tokens
        self.cached_tokens = cached_tokens
        self.reasoning_tokens = reasoning_tokens
        self.cache_creation_tokens = cache_creation_tokens
        self.cache_read_tokens = cache_read_tokens

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Usage({', '.join(f'{n}={getattr(self, n)}' for n in self.__slots__ if getattr(self, n))})"


def counter(value: object) -> int:
    """A reported number as a counter; what is no integer from 0 to 2**53 counts as 0."""
    return value if type(value) is int and 0 <= value < 2**53 else 0


def string(value: object) -> str:
    """A reported value if it is a string, else the empty one."""
    return value if isinstance(value, str) else ""


class ToolCall(NamedTuple):
    """A call of a function. `arguments` is a JSON text."""

    id: str
    name: str
    arguments: str


class ReportsUsage(ABC):
    """An answer or a stream with the counters of its `usage` as members of its own."""

    __slots__ = ()

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """The counters as known by now."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the request."""
        return self.usage.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""
        return self.usage.completion_tokens

    @property
    def total_tokens(self) -> int:
        """Everything that was used."""
        return self.usage.total_tokens

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from a cache."""
        return self.usage.cached_tokens

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the answer that were reasoning."""
        return self.usage.reasoning_tokens

    @property
    def cache_creation_tokens(self) -> int:
        """Tokens beside the prompt that were written to a cache."""
        return self.usage.cache_creation_tokens

    @property
    def cache_read_tokens(self) -> int:
        """Tokens beside the prompt that came from a cache."""
        return self.usage.cache_read_tokens


class Completion(ReportsUsage):
    """A whole answer.

    `text` None: there is no text at all. `finish` is `stop`, `length`, `tool_calls`, `content_filter` or an upstream's
    own word. `signature` vouches for `reasoning` towards the vendor that issued it. `stop_sequence` is the one that
    matched, when known. `others` are further answers to the same request (`n`), which only chat callers can ask for;
    what was used is counted in the first.
    """

    __slots__ = (
        "finish",
        "id",
        "model",
        "others",
        "reasoning",
        "refusal",
        "signature",
        "stop_sequence",
        "text",
        "tool_calls",
        "usage",
    )

    usage: Usage

    def __init__(
        self,
        id: str,
        model: str,
        *,
        text: str | None = None,
        reasoning: str | None = None,
        signature: str | None = None,
        refusal: str | None = None,
        tool_calls: list[ToolCall] | None = None,
        finish: str = "stop",
        stop_sequence: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.id = id
        self.model = model
        self.text = text
        self.reasoning = reasoning
        self.signature = signature
        self.refusal = refusal
        self.others: list[Completion] = []
        self.tool_calls = tool_calls or []
        self.finish = finish
        self.stop_sequence = stop_sequence
        self.usage = usage or Usage()

    @property
    def finish_reason(self) -> str:
        """`finish`, "" for an answer that is no text."""
        return self.finish


class Renderer(Protocol):
    """Writes a stream in the caller's dialect. Made per attempt; `take` returns what was written since the last call.

    Order of calls: `begin` once, then pieces in any order, `finish` at most once, `usage` any number of times (the
    counters are the largest seen so far), `end` once after a clean end. Tools are numbered densely from 0 in the order
    of their `tool` calls; `arguments` may follow in pieces. Where several answers were asked for (`n`), `choice` says
    which one the following pieces belong to, the first until then; each has tools and a finish reason of its own.

    `frame`: what goes around a piece of text, as long as `text` would write just that and change nothing; None
    otherwise. `tool_frame`: the same for a piece of the arguments of the tool with that number. `over`: the dialect's
    last event has been written, and nothing may follow it.
    """

    over: bool
    frame: Frame | None
    tool_frame: tuple[int, Frame] | None

    def begin(self, id: str, model: str) -> None:
        """The upstream has begun to answer, under its own id and model name."""

    def choice(self, index: int) -> None:
        """What follows belongs to this answer."""

    def text(self, text: str) -> None:
        """A piece of the answer."""

    def reasoning(self, text: str) -> None:
        """A piece of the reasoning."""

    def signature(self, text: str) -> None:
        """What vouches for the reasoning so far."""

    def refusal(self, text: str) -> None:
        """A piece of a refusal."""

    def tool(self, index: int, id: str, name: str) -> None:
        """A tool call begins."""

    def arguments(self, index: int, fragment: str) -> None:
        """A piece of the JSON text of its arguments."""

    def finish(self, reason: str, stop_sequence: str | None = None, usage: Usage | None = None) -> None:
        """The answer is over, and why; with the counters when they came with it."""

    def usage(self, usage: Usage) -> None:
        """Counters that came by themselves."""

    def end(self) -> None:
        """The upstream's stream is over: write what the caller's dialect still needs."""

    def take(self) -> bytes:
        """The events written since the last call."""
