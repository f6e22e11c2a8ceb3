"""The admin listener: what is configured, for operators, read-only.

A path is found before a key is asked for, so that what exists under which method does not depend on who asks. Below
`/admin/v1/` a key of `admin.admin_keys` is required. What is returned there contains the credentials of providers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import orjson

from fastgw import __version__
from fastgw._speedups.head import Request
from fastgw.core import probes
from fastgw.http.pages import NOT_FOUND, READ_ONLY, Page
from fastgw.resources.base import Row
from fastgw.resources.render import value
from fastgw.runtime.documents import html
from fastgw.runtime.openapi import document
from fastgw.runtime.overview import JSON, Overview, models_status
from fastgw.runtime.shown import COLLECTIONS, SPELLINGS

BEARER = b"Bearer "
ROOT = b"/admin/v1/"
PLAYGROUND = b"/playground/chat/completions"
YIELD_EVERY = 256
"""Rows that are rendered in one go: the supervisor has configuration to apply meanwhile."""


class StoreError(Exception):
    """The store of the configuration did not answer. The text holds no value of a document."""


class Records(Protocol):
    """Where stored resources are read from. Both raise StoreError."""

    async def all(self, kind: str) -> Iterable[Row[Any]]:
        """Those of a collection, in its order, each with the revision of the store that last changed it."""

    async def one(self, kind: str, id: str) -> Row[Any] | None:
        """The one with this id."""


class LoadedRecords:
    """The records of a resources file: the served rows, each with the number of the load they are from."""

    def __init__(self, rows: Callable[[str], Iterable[Row[Any]]], generation: Callable[[], int]) -> None:
        self._rows = rows
        self._generation = generation

    async def all(self, kind: str) -> Iterable[Row[Any]]:
        """Those of a collection in the order of the file. O(rows)."""
        generation = self._generation()
        return [Row(row.id, row.value, generation) for row in self._rows(kind)]

    async def one(self, kind: str, id: str) -> Row[Any] | None:
        """The one with this id. O(rows)."""
        return next((row for row in await self.all(kind) if row.id == id), None)


class AdminKeys:
    """The keys that open `/admin/v1/`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [sha256(key.strip().encode()).digest() for key in keys]

    def admit(self, authorization: bytes | None, api_key: bytes | None) -> bool:
        """Whether the request holds one of the keys. How long that takes says nothing about any of them: digests are
        compared, in constant time, with all of them."""
        if authorization is not None:
            presented = authorization.removeprefix(BEARER) if authorization.startswith(BEARER) else b""
        else:
            presented = api_key or b""
        presented = presented.strip()
        digest = sha256(presented).digest()
        found = sum([compare_digest(digest, own) for own in self._digests])
        return bool(found) and bool(presented)


Make = Callable[[Request], Awaitable[Page]]


class AdminPages:
    """Answers every request of the listener but those to the playground's POST."""

    def __init__(self, keys: AdminKeys, records: Records, overview: Overview, namespace: str) -> None:
        self._keys = keys
        self._records = records
        self._overview = overview
        self._title = f"{namespace} admin API"
        self._openapi = b""
        self._open: dict[bytes, Make] = {
            b"/livez": self._livez,
            b"/readyz": self._readyz,
            b"/admin/openapi.json": self._document,
            b"/admin/openapi-scalar": self._reference,
            b"/playground": self._playground,
        }
        self._guarded: dict[bytes, Make] = {
            ROOT + b"models/status": self._models_status,
            ROOT + b"health": self._health,
        }
        self._kinds = {name.encode(): name for name in COLLECTIONS}
        self._kinds |= {spelling.encode(): name for spelling, name in SPELLINGS.items()}

    async def answer(self, request: Request) -> Page:
        """The page for a request."""
        path = request.path
        if path == PLAYGROUND:
            return Page(405, "", b"", b"allow: POST\r\n")
        make, guarded = self._open.get(path), False
        if make is None:
            make, guarded = self._resource(path), True
        if make is None:
            return NOT_FOUND
        if request.method not in (b"GET", b"HEAD"):
            return READ_ONLY
        if guarded and not self._keys.admit(request.authorization, request.api_key):
            return refusal(401, "missing or malformed admin authorization")
        try:
            return await make(request)
        except StoreError as error:
            return refusal(500, f"store error: {error}")

    def _resource(self, path: bytes) -> Make | None:
        """The page below /admin/v1/ that a path names. An id is one segment; a slash in it is percent-encoded."""
        make = self._guarded.get(path)
        if make is not None or not path.startswith(ROOT):
            return make
        collection, slash, name = path[len(ROOT) :].partition(b"/")
        kind = self._kinds.get(collection)
        if kind is None or b"/" in name or (slash and not name):
            return None
        if not slash:
            return lambda request: self._list(kind)
        return lambda request: self._get(kind, unquote_to_bytes(name).decode("utf-8", "replace"))

    # -- resources

    async def _list(self, kind: str) -> Page:
        parts = []
        for index, row in enumerate(await self._records.all(kind)):
            if index and index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            parts.append(rendered(kind, row))
        return Page(200, JSON, b"[%b]" % b",".join(parts))

    async def _get(self, kind: str, id: str) -> Page:
        row = await self._records.one(kind, id)
        return refusal(404, "resource not found") if row is None else Page(200, JSON, rendered(kind, row))

    # -- state

    async def _models_status(self, request: Request) -> Page:
        return models_status(self._overview)

    async def _health(self, request: Request) -> Page:
        return Page(200, JSON, orjson.dumps(self._overview.health()))

    async def _livez(self, request: Request) -> Page:
        status, body = probes.livez(self._overview.draining(), request.query)
        return Page(status, probes.TEXT, body, probes.FIELDS)

    async def _readyz(self, request: Request) -> Page:
        status, body = probes.readyz(self._overview.draining(), self._overview.configured(), request.query)
        return Page(status, probes.TEXT, body, probes.FIELDS)

    # -- documents

    async def _document(self, request: Request) -> Page:
        if not self._openapi:
            self._openapi = orjson.dumps(document(self._title, __version__))
        return Page(200, JSON, self._openapi)

    async def _reference(self, request: Request) -> Page:
        return html("reference")

    async def _playground(self, request: Request) -> Page:
        return html("playground")


def rendered(kind: str, row: Row[Any]) -> bytes:
    """One resource as JSON."""
    return orjson.dumps({"id": row.id, "value": value(kind, row.value), "revision": row.revision})


def refusal(status: int, text: str) -> Page:
    """An error of this listener."""
    return Page(status, JSON, orjson.dumps({"error_msg": text}))
