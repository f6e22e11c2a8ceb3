"""Two hashes that tell whether gateways agree: over what etcd holds, and over what is served of it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from fastgw.resources.etcd.ledger import Record

_ROWS: Final = 500


class Hashes(NamedTuple):
    """SHA-256 in hex."""

    source: str
    config: str


def hashes(records: Mapping[bytes, Record]) -> Hashes:
    """O(bytes), in a copy of the records from another thread: it takes turns with the other threads every few hundred
    rows, and hashing itself runs beside them."""
    ordered = sorted(records.items())
    source = _digest((key, record.canonical) for key, record in ordered)
    if all(record.refusal is None for _, record in ordered):
        return Hashes(source, source)
    served = ((key, record.served()) for key, record in ordered)
    return Hashes(source, _digest((key, value) for key, value in served if value is not None))


def _digest(rows: Iterable[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    iterator: Iterator[tuple[bytes, bytes]] = iter(rows)
    while block := b"".join(b"%b\0%b\n" % row for row in islice(iterator, _ROWS)):
        digest.update(block)
    return digest.hexdigest()
