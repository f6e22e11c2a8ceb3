"""Work whose cost must not grow faster than what it is given."""

from collections.abc import Callable
from time import thread_time
from typing import TypeVar

SECONDS = 20.0
"""Processor time that a piece of work may take. Each needs a second or less, and steps times steps minutes."""

T = TypeVar("T")


def timed(work: Callable[[], T]) -> T:
    """What the work gives, which must not take long."""
    started = thread_time()
    made = work()
    assert thread_time() - started < SECONDS
    return made
