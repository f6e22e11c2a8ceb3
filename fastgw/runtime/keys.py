"""The key sets of identity providers as one worker knows them. The supervisor has them (runtime/jwks.py).

What the worker got once is served from its own memory until it is too old or the board shows that some key set has
changed; then the supervisor is asked, which costs a fraction of a millisecond, and says what is new.
"""

import asyncio
from collections.abc import Callable

from fastgw.gateway.keys import KeyAddress, KeySet, KeysUnavailable
from fastgw.runtime.link import FetchKeys, Keys


class _Held:
    """A key set, its version, and how long (loop time) it serves without asking, and asking again is in vain."""

    __slots__ = ("fresh_until", "keys", "settled_until", "version")

    def __init__(self, keys: KeySet, version: int) -> None:
        self.keys = keys
        self.version = version
        self.fresh_until = self.settled_until = 0.0


class WorkerKeys:
    """`send` takes a message to the supervisor, `newest` reads the version of the newest key set of the gateway."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[FetchKeys], None], newest: Callable[[], int]
    ) -> None:
        self._loop = loop
        self._send = send
        self._newest = newest
        self._seen = 0
        self._held: dict[KeyAddress, _Held] = {}
        self._asked: dict[tuple[KeyAddress, int, bool], asyncio.Future[Keys]] = {}
        self._open: dict[int, tuple[KeyAddress, int, bool]] = {}
        self._last = 0

    def current(self, address: KeyAddress) -> KeySet | None:
        """The key set, unless the supervisor has to be asked."""
        newest = self._newest()
        if newest != self._seen:
            self._seen = newest
            for held in self._held.values():
                held.fresh_until = held.settled_until = 0.0
        found = self._held.get(address)
        return found.keys if found is not None and self._loop.time() < found.fresh_until else None

    def may_refresh(self, address: KeyAddress, refused: KeySet) -> bool:
        """False while the set is the newest and the last attempt too young for another one."""
        held = self._held.get(address)
        return held is None or held.keys is not refused or self._loop.time() >= held.settled_until

    async def fetch(self, address: KeyAddress, refused: KeySet | None = None) -> KeySet:
        """The supervisor's key set. Callers that ask the same at the same time share one message. Raises
        KeysUnavailable."""
        held = self._held.get(address)
        if held is not None and refused is not None and held.keys is not refused:
            return held.keys  # came while the caller looked at the one before
        question = (address, 0, False) if held is None else (address, held.version, refused is not None)
        answer = self._asked.get(question)
        if answer is None:
            answer = self._ask(question)
        keys = await asyncio.shield(answer)
        if keys.error is not None:
            raise KeysUnavailable(keys.error)
        return self._held[address].keys

    def received(self, message: Keys) -> None:
        """An answer of the supervisor."""
        question = self._open.pop(message.id, None)
        if question is None:
            return
        # Before anyone else can run: who asks the same from now on must not be given this answer and the old set.
        answer = self._asked.pop(question)
        if message.error is None:
            self._hold(question[0], message)
        answer.set_result(message)

    def _ask(self, question: tuple[KeyAddress, int, bool]) -> "asyncio.Future[Keys]":
        address, version, refused = question
        self._last += 1
        self._open[self._last] = question
        answer = self._asked[question] = self._loop.create_future()
        self._send(FetchKeys(self._last, address.issuer, address.jwks_uri, version, refused))
        return answer

    def _hold(self, address: KeyAddress, keys: Keys) -> None:
        held = self._held.get(address)
        if keys.document is not None and (held is None or held.version != keys.version):
            held = self._held[address] = _Held(KeySet(keys.document), keys.version)
        assert held is not None
        now = self._loop.time()
        held.fresh_until, held.settled_until = now + keys.fresh, now + keys.settled
