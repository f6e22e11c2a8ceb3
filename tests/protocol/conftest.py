from collections.abc import Iterator

import pytest

from tests.protocol.harness import World, endpoints


@pytest.fixture(autouse=True)
def test_endpoints() -> Iterator[None]:
    with endpoints():
        yield


@pytest.fixture
def world() -> Iterator[World]:
    """A server without a limit or an idle timeout; at the end nothing is left of its connections."""
    made = World()
    yield made
    made.close()
