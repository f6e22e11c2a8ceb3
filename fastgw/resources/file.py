"""``load_resources``: the resources file, from bytes to validated rows.

Stages: YAML → version and top-level keys → per entry shape, interpolation, identity → per entry sugar and schema →
references between entries. An entry that fails at one stage is not looked at by later ones; everything else is, so that
one run reports all errors of the file.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from fastgw.core.collector import collector_paused
from fastgw.core.yaml import YamlError, load_documents
from fastgw.resources.decode import Decoded, examine
from fastgw.resources.desugar import Context
from fastgw.resources.interpolate import interpolate
from fastgw.resources.kinds import KINDS, Kind
from fastgw.resources.models import Resources, Row
from fastgw.resources.references import check_references
from fastgw.resources.report import FileProblem, Names, ResourcesError, quoted

_FILE: Final = "(file)"
_VERSION: Final = "_format_version"


class _Entry(NamedTuple):
    kind: Kind
    scope: str
    id: str
    document: dict[str, object]


class _Served(NamedTuple):
    scope: str
    row: Row[Struct]


def load_resources(path: Path, environ: Mapping[str, str]) -> Resources:
    """Read, resolve and validate the file. Raises :class:`ResourcesError`, with every problem found."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ResourcesError(str(path), [FileProblem(_FILE, f"cannot read file: {exc.strerror}")]) from None
    try:
        return parse_resources(str(path), data, environ)
    except ResourcesError as error:
        error.source_hash = hashlib.sha256(data).hexdigest()
        raise


def parse_resources(path: str, data: bytes, environ: Mapping[str, str]) -> Resources:
    """The same for what is in a file; ``path`` is for the report."""
    try:
        text = data.decode("utf-8-sig")
    except ValueError:
        raise ResourcesError(path, [FileProblem(_FILE, "cannot read file: it is not valid UTF-8")]) from None
    load = _Load(environ)
    with collector_paused():
        served = load.run(_top_level(path, text))
    if load.failures:
        raise ResourcesError(path, load.failures)
    rows: dict[str, Any] = {kind.name: tuple(item.row for item in served[kind.name]) for kind in KINDS}
    return Resources(**rows, source_hash=hashlib.sha256(data).hexdigest())


def _top_level(path: str, text: str) -> dict[str, object]:
    try:
        documents = load_documents(text)
    except YamlError as exc:
        raise ResourcesError(path, [FileProblem(_FILE, f"YAML parse error: {exc}")]) from None
    message = f"top level must be a mapping with `{_VERSION}` and resource collections"
    if len(documents) > 1:
        message = f"expected a single YAML document, found {len(documents)}"
    elif not documents or documents[0] is None:
        message = "file is empty"
    elif isinstance(documents[0], dict):
        return documents[0]
    raise ResourcesError(path, [FileProblem(_FILE, message)])


class _Load:
    """One pass over one file. ``failures`` collects in report order."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.failures: list[FileProblem] = []
        self._environ = environ
        self._names = Names(kind.name for kind in KINDS)

    def run(self, top: dict[str, object]) -> dict[str, list[_Served]]:
        self._check_top_level(top)
        entries = [entry for kind in KINDS for entry in self._identify(kind, top.get(kind.name))]
        context = Context(self._names, self._environ)
        served: dict[str, list[_Served]] = {kind.name: [] for kind in KINDS}
        for entry in entries:
            value = self._decode(entry, context)
            if value is not None:
                served[entry.kind.name].append(_Served(entry.scope, Row(entry.id, value)))
        decoded = {kind: [(item.scope, item.row.value) for item in items] for kind, items in served.items()}
        self.failures += check_references(decoded, self._names)
        return served

    def _fail(self, scope: str, message: str) -> None:
        self.failures.append(FileProblem(scope, message))

    def _check_top_level(self, top: dict[str, object]) -> None:
        version = top.get(_VERSION)
        if _VERSION not in top:
            self._fail(_FILE, f'missing mandatory {_VERSION} (expected "1")')
        elif not isinstance(version, str):
            self._fail(_FILE, f'{_VERSION} must be the string "1" (quote it)')
        elif version != "1":
            self._fail(_FILE, f'unrecognized {_VERSION} {quoted(version)} (supported: "1")')
        kinds = [kind.name for kind in KINDS]
        for key in top:
            if key != _VERSION and key not in kinds:
                expected = f"expected {_VERSION} and resource collections: {', '.join(kinds)}"
                self._fail(_FILE, f"unknown top-level key `{key}` ({expected})")

    def _identify(self, kind: Kind, collection: object) -> Iterator[_Entry]:
        """The entries whose identity is known and unique, with their environment references resolved."""
        if collection is None:
            return
        if not isinstance(collection, list):
            self._fail(_FILE, f"`{kind.name}` must be a sequence of maps")
            return
        first: dict[str, int] = {}
        for index, raw in enumerate(collection):
            scope = f"{kind.name}[{index}]"
            if not isinstance(raw, dict):
                self._fail(scope, "entry must be a mapping")
                continue
            document, failures = interpolate(raw, self._environ)
            for failure in failures:
                self._fail(scope, failure)
            if failures:
                continue
            field, identity = _identity(kind, document)
            if identity is None:
                label = " (or ".join(kind.identity) + ")" * (len(kind.identity) - 1)
                self._fail(scope, f"{label} is required and must be a non-empty string (it is the entry's identity)")
                continue
            scope = f"{scope} ({quoted(identity)})"
            if first.setdefault(identity, index) != index:
                self._fail(
                    scope,
                    f"duplicate {kind.name} entry: {field} {quoted(identity)} is already defined at"
                    f" {kind.name}[{first[identity]}] — identities must be unique within a kind",
                )
                continue
            entry = _Entry(kind, scope, kind.derive_id(identity), document)
            self._names.define(kind.name, identity, entry.id)
            yield entry

    def _decode(self, entry: _Entry, context: Context) -> Struct | None:
        kind, document = entry.kind, entry.document
        failures = []
        if "id" in document:
            failures.append(
                "the resources file does not accept `id` — ids are derived deterministically from the entry's name"
            )
        if kind.desugar is not None:
            failures += kind.desugar(document, context)
        if not failures:
            examined = examine(kind, document, strict=True)
            if isinstance(examined, Decoded):
                return examined.row
            schema = [problem for problem in examined if not problem.decode]
            failures = [str(problem) for problem in schema or examined]
        for failure in failures:
            self._fail(entry.scope, failure)
        return None


def _identity(kind: Kind, document: dict[str, object]) -> tuple[str, str | None]:
    """(field, value); the value is None when it is missing or unusable."""
    if not kind.identity:
        return kind.name, kind.name
    field = next((field for field in kind.identity if field in document), kind.identity[0])
    value = document.get(field)
    return field, value if isinstance(value, str) and value else None
