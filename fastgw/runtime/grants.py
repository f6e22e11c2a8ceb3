"""Access tokens for upstreams, obtained once for all workers.

The supervisor asks the authority of a grant and remembers the token until shortly before it expires; whoever comes
while a request is under way waits for that one. A worker remembers what it was told for as long as it holds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson

from fastgw.core.errors import GatewayError, cut, decode_error, misconfigured, transport_error
from fastgw.core.grants import Grant
from fastgw.providers.failures import answer_failure
from fastgw.providers.place import visible
from fastgw.runtime.link import Mint, Minted
from fastgw.runtime.outbound import FetchError, Reply

MARGIN = 60.0
"""Seconds before its end from which on a token is not used any more."""
MAX_SECONDS = 86400.0
"""Lifetime of a token that an authority is believed."""
MAX_TOKENS = 1024
"""Tokens that are remembered; beyond it the ones that have expired are dropped, then all."""
SHOWN = 500
"""Characters of an authority's refusal that an error repeats."""

Held = tuple[str, float]
"""A token and the loop time until which it serves."""


def keep(held: dict[Grant, Held], grant: Grant, token: str, until: float, now: float) -> None:
    """Remember a token."""
    if len(held) >= MAX_TOKENS:
        for old in [old for old, (_, end) in held.items() if end <= now]:
            del held[old]
        if len(held) >= MAX_TOKENS:
            held.clear()
    held[grant] = (token, until)


class GrantServer:
    """Answers the workers. `post` sends a form to an address (raises FetchError)."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, post: Callable[[str, dict[str, str]], Awaitable[Reply]]
    ) -> None:
        self._loop = loop
        self._post = post
        self._held: dict[Grant, Held] = {}
        self._asked: dict[Grant, asyncio.Task[Minted]] = {}

    async def answer(self, question: Mint) -> Minted:
        """The token for a worker, or why there is none."""
        grant, now = question.grant, self._loop.time()
        token, until = self._held.get(grant, ("", 0.0))
        if now < until:
            return Minted(question.id, token, until - now)
        asked = self._asked.get(grant)
        if asked is None:
            asked = self._asked[grant] = self._loop.create_task(self._mint(grant))
            asked.add_done_callback(lambda _: self._asked.pop(grant))
        minted = await asyncio.shield(asked)
        return msgspec.structs.replace(minted, id=question.id)

    async def _mint(self, grant: Grant) -> Minted:
        try:
            form = await asyncio.to_thread(grant.form, time.time())
        except ValueError as error:
            return Minted(0, failure="config", detail=str(error))
        try:
            reply = await self._post(grant.url, form)
        except FetchError as error:
            return Minted(0, failure="transport", detail=str(error))
        if reply.status >= 500 or 300 <= reply.status < 400:
            return Minted(0, failure="status", status=reply.status, retry_after=reply.retry_after)
        if reply.status >= 400:
            text = reply.body.decode("utf-8", "replace")
            return Minted(0, failure="config", detail=f"token endpoint returned {reply.status}: {text[:SHOWN]}")
        try:
            token, seconds = read_token(reply.body)
        except ValueError as error:
            return Minted(0, failure="decode", detail=str(error))
        now = self._loop.time()
        keep(self._held, grant, token, now + seconds - MARGIN, now)
        return Minted(0, token, seconds - MARGIN)


def read_token(body: bytes) -> tuple[str, float]:
    """Token and lifetime in seconds (RFC 6749 §5.1). Raises ValueError, whose text has nothing of the body."""
    document = orjson.loads(body) if body else None
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not visible(token):
        raise ValueError("token endpoint answered without a usable access_token")
    seconds = document.get("expires_in", 0) if isinstance(document, dict) else 0
    # Some authorities write the number as a string.
    try:
        return token, min(max(0.0, float(seconds)), MAX_SECONDS)
    except (TypeError, ValueError):
        raise ValueError("token endpoint answered with an expires_in that is no number") from None


class WorkerTokens:
    """The tokens as one worker knows them. `send` takes a message to the supervisor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Mint], None]) -> None:
        self._loop = loop
        self._send = send
        self._held: dict[Grant, Held] = {}
        self._asked: dict[Grant, asyncio.Future[Minted]] = {}
        self._open: dict[int, tuple[Grant, asyncio.Future[Minted]]] = {}
        self._last = 0

    def current(self, grant: Grant) -> str | None:
        """The token, when it is at hand."""
        token, until = self._held.get(grant, ("", 0.0))
        return token if self._loop.time() < until else None

    async def fetch(self, grant: Grant) -> str:
        """The token of the gateway. Raises the GatewayError that a call without it gets."""
        answer = self._asked.get(grant)
        if answer is None:
            answer = self._asked[grant] = self._loop.create_future()
            self._last += 1
            self._open[self._last] = (grant, answer)
            self._send(Mint(self._last, grant))
        minted = await asyncio.shield(answer)
        if minted.failure is not None:
            raise failure(minted)
        return minted.token

    def received(self, minted: Minted) -> None:
        """An answer of the supervisor."""
        grant, answer = self._open.pop(minted.id, (None, None))
        if grant is None or answer is None:
            return
        del self._asked[grant]
        if minted.failure is None:
            now = self._loop.time()
            keep(self._held, grant, minted.token, now + minted.seconds, now)
        answer.set_result(minted)


def failure(minted: Minted) -> GatewayError:
    """What a caller is told."""
    if minted.failure == "transport":
        return transport_error(f"token endpoint: {minted.detail}")
    if minted.failure == "status":
        hint = minted.retry_after.encode("latin-1", "replace") if minted.retry_after is not None else None
        return answer_failure(minted.status, b"", hint)
    if minted.failure == "decode":
        return decode_error(minted.detail)
    return misconfigured(cut(minted.detail))
