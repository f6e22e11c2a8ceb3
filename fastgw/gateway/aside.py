"""Requests in the words of the upstream.

A large one takes long to translate, up to seconds for one of very many small messages. It is done in one thread per
worker, so that the event loop goes on and translations take one CPU at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from fastgw.gateway.call import Call
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.snapshot import Target
from fastgw.providers.adapter import Endpoint, Speaker

AT_ONCE = 262_144
"""Bytes of a request that is translated on the spot, in a few milliseconds."""

T = TypeVar("T")


class Aside:
    """The thread of a worker, made when it is first wanted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives, or raises. When nobody waits any more it is not begun."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "translation")
        return await self._loop.run_in_executor(self._thread, work)


async def outgoing(ex: Exchange, call: Call, target: Target, endpoint: Endpoint) -> tuple[Speaker, bytes]:
    """The speaker of an attempt, and the body for the upstream. Raises GatewayError or ClientGone."""
    if endpoint.translate is None or len(call.body) <= AT_ONCE:
        return spoken(call, target, endpoint)
    return await ex.wait(ex.gateway.aside.run(partial(spoken, call, target, endpoint)))


def spoken(call: Call, target: Target, endpoint: Endpoint) -> tuple[Speaker, bytes]:
    """The same without a look at the size. What it does with the call must be allowed in any thread."""
    speaker: Speaker = call if endpoint.translate is None else endpoint.translate(call, target)
    body = speaker.upstream_body(target)
    if target.overrides is not None and endpoint.edited:
        body = target.overrides.apply_body(body, flatten=endpoint.flatten)
    return speaker, body
