"""Fibers: one coroutine per request, driven from callbacks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastgw.core.fiber import Fiber, park


class Probe(Fiber):
    """A fiber that keeps what escaped it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.escaped: list[Exception] = []

    def crashed(self, error: Exception) -> None:
        self.escaped.append(error)


def run(test: Any) -> None:
    asyncio.run(test())


def test_park_takes_values_and_errors() -> None:
    async def scenario() -> None:
        fiber, seen = Probe(asyncio.get_running_loop()), []

        async def body() -> None:
            seen.append(await park())
            try:
                await park()
            except KeyError as error:
                seen.append(error.args[0])

        fiber.start(body())
        assert fiber.alive
        fiber.resume(1)
        fiber.throw(KeyError("x"))
        assert seen == [1, "x"]
        assert not fiber.alive
        fiber.resume()
        fiber.throw(KeyError("late"))
        assert fiber.escaped == []

    run(scenario)


def test_what_escapes_is_told_once() -> None:
    async def scenario() -> None:
        fiber = Probe(asyncio.get_running_loop())

        async def body() -> None:
            await park()
            raise ValueError("escaped")

        fiber.start(body())
        fiber.resume()
        fiber.resume()
        assert [str(error) for error in fiber.escaped] == ["escaped"]
        fiber.start(body())
        fiber.throw(OSError("thrown"))
        assert [str(error) for error in fiber.escaped] == ["escaped", "thrown"]

    run(scenario)


def test_wait_gives_results_and_errors_of_a_task() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        fiber, seen, over = Probe(loop), [], asyncio.Event()

        async def work(fail: bool) -> int:
            await asyncio.sleep(0)
            if fail:
                raise LookupError("in the task")
            return 5

        async def body() -> None:
            seen.append(await fiber.wait(work(False)))
            with pytest.raises(LookupError):
                await fiber.wait(work(True))
            await fiber.sleep(0.001)
            over.set()

        fiber.start(body())
        await asyncio.wait_for(over.wait(), 5)
        assert seen == [5]

    run(scenario)


def test_a_throw_cancels_what_is_waited_for() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        fiber, cancelled = Probe(loop), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async def body() -> None:
            await fiber.wait(work())

        fiber.start(body())
        await asyncio.sleep(0)
        fiber.throw(ConnectionError())
        await asyncio.wait_for(cancelled.wait(), 5)
        assert not fiber.alive

    run(scenario)


def test_a_result_that_comes_too_late_is_handed_back() -> None:
    """The task is done, its callback has not run yet, and something is thrown in: nobody may lose the result."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        fiber, unwanted = Probe(loop), []

        async def work() -> str:
            # Called before the callback of the task, in the same turn of the loop.
            loop.call_soon(fiber.throw, ConnectionError())
            return "a connection"

        async def body() -> None:
            await fiber.wait(work(), unwanted.append)

        fiber.start(body())
        await asyncio.sleep(0.01)
        assert unwanted == ["a connection"]
        assert len(fiber.escaped) == 1

    run(scenario)


def test_a_throw_ends_a_sleep() -> None:
    async def scenario() -> None:
        fiber, turns = Probe(asyncio.get_running_loop()), []

        async def body() -> None:
            try:
                await fiber.sleep(0.01)
            finally:
                turns.append(1)

        fiber.start(body())
        fiber.throw(ConnectionError())
        await asyncio.sleep(0.03)
        assert turns == [1]

    run(scenario)
