"""Filling counters: at once, in the thread, with tables that are not there yet, for callers that leave."""

import asyncio
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw._speedups.tokens import Table
from fastgw.core import tables
from fastgw.core.errors import ClientGone
from fastgw.core.fiber import Fiber
from fastgw.gateway.estimates import Estimates, lacking
from fastgw.policy.estimate import INLINE

NAME = "cl100k_base"


class Asked:
    """A call whose prompt has as many tokens as it has words."""

    generates = True
    metered = True

    def __init__(self, body: bytes = b"a b c", fault: Exception | None = None) -> None:
        self.body = body
        self.threads: list[int] = []
        self.held = threading.Event()
        self.held.set()
        self._fault = fault

    def count_prompt(self, table: Table) -> int:
        self.threads.append(threading.get_ident())
        assert table.name == NAME
        assert self.held.wait(20)
        if self._fault is not None:
            raise self._fault
        return len(self.body.split())


class Served(Fiber):
    """As much of an exchange as is needed, and what became of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, prompt: int = 0, completion: int = 0, total: int = 0) -> None:
        super().__init__(loop)
        self.prompt_tokens, self.completion_tokens, self.total_tokens = prompt, completion, total
        self.usage_estimated = False
        self.reported: Any = None
        self.target = SimpleNamespace(model_name="gpt-4")
        self.request_id = b"id"
        self.defects: list[str] = []
        log = SimpleNamespace(defect=lambda message, error, request_id: self.defects.append(f"{message}: {error}"))
        self.gateway = SimpleNamespace(log=log)
        self.outcome: BaseException | str | None = None

    def fill(self, estimates: Estimates, call: Any, said: bytes = b"Hello world", size: int | None = None) -> None:
        async def run() -> None:
            ex: Any = self
            try:
                await estimates.fill(ex, call, lambda: (said, 0), len(said) if size is None else size)
            except BaseException as error:
                self.outcome = error
            else:
                self.outcome = "filled"

        self.start(run())

    async def ended(self) -> None:
        while self.alive:
            await asyncio.sleep(0.001)

    @property
    def counts(self) -> tuple[int, int, int, bool]:
        return self.prompt_tokens, self.completion_tokens, self.total_tokens, self.usage_estimated


def shared() -> tables.Shared:
    return tables.Shared({NAME: tables.inflate(NAME)})


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ((0, 0, 0), (3, 2, 5, True)),
        ((9, 0, 0), (9, 2, 11, True)),
        ((0, 9, 0), (3, 9, 12, True)),
        ((0, 0, 40), (3, 2, 40, True)),
        ((9, 9, 0), (9, 9, 18, False)),
    ],
)
@pytest.mark.parametrize("size", [10, INLINE + 1])
def test_each_counter_by_itself(known: tuple[int, int, int], counts: tuple[int, int, int, bool], size: int) -> None:
    async def run() -> None:
        call = Asked()
        ex = Served(asyncio.get_running_loop(), *known)
        ex.fill(Estimates(asyncio.get_running_loop(), shared()), call, size=size)
        await ex.ended()
        assert (ex.counts, ex.outcome, ex.defects) == (counts, "filled", [])
        away = size > INLINE and not known[1]
        assert all((thread != threading.get_ident()) == away for thread in call.threads)

    asyncio.run(run())


def test_what_is_lacking() -> None:
    text: Any = Asked()
    vectors: Any = SimpleNamespace(generates=False, metered=True)
    counted: Any = SimpleNamespace(generates=False, metered=False)
    for prompt, completion, of_text, of_vectors in ((1, 1, False, False), (1, 0, True, False), (0, 1, True, True)):
        ex: Any = SimpleNamespace(prompt_tokens=prompt, completion_tokens=completion)
        assert (lacking(ex, text), lacking(ex, vectors), lacking(ex, counted)) == (of_text, of_vectors, False)


def test_an_estimate_of_nothing_is_none() -> None:
    async def run() -> None:
        ex = Served(asyncio.get_running_loop(), 9)
        ex.fill(Estimates(asyncio.get_running_loop(), shared()), Asked(), b"")
        assert (ex.counts, ex.outcome) == ((9, 0, 9, False), "filled")

    asyncio.run(run())


def test_a_large_prompt_goes_to_the_thread_and_the_loop_goes_on() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        estimates, call, small = Estimates(loop, shared()), Asked(b"x " * INLINE), Asked()
        call.held.clear()
        ex, other = Served(loop), Served(loop)
        ex.fill(estimates, call)
        await asyncio.sleep(0)
        other.fill(estimates, small)
        assert other.counts == (3, 2, 5, True), "small ones do not queue behind it"
        assert ex.alive
        call.held.set()
        await ex.ended()
        assert ex.counts == (INLINE, 2, INLINE + 2, True)

    asyncio.run(run())


def test_a_caller_that_leaves_is_counted_to_the_end() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        estimates, call = Estimates(loop, shared()), Asked(b"x " * INLINE)
        call.held.clear()
        ex = Served(loop)
        ex.fill(estimates, call)
        await asyncio.sleep(0.01)
        ex.throw(ClientGone())
        await asyncio.sleep(0.01)
        assert ex.alive
        call.held.set()
        await ex.ended()
        assert isinstance(ex.outcome, ClientGone)
        assert ex.counts == (INLINE, 2, INLINE + 2, True)

    asyncio.run(run())


@pytest.mark.parametrize("size", [10, INLINE + 1])
def test_what_cannot_be_counted_stays_0_and_is_logged(size: int) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        ex = Served(loop)
        ex.fill(Estimates(loop, shared()), Asked(fault=ValueError("no such text")), size=size)
        await ex.ended()
        assert (ex.counts, ex.outcome) == ((0, 0, 0, False), "filled")
        assert ex.defects == ["token count failed: no such text"]

    asyncio.run(run())


def test_a_table_that_is_being_filled_is_waited_for() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        fd = tables.reserve(NAME)
        kept = os.dup(fd)
        ex = Served(loop)
        ex.fill(Estimates(loop, tables.Shared({NAME: fd})), Asked())
        await asyncio.sleep(2.5 * tables.POLL_SECONDS)
        assert ex.alive and ex.counts == (0, 0, 0, False)
        tables.fill(kept, NAME)
        os.close(kept)
        await ex.ended()
        assert ex.counts == (3, 2, 5, True)

    asyncio.run(run())
