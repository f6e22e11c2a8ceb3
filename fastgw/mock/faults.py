"""Scripted faults: where an answer breaks off, and how its connection ends.

================  ==========================================================================================
``reset``         RST
``close``         orderly close (FIN; with TLS, close_notify before it)
``truncate``      FIN without close_notify; by default in the middle of a chunk, or below content-length
``stall``         nothing more is sent, the connection stays
``half_close``    FIN, but the mock goes on reading until the peer closes
``garbage``       bytes that are no HTTP, then a close
``slow``          the rest of the answer at ``rate`` bytes per second; the answer is complete in the end
================  ==========================================================================================

``at`` says where; the default is ``head``, for ``truncate`` it is ``mid_event``. An answer that is no stream has no
events: there every place behind the head means the middle of the body.
"""

from __future__ import annotations

import os
import socket
import struct
from asyncio import BaseTransport
from collections.abc import Iterable, Iterator

from .plan import Step
from .script import Script

KEEP = "keep"
GARBAGE = b"\x00\xfe\xffmock garbage\x00\r\n\x80\x81 no HTTP here\r\n\r\n"
_SLOW_TICK_MS = 50


def broken(script: Script, steps: Iterable[Step], stream: bool) -> tuple[Iterator[Step], str]:
    """`steps` up to the fault, and what to do with the connection then."""
    before, rest = _cut(script, list(steps), stream)
    if script.fault == "slow":
        return iter(before + _trickle(rest, script.rate)), KEEP
    if script.fault == "garbage":
        return iter([*before, (0, GARBAGE)]), "close"
    return iter(before), script.fault or KEEP


def _cut(script: Script, steps: list[Step], stream: bool) -> tuple[list[Step], list[Step]]:
    at = script.at or ("mid_event" if script.fault == "truncate" else "head")
    latency, head = steps[0]
    after: list[Step] = steps[1:]
    if not stream:
        end = head.index(b"\r\n\r\n") + 4
        body = head[end:] + b"".join(data for _, data in after)
        after = [(after[0][0] if after else 0, body)]
        head = head[:end]
    if at in ("head", "connect"):
        return [(latency, b"")], [(0, head), *after]
    if at == "mid_head":
        half = len(head) // 2
        return [(latency, head[:half])], [(0, head[half:]), *after]
    if not stream:
        gap, body = after[0]
        half = len(body) // 2
        return [(latency, head), (gap, body[:half])], [(0, body[half:])]
    whole = {"body": len(after) // 2, "before_done": len(after) - 1}.get(at, script.events_before)
    whole = max(0, min(whole, len(after) - 1))
    kept, rest = [(latency, head), *after[:whole]], after[whole:]
    if at == "mid_event" and rest:
        gap, event = rest[0]
        half = len(event) // 2
        kept.append((gap, event[:half]))
        rest[0] = (0, event[half:])
    return kept, rest


def _trickle(steps: list[Step], rate: float) -> list[Step]:
    data = b"".join(data for _, data in steps)
    size = max(1, round(rate * _SLOW_TICK_MS / 1000))
    return [(1000 * size / rate, data[i : i + size]) for i in range(0, len(data), size)]


def split(steps: Iterable[Step], size: int) -> Iterator[Step]:
    """Every write cut into writes of at most `size` bytes."""
    for gap, data in steps:
        yield gap, data[:size]
        for i in range(size, len(data), size):
            yield 0, data[i : i + size]


def coalesce(steps: Iterable[Step]) -> Iterator[Step]:
    """One write instead of all, after the first one's wait."""
    taken = list(steps)
    yield taken[0][0], b"".join(data for _, data in taken)


def reset(transport: BaseTransport) -> None:
    """Make the close that follows send RST: a linger time of zero discards the connection."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(transport: BaseTransport) -> None:
    """Send FIN and keep the receiving side. Also under TLS, where the transport itself cannot."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_WR)
