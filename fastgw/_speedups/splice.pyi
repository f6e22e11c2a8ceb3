"""JSON documents read in one pass and changed by splicing bytes: top-level spans, chat requests, chat answers."""

from typing import Final, final

ABSENT: Final = 0
NULL: Final = 1
FALSE: Final = 2
TRUE: Final = 3
INT: Final = 4
FLOAT: Final = 5
STRING: Final = 6
ARRAY: Final = 7
OBJECT: Final = 8

class ScanError(ValueError):
    """A document that is malformed or not of the wanted shape."""

    reason: str
    field: str
    offset: int
    def __init__(self, reason: str, field: str, offset: int) -> None: ...

def top_level(
    data: bytes, names: tuple[bytes, ...], max_depth: int = 128
) -> tuple[tuple[int, int, int] | None, ...]: ...

@final
class ChatRequest:
    """The body of POST /v1/chat/completions, checked in one pass. Raises ScanError."""

    def __new__(cls, body: bytes) -> ChatRequest: ...
    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def has_stream_options(self) -> bool: ...
    @property
    def messages(self) -> int: ...
    def upstream_body(self, model_json: bytes, stream: bool) -> bytes: ...

@final
class ChatAnswer:
    """The body of an upstream's non-streaming chat answer, checked in one pass. Raises ScanError."""

    def __new__(cls, body: bytes) -> ChatAnswer: ...
    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def finish_reason(self) -> str: ...
    def render(self, model_json: bytes) -> bytes: ...
