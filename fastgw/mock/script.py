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
    """What to answer and how. Times are milliseconds, sizes are bytes."""

    latency_ms: float = 0
    """Wait before the head."""
    first_ms: float = 0
    """Wait between the head and the first event (or the body)."""
    cadence_ms: float = 0
    """Wait between two events."""
    tokens: int | None = None
    """Number of content pieces; also the completion tokens that usage reports."""
    answer_bytes: int | None = None
    """Length of the generated content."""
    content: str | None = None
    """The content itself."""
    usage: bool | dict[str, Any] = True
    """False: no usage anywhere. An object is sent as it is."""
    tool_calls: int | list[Any] = 0
    """Number of calls, or the calls: ``{"name", "arguments", "id"}``, arguments as text or object."""
    status: int = 200
    error: dict[str, Any] | str | None = None
    """Error object (wrapped in ``{"error": ...}`` unless it has that key) or message."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further response fields; one that the mock would send itself is replaced."""
    retry_after: float | None = None
    gzip: bool = False
    raw: str | None = None
    """Verbatim body, sent as text/plain unless ``headers`` says otherwise."""
    events: list[Any] | None = None
    """Verbatim payloads of an event stream: text as it is, anything else as JSON."""
    line_end: LineEnd = "lf"
    split: int = 0
    """Write the answer in pieces of this many bytes, each in its own turn of the loop."""
    coalesce: bool = False
    """Write the whole answer at once, cadence ignored."""
    no_done: bool = False
    """End an event stream without ``data: [DONE]``."""
    fault: Fault | None = None
    at: At | None = None
    """Where the fault strikes; the default depends on the fault, see faults.py."""
    events_before: int = 1
    """Events that go out whole before a fault at ``mid_event`` or ``after_events``."""
    rate: float = 100
    """Bytes per second of the ``slow`` fault."""
    close_after: float | None = None
    """Close the connection when it was idle for this long after an answer, unannounced."""
    close_chance: float | None = None
    """Probability of such a close after an answer."""
    fail_times: int = 0
    """Only the first n requests with this ``key`` get the scripted status, error, raw body or fault."""
    key: str = ""

    def healthy(self) -> Script:
        """The same script without its failure."""
        return replace(self, status=200, error=None, raw=None, retry_after=None, fault=None, fail_times=0)


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


CHECKS: dict[str, Callable[[object], Any]] = {
    "latency_ms": _number,
    "first_ms": _number,
    "cadence_ms": _number,
    "tokens": _count,
    "answer_bytes": _count,
    "content": _text,
    "usage": _usage,
    "tool_calls": _tool_calls,
    "status": _status,
    "error": _error,
    "headers": _headers,
    "retry_after": _number,
    "gzip": _flag,
    "raw": _text,
    "events": _events,
    "line_end": _one_of(*get_args(LineEnd)),
    "split": _count,
    "coalesce": _flag,
    "no_done": _flag,
    "fault": _one_of(*get_args(Fault)),
    "at": _one_of(*get_args(At)),
    "events_before": _count,
    "rate": _rate,
    "close_after": _number,
    "close_chance": _chance,
    "fail_times": _count,
    "key": _text,
}
_TEXTUAL = {"content", "raw", "line_end", "fault", "at", "key"}


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
            if name != "error" and name in CHECKS:
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
        check = CHECKS.get(name)
        if check is None:
            raise ScriptError(f"mock directive {name!r} is unknown")
        if value is None:
            continue
        try:
            values[name] = check(value)
        except ScriptError as error:
            raise ScriptError(f"mock directive {name} {error}") from None
    return Script(**values)
