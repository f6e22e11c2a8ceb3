"""A client of the etcd v3 API through the JSON gateway that every etcd serves beside gRPC, on the same port.

It does what a configuration source needs: read all keys below a prefix at one revision, and follow their changes.
One endpoint is used at a time; the next one is tried when it fails.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import orjson
from msgspec import Struct

from fastgw.core.bodies import pieces, whole
from fastgw.resources.etcd import wire
from fastgw.resources.etcd.layout import Layout
from fastgw.resources.etcd.settings import EtcdSettings
from fastgw.resources.etcd.wire import Compacted, EtcdError, Event, KeyValue

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T", bound=Struct)

PAGE_BYTES: Final = 4 * 1024 * 1024
FIRST_PAGE: Final = 500
MAX_PAGE: Final = 10_000
PROBE_SECONDS: Final = 5.0
"""How often a watched server is asked for a sign of life: a watch may be silent for hours, as a frozen server is."""
SILENCE_SECONDS: Final = 900.0
"""A server reports progress on a silent watch every 10 minutes; a stream that has nothing for longer is stuck."""
MAX_LINE: Final = 64 * 1024 * 1024


class Loaded(NamedTuple):
    """All keys of a prefix, ascending, as they were at `revision`."""

    revision: int
    entries: list[KeyValue]


class EtcdClient:
    """`async with EtcdClient(settings, layout) as client`. One task at a time may use it."""

    def __init__(self, settings: EtcdSettings, layout: Layout) -> None:
        self._settings = settings
        self._layout = layout
        self._turn = 0
        self._connection: _Connection | None = None
        self._heard = float("-inf")

    def silence(self) -> float:
        """Seconds since a watched server has last given a sign of life; infinite before the first."""
        return asyncio.get_running_loop().time() - self._heard

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    async def load(self) -> Loaded:
        """Everything below the prefix at one revision. Every endpoint is tried once.

        Raises Compacted when that revision was compacted meanwhile, EtcdError when no endpoint could be read.
        """
        await self.drop()
        failures: list[str] = []
        count = len(self._settings.endpoints)
        for _ in range(count):
            endpoint = self._settings.endpoints[self._turn % count]
            connection = self._connection = _Connection(self._settings, endpoint)
            try:
                return await connection.read(self._layout)
            except Compacted:
                raise
            except EtcdError as error:
                failures.append(f"{endpoint}: {error}")
                await self.drop()
                self._turn += 1
        raise EtcdError("; ".join(failures))

    async def watch(self, revision: int) -> AsyncGenerator[list[Event], None]:
        """Changes from `revision` on, in the order of their revisions, grouped as they arrive; from the endpoint that
        `load` has read. Ends when the server ends the stream.

        Raises Compacted when the revision is gone, EtcdError when the server fails or gives no sign of life.
        """
        connection = self._connection
        if connection is None:
            raise EtcdError("not connected")
        try:
            async with contextlib.aclosing(connection.watch(self._layout, revision, self._hear)) as batches:
                async for events in batches:
                    yield events
        except Compacted:
            raise
        except EtcdError as error:
            self._turn += 1
            raise EtcdError(f"{connection.endpoint}: {error}") from None

    async def drop(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop()


class _Connection:
    """One endpoint, with a session of its own so that nothing of a broken one is used again."""

    def __init__(self, settings: EtcdSettings, endpoint: str) -> None:
        # Imported late: a gateway that reads a file does not need it, and it is most of a start.
        import aiohttp

        self.endpoint = endpoint
        self._settings = settings
        self._token: str | None = None
        dial, request = settings.dial_timeout, settings.request_timeout
        total = None if dial is None or request is None else dial + request
        self._unary = aiohttp.ClientTimeout(total=total, sock_connect=dial, sock_read=request)
        self._stream = aiohttp.ClientTimeout(total=None, sock_connect=dial, sock_read=None)
        self._first_message = total
        tls: dict[str, Any] = {} if settings.tls is None else {"ssl": settings.tls}
        self._tls = tls if settings.server_name is None else {**tls, "server_hostname": settings.server_name}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def close(self) -> None:
        await self._session.close()

    # -- range

    async def read(self, layout: Layout) -> Loaded:
        """Page by page at the revision of the first page. The size of a page follows the size of its rows."""
        entries: list[KeyValue] = []
        question: dict[str, Any] = {
            "key": wire.text(layout.key),
            "range_end": wire.text(layout.range_end),
            "limit": FIRST_PAGE,
        }
        while True:
            page = await self._call("/v3/kv/range", question, wire.Range)
            entries += page.kvs
            question.setdefault("revision", str(page.header.revision))
            if not page.more or not page.kvs:
                return Loaded(int(question["revision"]), entries)
            mean = sum(len(row.key) + len(row.value) for row in page.kvs) / len(page.kvs)
            question["limit"] = max(1, min(MAX_PAGE, int(PAGE_BYTES / (mean + 100))))
            # The first key after the last one of this page.
            question["key"] = wire.text(page.kvs[-1].key + b"\0")

    async def probe(self, layout: Layout) -> None:
        """A linearizable read of one key: also a member that has lost its cluster fails it."""
        await self._call("/v3/kv/range", {"key": wire.text(layout.key), "keys_only": True}, wire.Range)

    # -- watch

    async def watch(
        self, layout: Layout, revision: int, alive: Callable[[], None]
    ) -> AsyncGenerator[list[Event], None]:
        """As `EtcdClient.watch`; `alive` is called at signs of life."""
        import aiohttp

        question = {
            "create_request": {
                "key": wire.text(layout.key),
                "range_end": wire.text(layout.range_end),
                "start_revision": str(revision),
                "progress_notify": True,
            }
        }
        try:
            async with asyncio.timeout(self._first_message):
                response = await self._open("/v3/watch", question)
        except TimeoutError:
            raise EtcdError("timeout") from None
        pulse = _Pulse(self, layout, response, alive)
        try:
            async for messages in _messages(response, pulse):
                events, end = _read(messages)
                if events:
                    yield events
                if isinstance(end, EtcdError):
                    raise end
                if end is not None:
                    return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The pulse closes a response whose server is dead: its reason is the one to tell.
            raise pulse.failure or EtcdError(_reason(error)) from None
        finally:
            pulse.stop()
            response.close()

    async def _open(self, path: str, question: dict[str, Any]) -> "aiohttp.ClientResponse":
        """The response of a streaming call, its head read."""
        return await self._authorised(lambda: self._send(path, question, self._stream))

    # -- calls

    async def _call(self, path: str, question: dict[str, Any], kind: type[T]) -> T:
        async with await self._authorised(lambda: self._send(path, question, self._unary)) as response:
            return wire.decode(await _body(response), kind)

    async def _authorised(
        self, send: "Callable[[], Coroutine[Any, Any, aiohttp.ClientResponse]]"
    ) -> "aiohttp.ClientResponse":
        """Send with a token when there are credentials; with a new one, once, when it was not accepted."""
        fresh = self._settings.credentials is not None and self._token is None
        if fresh:
            self._token = await self._authenticate()
        try:
            return await send()
        except _BadToken:
            if fresh or self._settings.credentials is None:
                raise
            self._token = await self._authenticate()
            return await send()

    async def _authenticate(self) -> str:
        """A token; empty when the server does not ask for one."""
        assert self._settings.credentials is not None
        name, password = self._settings.credentials
        self._token = None
        question = {"name": name, "password": password}
        try:
            async with await self._send("/v3/auth/authenticate", question, self._unary) as response:
                return wire.decode(await _body(response), wire.Token).token
        except EtcdError as error:
            if wire.AUTH_OFF in str(error):
                return ""
            raise

    async def _send(
        self, path: str, question: dict[str, Any], limits: "aiohttp.ClientTimeout"
    ) -> "aiohttp.ClientResponse":
        """A response with status 200. Raises EtcdError, Compacted or _BadToken."""
        import aiohttp

        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = self._token
        try:
            response = await self._session.post(
                self.endpoint + path,
                data=orjson.dumps(question),
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                **self._tls,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EtcdError(_reason(error)) from None
        if response.status == 200:
            return response
        async with response:
            raise _refusal(response.status, await _body(response))


class _BadToken(EtcdError):
    """The token has expired or was never valid."""


class _Ended(Exception):
    """The server has ended the watch, without saying that anything is wrong."""


class _Pulse:
    """Watches a watch: closes the response when the server gives no sign of life, with the reason in `failure`."""

    def __init__(
        self,
        connection: _Connection,
        layout: Layout,
        response: "aiohttp.ClientResponse",
        alive: Callable[[], None],
    ) -> None:
        self.failure: EtcdError | None = None
        self._connection = connection
        self._layout = layout
        self._response = response
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._task = self._loop.create_task(self._run())

    def heard(self) -> None:
        """Something has arrived on the stream."""
        self._heard = self._loop.time()
        self._alive()

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                if self._loop.time() - self._heard > SILENCE_SECONDS:
                    raise EtcdError("the watch is stuck")
                await self._connection.probe(self._layout)
                self._alive()
            except EtcdError as error:
                self.failure = error
                self._response.close()
                return


async def _body(response: "aiohttp.ClientResponse") -> bytes:
    """The whole of an answer. Raises EtcdError when it breaks off."""
    import aiohttp

    try:
        return await whole(response)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise EtcdError(_reason(error)) from None


async def _messages(response: "aiohttp.ClientResponse", pulse: _Pulse) -> AsyncIterator[list[wire.StreamLine]]:
    """The messages of a stream, one per line, all that arrived together in one list."""
    rest: list[bytes] = []
    size = 0
    async with contextlib.aclosing(pieces(response)) as arriving:
        async for data in arriving:
            pulse.heard()
            size += len(data)
            if size > MAX_LINE:
                raise EtcdError("a message of the watch is too long")
            if b"\n" not in data:
                rest.append(data)
                continue
            *lines, last = b"".join((*rest, data)).split(b"\n")
            rest, size = [last], len(last)
            yield [wire.decode(line, wire.StreamLine) for line in lines if line.strip()]
    if pulse.failure is not None:
        raise pulse.failure
    if any(rest):
        # The last message of a server that shuts down comes without an end of line.
        try:
            yield [wire.decode(b"".join(rest), wire.StreamLine)]
        except EtcdError:
            raise EtcdError("the watch ended within a message") from None


def _read(messages: list[wire.StreamLine]) -> tuple[list[Event], EtcdError | _Ended | None]:
    """The changes in some messages, and what ends the watch after them."""
    events: list[Event] = []
    for message in messages:
        if message.error is not None:
            return events, _end(message.error.message or "the watch failed")
        if message.result is None:
            return events, EtcdError("the answer is not what an etcd gateway sends")
        events += message.result.events
        if message.result.compact_revision > 0:
            return events, Compacted(wire.COMPACTED)
        if message.result.canceled:
            return events, _end(message.result.cancel_reason)
    return events, None


def _end(reason: str) -> EtcdError | _Ended:
    if not reason:
        return _Ended()
    return Compacted(wire.COMPACTED) if wire.COMPACTED in reason else EtcdError(_printable(reason))


def _refusal(status: int, body: bytes) -> EtcdError:
    try:
        failure = wire.decode(body, wire.Failure)
    except EtcdError:
        return EtcdError(f"HTTP status {status}")
    message = _printable(failure.message) or f"HTTP status {status}"
    if wire.COMPACTED in message:
        return Compacted(message)
    if failure.code == wire.INVALID_TOKEN or wire.STALE_AUTH in message:
        return _BadToken(message)
    return EtcdError(message)


def _printable(message: str) -> str:
    return "".join(char if char.isprintable() else " " for char in message[:200])


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return _printable(str(error)) or type(error).__name__
