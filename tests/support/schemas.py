"""The published JSON Schemas as an oracle: what a resource document has to be, strictly and leniently.

Draft-07 by ``jsonschema``, with two differences that the published rules ask for: ``pattern`` has ECMA semantics, and
of the formats only ``date-time`` is enforced (integer formats bound what decodes, not what is valid).
"""

import copy
import functools
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import re2

DATA = Path(__file__).parents[1] / "data" / "schemas"

FILES = {
    "provider_keys": "provider_key",
    "models": "model",
    "api_keys": "api_key",
    "guardrails": "guardrail",
    "guardrail_attachments": "guardrail_attachment",
    "mcp_servers": "mcp_server",
    "mcp_policies": "mcp_policy",
    "mcp_auth_settings": "mcp_auth_settings",
    "a2a_agents": "a2a_agent",
    "cache_policies": "cache_policy",
    "observability_exporters": "observability_exporter",
    "rate_limit_policies": "rate_limit_policy",
    "oidc_providers": "oidc_provider",
    "claim_mappings": "claim_mapping",
    "passthrough_routes": "passthrough_route",
}
"""By collection."""

DEAD_KNOBS = {"retries", "auto_prompt_caching", "cost", "timeout", "stream_timeout"}


def published(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((DATA / f"{FILES[kind]}.schema.json").read_text())
    return schema


def lenient(kind: str) -> dict[str, Any]:
    """The published schema without what only a strict reader minds."""
    schema = published(kind)
    _open(schema)
    if kind == "models":
        for branch in schema["oneOf"]:
            prohibited = branch["not"]["anyOf"]
            branch["not"]["anyOf"] = [item for item in prohibited if not set(item["required"]) <= DEAD_KNOBS]
    if kind == "api_keys":
        schema["definitions"]["McpAccess"]["required"].remove("allow")
    if kind == "mcp_policies":
        schema["required"].remove("allow")
    return schema


def _open(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("additionalProperties") is False:
            del node["additionalProperties"]
        for value in node.values():
            _open(value)
    elif isinstance(node, list):
        for value in node:
            _open(value)


@functools.cache
def ecma(pattern: str) -> str:
    """The expression for Python's ``re``. The schemas have ``$`` only as an anchor."""
    space = "\t\n\x0b\x0c\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
    parts = re.split(r"(\[[^\]]*\])", pattern)
    for index, part in enumerate(parts):
        inside = index % 2
        part = part.replace(r"\d", "0-9" if inside else "[0-9]").replace(r"\s", space if inside else f"[{space}]")
        parts[index] = part if inside else part.replace("$", r"(?!(?s:.))")
    return "".join(parts)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    if validator.is_type(instance, "string") and not re.search(ecma(pattern), instance):
        yield jsonschema.ValidationError("pattern")


def _is_moment(text: object) -> bool:
    """RFC 3339 §5.6, leap seconds aside, by way of the standard library."""
    if not isinstance(text, str):
        return True
    shape = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9:]{8})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", text, re.ASCII
    )
    if shape is None:
        return False
    date, clock, _, zone = shape.groups()
    try:
        datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'zZ' else zone}")
    except ValueError:
        return False
    return True


_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft7Validator, {"pattern": _pattern}
)


def validator(schema: dict[str, Any]) -> Any:
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("date-time")(_is_moment)
    return _Validator(schema, format_checker=formats)


def policy_flaws(document: Any) -> bool:
    """Whether a valid rate limit policy is refused for what its schema cannot say."""
    if "limits" not in document:
        return False
    limits = ("rps", "rpm", "rph", "rpd", "tpm", "tpd", "concurrency")
    if not any(name in document["limits"] for name in limits):
        return True
    groups = document.get("group_by", [])
    leaves = list(_leaves(document.get("conditions", []), 1))
    return len(groups) != len(set(groups)) or len(leaves) > 16 or not all(leaves)


def _leaves(nodes: list[Any], depth: int) -> Any:
    """For every leaf whether it is acceptable; False for a group that is not."""
    leaf_schema = validator({**_lenient_policy, "$ref": "#/definitions/PolicyCondition"})
    for node in nodes:
        if depth > 3:
            yield False
        elif leaf_schema.is_valid(node):
            yield _acceptable(node["dimension"], node["operator"], node["value"])
        else:
            yield from _leaves(node["children"], depth + 1) if node["children"] else [False]


def _acceptable(dimension: str, operator: str, value: Any) -> bool:
    allowed = ["==", "~=", "in"] + (["~~", "~*"] if dimension in ("model_name", "provider") else [])
    if operator not in allowed:
        return False
    if operator == "in":
        return isinstance(value, list) and 0 < len(value) < 65 and "" not in value
    if not isinstance(value, str) or value == "":
        return False
    if operator == "==" or operator == "~=":
        return True
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error:
        return False
    return len(value.encode()) <= 256


class Oracle:
    """Verdicts on the documents of one collection."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.schema = published(kind)
        self._validators = {True: validator(self.schema), False: validator(lenient(kind))}

    def accepts(self, document: Any, *, strict: bool) -> bool:
        if not self._validators[strict].is_valid(document):
            return False
        return self.kind != "rate_limit_policies" or not policy_flaws(copy.deepcopy(document))

    def reasons(self, document: Any, *, strict: bool) -> list[str]:
        return [error.message for error in self._validators[strict].iter_errors(document)]


_lenient_policy = lenient("rate_limit_policies")
