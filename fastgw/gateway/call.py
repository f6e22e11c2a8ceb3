"""What an endpoint tells the pipeline about one decoded request."""

from typing import NamedTuple, Protocol

from fastgw._speedups.splice import INT, OBJECT, ScanError, top_level
from fastgw._speedups.tokens import Table
from fastgw.providers.adapter import Speaker


class Tokens(NamedTuple):
    """Usage as plain numbers. Where only these are looked for, the names in the answer are not."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    id: str = ""
    model: str = ""
    finish_reason: str = ""


COUNTERS = (b"prompt_tokens", b"completion_tokens", b"total_tokens")


def tokens_of(body: bytes, usage: tuple[int, int, int] | None) -> Tokens:
    """The counters of a scanned `usage` member; what is no usable number counts as 0."""
    if usage is None or usage[0] != OBJECT:
        return Tokens()
    members = body[usage[1] : usage[2]]
    try:
        found = top_level(members, COUNTERS)
    except ScanError:
        # A counter that is given twice says nothing. Other members may hold what no JSON library reads.
        return Tokens()
    prompt, completion, total = (0 if span is None else count(members, span) for span in found)
    return Tokens(prompt, completion, total)


def count(members: bytes, span: tuple[int, int, int]) -> int:
    """A scanned value as a counter."""
    kind, start, end = span
    value = int(members[start:end]) if kind == INT and end - start <= 16 else 0
    return value if 0 <= value < 2**53 else 0


class Call(Speaker, Protocol):
    """One decoded request of an operation, which speaks for itself to upstreams of its own dialect.

    `body`: as the caller sent it; `generates`: its answers are text; `metered`: it uses tokens. A call that can be
    translated implements `providers.adapter.Dialect` as well.
    """

    operation: str
    body: bytes
    generates: bool
    metered: bool

    @property
    def model(self) -> str:
        """The alias that the caller asked for."""

    @property
    def stream(self) -> bool:
        """Whether the caller wants a stream."""

    def said(self, answer: bytes) -> tuple[bytes, int]:
        """What a whole answer tells its caller, for counting: at most 1 MiB of UTF-8 text, and the bytes of it that are
        left out. `answer` is in the caller's dialect. Any thread may ask."""

    def count_prompt(self, table: Table) -> int:
        """Tokens of the request. Any thread may ask. Raises ValueError when they cannot be counted."""
