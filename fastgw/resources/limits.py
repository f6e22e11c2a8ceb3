"""Rate limits: the block on models and keys, and policies."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw.core.regex import RegexError, compile_regex
from fastgw.resources.base import IMPLIED, INTERNAL_TAG, NOT_NULL, Document, Flaw, Positive64, Text, UInt32, UInt64

MAX_CONDITION_DEPTH: Final = 3
MAX_CONDITION_LEAVES: Final = 16
MAX_CONDITION_VALUES: Final = 64
MAX_CONDITION_REGEX: Final = 256
"""Bytes of UTF-8."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Dimension = Literal["team", "member", "api_key", "model", "model_name", "provider"]
Operator = Literal["==", "~=", "~~", "~*", "in", "has", ">", ">=", "<", "<=", "ipmatch"]

_EXACT: Final = frozenset({"==", "~=", "in"})
_REGEX: Final = frozenset({"~~", "~*"})
_OPERATORS: Final = {
    **dict.fromkeys(("team", "member", "api_key", "model"), _EXACT),
    **dict.fromkeys(("model_name", "provider"), _EXACT | _REGEX),
}
_CLASSIC: Final = ("scope", "scope_ref", "window")
_CONDITIONAL: Final = ("conditions", "group_by", "limits", "action")


class RateLimit(Document, frozen=True, kw_only=True):
    """Requests per second, minute, hour, day; tokens per minute, day; requests at once. None is unlimited."""

    rps: UInt64 | None = None
    rpm: UInt64 | None = None
    rph: UInt64 | None = None
    rpd: UInt64 | None = None
    tpm: UInt64 | None = None
    tpd: UInt64 | None = None
    concurrency: UInt32 | None = None


class ModelRateLimit(RateLimit, frozen=True, kw_only=True):
    """The same block on a model or in a policy, where no member may be null."""

    rps: Annotated[UInt64 | None, NOT_NULL] = None
    rpm: Annotated[UInt64 | None, NOT_NULL] = None
    rph: Annotated[UInt64 | None, NOT_NULL] = None
    rpd: Annotated[UInt64 | None, NOT_NULL] = None
    tpm: Annotated[UInt64 | None, NOT_NULL] = None
    tpd: Annotated[UInt64 | None, NOT_NULL] = None
    concurrency: Annotated[UInt32 | None, NOT_NULL] = None


class McpRateLimit(Document, frozen=True, kw_only=True):
    """Tool calls per second, minute, hour, day, and at once."""

    rps: UInt64 | None = None
    rpm: UInt64 | None = None
    rph: UInt64 | None = None
    rpd: UInt64 | None = None
    concurrency: UInt32 | None = None


class PolicyCondition(Document, frozen=True, kw_only=True, tag="leaf", tag_field=INTERNAL_TAG):
    """What one dimension of a request must be. ``value`` is a list for ``in`` only."""

    dimension: Dimension
    operator: Operator
    value: str | tuple[str, ...]
    negate: Annotated[bool, IMPLIED] = False


class ConditionGroup(Document, frozen=True, kw_only=True, tag="group", tag_field=INTERNAL_TAG):
    logic: Literal["and", "or"]
    children: tuple["ConditionNode", ...]
    negate: Annotated[bool, IMPLIED] = False


ConditionNode = PolicyCondition | ConditionGroup


