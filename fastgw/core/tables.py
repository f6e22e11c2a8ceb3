"""The vocabularies that text is counted with: package data, inflated once per gateway into memory that workers share.

A supervisor calls `reserve` before it starts workers, which inherit the descriptors, and `fill` in a thread while they
start; `attach` works as soon as that is done, and `Shared` keeps what is attached. The images take 15 MB together.
`load` is for a process of its own.
"""

import asyncio
import functools
import mmap
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastgw._speedups.tokens import HEADER_SIZE, Table, build, image_size

# Each name: the packed vocabulary that it is made from, and how many of its ranks belong to it. r50k is p50k without
# the runs of spaces that were added for code.
SOURCES: Final[dict[str, tuple[str, int | None]]] = {
    "cl100k_base": ("cl100k_base", None),
    "o200k_base": ("o200k_base", None),
    "p50k_base": ("p50k_base", None),
    "r50k_base": ("p50k_base", 50256),
}
DATA = Path(__file__).parents[1] / "data"
POLL_SECONDS: Final = 0.02
_DIGEST: Final = 32  # SHA-256 of the published table, between the header and the compressed data
_NAME: Final = slice(8, 24)


def _read(name: str) -> bytes:
    return (DATA / f"{SOURCES[name][0]}.bpe.z").read_bytes()


def reserve(name: str) -> int:
    """Return the descriptor of a zeroed anonymous file as large as the image. Raises KeyError, OSError, ValueError."""
    fd = os.memfd_create(f"fastgw-{name}")
    try:
        os.ftruncate(fd, image_size(_read(name)[:HEADER_SIZE]))
    except BaseException:
        os.close(fd)
        raise
    return fd


def fill(fd: int, name: str) -> None:
    """Write the image of `name` into the file that `reserve` made: at most 50 ms, mostly without the GIL.

    Raises ValueError or zlib.error when the package data is damaged, OSError when memory cannot be mapped.
    """
    packed = _read(name)
    header = bytearray(packed[:HEADER_SIZE])
    header[_NAME] = name.encode().ljust(16, b"\0")
    with mmap.mmap(fd, 0) as image:
        build(header, zlib.decompress(packed[HEADER_SIZE + _DIGEST :]), image, limit=SOURCES[name][1])


def inflate(name: str) -> int:
    """`reserve` and `fill` in one call."""
    fd = reserve(name)
    try:
        fill(fd, name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def attach(fd: int) -> Table:
    """The table in a file that `fill` has completed; raises ValueError before that. The descriptor may be closed."""
    return Table(mmap.mmap(fd, 0, prot=mmap.PROT_READ))


class Shared:
    """The tables behind inherited descriptors by name, attached at their first use; for one thread."""

    def __init__(self, descriptors: Mapping[str, int]) -> None:
        self._descriptors = dict(descriptors)
        self._tables: dict[str, Table] = {}

    def get(self, name: str) -> Table | None:
        """The table of `name`, None while it is being filled. Raises KeyError for an unknown name, OSError without
        room to map it."""
        table = self._tables.get(name)
        if table is None:
            fd = self._descriptors[name]
            try:
                table = self._tables[name] = attach(fd)
            except ValueError:
                return None
            os.close(fd)
        return table

    async def wait(self, name: str) -> Table:
        """The table of `name` once it is filled. Never returns when it cannot be: then the gateway does not start."""
        while (table := self.get(name)) is None:  # noqa: ASYNC110 - shared memory has no events
            await asyncio.sleep(POLL_SECONDS)
        return table


@functools.cache
def load(name: str) -> Table:
    """The table of `name` for this process alone. Raises KeyError for a name that is not in SOURCES."""
    fd = inflate(name)
    try:
        return attach(fd)
    finally:
        os.close(fd)
