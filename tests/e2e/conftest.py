"""One mock upstream and one gateway for all SDK tests; what a test leaves behind is reset before the next one."""

from collections.abc import Iterator

import openai
import pytest

from tests.support.sdk import Stack, stack


@pytest.fixture(scope="session")
def shared_stack() -> Iterator[Stack]:
    with stack() as running:
        yield running


@pytest.fixture
def sdk(shared_stack: Stack) -> Iterator[Stack]:
    """The stack with the mock's records and counters cleared."""
    shared_stack.mock.reset()
    yield shared_stack
    shared_stack.mock.wait(lambda stats: stats["open_streams"] == 0)


@pytest.fixture
def client(sdk: Stack) -> Iterator[openai.OpenAI]:
    """The synchronous SDK at the gateway."""
    with sdk.client() as opened:
        yield opened