class PolicySchedule(Document, frozen=True, kw_only=True):
    """When a policy does not apply. ``timezone`` is an IANA name; what it names is not checked here."""

    timezone: Text
    start_time: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end_time: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
    days_of_week: Annotated[Annotated[tuple[Day, ...], Meta(min_length=1)] | None, NOT_NULL] = None
    dates: Annotated[
        Annotated[tuple[Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")], ...], Meta(min_length=1)] | None, NOT_NULL
    ] = None

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """Days or dates."""
        if ("days_of_week" in document) == ("dates" in document):
            yield Flaw("", "exactly one of `days_of_week` and `dates` is required")


class RateLimitPolicy(Document, frozen=True, kw_only=True):
    """A limit across requests: classic (one ``scope``, one ``window``) or conditional (``limits`` is set)."""

    name: Text
    scope: Annotated[Literal["api_key", "model", "team", "member", "team_member"] | None, NOT_NULL] = None
    scope_ref: Annotated[Text | None, NOT_NULL] = None
    window: Annotated[Literal["second", "minute", "hour", "day"] | None, NOT_NULL] = None
    max_requests: Annotated[Positive64 | None, NOT_NULL] = None
    max_tokens: Annotated[Positive64 | None, NOT_NULL] = None
    limits: Annotated[ModelRateLimit | None, NOT_NULL] = None
    conditions: Annotated[tuple[ConditionNode, ...], IMPLIED] = ()
    group_by: Annotated[tuple[Literal["team", "member", "api_key", "model", "provider"], ...], IMPLIED] = ()
    action: Annotated[Literal["reject"], IMPLIED] = "reject"
    schedules: Annotated[tuple[PolicySchedule, ...], IMPLIED] = ()

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """One form or the other."""
        if "limits" not in document:
            yield from _classic(document)
            return
        for name in (*_CLASSIC, "max_requests", "max_tokens"):
            if name in document:
                yield Flaw("", f"`{name}` and `limits` are mutually exclusive")

    def flaws(self) -> Iterable[Flaw]:
        """Limits that limit, and conditions that can be evaluated."""
        if self.limits is not None and self.limits == ModelRateLimit():
            yield Flaw("/limits", "must set at least one limit")
        if len(set(self.group_by)) < len(self.group_by):
            yield Flaw("/group_by", "must not repeat a dimension")
        yield from _check_nodes(self.conditions, "/conditions", 1)
        if _leaves(self.conditions) > MAX_CONDITION_LEAVES:
            yield Flaw("/conditions", f"must have at most {MAX_CONDITION_LEAVES} conditions")


def _classic(document: Mapping[str, Any]) -> Iterator[Flaw]:
    for name in _CONDITIONAL:
        if name in document:
            yield Flaw("", f"`{name}` needs `limits`")
    for name in _CLASSIC:
        if name not in document:
            yield Flaw("", f"missing required field `{name}`")
    if "max_requests" not in document and "max_tokens" not in document:
        yield Flaw("", "at least one of `max_requests` and `max_tokens` is required")


def _check_nodes(nodes: Iterable[ConditionNode], at: str, depth: int) -> Iterator[Flaw]:
    for index, node in enumerate(nodes):
        place = f"{at}/{index}"
        if depth > MAX_CONDITION_DEPTH:
            yield Flaw(place, f"conditions must not nest deeper than {MAX_CONDITION_DEPTH} levels")
        elif isinstance(node, PolicyCondition):
            yield from _check_leaf(node, place)
        elif not node.children:
            yield Flaw(place, "a group must have at least one child")
        else:
            yield from _check_nodes(node.children, f"{place}/children", depth + 1)


def _leaves(nodes: Iterable[ConditionNode]) -> int:
    return sum(1 if isinstance(node, PolicyCondition) else _leaves(node.children) for node in nodes)


def _check_leaf(leaf: PolicyCondition, at: str) -> Iterator[Flaw]:
    operator, value = leaf.operator, leaf.value
    if operator not in _OPERATORS[leaf.dimension]:
        yield Flaw(f"{at}/operator", "this dimension does not admit the operator")
    elif operator == "in":
        if isinstance(value, str) or not 1 <= len(value) <= MAX_CONDITION_VALUES or not all(value):
            yield Flaw(f"{at}/value", f"`in` takes a list of 1 to {MAX_CONDITION_VALUES} strings, none empty")
    elif not isinstance(value, str) or not value:
        yield Flaw(f"{at}/value", "the operator takes one string, not empty")
    elif operator in _REGEX and not _compiles(value):
        yield Flaw(f"{at}/value", f"must be a regular expression (RE2) of at most {MAX_CONDITION_REGEX} bytes")


def _compiles(pattern: str) -> bool:
    if len(pattern.encode()) > MAX_CONDITION_REGEX:
        return False
    try:
        compile_regex(pattern)
    except RegexError:
        return False
    return True
