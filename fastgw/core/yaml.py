"""YAML text to plain values, in the YAML 1.2 core dialect, on top of pyyaml's event stream.

Differences from ``yaml.safe_load``, all deliberate:

* scalars resolve by the YAML 1.2 core schema: ``yes``, ``1:30``, ``2024-01-01`` and ``1_000`` are strings;
* mapping keys are strings, and a key given twice is an error;
* ``<<`` is an ordinary key; tags other than the core ones are errors;
* nesting is limited, and so is the number of nodes that aliases may expand to;
* a text that is JSON is read as JSON, some of which parsers of YAML refuse: pairs of surrogates, long keys.

Events are consumed in a loop with an explicit stack, so no document can exhaust the interpreter's stack. Messages name
a line and a column and never quote the text, which may hold credentials.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import yaml

MAX_DEPTH: Final = 100
MAX_NODES: Final = 1_000_000

_HAVE_LIBYAML: Final = hasattr(yaml, "CSafeLoader")
_LOADER: Final = yaml.CSafeLoader if _HAVE_LIBYAML else yaml.SafeLoader

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TYPES: Final[dict[str, tuple[type, ...]]] = {
    f"{_TAG}null": (type(None),),
    f"{_TAG}bool": (bool,),
    f"{_TAG}int": (int,),
    f"{_TAG}float": (float, int),
}
_CONSTANTS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((f"{sign}{name}" for sign in ("", "+") for name in (".inf", ".Inf", ".INF")), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_START: Final = frozenset("+-.0123456789")
# A plain scalar that begins with anything else is a text.
_SPECIAL: Final = _NUMBER_START | {text[0] for text in _CONSTANTS if text}
_BRACKET: Final = re.compile(r"[ \t\r\n]*[\[{]")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_STARTS: Final = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})
_ENDS: Final = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})


class YamlError(ValueError):
    """The text is not acceptable YAML. ``line`` and ``column`` count from 1; 0 when the position is not known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{reason} at line {line} column {column}" if line else reason)
        self.line = line
        self.column = column


class _Node(NamedTuple):
    value: object
    nodes: int  # including everything below, with aliases expanded
    height: int


class _Frame:
    """A collection whose end has not been seen yet. ``key``: of the value that is expected next, None before a key."""

    __slots__ = ("anchor", "height", "key", "mapping", "nodes", "sequence")

    def __init__(self, mapping: bool, anchor: str | None) -> None:
        self.mapping: dict[str, object] | None = {} if mapping else None
        self.sequence: list[object] = []
        self.anchor = anchor
        self.nodes = 1
        self.height = 0
        self.key: str | None = None

    def add(self, value: object, nodes: int, height: int, event: yaml.Event) -> None:
        """Take a finished node. O(1): aliased nodes are shared, not copied."""
        self.nodes += nodes
        if height >= self.height:
            self.height = height + 1
        mapping = self.mapping
        if mapping is None:
            self.sequence.append(value)
        elif self.key is not None:
            mapping[self.key] = value
            self.key = None
        elif not isinstance(value, str):
            raise _error("mapping key is not a string", event)
        elif value in mapping:
            raise _error("duplicate mapping key", event)
        else:
            self.key = value


