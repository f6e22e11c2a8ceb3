"""What the server refuses by itself, before a request has become an exchange."""

from dataclasses import dataclass
from typing import NamedTuple

from httptools import HttpParserError

from fastgw._speedups import head
from fastgw.core.errors import GatewayError

CONFLICTING_LENGTH = "conflicting Content-Length headers"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status and, for the envelope, what is wrong; an empty detail means an empty body."""

    status: int
    detail: str

    def error(self) -> GatewayError:
        """The refusal as the error object whose envelope is sent."""
        return GatewayError(self.status, "invalid_request_error", f"request payload is invalid: {self.detail}")


class Refused(NamedTuple):
    """A request that was refused, as far as it could be read."""

    request_id: bytes
    method: bytes
    path: bytes
    status: int
    kind: str
    message: str


_FLAWS = (
    (head.FLAW_NO_VERSION, Refusal(400, "malformed HTTP request")),
    (head.FLAW_VERSION, Refusal(505, "HTTP version is not supported")),
    (head.FLAW_FIELDS, Refusal(431, "too many header fields")),
    (head.FLAW_HOST, Refusal(400, "exactly one valid Host header is required")),
    (head.FLAW_TARGET, Refusal(400, "malformed request target")),
    (head.FLAW_CODING_10, Refusal(400, "Transfer-Encoding is not allowed in HTTP/1.0")),
    (head.FLAW_UNSIZED, Refusal(400, "chunked is not the final transfer coding")),
    (head.FLAW_CODING, Refusal(501, "transfer coding is not supported")),
    (head.FLAW_EXPECT, Refusal(417, "expectation is not supported")),
)


def flaw_of(flaws: int) -> Refusal:
    """The refusal for the gravest of a request's flaws."""
    for bit, refusal in _FLAWS:
        if flaws & bit:
            return refusal
    return Refusal(400, "malformed HTTP request")


def parser_refusal(error: HttpParserError) -> Refusal:
    """The refusal for what llhttp could not accept.

    llhttp stops at the second Content-Length field by itself; its reason tells it from other errors, and that
    case has a message of its own.
    """
    reason = str(error)
    if reason == "Duplicate Content-Length":
        return Refusal(400, CONFLICTING_LENGTH)
    if reason in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return Refusal(505, "HTTP version is not supported")
    return Refusal(400, "malformed HTTP request")
