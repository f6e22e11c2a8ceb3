"""Deadlines on a clock that only moves when told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.deadlines import Deadlines


class Timer:
    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due, self.call = due, call


class Clock:
    """The part of a loop that `Deadlines` uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, call)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.due <= end]:
            timer = min(due, key=lambda timer: timer.due)
            self.timers.remove(timer)
            self.now = max(self.now, timer.due)
            timer.call()
        self.now = end


def deadlines(clock: Clock, seconds: float, expired: Callable[[Any], None]) -> Deadlines[Any]:
    return Deadlines(cast(asyncio.AbstractEventLoop, clock), seconds, expired)


def test_items_expire_in_order_and_only_once() -> None:
    clock, out = Clock(), []
    queue = deadlines(clock, 10, lambda item: out.append((item, clock.now)))
    queue.add("a")
    clock.advance(4)
    queue.add("b")
    clock.advance(20)
    assert out == [("a", 10), ("b", 14)]
    assert len(queue) == 0
    assert clock.timers == []


def test_adding_again_starts_anew_and_discarding_forgets() -> None:
    clock, out = Clock(), []
    queue = deadlines(clock, 10, out.append)
    queue.add("a")
    queue.add("b")
    clock.advance(9)
    queue.add("a")
    queue.discard("b")
    queue.discard("never in")
    clock.advance(9)
    assert out == []
    clock.advance(1)
    assert out == ["a"]


def test_what_expires_may_add_and_discard() -> None:
    clock, out = Clock(), []

    def expired(item: str) -> None:
        out.append(item)
        queue.discard("b")
        if len(out) < 3:
            queue.add(item)

    queue = deadlines(clock, 10, expired)
    queue.add("a")
    queue.add("b")
    clock.advance(100)
    assert out == ["a", "a", "a"]


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc"), st.booleans()), max_size=40))
def test_agrees_with_a_timer_per_item(steps: list[tuple[float, str, bool]]) -> None:
    clock, due, out = Clock(), {}, []
    queue = deadlines(clock, 3, lambda item: out.append(item))
    expected = 0
    for wait, item, add in steps:
        expected += sum(at <= clock.now + wait for at in due.values())
        due = {key: at for key, at in due.items() if at > clock.now + wait}
        clock.advance(wait)
        # The clock's step is a millisecond.
        if any(abs(at - clock.now) < 0.002 for at in due.values()):
            return
        if add:
            queue.add(item)
            due[item] = clock.now + 3
        else:
            queue.discard(item)
            due.pop(item, None)
        assert len(out) == expected
        assert len(queue) == len(due)
    assert len(clock.timers) <= 1
