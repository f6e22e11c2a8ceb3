"""What splicing a chat document must give, told on parsed trees instead of bytes.

A tree keeps what JSON-equality forgets: key order, repeated keys and the spelling of numbers.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

Tree = Any  # None, bool, str, Number, list of trees, Members


class Number(str):
    """A number as it is spelt."""


class Members(list[tuple[str, Tree]]):
    """An object as its members in order."""

    def last(self, name: str) -> Tree:
        return next((value for key, value in reversed(self) if key == name), None)

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self)

    def mapped(self, **changes: Any) -> "Members":
        """With each named member's value replaced by what its function makes of it."""
        return Members((key, changes[key](value) if key in changes else value) for key, value in self)


def refuse(word: str) -> Tree:
    raise ValueError(word)


def parse(data: bytes) -> Tree:
    return json.loads(
        data.decode(), object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=refuse
    )


def dump(tree: Tree, ascii_only: bool = False, space: str = "") -> str:
    if isinstance(tree, Number):
        return str(tree)
    if isinstance(tree, Members):
        inner = f"{space},{space}".join(
            f"{dump(key, ascii_only)}{space}:{space}{dump(value, ascii_only, space)}" for key, value in tree
        )
        return "{" + space + inner + space + "}"
    if isinstance(tree, list):
        return "[" + space + f"{space},{space}".join(dump(item, ascii_only, space) for item in tree) + space + "]"
    return json.dumps(tree, ensure_ascii=ascii_only)


def depth(tree: Tree) -> int:
    children: Iterator[Tree] = iter(())
    if isinstance(tree, Members):
        children = (value for _, value in tree)
    elif isinstance(tree, list):
        children = iter(tree)
    else:
        return 0
    return 1 + max((depth(child) for child in children), default=0)


def upstream_body(document: Members, model: str, stream: bool) -> Members:
    def with_content(message: Members) -> Members:
        if message.has("content"):
            return message.mapped(content=lambda content: "" if content is None else content)
        at = [key for key, _ in message].index("role") + 1
        return Members([*message[:at], ("content", ""), *message[at:]])

    changes: dict[str, Any] = {
        "model": lambda _: model,
        "messages": lambda messages: [with_content(message) for message in messages],
        "stream": lambda _: stream,
    }
    ask = Members([("include_usage", True)])
    if stream:
        changes["stream_options"] = lambda options: ask if options is None else options
    body = document.mapped(**changes)
    if not body.has("stream"):
        body.append(("stream", stream))
    if stream and not body.has("stream_options"):
        body.append(("stream_options", ask))
    return body


def count(value: Tree) -> int:
    number = int(value) if isinstance(value, Number) and value.isdigit() else 0
    return number if number <= 2**53 else 0


def repeats(tree: Tree) -> bool:
    """Whether an object in it has a key twice, where readers differ about what it says."""
    if isinstance(tree, Members):
        return len({key for key, _ in tree}) < len(tree) or any(repeats(value) for _, value in tree)
    return isinstance(tree, list) and any(map(repeats, tree))


COUNTERS = ("prompt_tokens", "completion_tokens", "total_tokens")


def usage(value: Members) -> Members:
    """Missing counters as 0; a cache hit count also where the standard puts it."""
    result = value.mapped(**{name: lambda found: Number(0) if found is None else found for name in COUNTERS})
    hit = value.last("prompt_cache_hit_tokens")
    details = value.last("prompt_tokens_details")
    if count(hit) and not (isinstance(details, Members) and count(details.last("cached_tokens"))):
        if isinstance(details, Members) and details.has("cached_tokens"):
            changed = details.mapped(cached_tokens=lambda _: hit)
        else:
            changed = Members([*(details if isinstance(details, Members) else ()), ("cached_tokens", hit)])
        if value.has("prompt_tokens_details"):
            result = result.mapped(prompt_tokens_details=lambda _: changed)
        else:
            result.append(("prompt_tokens_details", changed))
    result.extend((name, Number(0)) for name in COUNTERS if not value.has(name))
    return result


