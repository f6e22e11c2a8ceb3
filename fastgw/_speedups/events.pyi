"""Server-sent events split into their data, and plain text pieces of known protocols rewritten on the spot."""

from typing import final

PLAIN: int
MESSAGES: int
CHAT: int
RESPONSES: int

@final
class Numbers:
    """The numbers of a stream's events."""

    next: int

@final
class Frame:
    """What is written around a piece of text, with a number or without."""

    def __init__(
        self,
        head: bytes,
        tail: bytes,
        middle: bytes = b"",
        numbers: Numbers | None = None,
        kept: bytearray | None = None,
    ) -> None: ...

@final
class EventReader:
    """Splits a stream into the data of its events: feed in any pieces, then finish."""

    frame: Frame | None
    def __new__(cls, shape: int = 0, *, silent: bool = False, max_event: int = 33554432) -> EventReader: ...
    @property
    def ready(self) -> bytes: ...
    @property
    def fast(self) -> int: ...
    @property
    def overflow(self) -> bool: ...
    def tool(self, index: int, frame: Frame | None) -> None: ...
    def listen(self, heard: bytearray, calls: bytearray, room: int) -> None: ...
    def feed(self, data: bytes) -> list[bytes]: ...
    def finish(self) -> bytes: ...
