"""What a provider key changes in the requests that go out through it: body members and extra headers.

Bodies are edited by splicing: a member that no rule touches keeps its bytes, so numbers of any size and spelling,
key order and blanks survive. A body costs one scan, one more per rename, and with `content_list_to_string` one
parse of its messages.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from json import JSONDecoder, dumps
from typing import Any, Final, Protocol

from fastgw._speedups.splice import ARRAY, FLOAT, INT, ScanError, top_level
from fastgw.core.edits import BLANKS, Edit, appended, edited
from fastgw.core.errors import invalid_request
from fastgw.core.globs import Globs
from fastgw.core.headers import RESERVED, TRACE_CONTEXT
from fastgw.providers.fields import GATEWAY, NOT_FORWARDED, field_line

VARIABLES: Final = frozenset(
    {
        "request.id",
        "request.api_key.id",
        "request.api_key.name",
        "request.api_key.team_id",
        "request.api_key.user_id",
        "model.id",
        "model.name",
        "provider_key.id",
        "provider_key.name",
    }
)
"""What `${...}` in a default header may name."""

_REFUSED: Final = RESERVED | GATEWAY | TRACE_CONTEXT
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")

# Numbers as floats: none is written back, and integers of any length stay cheap to read.
_DECODER = JSONDecoder(parse_int=float)

Span = tuple[int, int, int]


class ParamConstraints(Protocol):
    """Bounds of `temperature`; None is unbounded."""

    @property
    def temperature_min(self) -> float | None: ...
    @property
    def temperature_max(self) -> float | None: ...


class RequestOverrides(Protocol):
    """The `request` block of a provider key."""

    @property
    def param_renames(self) -> Mapping[str, str]: ...
    @property
    def param_constraints(self) -> ParamConstraints | None: ...
    @property
    def default_headers(self) -> Mapping[str, str]: ...
    @property
    def forward_client_headers(self) -> Sequence[str]: ...
    @property
    def default_body_fields(self) -> Mapping[str, Any]: ...


class ResponseOverrides(Protocol):
    """The `response` block of a provider key, as far as it is applied here."""

    @property
    def content_list_to_string(self) -> bool: ...
    @property
    def reasoning_field(self) -> str | None: ...


class Overrides:
    """The compiled rules of one provider key.

    `reasoning_path` names the members below `delta` in which the upstream keeps its reasoning text; empty when it is
    not configured.
    """

    __slots__ = (
        "_defaults",
        "_flatten",
        "_forward",
        "_headers",
        "_max",
        "_min",
        "_own",
        "_renames",
        "_unsent",
        "reasoning_path",
    )

    def __init__(
        self,
        request: RequestOverrides | None,
        response: ResponseOverrides | None,
        namespace: str,
        unsent: frozenset[str] = frozenset(),
    ) -> None:
        limits = request.param_constraints if request is not None else None
        renames = request.param_renames if request is not None else {}
        self._renames = [(old.encode(), new) for old, new in renames.items() if old != new]
        self._min = limits.temperature_min if limits is not None else None
        self._max = limits.temperature_max if limits is not None else None
        fields = request.default_body_fields if request is not None else {}
        self._defaults = [(name.encode(), _json(name) + b":" + _json(value)) for name, value in fields.items()]
        self._flatten = response is not None and response.content_list_to_string
        self.reasoning_path = _reasoning_path(response.reasoning_field if response is not None else None)
        self._own = f"x-{namespace}-".lower()
        self._unsent = _REFUSED | unsent
        headers = request.default_headers if request is not None else {}
        self._headers = _compile_headers(headers, self._own, self._unsent)
        forward = request.forward_client_headers if request is not None else ()
        self._forward = Globs(pattern.strip().lower() for pattern in forward) if forward else None

    @classmethod
    def compile(
        cls,
        request: RequestOverrides | None,
        response: ResponseOverrides | None,
        namespace: str,
        unsent: frozenset[str] = frozenset(),
    ) -> "Overrides | None":
        """The rules, or None when nothing is to be done. `unsent`: names of headers, in lower case, that are never
        added."""
        made = cls(request, response, namespace, unsent)
        edits = made._renames or made._defaults or made._flatten or made._min is not None or made._max is not None
        return made if edits or made._headers or made._forward or made.reasoning_path else None

    def apply_body(self, body: bytes, *, flatten: bool = True) -> bytes:
        """The outgoing body: renames, then the temperature clamp, then defaults, flattened contents (if `flatten`).

        Raises the 400 for a body that is no JSON object.
        """
        for old, new in self._renames:
            body = _rename(body, old, new)
        clamp = self._min is not None or self._max is not None
        flatten = flatten and self._flatten
        if not (clamp or self._defaults or flatten):
            return body
        # Names that no rule needs are not asked for: a caller's duplicate of them is none of our business.
        names = [name for name, _ in self._defaults]
        watched = [b"temperature"] * clamp + [b"messages"] * flatten
        body, spans = _spans(body, tuple(dict.fromkeys(names + watched)))
        edits: list[Edit] = []
        if clamp:
            edits += self._clamped(body, spans[b"temperature"])
        messages = spans.get(b"messages")
        if flatten and messages is not None and messages[0] == ARRAY:
            edits += _flattened(body, messages)
        absent = [member for name, member in self._defaults if spans[name] is None]
        if absent:
            edits.append(appended(body, body.index(b"{"), body.rindex(b"}") + 1, b",".join(absent)))
        return edited(body, edits)

    def _clamped(self, body: bytes, span: Span | None) -> list[Edit]:
        if span is None or span[0] not in (INT, FLOAT):
            return []
        value = float(body[span[1] : span[2]])
        bounded = value if self._max is None else min(value, self._max)
        bounded = bounded if self._min is None else max(bounded, self._min)
        return [] if bounded == value else [(span[1], span[2], _json(bounded))]

    def headers(self, variables: Mapping[str, str | None], caller_fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Extra header lines of one attempt, each with its CRLF; empty when there are none.

        `variables` holds a value, None or nothing for each of `VARIABLES`. `caller_fields` are the caller's headers;
        of each name the first value counts. A default header wins over a forwarded one of its name, and one that
        cannot be rendered is left out.
        """
        lines: list[bytes] = []
        taken: set[str] = set()
        for lowered, name, template in self._headers:
            value = _render(template, variables)
            line = field_line(name, value) if value is not None else None
            if line is not None and lowered not in taken:
                taken.add(lowered)
                lines.append(line)
        if self._forward is not None:
            for raw_name, raw_value in caller_fields:
                lowered = raw_name.decode("latin-1").lower()
                if lowered in taken or not self._forward.matches(lowered) or self._private(lowered):
                    continue
                taken.add(lowered)
                # Bytes outside ASCII pass through as they came (RFC 9110 §5.5, obs-text).
                line = field_line(lowered, raw_value.decode("latin-1"), "latin-1")
                if line is not None:
                    lines.append(line)
        return b"".join(lines)

    def forwards(self, lowered: str) -> bool:
        """Whether a caller's header of this name, given in lower case, leaves as it is."""
        wins = any(name == lowered for name, _, _ in self._headers)
        return not wins and self._forward is not None and self._forward.matches(lowered) and not self._private(lowered)

    def _private(self, lowered: str) -> bool:
        """Whether a caller's header of this name is never forwarded."""
        return lowered in self._unsent or lowered in NOT_FORWARDED or lowered.startswith((self._own, "x-stainless-"))


