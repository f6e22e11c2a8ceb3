"""A change to the rows of a worker before it becomes visible: rows and indexes, and what was compiled from old rows."""

from collections.abc import Hashable
from typing import Any, Final

import msgspec

from fastgw.gateway.compile import Trusts
from fastgw.gateway.snapshot import BOUND, HASHES, NAMES, WILDCARDS, Compiled
from fastgw.gateway.tables import Edit, Table, link, unlink
from fastgw.resources.models import ProviderKeyTls
from fastgw.upstream.tls import KeyTrust

Keys = tuple[tuple[str, Hashable], ...]


class _ModelFacts(msgspec.Struct, frozen=True):
    """What a model is looked up by, read without decoding the rest of it. Virtual models have no provider, and their
    names are no patterns."""

    display_name: str
    provider: str | None = None

    def keys(self) -> Keys:
        name = self.display_name
        if self.provider is None or name.count("*") != 1:
            return ((NAMES, name),)
        return (NAMES, name), (WILDCARDS, name)


class _CallerFacts(msgspec.Struct, frozen=True):
    """The same of an API key."""

    key_hash: str
    jwt_provider: str | None = None
    jwt_subject: str | None = None

    def keys(self) -> Keys:
        if self.jwt_provider is None or self.jwt_subject is None:
            return ((HASHES, self.key_hash),)
        return (HASHES, self.key_hash), (BOUND, (self.jwt_provider, self.jwt_subject))


class _ProviderKeyFacts(msgspec.Struct, frozen=True):
    """What has to be made before a provider key can be used."""

    tls: ProviderKeyTls | None = None


_INDEXED: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    "models": msgspec.msgpack.Decoder(_ModelFacts),
    "api_keys": msgspec.msgpack.Decoder(_CallerFacts),
}
_provider_key_facts: Final = msgspec.msgpack.Decoder(_ProviderKeyFacts)


class Draft:
    """It may become visible once it is `complete`. `kinds` are the tables in which something differs.

    `trusts` are the TLS settings of the provider keys in it, by id (None: none of its own); what `Compiler.prepare`
    makes of them goes to `held`."""

    def __init__(self, revision: int, bulk: bool, tables: dict[str, Table[Any, Any]]) -> None:
        self.revision = revision
        self.bulk = bulk
        self.complete = False
        self.kinds: set[str] = set()
        self.trusts: dict[str, KeyTrust | None] = {}
        self.held: Trusts = {}
        self._stale_rows: list[tuple[str, str]] = []
        self._stale_keys: set[tuple[str, Hashable]] = set()
        self._tables = tables
        self._edits: dict[str, Edit[Any, Any]] = {}

    def put(self, kind: str, id: str, data: bytes | None) -> None:
        """A row as `encode_value` makes it; None: the row is gone. O(1)."""
        rows = self._edit(kind)
        old = rows.get(id)
        rows.set(id, data)
        self.kinds.add(kind)
        if not self.bulk:
            self._stale_rows.append((kind, id))
        if kind in _INDEXED:
            self._index(_INDEXED[kind], id, old, data)
        elif kind == "provider_keys":
            tls = _provider_key_facts.decode(data).tls if data is not None else None
            self.trusts[id] = KeyTrust(tls.ca_cert, tls.verify) if tls is not None else None

    def apply(self, compiled: Compiled) -> None:
        """Make it visible, and drop what was compiled from rows that are no more. O(rows), of a bulk draft O(1) but for
        freeing what it replaces."""
        for edit in self._edits.values():
            edit.apply()
        if self.bulk:
            compiled.clear()
            return
        for kind, id in self._stale_rows:
            compiled.forget_row(kind, id)
        for table, key in self._stale_keys:
            compiled.forget_key(table, key)

    def _edit(self, name: str) -> Edit[Any, Any]:
        edit = self._edits.get(name)
        if edit is None:
            edit = self._edits[name] = self._tables.setdefault(name, Table()).edit(self.bulk)
        return edit

    def _index(self, facts: msgspec.msgpack.Decoder[Any], id: str, old: bytes | None, new: bytes | None) -> None:
        was: Keys = facts.decode(old).keys() if old is not None else ()
        now: Keys = facts.decode(new).keys() if new is not None else ()
        if not self.bulk:
            self._stale_keys.update(was, now)
        if was == now:
            return
        for table, key in was:
            unlink(self._edit(table), key, id)
            self.kinds.add(table)
        for table, key in now:
            link(self._edit(table), key, id)
            self.kinds.add(table)
