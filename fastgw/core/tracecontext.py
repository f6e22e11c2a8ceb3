"""W3C Trace Context, as a caller sends it: who its trace is, and what the systems before the gateway noted.

Only version 00 is read (https://www.w3.org/TR/trace-context/#traceparent-header). Whatever is not exactly as it should
be is as good as absent: the gateway then starts a trace of its own.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_PARENT: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]*")


class TraceParent(NamedTuple):
    """The caller's span: ids in lower-case hex, flags as sent, and the vendors' entries of `tracestate`, if any."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""


def trace_parent(parents: Sequence[bytes], states: Sequence[bytes]) -> TraceParent | None:
    """The parent that all values of `traceparent` and `tracestate` name, in their order; None when there is none.

    Exactly one `traceparent` counts, with ids that are not zero. The values of `tracestate` belong together (RFC 9110
    §5.3); one byte outside printable ASCII voids them all.
    """
    match = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None or not match[1].strip(b"0") or not match[2].strip(b"0"):
        return None
    state = b",".join(states)
    if not _PRINTABLE.fullmatch(state):
        state = b""
    return TraceParent(match[1].decode(), match[2].decode(), int(match[3], 16), state.decode())
