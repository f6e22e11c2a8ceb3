"""Large requests are translated beside the event loop."""

import asyncio
import threading
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.gateway.aside import AT_ONCE, Aside, outgoing

SECONDS = 20.0


class Speaker:
    """Says on which thread it was asked for a body."""

    def upstream_body(self, target: object) -> bytes:
        return threading.current_thread().name.encode()


def attempt(size: int, translate: Any, loop: asyncio.AbstractEventLoop) -> Coroutine[Any, Any, tuple[Any, bytes]]:
    """The translation of a request of that size."""

    async def wait(work: Coroutine[Any, Any, Any]) -> Any:
        return await work

    ex: Any = SimpleNamespace(wait=wait, gateway=SimpleNamespace(aside=Aside(loop)))
    call: Any = SimpleNamespace(body=b" " * size, upstream_body=Speaker().upstream_body)
    target: Any = SimpleNamespace(overrides=None)
    endpoint: Any = SimpleNamespace(translate=translate, edited=True, flatten=True)
    return outgoing(ex, call, target, endpoint)


def test_the_loop_goes_on() -> None:
    async def run() -> None:
        loop, went_on = asyncio.get_running_loop(), threading.Event()

        def translate(call: object, target: object) -> Speaker:
            assert went_on.wait(SECONDS)
            return Speaker()

        loop.call_soon(went_on.set)
        _, body = await attempt(AT_ONCE + 1, translate, loop)
        assert body.startswith(b"translation")

    asyncio.run(run())


@pytest.mark.parametrize("translate", [None, lambda call, target: Speaker()])
@pytest.mark.parametrize("size", [0, AT_ONCE, AT_ONCE + 1])
def test_what_is_done_at_once(translate: Any, size: int) -> None:
    async def run() -> None:
        _, body = await attempt(size, translate, asyncio.get_running_loop())
        aside = translate is not None and size > AT_ONCE
        assert body.startswith(b"translation" if aside else threading.current_thread().name.encode())

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, AT_ONCE + 1])
def test_a_refusal_is_one(size: int) -> None:
    def translate(call: object, target: object) -> Speaker:
        raise invalid_request("no")

    async def run() -> None:
        with pytest.raises(GatewayError, match="no"):
            await attempt(size, translate, asyncio.get_running_loop())

    asyncio.run(run())
