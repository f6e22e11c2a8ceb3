"""Keep up with etcd for ever: read everything, follow the changes, begin again when that is cut short."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastgw.resources.etcd.client import EtcdClient, Loaded
from fastgw.resources.etcd.wire import Compacted, EtcdError, Event

RESYNC_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0
RETRY_MAX: Final = 60.0


class Sink(Protocol):
    """Who wants to know. The next event is handed over when the coroutine of the one before has returned."""

    async def loaded(self, loaded: Loaded) -> None:
        """Everything that there is; what is not in it is gone. May raise EtcdError, to be asked again later."""

    async def changed(self, events: list[Event]) -> None:
        """Changes since then, in order, as many as have arrived."""

    def failed(self, error: EtcdError) -> None:
        """etcd cannot be read or followed; what is known stays as it is."""


async def follow(client: EtcdClient, sink: Sink, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Runs until it is cancelled.

    A compaction or the server's end of a watch is no failure: everything is read again a moment later. After a failure
    the wait begins at a second and doubles, until a watch has lasted longer than the wait before it.
    """
    clock = asyncio.get_running_loop().time
    wait = RETRY_SECONDS
    while True:
        watching = None
        try:
            loaded = await client.load()
            await sink.loaded(loaded)
            revision = loaded.revision + 1
            # Rows are not needed twice.
            del loaded
            watching = clock()
            async with contextlib.aclosing(client.watch(revision)) as batches:
                async for events in batches:
                    await sink.changed(events)
            wait, pause = RETRY_SECONDS, RESYNC_SECONDS
        except Compacted:
            wait, pause = RETRY_SECONDS, RESYNC_SECONDS
        except EtcdError as error:
            sink.failed(error)
            if watching is not None and clock() - watching >= wait:
                wait = RETRY_SECONDS
            pause, wait = wait, min(2 * wait, RETRY_MAX)
        finally:
            await client.drop()
        await sleep(pause)
