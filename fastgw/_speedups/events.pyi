"""Server-sent events split into their data, and plain text pieces of known protocols rewritten on the spot."""

from typing import final

PLAIN: int
MESSAGES: int
CHAT: int

@final
class EventReader:
    """Splits a stream into the data of its events: feed in any pieces, then finish."""

    head: bytes
    tail: bytes
    def __new__(cls, shape: int = 0, *, silent: bool = False, max_event: int = 33554432) -> EventReader: ...
    @property
    def ready(self) -> bytes: ...
    @property
    def fast(self) -> int: ...
    @property
    def overflow(self) -> bool: ...
    def listen(self, heard: bytearray, room: int) -> None: ...
    def feed(self, data: bytes) -> list[bytes]: ...
    def finish(self) -> bytes: ...
