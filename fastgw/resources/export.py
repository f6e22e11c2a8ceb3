"""A resources file from what etcd holds: the documents that can be served, with names for ids and without credentials.

Pure: what is read and where the text goes is the caller's. The text is loaded again before it is handed out, with the
credentials that it leaves out, so that a file that could not be loaded is not called complete.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fastgw.core.yaml_dump import dump
from fastgw.resources.decode import Rejected, decode
from fastgw.resources.desugar import NAMED_DIMENSIONS
from fastgw.resources.file import parse_resources
from fastgw.resources.guardrails import GuardrailAttachment
from fastgw.resources.kinds import KINDS, find_kind
from fastgw.resources.models import ApiKey
from fastgw.resources.render import document
from fastgw.resources.report import ResourcesError, quoted
from fastgw.resources.secrets import secrets, variable

_HASH_SHOWN: Final = 16


class Stored(NamedTuple):
    """A key of the store. ``kind`` and ``id`` are what it names, None when it has another form."""

    key: str
    kind: str | None
    id: str
    value: bytes


class Replaced(NamedTuple):
    """A credential that is not in the text."""

    variable: str
    kind: str
    identity: str
    field: str


@dataclass(slots=True)
class Exported:
    """The file, and what is to be said about it. ``rejected``: (key, error kind, message). With ``gaps`` the text does
    not say all that the store says, or cannot be loaded. Nothing but ``text`` and ``values`` holds credentials."""

    text: str = ""
    count: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def complete(self) -> bool:
        """Nothing is missing and the file loads."""
        return not self.rejected and not self.gaps


class _Entry(NamedTuple):
    kind: str
    identity: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {quoted(self.identity)}"


def export(stored: Iterable[Stored], namespace: str, *, reveal: bool) -> Exported:
    """The file for these keys. ``reveal`` writes credentials as they are."""
    return _Export(namespace, reveal).run(stored)


class _Export:
    def __init__(self, namespace: str, reveal: bool) -> None:
        self._namespace = namespace
        self._reveal = reveal
        self._result = Exported()
        self._names: dict[str, dict[str, str]] = {}  # kind → id → name

    def run(self, stored: Iterable[Stored]) -> Exported:
        rows = self._decode(stored)
        self._names = {kind: {id: _identity(kind, row) for id, row in found.items()} for kind, found in rows.items()}
        top: dict[str, object] = {}
        for kind in KINDS:
            entries = [
                _Entry(kind.name, self._names[kind.name][id], document(row)) for id, row in rows[kind.name].items()
            ]
            if kind.name == "guardrails":
                entries = list(self._attached(rows, entries))
            entries.sort(key=lambda entry: entry.identity)
            self._check_identities(kind.name, entries)
            if entries:
                top[kind.name] = [self._file_form(entry) for entry in entries]
                self._result.count += len(entries)
        if rows["mcp_policies"]:
            self._warn(f"mcp_policies have no form in a resources file ({len(rows['mcp_policies'])} left out)")
        self._result.text = '_format_version: "1"\n' + (dump(top) if top else "")
        self._check_text()
        return self._result

    def _decode(self, stored: Iterable[Stored]) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {kind.name: {} for kind in KINDS}
        rows |= {"guardrail_attachments": {}, "mcp_policies": {}}
        for item in stored:
            if item.kind is None:
                self._result.rejected.append((item.key, "bad_key", "key does not have the form <prefix>/<kind>/<id>"))
                continue
            try:
                rows.get(item.kind, {})[item.id] = decode(item.kind, item.value, strict=False).row
            except Rejected as error:
                self._result.rejected.append((item.key, error.error_kind, error.message))
        return rows

    def _warn(self, text: str) -> None:
        self._result.warnings.append(text)

    def _gap(self, text: str) -> None:
        self._result.gaps.append(text)

    def _attached(self, rows: Mapping[str, Mapping[str, Any]], entries: list[_Entry]) -> Iterator[_Entry]:
        """A file has no attachments: its guardrails apply to everything, so only those are written that do."""
        everywhere: dict[str, GuardrailAttachment] = {}
        for attachment in rows["guardrail_attachments"].values():
            if attachment.scope_type == "env" and attachment.enabled:
                everywhere[attachment.guardrail_id] = attachment
        for id, entry in zip(rows["guardrails"], entries, strict=True):
            if id not in everywhere:
                self._warn(f"{entry} is not attached to everything and is left out")
                continue
            if everywhere[id].priority:
                self._warn(f"{entry} loses its priority: a resources file has none")
            yield entry

    def _check_identities(self, kind: str, entries: list[_Entry]) -> None:
        for identity, count in Counter(entry.identity for entry in entries).items():
            if count > 1:
                self._gap(f"{kind} {quoted(identity)} is there {count} times; a resources file needs unique names")

    def _file_form(self, entry: _Entry) -> dict[str, Any]:
        if entry.kind == "api_keys":
            entry = entry._replace(document={**entry.document, "display_name": entry.identity})
        self._name_references(entry)
        if not self._reveal:
            self._redact(entry)
        escaped: dict[str, Any] = _escaped(entry.document)
        return escaped

    # -- references

    def _name_references(self, entry: _Entry) -> None:
        kind, item = entry.kind, entry.document
        if kind in ("models", "passthrough_routes"):
            self._by_name(entry, item, "provider_key_id", "provider_key", "provider_keys")
        if kind == "passthrough_routes":
            self._by_name(entry, item, "anonymous_key_id", "anonymous_key", "api_keys")
        if kind == "claim_mappings":
            self._by_name(entry, item["resolve"], "api_key_id", "api_key", "api_keys")
        if kind == "rate_limit_policies":
            if item.get("scope") in NAMED_DIMENSIONS:
                item["scope_ref"] = self._named(entry, "scope_ref", NAMED_DIMENSIONS[item["scope"]], item["scope_ref"])
            self._name_conditions(entry, item.get("conditions", ()))
        if kind == "cache_policies":
            scope, _, id = item["applies_to"].partition(":")
            if scope == "api_key":
                item["applies_to"] = f"api_key:{self._derived(entry, 'applies_to', id)}"
        if kind == "mcp_auth_settings" and "anonymous" in item:
            item["anonymous"]["api_key_id"] = self._derived(
                entry, "anonymous.api_key_id", item["anonymous"]["api_key_id"]
            )

    def _by_name(self, entry: _Entry, item: dict[str, Any], by_id: str, by_name: str, kind: str) -> None:
        """Put the name in the place of the id; an id of nothing stays."""
        if by_id not in item:
            return
        name = self._names[kind].get(item[by_id])
        if name is None:
            self._dangling(entry, by_id, item[by_id])
            return
        renamed = {by_name if key == by_id else key: value for key, value in item.items()}
        item.clear()
        item.update({**renamed, by_name: name})

    def _named(self, entry: _Entry, field: str, dimension: tuple[str, str], id: str) -> str:
        name = self._names[dimension[0]].get(id)
        if name is None:
            self._dangling(entry, field, id)
        return id if name is None else name

    def _dangling(self, entry: _Entry, field: str, id: str) -> None:
        self._gap(f"{entry}: {field} {quoted(id)} refers to nothing that was exported")

    def _name_conditions(self, entry: _Entry, nodes: Iterable[dict[str, Any]]) -> None:
        for node in nodes:
            self._name_conditions(entry, node.get("children", ()))
            kind = NAMED_DIMENSIONS.get(node.get("dimension", ""))
            if kind is None:
                continue
            if isinstance(node["value"], str):
                node["value"] = self._named(entry, "conditions", kind, node["value"])
            else:
                node["value"] = [self._named(entry, "conditions", kind, item) for item in node["value"]]

    def _derived(self, entry: _Entry, field: str, id: str) -> str:
        """The id that an API key has when the file is loaded."""
        kind, name = find_kind("api_keys"), self._names["api_keys"].get(id)
        assert kind is not None
        if name is None:
            self._warn(f"{entry}: {field} {quoted(id)} refers to nothing that was exported")
            return id
        return kind.derive_id(name)

    # -- credentials

    def _redact(self, entry: _Entry) -> None:
        for secret in list(secrets(entry.kind, entry.document)):
            value, wanted = (
                secret.container[secret.key],
                variable(self._namespace, entry.kind, entry.identity, secret.name),
            )
            name, number = wanted, 1
            # Names that differ in punctuation only would share a variable.
            while self._result.values.setdefault(name, value) != value:
                number += 1
                name = f"{wanted}_{number}"
            secret.container[secret.key] = _Placeholder(f"${{{name}}}")
            self._result.replaced.append(Replaced(name, entry.kind, entry.identity, secret.field))

    def _check_text(self) -> None:
        try:
            parse_resources("<export>", self._result.text.encode(), self._result.values)
        except ResourcesError as error:
            for scope, message in error.problems:
                self._gap(f"the file does not load: {scope}: {message}")


def _identity(kind: str, row: Any) -> str:
    if isinstance(row, ApiKey):
        return f"apikey-{row.key_hash[:_HASH_SHOWN]}"
    found = find_kind(kind)
    assert found is not None
    return getattr(row, found.identity[0]) if found.identity else kind


class _Placeholder(str):
    """A reference to the environment, which is written as it is."""


def _escaped(item: Any) -> Any:
    """Every ``$`` in a value doubled, because the loader takes a single one for a reference."""
    if isinstance(item, _Placeholder):
        return str(item)
    if isinstance(item, str):
        return item.replace("$", "$$")
    if isinstance(item, dict):
        return {key: _escaped(inner) for key, inner in item.items()}
    return [_escaped(inner) for inner in item] if isinstance(item, list) else item
