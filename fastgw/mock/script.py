"""The directives that say how the mock answers.

Three sources share one vocabulary and a later one wins, directive by directive: the server's flags, the query
suffix of the model name (``mock-gpt?latency_ms=20&tokens=5``) and the request's ``mock`` object. Flags and suffixes
carry text, which is read as JSON where the directive is not a string. ``null`` puts a directive back to its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args
from typing import Literal as L
from urllib.parse import parse_qsl

import orjson

Fault = L["reset", "close", "stall", "truncate", "half_close", "slow", "garbage"]
At = L["connect", "head", "mid_head", "body", "mid_event", "after_events", "before_done"]
LineEnd = L["lf", "crlf", "cr"]


class ScriptError(ValueError):
    """A directive that does not exist or has a value it cannot have; the text names it."""


@dataclass(frozen=True, slots=True)
class Script:
    """What to answer and how. DIRECTIVES says what each field means."""

    latency_ms: float = 0
    first_ms: float = 0
    cadence_ms: float = 0
    tokens: int | None = None
    answer_bytes: int | None = None
    content: str | None = None
    usage: bool | dict[str, Any] = True
    tool_calls: int | list[Any] = 0
    recount: bool = False
    reasoning: str | None = None
    finish: str | None = None
    status: int = 200
    error: dict[str, Any] | str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None
    gzip: bool = False
    raw: str | None = None
    events: list[Any] | None = None
    line_end: LineEnd = "lf"
    split: int = 0
    coalesce: bool = False
    no_done: bool = False
    fault: Fault | None = None
    at: At | None = None
    events_before: int = 1
    rate: float = 100
    close_after: float | None = None
    close_chance: float | None = None
    fail_times: int = 0
    key: str = ""
    turns: tuple[dict[str, Any], ...] = ()

    def healthy(self) -> Script:
        """The same script without its failure."""
        return replace(self, status=200, error=None, raw=None, retry_after=None, fault=None, fail_times=0)

    def calling(self, count: int) -> Script:
        """The same script with that many tool calls."""
        return replace(self, tool_calls=count)

    def saying(self, text: str) -> Script:
        """The same script with this text and no tool calls."""
        return replace(self, content=text, tool_calls=0)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ScriptError("must be a number, 0 or more")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ScriptError("must be an integer, 0 or more")
    return value


def _status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise ScriptError("must be a status code, 200 to 599")
    return value


def _chance(value: object) -> float:
    number = _number(value)
    if number > 1:
        raise ScriptError("must be between 0 and 1")
    return number


def _rate(value: object) -> float:
    number = _number(value)
    if number == 0:
        raise ScriptError("must be more than 0")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ScriptError("must be true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ScriptError("must be a string")
    return value


def _one_of(*choices: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in choices:
            raise ScriptError(f"must be one of {', '.join(choices)}")
        return str(value)

    return check


def _usage(value: object) -> bool | dict[str, Any]:
    if not isinstance(value, bool | dict):
        raise ScriptError("must be true, false or an object")
    return value


def _tool_calls(value: object) -> int | list[Any]:
    if isinstance(value, list):
        if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in value):
            raise ScriptError("must be a list of objects with a name")
        return value
    return _count(value)


def _error(value: object) -> dict[str, Any] | str:
    if not isinstance(value, dict | str):
        raise ScriptError("must be an object or a string")
    return value


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise ScriptError("must be an object, or a list of [name, value]")
    return tuple((name, str(item)) for name, item in pairs)


def _events(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ScriptError("must be a list")
    return value


def _turns(value: object) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(turn, dict) and "turns" not in turn for turn in value):
        raise ScriptError("must be a list of objects of other directives")
    for turn in value:
        build(turn)
    return tuple(value)


DIRECTIVES: dict[str, tuple[Callable[[object], Any], str]] = {
    "latency_ms": (_number, "Wait before the head."),
    "first_ms": (_number, "Wait between the head and the first event, or the body."),
    "cadence_ms": (_number, "Wait between two events."),
    "tokens": (_count, "Pieces of content, and completion tokens in usage. Default 12."),
    "answer_bytes": (_count, "Length of the generated content."),
    "content": (_text, "The content itself."),
    "usage": (_usage, "false: none anywhere; an object is sent as it is."),
    "tool_calls": (_tool_calls, 'Number of calls, or a list of {"name", "arguments", "id"}.'),
    "recount": (
        _flag,
        "Answer the results of tools, if any are newest, with a text that repeats them and their calls.",
    ),
    "reasoning": (_text, "Text of the reasoning: reasoning_content, or a thinking block."),
    "finish": (_text, "Finish or stop reason; default by what the answer holds."),
    "status": (_status, "Status code; from 400 on the answer is an error."),
    "error": (_error, "Error object or message."),
    "headers": (_headers, "Response fields, object or list of pairs; they replace the mock's own."),
    "retry_after": (_number, "Seconds in a Retry-After field."),
    "gzip": (_flag, "Compress the answer, event by event in a stream."),
    "raw": (_text, "Verbatim body, text/plain unless headers say otherwise."),
    "events": (
        _events,
        "Verbatim payloads of an event stream: text as it is, the rest as JSON; on Bedrock {type: payload}.",
    ),
    "line_end": (_one_of(*get_args(LineEnd)), "Line ends of an event stream: lf, crlf or cr."),
    "split": (_count, "Write in pieces of this many bytes, each in its own turn of the loop."),
    "coalesce": (_flag, "Write the whole answer at once, cadence ignored."),
    "no_done": (_flag, "End an event stream without data: [DONE]."),
    "fault": (_one_of(*get_args(Fault)), f"One of {', '.join(get_args(Fault))}."),
    "at": (_one_of(*get_args(At)), f"Where the fault strikes: {', '.join(get_args(At))}."),
    "events_before": (_count, "Whole events before a fault at mid_event or after_events. Default 1."),
    "rate": (_rate, "Bytes per second of the slow fault. Default 100."),
    "close_after": (_number, "Close the connection, unannounced, when idle for this many ms after an answer."),
    "close_chance": (_chance, "Probability of such a close after an answer, 0 to 1."),
    "fail_times": (_count, "Only the first n requests with this key get the status, error, raw body or fault."),
    "key": (_text, "Name of the fail_times counter."),
    "turns": (
        _turns,
        "List of objects of directives for a conversation: the first as long as it holds no turn of the assistant, the "
        "next when it holds one, and so on; the last for all that follow.",
    ),
}
_TEXTUAL = {"content", "raw", "reasoning", "finish", "line_end", "fault", "at", "key"}


def from_text(directives: Mapping[str, str]) -> dict[str, object]:
    """The values of flags or of a model suffix; an error that is not JSON is its message."""
    values: dict[str, object] = {}
    for name, text in directives.items():
        if name in _TEXTUAL:
            values[name] = text
            continue
        try:
            values[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            if name != "error" and name in DIRECTIVES:
                raise ScriptError(f"mock directive {name}: {text!r} is not JSON") from None
            values[name] = text
    return values


def of_model(model: str) -> dict[str, object]:
    """The directives in the model name's query suffix. Raises ScriptError."""
    _, mark, query = model.partition("?")
    return from_text(dict(parse_qsl(query, keep_blank_values=True))) if mark else {}


def build(directives: Mapping[str, object]) -> Script:
    """Check directives and make the script of them. Raises ScriptError."""
    values: dict[str, Any] = {}
    for name, value in directives.items():
        if name not in DIRECTIVES:
            raise ScriptError(f"mock directive {name!r} is unknown")
        if value is None:
            continue
        try:
            values[name] = DIRECTIVES[name][0](value)
        except ScriptError as error:
            raise ScriptError(f"mock directive {name} {error}") from None
    return Script(**values)
