"""Log lines as bytes: foreign text made harmless, lines about requests, and the lines that wait for their reader."""

from collections.abc import Callable
from typing import final

def inside(value: str | bytes) -> bytes: ...
def plain(value: str | bytes | None, limit: int = 256) -> str: ...
def moment() -> bytes: ...

@final
class Backlog:
    """Lines that wait to be written, first in, first out: at most `limit`, further ones are dropped and counted. While
    `idle`, the next line calls `wake`, and ends that. For one thread."""

    idle: bool
    def __new__(cls, limit: int, wake: Callable[[], object]) -> Backlog: ...
    @property
    def dropped(self) -> int: ...
    def __len__(self) -> int: ...
    def put(self, line: bytes) -> None: ...
    def request(
        self,
        request_id: bytes,
        event: int,
        streamed: object,
        method: bytes,
        path: str | bytes,
        status: int,
        seconds: float,
        provider: str | None,
        model: str | None,
        caller: str | None,
        prompt: int,
        completion: int,
        total: int,
        answer: str | bytes | None,
        version: str | bytes | None,
        handler: str | None,
        kind: str | None,
        attempts: int,
        problem: str | None,
        message: str | None,
    ) -> None: ...
    def take(self, size: int) -> bytes: ...
