"""What the renderers of streams share: the events that wait to be taken, and an end that waits for the counters."""

from abc import ABC, abstractmethod

from fastgw._speedups.events import Frame
from fastgw.providers.canonical import Usage


class EventRenderer:
    """Keeps what was written until it is taken. Without frames until a subclass sets them."""

    __slots__ = ("_out", "frame", "over", "tool_frame")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self.frame: Frame | None = None
        self.tool_frame: tuple[int, Frame] | None = None
        self.over = False

    def choice(self, index: int) -> None:
        """Only chat callers can ask for more than one answer."""

    def take(self) -> bytes:
        """The events since the last call."""
        if not self._out:
            return b""
        out = b"".join(self._out)
        self._out.clear()
        return out


class CountedRenderer(EventRenderer, ABC):
    """One whose last event has the counters: it waits for the finish reason and for them, or for the upstream's end."""

    __slots__ = ("_finish", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._finish: str | None = None
        self._usage: Usage | None = None

    def usage(self, usage: Usage) -> None:
        """Counters, which end an answer that waits for them."""
        self._usage = usage
        if self._finish is not None:
            self._stop()

    def end(self) -> None:
        """The upstream has ended."""
        self._stop()

    def _finished(self, reason: str, usage: Usage | None) -> None:
        """The answer is over; it ends now if its counters came along. Those from before may not be the last ones."""
        self._finish = reason
        if usage is not None:
            self._usage = usage
            self._stop()

    @abstractmethod
    def _stop(self) -> None:
        """Write the end, once."""
