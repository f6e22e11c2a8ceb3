"""Messages of `application/vnd.amazon.eventstream`: framing, both checksums, the headers that say what a message is."""

from typing import final

EVENT: int
EXCEPTION: int
ERROR: int
BROKEN: int
LARGE: int

@final
class MessageReader:
    """Splits a stream into its messages: feed in any pieces, then finish."""

    def __new__(cls, *, max_message: int = 33554432) -> MessageReader: ...
    @property
    def failure(self) -> int: ...
    def feed(self, data: bytes) -> list[tuple[int, bytes, bytes]]: ...
    def finish(self) -> int: ...
