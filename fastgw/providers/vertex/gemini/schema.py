"""JSON Schemas as Gemini takes them: a subset of OpenAPI 3.0's, without references.

(https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Schema)
"""

from typing import Any, Final

MAX_NODES: Final = 10_000
"""Schemas that are written: references may stand for exponentially many. What comes later accepts anything."""

_REMOVED: Final = frozenset(
    {
        "$schema",
        "$id",
        "$defs",
        "definitions",
        "$ref",
        "$comment",
        "additionalProperties",
        "strict",
        "default",
        "examples",
        "title",
        "exclusiveMinimum",
        "exclusiveMaximum",
    }
)
_FORMATS: Final = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}


def cleaned(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what Gemini refuses. References are replaced by what they refer to; a schema that contains
    itself ends there in one that accepts any object."""
    return _Cleaner(schema).clean(schema, frozenset())


class _Cleaner:
    """Cleans the schemas of one document."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = MAX_NODES

    def clean(self, schema: dict[str, Any], within: frozenset[str]) -> dict[str, Any]:
        """`within`: the references that led here."""
        self._left -= 1
        if self._left < 0:
            return {}
        while isinstance(reference := schema.get("$ref"), str):
            if reference in within:
                return {"type": "object"}
            within |= {reference}
            target = _resolve(reference, self._root)
            schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
        made: dict[str, Any] = {}
        for name, value in schema.items():
            if name not in _REMOVED:
                self._member(made, name, value, schema, within)
        return made

    def _member(
        self, made: dict[str, Any], name: str, value: Any, schema: dict[str, Any], within: frozenset[str]
    ) -> None:
        if name == "const":
            made["enum"] = [value]
        elif name == "properties" and isinstance(value, dict):
            members = {key: self.clean(of, within) for key, of in value.items() if isinstance(of, dict)}
            if members:
                made["properties"] = members
        elif name == "items" and isinstance(value, dict):
            made["items"] = self.clean(value, within)
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            self._variants(made, name, value, within)
        elif name == "type" and isinstance(value, list):
            _add_types(made, value)
        elif name == "format":
            if isinstance(value, str) and value in _FORMATS.get(str(schema.get("type")), frozenset()):
                made["format"] = value
        else:
            made[name] = value

    def _variants(self, made: dict[str, Any], name: str, variants: list[Any], within: frozenset[str]) -> None:
        found = [variant for variant in variants if isinstance(variant, dict)]
        others = [variant for variant in found if variant.get("type") != "null"]
        if len(others) < len(found):
            made["nullable"] = True
        clean = [self.clean(variant, within) for variant in others]
        if len(clean) == 1 or name == "allOf":
            for variant in clean:
                made.update({key: value for key, value in variant.items() if key not in made})
        elif clean:
            made["anyOf"] = clean


def _add_types(made: dict[str, Any], types: list[Any]) -> None:
    """`type: [T, "null"]` is a nullable T; several others are variants."""
    others = [name for name in types if name != "null"]
    if len(others) < len(types):
        made["nullable"] = True
    if len(others) == 1:
        made["type"] = others[0]
    elif others:
        made["anyOf"] = [{"type": name} for name in others]


def _resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    """What a reference inside the document refers to (RFC 6901); anything else accepts everything."""
    found: Any = root
    if not reference.startswith("#"):
        return {}
    for segment in reference[1:].split("/")[1:]:
        key = segment.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