def _compile_headers(headers: Mapping[str, str], own: str, unsent: frozenset[str]) -> list[tuple[str, str, list[str]]]:
    """(lower-case name, name, template) of the default headers that can ever be sent."""
    compiled: list[tuple[str, str, list[str]]] = []
    for name, text in headers.items():
        lowered = name.lower()
        template = _template(text)
        if template is not None and lowered not in unsent and lowered != f"{own}request-id":
            compiled.append((lowered, name, template))
    return compiled


def _template(text: str) -> list[str] | None:
    """Literals at even positions, variable names at odd ones; None when a placeholder is unknown or not closed."""
    parts = _PLACEHOLDER.split(text)
    parts[1::2] = [name.strip() for name in parts[1::2]]
    if any("${" in literal for literal in parts[::2]) or not VARIABLES.issuperset(parts[1::2]):
        return None
    return parts


def _render(template: list[str], variables: Mapping[str, str | None]) -> str | None:
    """The header value; None when a variable has no value."""
    if len(template) == 1:
        return template[0]
    values = [variables.get(name) for name in template[1::2]]
    parts = template.copy()
    for position, value in enumerate(values):
        if not value:
            return None
        parts[2 * position + 1] = value
    return "".join(parts)


def _reasoning_path(field: str | None) -> tuple[bytes, ...]:
    """`delta.a.b` as (b"a", b"b"); empty for a path that is not below `delta`."""
    root, *names = (field or "").strip().split(".")
    return tuple(name.encode() for name in names) if root == "delta" and all(names) else ()


