"""Many timers of one length for the price of a dict entry each.

Items that expire after the same number of seconds expire in the order in which they were added, so an
insertion-ordered dict and one event-loop timer for its first entry do what a timer per item would: `add` and
`discard` are O(1) dict operations, and no loop timer is created or cancelled per request.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `expired(item)` once an item has been in for `seconds`, unless it is discarded first. `due` holds what is
    in; its truth is what a hot path asks."""

    __slots__ = ("_expired", "_handle", "_loop", "due", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._loop = loop
        self._expired = expired
        self.due: dict[T, float] = {}
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.due)

    def add(self, item: T) -> None:
        """Start the item's time, or start it anew."""
        due = self.due
        if item in due:
            del due[item]
        due[item] = self._loop.time() + self.seconds
        if self._handle is None:
            self._handle = self._loop.call_later(self.seconds, self._sweep)

    def discard(self, item: T) -> None:
        """Forget the item; no-op when it is not in."""
        self.due.pop(item, None)

    def _sweep(self) -> None:
        # `_handle` stays set while items expire: one that is added again must not start a second timer.
        due, now = self.due, self._loop.time()
        try:
            while due:
                item = next(iter(due))
                # The loop's clock has millisecond steps: a timer may fire that much early.
                if due[item] - now > 0.001:
                    break
                del due[item]
                self._expired(item)
        finally:
            first = next(iter(due.values()), None)
            self._handle = None if first is None else self._loop.call_later(max(first - now, 0.0), self._sweep)