class _Builder:
    """Runs once per scalar of a file that may have a million of them."""

    def __init__(self, nonfinite: bool) -> None:
        self.documents: list[object] = []
        self._nonfinite = nonfinite
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Node] = {}
        self._expanded = 0

    def feed(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            text: str = event.value
            if event.tag is None and (not event.implicit[0] or (text and text[0] not in _SPECIAL)) and _HAVE_LIBYAML:
                value: object = text
            else:
                value = self._scalar(event)
            if event.anchor is None and self._stack:
                self._stack[-1].add(value, 1, 0, event)
            else:
                self._complete(_Node(value, 1, 0), event.anchor, event)
        elif kind in _STARTS:
            self._open(event)
        elif kind in _ENDS:
            frame = self._stack.pop()
            target = frame.sequence if frame.mapping is None else frame.mapping
            self._complete(_Node(target, frame.nodes, frame.height), frame.anchor, event)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._anchors.clear()

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if mapping else 'seq'}"):
            raise _error("unsupported tag", event)
        if len(self._stack) >= MAX_DEPTH:
            raise _error(f"nesting is deeper than {MAX_DEPTH} levels", event)
        self._stack.append(_Frame(mapping, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        try:
            if not _HAVE_LIBYAML and not text.isascii():
                text.encode()  # the pure-Python scanner lets escaped lone surrogates through
            if event.tag in ("!", f"{_TAG}str") or (event.tag is None and not event.implicit[0]):
                return text
            value = _resolve(text)
        except ValueError:
            raise _error("unacceptable scalar", event) from None
        if event.tag is not None:
            if not isinstance(value, _SCALAR_TYPES.get(event.tag, ())):
                raise _error("unsupported tag, or a value that does not fit its tag", event)
            if event.tag == f"{_TAG}float" and type(value) is int:
                value = _resolve(f"{text}.")
        if isinstance(value, float) and not math.isfinite(value) and not self._nonfinite:
            raise _error("number is not finite", event)
        return value

    def _alias(self, event: yaml.AliasEvent) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise _error("alias of an anchor that is not defined or not complete", event)
        self._expanded += node.nodes
        if self._expanded > MAX_NODES:
            raise _error(f"document has more than {MAX_NODES} nodes after alias expansion", event)
        if len(self._stack) + node.height > MAX_DEPTH:
            raise _error(f"nesting is deeper than {MAX_DEPTH} levels", event)
        self._complete(node, None, event)

    def _complete(self, node: _Node, anchor: str | None, event: yaml.Event) -> None:
        """Hand a finished node to the collection around it."""
        if anchor is not None:
            self._anchors[anchor] = node
        if self._stack:
            self._stack[-1].add(node.value, node.nodes, node.height, event)
        else:
            self.documents.append(node.value)


def load_documents(text: str, *, nonfinite: bool = False) -> list[object]:
    """Every document of ``text`` as str, int, float, bool, None, list and dict values.

    Aliased nodes are shared objects. ``nonfinite`` lets infinities and NaN through. Raises :class:`YamlError` and
    nothing else.
    """
    if _BRACKET.match(text):
        try:
            return [_json(text)]
        except (ValueError, RecursionError):
            pass  # other YAML, or something that the reader of YAML has words for
    builder = _Builder(nonfinite)
    for event in _events(text):
        builder.feed(event)
    return builder.documents


def _json(text: str) -> object:
    """The value of a JSON text that holds nothing which YAML is refused for. Raises ValueError and RecursionError."""
    value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # half a pair has no encoding
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError
    return value


def _events(text: str) -> Iterator[Any]:
    try:
        next_event: Callable[[], Any] = _LOADER(text).get_event
        while not isinstance(event := next_event(), yaml.StreamEndEvent):
            yield event
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        # libyaml's texts are constants; those of the pure-Python parser quote the document.
        reason = (exc.problem if _HAVE_LIBYAML else None) or "syntax error"
        raise YamlError(reason, *((mark.line + 1, mark.column + 1) if mark else ())) from None
    except (yaml.reader.ReaderError, UnicodeError):
        raise YamlError("text contains a character that YAML does not allow") from None


def _resolve(text: str) -> object:
    """The value of a plain scalar. Raises ValueError when its digits exceed what ``int`` converts."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in _NUMBER_START:
        if _DECIMAL.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def reads_as_text(text: str) -> bool:
    """Whether a plain scalar of this text is a text."""
    try:
        return _resolve(text) is text
    except ValueError:
        return False


def _error(reason: str, event: yaml.Event) -> YamlError:
    mark = event.start_mark
    return YamlError(reason, mark.line + 1, mark.column + 1) if mark else YamlError(reason)