# ---- splicing ----


def _json(value: Any) -> bytes:
    text = dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can express
        return dumps(value, separators=(",", ":")).encode()


def _spans(body: bytes, names: tuple[bytes, ...]) -> tuple[bytes, dict[bytes, Span | None]]:
    """The body and where the values of `names` are in it. Of a name given twice only the last member is kept."""
    try:
        try:
            found = top_level(body, names)
        except ScanError as error:
            if error.reason != "duplicate":
                raise
            top_level(body, ())  # the scan stopped at the duplicate: the rest is unchecked
            body = _last_ones(body)
            found = top_level(body, names)
    except ScanError:
        raise invalid_request("invalid JSON request body") from None
    return body, dict(zip(names, found, strict=True))


def _last_ones(body: bytes) -> bytes:
    """A valid object with only the last member of each name, values byte for byte. Linear in the body."""
    text = body.decode()
    position = text.index("{") + 1
    members: dict[str, str] = {}
    while text[position := _skip(text, position)] != "}":
        name, position = _DECODER.raw_decode(text, position)
        start = _skip(text, position)
        _, position = _DECODER.raw_decode(text, start)
        members[name] = text[start:position]
    return b"{" + b",".join(_json(name) + b":" + raw.encode() for name, raw in members.items()) + b"}"


_BETWEEN = re.compile(r"[ \t\r\n,:]*")


def _skip(text: str, position: int) -> int:
    """Past blanks, commas and colons of a document that is known to be valid."""
    match = _BETWEEN.match(text, position)
    return match.end() if match is not None else position


def _rename(body: bytes, old: bytes, new: str) -> bytes:
    """Give the top-level member `old` the name `new`, in its place; another member of that name goes."""
    wanted = new.encode()
    body, spans = _spans(body, (old, wanted))
    source, target = spans[old], spans[wanted]
    if source is None:
        return body
    start, end = _key(body, source)
    edits = [(start, end, _json(new))]
    if target is not None:
        edits.append(_without(body, target))
    return edited(body, edits)


def _key(body: bytes, value: Span) -> tuple[int, int]:
    """Where the name of a member is, quotes included, found backwards from its value."""
    end = body.rindex(b'"', 0, value[1]) + 1
    start = end - 1
    while True:
        start = body.rindex(b'"', 0, start)
        backslashes = start - len(body[:start].rstrip(b"\\")) if body[start - 1 : start] == b"\\" else 0
        if backslashes % 2 == 0:
            return start, end


def _without(body: bytes, value: Span) -> Edit:
    """Removes a member, which is not the only one, together with one comma."""
    start, end = _key(body, value)[0], value[2]
    after = len(body) - len(body[end:].lstrip(BLANKS))
    if body[after : after + 1] == b",":
        return start, after + 1, b""
    return body.rindex(b",", 0, start), end, b""


def _flattened(body: bytes, messages: Span) -> list[Edit]:
    """Replaces each message content that is a list with text blocks by the concatenated text."""
    text = body[messages[1] : messages[2]].decode()
    edits: list[Edit] = []
    position, offset = 1, messages[1] + 1
    while text[start := _skip(text, position)] != "]":
        message, end = _DECODER.raw_decode(text, start)
        offset += len(text[position:start].encode())
        raw = text[start:end].encode()
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            texts = [block["text"] for block in content if _is_text(block)]
            if texts:
                edits.append((offset, offset + len(raw), _with_content(raw, _json("".join(texts)))))
        offset += len(raw)
        position = end
    return edits


def _with_content(message: bytes, content: bytes) -> bytes:
    message, spans = _spans(message, (b"content",))
    span = spans[b"content"]
    return message if span is None else edited(message, [(span[1], span[2], content)])


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str)