def counts(value: Tree) -> dict[str, int]:
    """What accounting reads; names as on ChatAnswer and ChatStream."""
    members = value if isinstance(value, Members) else Members()
    details = {name: members.last(f"{name}_tokens_details") for name in ("prompt", "completion")}
    inner = {name: found if isinstance(found, Members) else Members() for name, found in details.items()}
    cached = count(inner["prompt"].last("cached_tokens")) or count(members.last("prompt_cache_hit_tokens"))
    return {
        **{name: count(members.last(name)) for name in COUNTERS},
        "cached_tokens": cached,
        "reasoning_tokens": count(inner["completion"].last("reasoning_tokens")),
    }


def reasoning(part: Members, path: tuple[str, ...] = ()) -> Members:
    """A message or delta with the vendor's reasoning text as reasoning_content."""
    head, *rest = path or ("reasoning",)
    text = part.last(head)
    for name in rest:
        text = text.last(name) if isinstance(text, Members) else None
    text = text if type(text) is str else None
    lifted = bool(text) and part.last("reasoning_content") in (None, "")
    result = Members()
    for key, value in part:
        if key == head and (lifted or text is not None or path in ((), ("reasoning",))):
            if lifted:
                result.append(("reasoning_content", text))
        elif not (key == "reasoning_content" and lifted):
            result.append((key, value))
    return result


def said(parts: list[Members]) -> bytes:
    """What messages or deltas, their reasoning in place already, and choices with text tell the caller."""
    told: dict[str, list[str]] = {"content": [], "reasoning_content": [], "calls": []}

    def hear(where: str, value: Tree) -> None:
        if type(value) is str:
            told[where].append(re.sub("[\ud800-\udfff]", "\ufffd", value))

    def call(function: Tree) -> None:
        for key, value in function if isinstance(function, Members) else ():
            if key in ("name", "arguments"):
                hear("calls", value)

    for part in parts:
        for key, value in part:
            if key in ("content", "text"):
                hear("content", value)
            elif key == "reasoning_content":
                hear(key, value)
            elif key == "function_call":
                call(value)
            elif key == "tool_calls" and type(value) is list:
                for item in value:
                    call(item.last("function") if isinstance(item, Members) else None)
    return "".join(told["content"] + told["reasoning_content"] + told["calls"]).encode()


def answer_said(document: Members) -> bytes:
    """What a whole answer tells the caller."""
    parts: list[Members] = []
    choices = document.last("choices")
    for choice in choices if type(choices) is list else ():
        for key, value in choice if isinstance(choice, Members) else ():
            if key == "text":
                parts.append(Members([(key, value)]))
            elif key == "message" and isinstance(value, Members):
                parts.append(reasoning(value))
    return said(parts)


def answer(document: Members, model: str) -> Members:
    def message(part: Tree) -> Tree:
        if not isinstance(part, Members):
            return part
        result = reasoning(part)
        if part.has("role") and not part.has("content"):
            result.append(("content", None))
        return result

    def choice(index: int, value: Tree) -> Tree:
        if not isinstance(value, Members):
            return value
        changes: dict[str, Any] = {"message": message}
        if index == 0:
            changes["finish_reason"] = lambda reason: "stop" if reason is None else reason
        result = value.mapped(**changes)
        if index == 0 and not value.has("finish_reason"):
            result.append(("finish_reason", "stop"))
        return result

    empty = Members(
        [
            ("index", Number(0)),
            ("message", Members([("role", "assistant"), ("content", "")])),
            ("finish_reason", "stop"),
        ]
    )
    result = document.mapped(
        model=lambda _: model,
        choices=lambda choices: [choice(i, value) for i, value in enumerate(choices)] or [empty],
        usage=lambda value: usage(value if isinstance(value, Members) else Members()),
    )
    if not document.has("usage"):
        result.append(("usage", usage(Members())))
    return result
