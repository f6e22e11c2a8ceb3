"""One coroutine per request without an asyncio Task.

A `Fiber` drives a coroutine from protocol callbacks: the coroutine parks, and whoever has its answer calls
`resume()` or `throw()`, synchronously. That saves the Task, the Future and two passes of the event loop that
asyncio would spend per wait, which is a third of the budget of a request. What needs asyncio itself (dialling,
sleeping) goes through `wait()`, which is the slow path and costs a Task.

A fiber is not a Task: `asyncio.current_task()` is not it, and `asyncio.timeout()` does not work inside one
except within what `wait()` runs.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def park() -> Generator[None, Any, Any]:
    """Suspend the running fiber until `resume(value)`; returns the value, raises what was thrown."""
    return (yield)


class Fiber:
    """Owner of one coroutine. Subclasses override `crashed` to handle what escapes it."""

    __slots__ = ("_awaited", "_coroutine", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._coroutine: Coroutine[None, Any, None] | None = None
        self._awaited: asyncio.Task[Any] | asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        """True from `start` until the coroutine has returned or raised."""
        return self._coroutine is not None

    def start(self, body: Coroutine[None, Any, None]) -> None:
        """Run `body` until it parks for the first time."""
        self._coroutine = body
        self.resume()

    def resume(self, value: object = None) -> None:
        """Continue the parked coroutine. Must not be called while it runs. No-op once it has ended."""
        body = self._coroutine
        if body is None:
            return
        try:
            body.send(value)
        except StopIteration:
            self._coroutine = None
        except Exception as error:
            self._coroutine = None
            self.crashed(error)

    def throw(self, error: BaseException) -> None:
        """Raise `error` at the point where the coroutine is parked. No-op once it has ended."""
        body = self._coroutine
        if body is None:
            return
        try:
            body.throw(error)
        except StopIteration:
            self._coroutine = None
        except Exception as escaped:
            self._coroutine = None
            self.crashed(escaped)

    def crashed(self, error: Exception) -> None:
        """Called with an exception that left the coroutine."""
        self.loop.call_exception_handler({"message": "a fiber crashed", "exception": error})

    async def wait(self, awaitable: Coroutine[Any, Any, T], unwanted: Callable[[T], object] | None = None) -> T:
        """Run an asyncio coroutine as a Task; it is cancelled when something is thrown into the fiber.

        `unwanted` gets the result of a task that was already done then: a cancellation comes too late for it.
        """
        task = self.loop.create_task(awaitable)
        self._awaited = task
        task.add_done_callback(self._task_done)
        try:
            await park()
        except BaseException:
            self._awaited = None
            if not task.cancel() and unwanted is not None and not task.cancelled() and task.exception() is None:
                unwanted(task.result())
            raise
        return task.result()

    async def sleep(self, seconds: float) -> None:
        """Park for a time; whatever is thrown in ends it early."""
        handle = self.loop.call_later(seconds, self._slept)
        self._awaited = handle
        try:
            await park()
        except BaseException:
            self._awaited = None
            handle.cancel()
            raise

    def _task_done(self, task: "asyncio.Task[Any]") -> None:
        if self._awaited is task:
            self._awaited = None
            self.resume()
        elif not task.cancelled():
            task.exception()

    def _slept(self) -> None:
        self._awaited = None
        self.resume()
