"""What relaying a chat stream must give, from the whole input at once and on parsed trees."""

import re
from dataclasses import dataclass, field

from tests.support.splice_reference import Members, Tree, counts, depth, parse, reasoning, said, usage

ALIAS = "alias"


@dataclass
class Relayed:
    chunks: list[Members] = field(default_factory=list)
    frames: int = 0
    failure: int = 0
    done: bool = False
    counters: dict[str, int] = field(default_factory=lambda: counts(None))
    parts: list[Members] = field(default_factory=list)

    @property
    def said(self) -> bytes:
        """What the caller was told; nobody needs it once completion tokens are known."""
        return b"" if self.counters["completion_tokens"] else said(self.parts)


def events(data: bytes, ended: bool) -> list[bytes]:
    """The data of each event. `ended`: a last line and event without their ends count."""
    lines = re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"))
    if ended:
        lines += [b"", b""]
    result: list[bytes] = []
    pending: list[bytes] = []
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        if name == b"data":
            pending.append(value.removeprefix(b" "))
        elif not line and pending:
            result.append(b"\n".join(pending).strip(b" \t\n"))
            pending = []
    return [event for event in result if event]


def relay(data: bytes, *, ended: bool, forward: bool, strip: bool, path: tuple[str, ...] = ()) -> Relayed:
    out = Relayed()
    for event in events(data, ended):
        if event == b"[DONE]":
            out.done = True
            return out
        try:
            chunk: Tree = parse(event)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, Members) or depth(chunk) > 128:
            out.failure = 2
            return out
        if not (type(chunk.last("id")) is type(chunk.last("model")) is str and type(chunk.last("choices")) is list):
            out.failure = 1 if type(chunk.last("error")) in (Members, str) else 2
            return out
        out.frames += 1
        choices = [choice for choice in chunk.last("choices") if isinstance(choice, Members)]
        deltas = [deltas_of(choice, path) for choice in choices]
        says = any(choice.last("finish_reason") is not None for choice in choices) or any(
            value is not None for delta in deltas for _, value in delta
        )
        out.parts += [part for choice in choices for part in parts_of(choice, path)]
        found = chunk.last("usage")
        if isinstance(found, Members):
            out.counters = {name: max(value, out.counters[name]) for name, value in counts(found).items()}
            if not says and not forward:
                continue
        out.chunks.append(rewritten(chunk, strip, path))
    return out


def deltas_of(choice: Members, path: tuple[str, ...]) -> Members:
    delta = choice.last("delta")
    return reasoning(delta, path) if isinstance(delta, Members) else Members()


def parts_of(choice: Members, path: tuple[str, ...]) -> list[Members]:
    """What a choice says, in the order of its members."""
    parts = []
    for key, value in choice:
        if key == "text":
            parts.append(Members([(key, value)]))
        elif key == "delta" and isinstance(value, Members):
            parts.append(reasoning(value, path))
    return parts


def rewritten(chunk: Members, strip: bool, path: tuple[str, ...]) -> Members:
    def choice(value: Tree) -> Tree:
        lift = {"delta": lambda delta: reasoning(delta, path) if isinstance(delta, Members) else delta}
        return value.mapped(**lift) if isinstance(value, Members) else value

    kept = Members(member for member in chunk if not (strip and member == ("usage", None)))
    return kept.mapped(
        model=lambda _: ALIAS,
        choices=lambda choices: [choice(value) for value in choices],
        usage=lambda value: usage(value) if isinstance(value, Members) else value,
    )
