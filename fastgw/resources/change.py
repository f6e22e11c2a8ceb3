"""What a source of configuration says: rows that are new or different, rows that are gone.

A source (the resources file, etcd) decodes and validates documents and hands over Changes in the order in which they
have to become visible. `Store` is the result of the changes so far.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct

from fastgw.resources.kinds import find_kind
from fastgw.resources.models import Resources, Row

Served = Row[Any]


class Put(NamedTuple):
    """A row of a collection: new, or in the place of the one with its id."""

    kind: str
    row: Served


class Change(NamedTuple):
    """One step, visible as a whole. `deletes` are (kind, id), applied before `puts`.

    With `resync` the puts are everything that there is, in order, and whatever they do not name is gone.
    """

    puts: tuple[Put, ...] = ()
    deletes: tuple[tuple[str, str], ...] = ()
    resync: bool = False


def whole(resources: Resources) -> Change:
    """All that a file defines."""
    kinds = (field for field in Resources.__struct_fields__ if field != "source_hash")
    return Change(tuple(Put(kind, row) for kind in kinds for row in getattr(resources, kind)), resync=True)


class Store:
    """The rows that are served, by kind and id; the rows of a kind in the order in which they were first put."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Served]] = {}

    def rows(self, kind: str) -> Mapping[str, Served]:
        """The rows of a kind by id."""
        return self._kinds.get(kind, {})

    def get(self, kind: str, id: str) -> Served | None:
        return self.rows(kind).get(id)

    def counts(self) -> dict[str, int]:
        """Rows per kind; a kind without rows may be missing."""
        return {kind: len(rows) for kind, rows in self._kinds.items()}

    def __iter__(self) -> Iterator[Put]:
        return (Put(kind, row) for kind, rows in self._kinds.items() for row in rows.values())

    def copy(self) -> "Store":
        """Another store with the same rows. O(rows), without looking at them."""
        other = Store()
        other._kinds = {kind: rows.copy() for kind, rows in self._kinds.items()}
        return other

    def apply(self, change: Change) -> None:
        """O(change)."""
        if change.resync:
            self._kinds = {}
        for kind, id in change.deletes:
            self._kinds.get(kind, {}).pop(id, None)
        for kind, row in change.puts:
            self._kinds.setdefault(kind, {})[row.id] = row


def merged(changes: Iterable[Change]) -> Change:
    """One change with the effect of several, one after the other. O(rows in them)."""
    resync = False
    steps: dict[tuple[str, str], Put | None] = {}
    for change in changes:
        if change.resync:
            resync, steps = True, {}
        for key in change.deletes:
            steps.pop(key, None)
            steps[key] = None
        for put in change.puts:
            steps[put.kind, put.row.id] = put
    deletes = tuple(key for key, put in steps.items() if put is None)
    return Change(tuple(put for put in steps.values() if put is not None), () if resync else deletes, resync)


_encoder: Final = msgspec.msgpack.Encoder()


def encode_value(value: Struct) -> bytes:
    """The form in which a row's value travels to the workers and stays there until it is used: short, because there may
    be a hundred thousand of it in every worker. Raises what msgspec raises for values that msgpack cannot hold."""
    fields = _fields(type(value))
    if fields is None:
        return _encoder.encode(value)
    given = ((name, default, getattr(value, field)) for field, name, default in fields)
    return _encoder.encode({name: item for name, default, item in given if item != default})


def decode_value(kind: str, data: bytes) -> Any:
    """The inverse of `encode_value` for a row of that kind."""
    return _value_decoder(kind).decode(data)


@cache
def _value_decoder(kind: str) -> msgspec.msgpack.Decoder[Any]:
    known = find_kind(kind)
    assert known is not None and known.struct is not None
    return msgspec.msgpack.Decoder(known.struct)


@cache
def _fields(struct: type[Struct]) -> list[tuple[str, str, object]] | None:
    """(attribute, name in the document, default) of each field; None when the members alone do not tell the type."""
    if struct.__struct_config__.tag is not None:
        return None
    return [
        (
            field.name,
            field.encode_name,
            field.default_factory() if field.default_factory is not NODEFAULT else field.default,
        )
        for field in msgspec.structs.fields(struct)
    ]
