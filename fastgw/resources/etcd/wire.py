"""Messages of the etcd v3 API as its JSON gateway spells them.

Keys and values are base64, 64-bit integers are strings, and members with the zero value of their type are left out.
Decoding is lenient about unknown members, so that newer servers can be read.
"""

import base64
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

COMPACTED: Final = "required revision has been compacted"
INVALID_TOKEN: Final = 16
"""gRPC code of a request whose token has expired (UNAUTHENTICATED)."""
STALE_AUTH: Final = "revision of auth store is old"
AUTH_OFF: Final = "authentication is not enabled"

T = TypeVar("T", bound=Struct)


class EtcdError(Exception):
    """A request that failed or an answer that makes no sense. The text holds no keys, values or credentials."""


class Compacted(EtcdError):
    """The revision that was asked for is gone: everything has to be read again."""


class Header(Struct, gc=False):
    """Of every answer: the revision of the store when it was made."""

    revision: int = 0


class KeyValue(Struct, gc=False):
    """`revision` of the last change is called `mod_revision` on the wire."""

    key: bytes
    value: bytes = b""
    revision: int = msgspec.field(name="mod_revision", default=0)

    def __repr__(self) -> str:
        return f"<KeyValue at revision {self.revision}>"


class Range(Struct):
    """Answer of /v3/kv/range."""

    header: Header
    kvs: list[KeyValue] = []
    more: bool = False


class Event(Struct, gc=False):
    """One change. For a deletion, `kv` has the key and the revision of the deletion."""

    kv: KeyValue
    type: str | int = "PUT"

    @property
    def deleted(self) -> bool:
        """Whether the key is gone."""
        return self.type in ("DELETE", 1)


class Watch(Struct):
    """One message of a watch stream."""

    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: list[Event] = []


class Failure(Struct):
    """An error, on its own or in place of a stream's message. `code` is the gRPC code."""

    message: str = ""
    code: int = 0
    grpc_code: int = 0


class StreamLine(Struct):
    """One line of a streamed answer."""

    result: Watch | None = None
    error: Failure | None = None


class Token(Struct):
    """Answer of /v3/auth/authenticate."""

    token: str

    def __repr__(self) -> str:
        return "<Token>"


def decode(data: bytes, kind: type[T]) -> T:
    """Raises EtcdError for anything that is not such a message."""
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise EtcdError("the answer is not what an etcd gateway sends") from None


def text(data: bytes) -> str:
    """The spelling of a key or value."""
    return base64.b64encode(data).decode()
