"""Every inbound vector, fed whole, byte by byte and in two pieces at every point: always the same answers."""

import contextlib
from collections.abc import Iterable, Iterator

import pytest

from tests.protocol.harness import Client, World, read_answers, stable
from tests.protocol.vector import Vector, get
from tests.protocol.vectors import VECTORS

WHOLE_SPLITS = 4096
"""Longer vectors are split at every point near an edge of the parser's slices, and at some others."""


def feed(world: World, pieces: Iterable[bytes]) -> tuple[Client, list[bytes]]:
    world.seen.clear()
    client = world.connect()
    for piece in pieces:
        client.send(piece)
    return client, list(world.seen)


def check(vector: Vector, client: Client, bodies: list[bytes]) -> None:
    """The outcome is the one in the table, and h11 agrees with every byte."""
    statuses = tuple(answer.status for answer in read_answers(client.received, vector.methods, not client.open))
    if vector.loose:
        statuses = tuple(status for status in statuses if status != 100)
    assert statuses == vector.answers
    assert bodies == list(vector.bodies)
    assert client.open == (vector.open or vector.waits)
    for answer in read_answers(client.received, vector.methods, not client.open):
        if answer.status >= 200:
            assert answer.all(b"server") == [b"FASTGW/0.0.0"]
            assert len(answer.all(b"x-fastgw-request-id")) == 1
            assert len(answer.all(b"date")) == 1


def finish(world: World, vector: Vector, client: Client) -> None:
    """What comes afterwards: another request is answered, or nothing more is said."""
    said = client.received
    if vector.open:
        client.send(get())
        assert stable(client.received[len(said) :]).endswith(b"\r\n\r\nok")
        assert client.open
    elif not vector.waits:
        client.send(get())
        assert client.received == said
    client.half_close()
    world.loop.advance(0.0)
    assert client.lost
    assert world.in_flight == 0
    assert world.timers == {}
    assert not world.server.connections
    assert not world.loop.failures


def splits(size: int) -> Iterator[int]:
    if size <= WHOLE_SPLITS:
        yield from range(1, size)
        return
    edges = {edge + offset for edge in (0, *range(8192, size, 8192)[:9], 65536, size) for offset in range(-3, 4)}
    yield from sorted(point for point in edges | set(range(0, size, size // 40)) if 0 < point < size)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_vector(vector: Vector) -> None:
    with contextlib.closing(World(body_limit=1000 if vector.limited else 0)) as world:
        run(world, vector)


def run(world: World, vector: Vector) -> None:
    data = vector.data
    client, bodies = feed(world, [data])
    check(vector, client, bodies)
    finish(world, vector, client)
    expected = stable(client.received)

    def same(pieces: Iterable[bytes], how: str) -> None:
        client, bodies = feed(world, pieces)
        if vector.loose:
            check(vector, client, bodies)
            finish(world, vector, client)
            return
        assert bodies == list(vector.bodies), how
        assert client.open == (vector.open or vector.waits), how
        finish(world, vector, client)
        assert stable(client.received) == expected, how

    for point in splits(len(data)):
        same((data[:point], data[point:]), f"split at {point}")
    same((data[i : i + 1] for i in range(len(data))), "byte by byte")


def test_the_table_is_large_and_its_ids_are_unique() -> None:
    assert len(VECTORS) >= 250
    assert len({vector.id for vector in VECTORS}) == len(VECTORS)
