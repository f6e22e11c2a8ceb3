"""What the resource types are made of.

The types are the strict schema: what they do not admit, a document must not contain. ``null`` is admitted only where
the annotation says so; a field that may be absent but not null has type ``X | None`` with ``NOT_NULL``, so that readers
see None for "absent" either way. Integer formats bound a value when it is decoded, not in the schema. Types that hold
credentials do not print them.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

INTERNAL_TAG: Final = "node"
"""Tag of Structs that documents tell apart by their members. It is no member of a document."""

NOT_NULL: Final = Meta(extra={"nullable": False})
IMPLIED: Final = Meta(extra={"implied": True})
"""Of a field with a default: it is optional, so a rendered document leaves the default out."""
ONLY_TRUE: Final = Meta(extra={"only": True})

Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
UInt8 = Annotated[int, Meta(ge=0, extra={"format": "uint8"})]
UInt32 = Annotated[int, Meta(ge=0, extra={"format": "uint32"})]
UInt64 = Annotated[int, Meta(ge=0, extra={"format": "uint64"})]
Int32 = Annotated[int, Meta(extra={"format": "int32"})]
Positive32 = Annotated[int, Meta(ge=1, extra={"format": "uint32"})]
Positive64 = Annotated[int, Meta(ge=1, extra={"format": "uint64"})]
StatusCode = Annotated[int, Meta(ge=100, le=599, extra={"format": "uint16"})]
Share = Annotated[float, Meta(ge=0, le=1)]
Name120 = Annotated[str, Meta(min_length=1, max_length=120)]
DateTime = Annotated[str, Meta(extra={"format": "date-time"}, extra_json_schema={"format": "date-time"})]


class Flaw(NamedTuple):
    """What a rule found. ``at`` is a JSON Pointer below the object that the rule belongs to."""

    at: str
    reason: str


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every resource and of every object in one."""

    STRICT_REQUIRED: ClassVar[frozenset[str]] = frozenset()
    """Fields with a default that a strict document has to have all the same."""
    UNREPORTED: ClassVar[frozenset[str]] = frozenset()
    """Unknown members that are dropped in silence where unknown members are dropped."""

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """What members demand of each other. Called only when each of them has an acceptable value."""
        return ()

    def flaws(self) -> Iterable[Flaw]:
        """What is wrong with a resource whose document satisfies the schema."""
        return ()


class Row(Struct, Generic[T], frozen=True):
    """One resource of a collection under its id. ``revision``: when its source last changed it, if that is known."""

    id: str
    value: T
    revision: int = 0
