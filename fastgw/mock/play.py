"""Plays an answer, write by write, at its cadence.

All players share one wheel with slots of a millisecond: players that are due in the same millisecond cost one timer
together, and a thousand streams at 20 ms need at most a thousand timers a second however many events they send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from math import ceil

from .plan import Step


class Wheel:
    """Players waiting for their next write."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._slots: dict[int, list[Player]] = {}

    def add(self, due: float, player: Player) -> None:
        """Call ``player.fire()`` once the loop's clock has reached `due` milliseconds."""
        slot = ceil(due)
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(player)
            return
        self._slots[slot] = [player]
        self.loop.call_at(slot / 1000, self._turn, slot)

    def _turn(self, slot: int) -> None:
        for player in self._slots.pop(slot):
            player.fire()


class Player:
    """One answer on its way. Calls `done` when the last write was handed to the transport."""

    __slots__ = ("_blocked", "_data", "_done", "_due", "_late", "_steps", "_transport", "_wheel", "ending", "stream")

    def __init__(
        self,
        wheel: Wheel,
        transport: asyncio.WriteTransport,
        steps: Iterator[Step],
        done: Callable[[Player], None],
        *,
        ending: str,
        stream: bool,
    ) -> None:
        self.ending = ending
        self.stream = stream
        self._wheel = wheel
        self._transport: asyncio.WriteTransport | None = transport
        self._steps = steps
        self._done = done
        self._blocked = False
        self._late = False
        self._data = b""
        self._due = wheel.loop.time() * 1000

    def start(self) -> None:
        """Write what is due at once."""
        self._next(True)

    def stop(self) -> None:
        """The connection is gone."""
        self._transport = None

    def block(self) -> None:
        """The peer reads too slowly: hold the next write back."""
        self._blocked = True

    def unblock(self) -> None:
        self._blocked = False
        if self._late:
            self._late = False
            self._due = self._wheel.loop.time() * 1000
            self.fire()

    def fire(self) -> None:
        """The write that was waited for."""
        if self._transport is None:
            return
        if self._blocked:
            self._late = True
            return
        if self._data:
            self._transport.write(self._data)
        self._next(False)

    def _next(self, first: bool) -> None:
        step = next(self._steps, None)
        if step is None:
            self._done(self)
            return
        gap, self._data = step
        if gap > 0:
            self._due += gap
            self._wheel.add(self._due, self)
        elif first:
            self.fire()
        else:
            # Its own turn of the loop, so that the peer's side sees event after event as from a real model.
            self._wheel.loop.call_soon(self.fire)
