"""What an endpoint tells the pipeline about one decoded request."""

from typing import Protocol

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
