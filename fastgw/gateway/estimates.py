"""Token counters that the upstream left at 0, counted from the prompt and from what the caller was given.

Each counter is filled by itself, for accounts only: the answer stays as it is. The last bytes of an answer wait for
this, so that whoever has read them finds the counters; everything before them does not. Up to INLINE bytes are counted
at once, more in one thread per worker, so that the event loop goes on and counting takes one CPU at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastgw._speedups.tokens import Table
from fastgw.core.errors import ClientGone
from fastgw.core.tables import Shared
from fastgw.gateway.call import Call
from fastgw.gateway.exchange import Exchange
from fastgw.policy.estimate import INLINE, encoding_for, estimate_output

Said = Callable[[], tuple[bytes, int]]
"""The text that an answer gave to its caller, and how many bytes of it are not in there."""


def lacking(ex: Exchange, call: Call) -> bool:
    """Whether the upstream left a counter at 0 that may be filled."""
    return call.metered and (not ex.prompt_tokens or (call.generates and not ex.completion_tokens))


class Estimates:
    """One per worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tables: Shared) -> None:
        self._loop = loop
        self._tables = tables
        self._thread: ThreadPoolExecutor | None = None

    async def fill(self, ex: Exchange, call: Call, said: Said, size: int) -> None:
        """Fill what is lacking; `size` bounds the bytes of the answer. The timers of the attempt must have ended.

        A caller that leaves meanwhile is counted all the same: ClientGone is raised when that is done. What cannot be
        counted stays 0 and is logged.
        """
        prompt = call if not ex.prompt_tokens else None
        output = said if call.generates and not ex.completion_tokens else None
        size = (len(call.body) if prompt is not None else 0) + (size if output is not None else 0)
        gone: ClientGone | None = None
        try:
            assert ex.target is not None
            name = encoding_for(ex.target.model_name)
            table = self._tables.get(name)
            if table is not None and size <= INLINE:
                counts = count(table, prompt, output)
            else:
                task = self._loop.create_task(self._away(name, prompt, output))
                try:
                    await ex.wait(ended(task))
                except ClientGone as left:
                    gone = left
                    await ex.wait(ended(task))
                counts = task.result()
        except Exception as defect:
            ex.gateway.log.defect("token count failed", defect, ex.request_id)
        else:
            ex.prompt_tokens = ex.prompt_tokens or counts[0]
            ex.completion_tokens = ex.completion_tokens or max(counts[1], getattr(ex.reported, "floor", 0))
            ex.usage_estimated = counts != (0, 0)
            names = ("cache_creation_tokens", "cache_read_tokens")
            beside = sum(getattr(ex.reported, name, 0) for name in names)  # counted on top of the prompt
            ex.total_tokens = max(ex.total_tokens, ex.prompt_tokens + ex.completion_tokens + beside)
        if gone is not None:
            raise gone

    async def _away(self, name: str, prompt: Call | None, output: Said | None) -> tuple[int, int]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "token-count")
        table = await self._tables.wait(name)
        return await self._loop.run_in_executor(self._thread, count, table, prompt, output)


async def ended(task: "asyncio.Task[tuple[int, int]]") -> None:
    """Wait for a task that goes on when the waiting is given up."""
    await asyncio.wait({task})


def count(table: Table, prompt: Call | None, output: Said | None) -> tuple[int, int]:
    """Prompt and completion tokens, 0 for what is not asked for."""
    return (
        prompt.count_prompt(table) if prompt is not None else 0,
        estimate_output(table, *output()) if output is not None else 0,
    )
