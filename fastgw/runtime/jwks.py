"""Key sets and discovery documents of identity providers, fetched once for all workers.

Rules of the file, per address: a document serves for `CACHE_SECONDS`; it is asked for at most once in `SPACING`,
however many tokens want it; whoever comes while a request is under way waits for that one; when it fails, the last good
document keeps serving, and nobody waits for an issuer that is known to be down.
"""

import asyncio
from collections.abc import Awaitable, Callable

from fastgw.core.json import load
from fastgw.core.urls import embeds_credentials, origin
from fastgw.runtime.link import FetchKeys, Keys
from fastgw.runtime.outbound import FetchError
from fastgw.telemetry.log import Log

CACHE_SECONDS = 600.0
SPACING = 1.0


class _Document:
    """One address. Times are loop times; `version` 0: there is no document yet."""

    __slots__ = ("attempt", "attempted", "data", "error", "fetched", "version")

    def __init__(self) -> None:
        self.data = b""
        self.version = 0
        self.fetched = self.attempted = float("-inf")
        self.error: str | None = None
        self.attempt: asyncio.Task[None] | None = None


class KeyServer:
    """Answers the workers. `fetch` gets an address (raises FetchError); `changed` is told the version of every new
    document, which is never used twice."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fetch: Callable[[str], Awaitable[bytes]],
        changed: Callable[[int], None],
        log: Log,
    ) -> None:
        self._loop = loop
        self._fetch = fetch
        self._changed = changed
        self._log = log
        self._version = 0
        self._documents: dict[str, _Document] = {}

    async def answer(self, question: FetchKeys) -> Keys:
        """The key set for a worker; without its bytes when the worker has them already."""
        try:
            address = question.jwks_uri or await self._discover(question.issuer)
            document = await self._document(address, check_key_set, question.have if question.refused else 0)
        except FetchError as error:
            return Keys(question.id, error=str(error))
        now = self._loop.time()
        spaced = max(0.0, document.attempted + SPACING - now)
        fresh = document.fetched + CACHE_SECONDS - now
        return Keys(
            question.id,
            document.version,
            None if document.version == question.have else document.data,
            fresh if fresh > 0 else spaced,
            # Nobody knows yet what a fetch that is under way brings: who lacks a key may wait for it, unless the issuer
            # is known to be down.
            0.0 if document.attempt is not None and document.error is None else spaced,
        )

    async def _discover(self, issuer: str) -> str:
        """The address of the issuer's key set, by its discovery document. Raises FetchError."""
        address = issuer.removesuffix("/") + "/.well-known/openid-configuration"
        document = await self._document(address, lambda data: check_discovery(data, issuer))
        return check_discovery(document.data, issuer)

    async def _document(self, address: str, check: Callable[[bytes], object], refused: int = 0) -> _Document:
        """What is at the address; `refused` is a version that will not do if there is a newer one. Raises FetchError
        when nothing is there and nothing was."""
        document = self._documents.get(address)
        if document is None:
            document = self._documents[address] = _Document()
        now = self._loop.time()
        wanted = bool(document.version) and refused == document.version
        if wanted or now - document.fetched >= CACHE_SECONDS:
            if document.attempt is None and now - document.attempted >= SPACING:
                document.attempted = now
                document.attempt = self._loop.create_task(self._attempt(address, document, check))
            down = document.version and document.error is not None
            if document.attempt is not None and (wanted or not down):
                await asyncio.shield(document.attempt)
        if not document.version:
            raise FetchError(document.error or "not fetched")
        return document

    async def _attempt(self, address: str, document: _Document, check: Callable[[bytes], object]) -> None:
        try:
            if embeds_credentials(address):
                raise FetchError("the address embeds credentials")
            data = await self._fetch(address)
            check(data)
        except FetchError as error:
            document.error = str(error)
            shown = None if embeds_credentials(address) else address
            self._log.warn(
                "fastgw::auth",
                "key set fetch failed",
                address=shown,
                error=document.error,
                stale=bool(document.version),
            )
        else:
            document.error = None
            document.fetched = self._loop.time()
            if data != document.data:
                self._version += 1
                document.data, document.version = data, self._version
                self._changed(self._version)
        finally:
            document.attempt = None


def check_key_set(data: bytes) -> None:
    """Raises FetchError unless the document is a key set (RFC 7517 §5)."""
    document = json_object(data)
    if not isinstance(document.get("keys"), list):
        raise FetchError("the document has no list of keys")


def check_discovery(data: bytes, issuer: str) -> str:
    """The address of the key set in a discovery document (OpenID Connect Discovery §4.3). Raises FetchError."""
    document = json_object(data)
    if document.get("issuer") != issuer:
        raise FetchError("the discovery document is of another issuer")
    address = document.get("jwks_uri")
    try:
        if isinstance(address, str) and origin(address) == origin(issuer):
            return address
    except ValueError:
        pass
    raise FetchError("the discovery document has no key set address on the origin of its issuer")


def json_object(data: bytes) -> dict[str, object]:
    """Raises FetchError unless the document is a JSON object."""
    document = load(data)
    if not isinstance(document, dict):
        raise FetchError("the document is not a JSON object")
    return document
