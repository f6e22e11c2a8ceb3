"""HTTP/1.1 messages: request heads, chunked request bodies, response heads (RFC 9112).

A mock reads well-formed requests of a gateway; it is no security boundary and checks only what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote

MAX_HEAD = 65536
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CHAT, COMPLETION, EMBEDDINGS, MODELS, UNKNOWN = "chat", "completion", "embeddings", "models", ""
MESSAGES, COUNT_TOKENS, RESPONSES = "messages", "count_tokens", "responses"
GENERATE, GENERATE_STREAM, PREDICT, RAW_PREDICT = "generate", "generate_stream", "predict", "raw_predict"
_VERTEX = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE_STREAM,
    "predict": PREDICT,
    "rawPredict": RAW_PREDICT,
    "streamRawPredict": RAW_PREDICT,
}
CONVERSE, CONVERSE_STREAM, INVOKE = "converse", "converse_stream", "invoke"
_BEDROCK = {"converse": CONVERSE, "converse-stream": CONVERSE_STREAM, "invoke": INVOKE}
CONTROL = "/__mock/"


class BadRequest(Exception):
    """The bytes are no HTTP/1.x request that this server reads."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request head. Immutable, because equal heads share one instance."""

    raw: bytes = field(repr=False)
    method: str
    path: str
    version: int
    """0 or 1: the minor version."""
    keep_alive: bool
    chunked: bool
    length: int
    expects_continue: bool
    plain: bool
    """Nothing out of the ordinary: HTTP/1.1, kept alive, GET or POST with a declared length, no introspection."""


@lru_cache(maxsize=1024)
def parse_head(raw: bytes) -> Head:
    """Read a head that ends with its empty line. Raises BadRequest."""
    line, _, rest = raw.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest("request line")
    method, target, protocol = words
    # One search per field is several times cheaper than splitting the head, which matters when every head differs.
    lower = (b"\r\n" + rest).lower()
    connection = _value(lower, b"\r\nconnection:")
    chunked = _value(lower, b"\r\ntransfer-encoding:").endswith(b"chunked")
    length = _value(lower, b"\r\ncontent-length:") or b"0"
    if not length.isdigit():
        raise BadRequest("content-length")
    version = int(protocol[-1])
    keep_alive = b"close" not in connection and (version == 1 or b"keep-alive" in connection)
    expects = version == 1 and b"100-continue" in _value(lower, b"\r\nexpect:")
    path = target.partition("?")[0]
    plain = version == 1 and keep_alive and not chunked and not expects
    plain = plain and method in ("GET", "POST") and not path.startswith(CONTROL)
    size = 0 if chunked else int(length)
    return Head(raw, method, path, version, keep_alive, chunked, size, expects, plain)


def _value(lower: bytes, name: bytes) -> bytes:
    at = lower.find(name)
    return b"" if at < 0 else lower[at + len(name) : lower.find(b"\r\n", at + 2)].strip()


def route(path: str) -> tuple[str, str]:
    """The endpoint that a path means, and the model in ``/models/{name}``, ``/models/{name}:{method}``,
    ``/model/{name}/{method}`` or ``/deployments/{name}/...``."""
    # Azure names the model in the path and callers may leave it out of the body.
    deployment = path.partition("/deployments/")[2].partition("/")[0]
    if path.endswith("/chat/completions"):
        return CHAT, deployment
    if path.endswith("/completions"):
        return COMPLETION, deployment
    if path.endswith("/embeddings"):
        return EMBEDDINGS, deployment
    if path.endswith("/messages"):
        return MESSAGES, ""
    if path.endswith("/messages/count_tokens"):
        return COUNT_TOKENS, ""
    if path.endswith("/responses"):
        return RESPONSES, ""
    name, _, verb = path.rpartition("/model/")[2].partition("/")
    if verb in _BEDROCK:
        return _BEDROCK[verb], unquote(name)
    name, _, verb = path.rpartition("/models/")[2].partition(":")
    if verb in _VERTEX:
        return _VERTEX[verb], name
    _, found, name = path.rpartition("/models")
    if found and (not name or name.startswith("/")):
        return MODELS, name[1:]
    return UNKNOWN, ""


class ChunkedBody:
    """Decodes a chunked request body (RFC 9112 §7.1) as it arrives; trailers are read and dropped."""

    def __init__(self) -> None:
        self.body = bytearray()
        self._left = -1  # -1: a size line is next; -2: trailers

    def feed(self, buffer: bytearray) -> bool:
        """Take what is complete out of `buffer`; True when the body has ended. Raises BadRequest."""
        while True:
            if self._left > 0:
                if len(buffer) < self._left + 2:
                    return False
                self.body += buffer[: self._left]
                if buffer[self._left : self._left + 2] != b"\r\n":
                    raise BadRequest("chunk end")
                del buffer[: self._left + 2]
                self._left = -1
            end = buffer.find(b"\r\n")
            if end < 0:
                return False
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            if self._left == -2:
                if not line:
                    return True
                continue
            try:
                self._left = int(line.partition(b";")[0], 16) or -2
            except ValueError:
                raise BadRequest("chunk size") from None


def chunk(data: bytes) -> bytes:
    """`data` as one chunk; it must not be empty, that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def response_head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """Status line and fields up to the last field's line end, without the empty line."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}\r\n", *(f"{name}: {value}\r\n" for name, value in fields)]
    return "".join(lines).encode()
