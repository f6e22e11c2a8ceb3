"""tiktoken with the vocabularies of the package data: its own patterns and hashes, and nothing is downloaded."""

import functools
import hashlib
from unittest import mock

import tiktoken
from tiktoken_ext import openai_public

from fastgw._speedups.tokens import HEADER_SIZE, Table, build, image_size
from fastgw.core.tables import SOURCES
from scripts import tables

NAMES = tuple(SOURCES)


@functools.cache
def ranks(name: str) -> tables.Ranks:
    source, limit = SOURCES[name]
    found = tables.unpack((tables.DATA / f"{source}.bpe.z").read_bytes())
    return {token: rank for token, rank in found.items() if limit is None or rank < limit}


@functools.cache
def encoding(name: str) -> tiktoken.Encoding:
    def load(url: str, expected_hash: str) -> tables.Ranks:
        assert hashlib.sha256(tables.write(ranks(name))).hexdigest() == expected_hash
        return ranks(name)

    with mock.patch.object(openai_public, "load_tiktoken_bpe", load):
        return tiktoken.Encoding(**openai_public.ENCODING_CONSTRUCTORS[name]())


def expected(name: str, text: str) -> int:
    return len(encoding(name).encode_ordinary(text))


def made(kind: int, vocabulary: tables.Ranks, **options: int) -> Table:
    """A table with a vocabulary of its own; `kind` is the pattern, as in tables.KINDS."""
    header, packed = tables.encode("made", kind, vocabulary)
    image = bytearray(image_size(header[:HEADER_SIZE]))
    build(header, packed, image, **options)
    return Table(bytes(image))
