"""Makes fastgw/data/*.bpe.z from OpenAI's rank tables: tables.py FILE.tiktoken... (one `base64(token) rank` per line).

A packed vocabulary is the 64-byte header of its image (bpe_image.h), the SHA-256 of the source file, and a zlib stream:
the 256 single bytes in the order of their ranks, then for each later rank the ranks of the two tokens that it is merged
from, as six planes of bytes (low, middle, high; left, right). `unpack` gives what was in the source file.
"""

import base64
import hashlib
import struct
import sys
import zlib
from itertools import pairwise
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "fastgw" / "data"
HEADER = struct.Struct("<Q16sIIBBBBB3xI20x")
DIGEST = 32
NONE = 0xFFFFFF
KINDS = {"cl100k_base": 1, "o200k_base": 2, "p50k_base": 3}
SHA256 = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
}

Ranks = dict[bytes, int]


def read(text: bytes) -> Ranks:
    pairs = (line.split() for line in text.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def write(ranks: Ranks) -> bytes:
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items())


def halves(ranks: Ranks, token: bytes) -> tuple[int, int]:
    """Return the ranks of the two tokens that byte-pair encoding merges last; raises ValueError when it never does."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        merges = ((ranks.get(a + b), i) for i, (a, b) in enumerate(pairwise(parts)))
        known = [(rank, i) for rank, i in merges if rank is not None]
        if not known:
            break
        i = min(known)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    if len(parts) != 2 or max(ranks[parts[0]], ranks[parts[1]]) >= ranks[token]:
        raise ValueError(f"no encoding ever yields {token!r}")
    return ranks[parts[0]], ranks[parts[1]]


def bits(count: int) -> int:
    """Slots of a hash table as a power of two: at least a third of them stay empty."""
    return max(8, (count + count // 2).bit_length())


def border_count(ranks: Ranks) -> int:
    """How many different bits the filter of character borders will hold, at most."""
    borders: set[tuple[bytes, bool, bool]] = set()
    for token in ranks:
        for at in range(1, len(token)):
            if token[at] >= 0xC0:
                borders.add((token[max(0, at - 2) : at + 2], at == 1, at + 1 == len(token)))
    return len(borders)


def encode(name: str, kind: int, ranks: Ranks) -> tuple[bytes, bytes]:
    """Return the header of an image and what it is built from; raises ValueError for ranks that cannot be told so."""
    if sorted(ranks.get(bytes([i]), -1) for i in range(256)) != list(range(256)):
        raise ValueError(f"{name}: the first 256 ranks are not the single bytes")
    total = max(ranks.values()) + 1
    pairs = [(NONE, NONE)] * (total - 256)
    for token, rank in ranks.items():
        if rank >= 256:
            pairs[rank - 256] = halves(ranks, token)
    planes = [bytes(pair[half] >> shift & 255 for pair in pairs) for half in (0, 1) for shift in (0, 8, 16)]
    singles = bytes(token[0] for token in sorted((token for token in ranks if len(token) == 1), key=ranks.__getitem__))
    lengths = [len(token) for token in ranks]
    header = HEADER.pack(
        0,
        name.encode(),
        kind,
        total,
        bits(sum(size <= 7 for size in lengths)),
        bits(sum(8 <= size <= 15 for size in lengths)),
        bits(sum(size > 15 for size in lengths)),
        bits(len(pairs)),
        bits(border_count(ranks)) + 3,
        sum(size for size in lengths if size > 15),
    )
    return header, b"".join([singles, *planes])


def pack(name: str, source: bytes) -> bytes:
    digest = hashlib.sha256(source)
    if digest.hexdigest() != SHA256[name]:
        raise ValueError(f"{name}: not the table that is known by its SHA-256")
    header, packed = encode(name, KINDS[name], read(source))
    return header + digest.digest() + zlib.compress(packed, 9)


def unpack(packed: bytes) -> Ranks:
    """Return the ranks of a packed vocabulary; raises ValueError when they are not those of its SHA-256."""
    total = HEADER.unpack_from(packed)[3]
    digest = packed[HEADER.size : HEADER.size + DIGEST]
    data = zlib.decompress(packed[HEADER.size + DIGEST :])
    tokens = [data[i : i + 1] for i in range(256)]
    planes = [data[256 + i * (total - 256) : 256 + (i + 1) * (total - 256)] for i in range(6)]
    for a0, a1, a2, b0, b1, b2 in zip(*planes, strict=True):
        left, right = a0 | a1 << 8 | a2 << 16, b0 | b1 << 8 | b2 << 16
        tokens.append(b"" if left == NONE else tokens[left] + tokens[right])
    ranks = {token: rank for rank, token in enumerate(tokens) if token}
    if hashlib.sha256(write(ranks)).digest() != digest:
        raise ValueError("the packed vocabulary is damaged")
    return ranks


def main(arguments: list[str]) -> None:
    for path in map(Path, arguments):
        packed = pack(path.stem, path.read_bytes())
        unpack(packed)
        (DATA / f"{path.stem}.bpe.z").write_bytes(packed)
        print(f"{path.stem}: {len(packed)} bytes, {HEADER.unpack_from(packed)[4:]}")


if __name__ == "__main__":
    main(sys.argv[1:])
