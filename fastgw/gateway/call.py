"""What an endpoint tells the pipeline about one decoded request."""

from typing import NamedTuple, Protocol

from fastgw._speedups.splice import INT, OBJECT, ScanError, top_level
from fastgw._speedups.sse import ChatStream
from fastgw.gateway.snapshot import Target


class Usage(Protocol):
    """Token counters as the upstream reported them; 0 where it did not."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the request."""

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""

    @property
    def total_tokens(self) -> int:
        """Both, as the upstream sums them."""


class Tokens(NamedTuple):
    """Usage as plain numbers."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


COUNTERS = tuple(name.encode() for name in Tokens._fields)


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
    return Tokens(*(0 if span is None else count(members, span) for span in found))


def count(members: bytes, span: tuple[int, int, int]) -> int:
    """A scanned value as a counter."""
    kind, start, end = span
    value = int(members[start:end]) if kind == INT and end - start <= 16 else 0
    return value if 0 <= value < 2**53 else 0


class Call(Protocol):
    """One decoded request of an operation."""

    operation: str

    @property
    def model(self) -> str:
        """The alias that the caller asked for."""

    @property
    def stream(self) -> bool:
        """Whether the caller wants a stream."""

    def upstream_body(self, target: Target) -> bytes:
        """The request body for one target."""

    def answer(self, body: bytes) -> tuple[bytes, Usage]:
        """The answer for the caller. Raises `UpstreamFailure` when the upstream's is not understood."""

    def relay(self, target: Target, *, chunked: bool) -> ChatStream:
        """A fresh translator of the upstream's stream."""
